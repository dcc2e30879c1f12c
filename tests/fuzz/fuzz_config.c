/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration loader on any bytes: it never crashes or leaks, a refusal always has a reason,
 * and what it says is safe to print.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "config/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Valid UTF-8, whole, and nothing in it that moves a cursor. */
static void check_printable(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t len = strlen(text), n;

	for (; len; s += n, len -= n) {
		n = utf8_sequence(s, len);
		if (!n || *s < 0x20 || *s == 0x7f)
			abort();
	}
}

static void check_problems(const struct config_problems *problems, int r)
{
	if ((r < 0) != (problems->errors > 0) || (r < 0 && r != -EINVAL))
		abort();
	if (problems->count + problems->dropped != problems->errors + problems->warnings)
		abort();
	for (size_t i = 0; i < problems->count; i++) {
		check_printable(problems->items[i].path);
		check_printable(problems->items[i].text);
		if (!problems->items[i].text[0])
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config_problems problems;
	struct config *config = NULL;
	int r;

	memset(&problems, 0, sizeof(problems));
	r = config_load_bytes((const char *)data, size, "/folder", &config, &problems);
	check_problems(&problems, r);
	if ((r == 0) != (config != NULL))
		abort();
	config_free(config);
	return 0;
}
