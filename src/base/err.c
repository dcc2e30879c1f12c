/* SPDX-License-Identifier: Apache-2.0 */
/* Error texts for people; see err.h for the two kinds of error. Pure, any thread. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

int err_set(struct err_text *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}
