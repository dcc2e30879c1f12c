/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upper and lower case by Unicode's tables, without a language (java_case.h). Pure.
 */
#include "kafka/java_case.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <unicase.h>
#include <unictype.h>
#include <unistr.h>

#include "base/utf8.h"
#include "base/util.h"

#define SIGMA "\u03a3"

static uint8_t *map(const char *text, size_t len, bool upper, uint8_t *into, size_t *ret_len)
{
	return (upper ? u8_toupper : u8_tolower)((const uint8_t *)text, len, NULL, NULL, into,
						 ret_len);
}

static bool has_ascii(const uint8_t *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] < 0x80)
			return true;
	return false;
}

/* One character beyond ASCII. */
static int judge(const char *sequence, size_t len, bool upper)
{
	uint8_t room[32], *mapped;
	size_t mapped_len = sizeof(room);
	int r;

	mapped = map(sequence, len, upper, room, &mapped_len);
	if (!mapped)
		return -ENOMEM;
	r = has_ascii(mapped, mapped_len) ? JAVA_CASE_BECOMES_ASCII : JAVA_CASE_OK;
	if (mapped != room)
		free(mapped);
	return r;
}

/* Whether the character that ends at `end` (or begins there) has upper and lower case. */
static bool is_cased(const char *at, size_t len, bool before)
{
	ucs4_t c = 0;

	if (before)
		return len && u8_prev(&c, (const uint8_t *)at + len, (const uint8_t *)at) &&
		       uc_is_property_cased(c);
	return len && u8_mbtouc(&c, (const uint8_t *)at, len) > 0 && uc_is_property_cased(c);
}

/* A capital sigma has two small letters, and Java has ideas of its own about where words end: only
 * between two letters, or after one at the end of all, is it certain. */
static bool is_clear_sigma(const char *text, size_t len, size_t at)
{
	size_t next = at + strlen(SIGMA);

	return is_cased(text, at, true) &&
	       (next == len || is_cased(text + next, len - next, false));
}

int java_case_map(const char *text, size_t len, bool upper, char **ret)
{
	cleanup_free uint8_t *mapped = NULL;
	size_t mapped_len = 0;
	char *result;

	for (size_t i = 0, n; i < len; i += n) {
		int r;

		n = utf8_sequence((const unsigned char *)text + i, len - i);
		if (!n)
			return JAVA_CASE_DOUBTFUL;
		r = n == 1 ? JAVA_CASE_OK : judge(text + i, n, upper);
		if (r)
			return r;
		if (!upper && !strncmp(text + i, SIGMA, strlen(SIGMA)) &&
		    !is_clear_sigma(text, len, i))
			return JAVA_CASE_DOUBTFUL;
	}
	mapped = map(text, len, upper, NULL, &mapped_len);
	result = mapped ? malloc(mapped_len + 1) : NULL;
	if (!result)
		return -ENOMEM;
	memcpy(result, mapped, mapped_len);
	result[mapped_len] = 0;
	*ret = result;
	return JAVA_CASE_OK;
}
