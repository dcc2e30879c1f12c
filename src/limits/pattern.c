/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns (pattern.h), taken apart into tokens for comparison: each matches one byte of a set, or
 * is a star. Two patterns are then laid beside each other as a regular expression is beside a text,
 * with one row of a table at a time. What fnmatch(3) calls a class ([[:alpha:]]) is taken for any
 * byte: overlaps are at worst told of too often. Pure.
 */
#include "limits/pattern.h"

#include <fnmatch.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum token_kind { TOKEN_PLAIN, TOKEN_SET, TOKEN_ANY, TOKEN_STAR, TOKEN_KIND_COUNT };

struct token {
	enum token_kind kind;
	uint64_t bytes[256 / 64]; /* that it matches */
};

struct tokens {
	struct token items[PATTERN_BYTES_MAX];
	size_t count;
};

static void set_add(struct token *token, unsigned char byte)
{
	token->bytes[byte / 64] |= 1ULL << (byte % 64);
}

static void set_fill(struct token *token)
{
	memset(token->bytes, 0xff, sizeof(token->bytes));
}

/* Reads a bracket at its `[`; returns where it ends, NULL if it is none but a plain character. */
static const char *read_bracket(const char *at, struct token *token)
{
	bool inverted = at[1] == '!' || at[1] == '^', first = true;
	const char *end;

	for (at += inverted ? 2 : 1; *at && (*at != ']' || first); first = false) {
		unsigned char from, to;

		if (at[0] == '[' && (at[1] == ':' || at[1] == '.' || at[1] == '=')) {
			end = strchr(at + 2, ']');
			if (!end)
				return NULL;
			set_fill(token);
			inverted = false;
			at = end + 1;
			continue;
		}
		if (*at == '\\' && at[1])
			at++;
		from = to = (unsigned char)*at++;
		if (at[0] == '-' && at[1] && at[1] != ']') {
			at += at[1] == '\\' && at[2] ? 2 : 1;
			to = (unsigned char)*at++;
		}
		for (unsigned int byte = from; byte <= to; byte++)
			set_add(token, (unsigned char)byte);
	}
	if (!*at)
		return NULL;
	for (size_t i = 0; inverted && i < ARRAY_SIZE(token->bytes); i++)
		token->bytes[i] = ~token->bytes[i];
	return at + 1;
}

/* One token at `at`; returns where the next one begins. */
static const char *read_token(const char *at, struct token *token)
{
	const char *end;

	*token = (struct token){ .kind = TOKEN_SET };
	if (*at == '[') {
		end = read_bracket(at, token);
		if (end)
			return end;
	}
	*token = (struct token){ .kind = TOKEN_PLAIN };
	if (*at == '*' || *at == '?') {
		token->kind = *at == '*' ? TOKEN_STAR : TOKEN_ANY;
		set_fill(token);
		return at + 1;
	}
	if (*at == '\\' && at[1])
		at++;
	set_add(token, (unsigned char)*at);
	return at + 1;
}

static void read_tokens(const char *pattern, struct tokens *ret)
{
	enum token_kind before = TOKEN_KIND_COUNT;

	ret->count = 0;
	while (*pattern && ret->count < PATTERN_BYTES_MAX) {
		struct token *token = &ret->items[ret->count];

		pattern = read_token(pattern, token);
		/* Two stars in a row are one. */
		if (token->kind != TOKEN_STAR || before != TOKEN_STAR)
			ret->count++;
		before = token->kind;
	}
}

static void weigh(const char *pattern, int ret[TOKEN_KIND_COUNT])
{
	struct token token;

	memset(ret, 0, TOKEN_KIND_COUNT * sizeof(*ret));
	for (enum token_kind before = TOKEN_KIND_COUNT; *pattern; before = token.kind) {
		pattern = read_token(pattern, &token);
		ret[token.kind] += token.kind != TOKEN_STAR || before != TOKEN_STAR;
	}
}

bool pattern_is_name(const char *pattern)
{
	return !pattern[strcspn(pattern, "*?[\\")];
}

bool pattern_matches(const char *pattern, const char *name)
{
	return fnmatch(pattern, name, 0) == 0;
}

int pattern_compare(const char *a, const char *b)
{
	int of_a[TOKEN_KIND_COUNT], of_b[TOKEN_KIND_COUNT];

	if (pattern_is_name(a) != pattern_is_name(b))
		return pattern_is_name(a) ? -1 : 1;
	weigh(a, of_a);
	weigh(b, of_b);
	for (enum token_kind kind = TOKEN_PLAIN; kind < TOKEN_STAR; kind++)
		if (of_a[kind] != of_b[kind])
			return of_b[kind] - of_a[kind];
	return of_a[TOKEN_STAR] - of_b[TOKEN_STAR];
}

static bool sets_meet(const struct token *a, const struct token *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(a->bytes); i++)
		if (a->bytes[i] & b->bytes[i])
			return true;
	return false;
}

/* Whether `a` matches all that `b` does. */
static bool set_holds(const struct token *a, const struct token *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(a->bytes); i++)
		if (b->bytes[i] & ~a->bytes[i])
			return false;
	return true;
}

/* Both patterns as far as some name goes: row i, column j is true if the first i tokens of `a` and
 * the first j of `b` can be used up by the same bytes. A star of `b` is used up by one of `a` alone
 * if `cover`: then it must be all that `b` matches. */
static bool lay_beside(const struct tokens *a, const struct tokens *b, bool cover)
{
	bool rows[2][PATTERN_BYTES_MAX + 1] = { { true } };

	for (size_t i = 0; i <= a->count; i++) {
		bool *row = rows[i % 2], *next = rows[(i + 1) % 2];
		const struct token *x = i < a->count ? &a->items[i] : NULL;

		memset(next, 0, sizeof(rows[0]));
		for (size_t j = 0; j <= b->count; j++) {
			const struct token *y = j < b->count ? &b->items[j] : NULL;
			bool x_star = x && x->kind == TOKEN_STAR,
			     y_star = y && y->kind == TOKEN_STAR;

			if (!row[j])
				continue;
			if (x_star || (x && y_star && !cover))
				next[j] = true;
			if (y && (x_star || (y_star && !cover)))
				row[j + 1] = true;
			if (x && y && !x_star && !y_star &&
			    (cover ? set_holds(x, y) : sets_meet(x, y)))
				next[j + 1] = true;
		}
	}
	return rows[a->count % 2][b->count];
}

static bool compare_as_sets(const char *a, const char *b, bool cover)
{
	cleanup_free struct tokens *of_a = malloc(sizeof(*of_a)), *of_b = malloc(sizeof(*of_b));

	if (!of_a || !of_b || strlen(a) > PATTERN_BYTES_MAX || strlen(b) > PATTERN_BYTES_MAX)
		return false;
	read_tokens(a, of_a);
	read_tokens(b, of_b);
	return lay_beside(of_a, of_b, cover);
}

bool pattern_overlaps(const char *a, const char *b)
{
	return compare_as_sets(a, b, false);
}

bool pattern_covers(const char *a, const char *b)
{
	return compare_as_sets(a, b, true);
}
