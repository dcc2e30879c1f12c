/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replacements (java_replacement.h), read in two passes as Kafka does. First what Kafka adds: a
 * reference to a group that the pattern has not becomes plain text by a backslash before it; with
 * several of those the places are off by what was added before, and so they are here. Then Java's
 * own reading, from which comes a list of pieces. Read-only once made.
 */
#include "kafka/java_replacement.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"
#include "limits/limits.h"

#define LITERAL	       (-1)
#define GROUP_NAME_MAX 32

struct piece {
	int group; /* or LITERAL */
	size_t at, len;
};

struct java_replacement {
	char *text; /* with Kafka's backslashes */
	size_t len;
	struct piece *pieces;
	size_t count;
};

bool java_buffer_add(struct java_buffer *buffer, const char *bytes, size_t len)
{
	if (len > buffer->max - buffer->len)
		return false;
	memcpy(buffer->bytes + buffer->len, bytes, len);
	buffer->len += len;
	buffer->bytes[buffer->len] = 0;
	return true;
}

/* Java counts in units of UTF-16. Units of the first `len` bytes. */
static size_t units_of(const char *text, size_t len)
{
	size_t units = 0;

	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_sequence((const unsigned char *)text + i, len - i);
		n = n ? n : 1;
		units += n == 4 ? 2 : 1;
	}
	return units;
}

/* The byte at unit `unit`; SIZE_MAX if that is within a character. */
static size_t byte_at(const char *text, size_t len, size_t unit)
{
	size_t i = 0;

	for (size_t n; i < len && unit; i += n) {
		n = utf8_sequence((const unsigned char *)text + i, len - i);
		n = n ? n : 1;
		if (n == 4 && unit == 1)
			return SIZE_MAX;
		unit -= n == 4 ? 2 : 1;
	}
	return i;
}

/* The number whose digits begin at `text`; `ret_len`: how many. -1: more than Java's int holds. */
static long long number_at(const char *text, const char *end, size_t *ret_len)
{
	long long number = 0;
	size_t n = 0;

	for (; text + n < end && isdigit((unsigned char)text[n]); n++)
		if (number <= INT32_MAX)
			number = number * 10 + (text[n] - '0');
	*ret_len = n;
	return number > INT32_MAX ? -1 : number;
}

/* Whether Kafka takes `number` for a reference to one of `groups`, without its last digits if need
 * be. */
static bool refers(long long number, unsigned int groups)
{
	while (number > groups && number >= 10)
		number /= 10;
	return number <= groups;
}

static int insert_backslash(struct java_replacement *r, size_t unit, struct err_text *err)
{
	size_t at = byte_at(r->text, r->len, unit);

	if (at == SIZE_MAX)
		return err_set(err, -EINVAL, "the replacement: Java would cut a character in two");
	memmove(r->text + at + 1, r->text + at, r->len - at + 1);
	r->text[at] = '\\';
	r->len++;
	return 0;
}

/* Kafka's pass. */
static int escape_references(struct java_replacement *r, const char *text, size_t len,
			     unsigned int groups, struct err_text *err)
{
	const char *end = text + len;
	size_t digits;
	int result = 0;

	if (!groups)
		return 0;
	for (const char *at = text; !result && at + 1 < end; at++) {
		long long number;

		if (*at != '$' || !isdigit((unsigned char)at[1]))
			continue;
		number = number_at(at + 1, end, &digits);
		if (at[1] != '0' && number < 0)
			return err_set(err, -EINVAL,
				       "the replacement: the number after '$' is too large");
		if (at[1] != '0' && !refers(number, groups))
			result = insert_backslash(r, units_of(text, (size_t)(at - text)), err);
		at += digits;
	}
	return result;
}

static void add_piece(struct java_replacement *r, int group, size_t at, size_t len)
{
	struct piece *last = r->count ? &r->pieces[r->count - 1] : NULL;

	if (group == LITERAL && last && last->group == LITERAL && last->at + last->len == at)
		last->len += len;
	else
		r->pieces[r->count++] = (struct piece){ .group = group, .at = at, .len = len };
}

static int add_group(struct java_replacement *r, unsigned int group, const struct java_regex *regex,
		     struct err_text *err)
{
	if (java_regex_group_is_doubtful(regex, group))
		return err_set(err, -EINVAL,
			       "the replacement: group %u is repeated, or within a repetition, "
			       "an assertion or (?>: Java may have another match for it; put the "
			       "parentheses around the repetition",
			       group);
	add_piece(r, (int)group, 0, 0);
	return 0;
}

