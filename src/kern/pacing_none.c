/* SPDX-License-Identifier: Apache-2.0 */
/* Pacing (pacing.h) where the program is not built in: the build had no clang or no libbpf. */
#include <errno.h>

#include "kern/pacing.h"

bool pacing_is_built(void)
{
	return false;
}

int pacing_attach(struct err_text *err)
{
	return err_set(err, -EOPNOTSUPP,
		       "this sallyport was built without it (meson option bpf, needs clang and "
		       "libbpf)");
}