/* ${name}, `at` being the '{'. Returns the bytes up to the '}', or -EINVAL. */
static int read_name(struct java_replacement *r, size_t at, const struct java_regex *regex,
		     struct err_text *err)
{
	char name[GROUP_NAME_MAX + 1];
	unsigned int group;
	size_t n = 0;

	while (n < GROUP_NAME_MAX && isalnum((unsigned char)r->text[at + 1 + n])) {
		name[n] = r->text[at + 1 + n];
		n++;
	}
	name[n] = 0;
	if (!isalpha((unsigned char)name[0]) || r->text[at + 1 + n] != '}')
		return err_set(err, -EINVAL,
			       "the replacement: '${' is not followed by the name of "
			       "a group and '}'; for a plain '$' write \\$");
	group = java_regex_group(regex, name);
	if (!group)
		return err_set(err, -EINVAL, "the replacement: the pattern has no group '%s'",
			       name);
	return add_group(r, group, regex, err) < 0 ? -EINVAL : (int)n + 2;
}

/* What follows a '$', at `at`. Returns its bytes, or -EINVAL. */
static int read_reference(struct java_replacement *r, size_t at, const struct java_regex *regex,
			  struct err_text *err)
{
	unsigned int groups = java_regex_groups(regex), group;
	size_t n = 1;

	if (r->text[at] == '{')
		return read_name(r, at, regex, err);
	if (!isdigit((unsigned char)r->text[at]))
		return err_set(err, -EINVAL,
			       "the replacement: a '$' without the number of a "
			       "group; for a plain '$' write \\$");
	group = (unsigned int)(r->text[at] - '0');
	if (group > groups)
		return err_set(err, -EINVAL,
			       "the replacement: $%u, but the pattern has only %u groups: Kafka "
			       "would refuse whoever the rule matches",
			       group, groups);
	/* As many digits as make the number of a group. */
	for (; isdigit((unsigned char)r->text[at + n]); n++) {
		unsigned int more = group * 10 + (unsigned int)(r->text[at + n] - '0');

		if (more > groups)
			break;
		group = more;
	}
	return add_group(r, group, regex, err) < 0 ? -EINVAL : (int)n;
}

/* Java's pass. */
static int read_pieces(struct java_replacement *r, const struct java_regex *regex,
		       struct err_text *err)
{
	for (size_t at = 0; at < r->len;) {
		int n;

		if (r->text[at] == '\\') {
			if (at + 1 == r->len)
				return err_set(err, -EINVAL, "the replacement ends with a '\\'");
			add_piece(r, LITERAL, at + 1, 1);
			at += 2;
			continue;
		}
		if (r->text[at] != '$') {
			add_piece(r, LITERAL, at++, 1);
			continue;
		}
		n = read_reference(r, at + 1, regex, err);
		if (n < 0)
			return n;
		at += 1 + (size_t)n;
	}
	return 0;
}

int java_replacement_new(const char *text, size_t len, const struct java_regex *regex,
			 struct java_replacement **ret, struct err_text *err)
{
	struct java_replacement *r = calloc(1, sizeof(*r));
	int result = -ENOMEM;

	if (!r)
		return -ENOMEM;
	/* Kafka adds at most one backslash for two characters; a piece has at least one. */
	r->text = malloc(2 * len + 1);
	r->pieces = calloc(2 * len + 1, sizeof(*r->pieces));
	if (r->text && r->pieces) {
		memcpy(r->text, text, len);
		r->text[len] = 0;
		r->len = len;
		result = escape_references(r, text, len, java_regex_groups(regex), err);
		if (!result)
			result = read_pieces(r, regex, err);
	}
	if (result < 0)
		java_replacement_free(r);
	else
		*ret = r;
	return result;
}

void java_replacement_free(struct java_replacement *replacement)
{
	if (!replacement)
		return;
	free(replacement->text);
	free(replacement->pieces);
	free(replacement);
}

bool java_replacement_expand(const struct java_replacement *replacement,
			     const struct java_text *text, const struct java_groups *groups,
			     struct java_buffer *ret)
{
	for (size_t i = 0; i < replacement->count; i++) {
		const struct piece *piece = &replacement->pieces[i];
		const char *bytes = replacement->text + piece->at;
		size_t len = piece->len;

		if (piece->group != LITERAL) {
			const size_t *at = groups->at + 2 * piece->group;

			bytes = text->bytes + (at[0] == JAVA_REGEX_UNSET ? 0 : at[0]);
			len = at[0] == JAVA_REGEX_UNSET ? 0 : at[1] - at[0];
		}
		if (!java_buffer_add(ret, bytes, len))
			return false;
	}
	return true;
}
