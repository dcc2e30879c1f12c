/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader of patterns that knows what Java and PCRE2 agree on, and refuses all else: sets within
 * character classes, octal numbers, properties, modifiers, quantifiers upon quantifiers, … It
 * works by what is known to be good, so that what is new in either is refused too. Pure.
 */
#include "kafka/java_regex_subset.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/util.h"

struct reader {
	const char *start, *at, *end;
	struct java_regex_traits *traits;
	bool has_reference, has_property, has_wide; /* wide: beyond ASCII */
	struct err_text *err;
};

static bool left(const struct reader *r)
{
	return r->at < r->end;
}

/* The byte at `offset` from here; 0 beyond the end. */
static char peek(const struct reader *r, size_t offset)
{
	return offset < (size_t)(r->end - r->at) ? r->at[offset] : 0;
}

static bool looking_at(const struct reader *r, const char *text)
{
	size_t len = strlen(text);

	return (size_t)(r->end - r->at) >= len && memcmp(r->at, text, len) == 0;
}

static int bad(const struct reader *r, const char *what)
{
	return err_set(r->err, -EINVAL, "byte %zu of the pattern: %s",
		       (size_t)(r->at - r->start) + 1, what);
}

static int bad_escape(const struct reader *r)
{
	if (!left(r))
		return bad(r, "it ends with a '\\'");
	return err_set(r->err, -EINVAL,
		       "byte %zu of the pattern: '\\%c' is not known, or means different things "
		       "to Java and here",
		       (size_t)(r->at - r->start), isprint((unsigned char)*r->at) ? *r->at : '?');
}

/* \xhh or \x{h…}, from the x on. */
static int read_hex(struct reader *r)
{
	bool braces = peek(r, 1) == '{';
	size_t from = braces ? 2 : 1, max = braces ? 6 : 2, n = 0;
	unsigned int value = 0;

	for (; n < max && isxdigit((unsigned char)peek(r, from + n)); n++) {
		int c = tolower((unsigned char)peek(r, from + n));

		value = value * 16 + (unsigned int)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	if (braces ? !n || peek(r, from + n) != '}' : n < 2)
		return bad_escape(r);
	r->has_wide = r->has_wide || value > 0x7f;
	r->at += from + n + braces;
	return 0;
}

/* \pL or \p{Lu}: general categories only, from the p on. */
static int read_property(struct reader *r)
{
	static const char *const names[] = { "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn",
					     "Mc", "Me", "N",  "Nd", "Nl", "No", "P", "Pc",
					     "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm",
					     "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp" };
	const char *name = r->at + 1, *close = NULL;
	size_t len = 1;

	if (peek(r, 1) == '{') {
		name++;
		close = memchr(name, '}', (size_t)(r->end - name));
		len = close ? (size_t)(close - name) : 0;
	}
	for (size_t i = 0; name < r->end && i < ARRAY_SIZE(names); i++) {
		if (strlen(names[i]) != len || memcmp(names[i], name, len) != 0)
			continue;
		r->has_property = true;
		r->at = close ? close + 1 : name + 1;
		return 0;
	}
	return bad(r,
		   "of \\p only general categories such as \\p{L}, \\p{Nd} mean the same to Java "
		   "and here");
}

/* What is the same within a class and outside of it. *ret_set: it stands for several characters.
 * After the backslash; false in *ret_known: nothing was read. */
static int read_common_escape(struct reader *r, bool *ret_known, bool *ret_set)
{
	char c = peek(r, 0);

	*ret_known = true;
	*ret_set = false;
	if (c == 'x')
		return read_hex(r);
	if (c == 'p' || c == 'P') {
		*ret_set = true;
		return read_property(r);
	}
	if (c && strchr("dDwWsShHvV", c)) {
		*ret_set = true;
		r->at++;
	} else if ((c && strchr("tnrfae", c)) || ispunct((unsigned char)c) || c == ' ') {
		r->at++;
	} else {
		*ret_known = false;
	}
	return 0;
}

/* \k<name>, from the k on. */
static int read_named_reference(struct reader *r)
{
	const char *close = memchr(r->at, '>', (size_t)(r->end - r->at));

	if (peek(r, 1) != '<' || !close)
		return bad_escape(r);
	r->has_reference = true;
	r->at = close + 1;
	return 0;
}

static void note_wide(struct reader *r, const char *from, const char *to)
{
	for (; from < to; from++)
		r->has_wide = r->has_wide || (unsigned char)*from > 0x7f;
}

/* \Q…\E, or to the end, from the Q on. */
static void read_quoted(struct reader *r)
{
	const char *text = r->at + 1, *end;

	for (r->at = text; left(r) && !looking_at(r, "\\E");)
		r->at++;
	end = r->at;
	note_wide(r, text, end);
	if (left(r))
		r->at += 2;
}

/* Outside of classes, after the backslash. */
static int read_escape(struct reader *r)
{
	bool known, set;
	int result = read_common_escape(r, &known, &set);
	char c = peek(r, 0);

	if (result < 0 || known)
		return result;
	if (c == 'k')
		return read_named_reference(r);
	if (c == 'Q') {
		read_quoted(r);
		return 0;
	}
	if (c >= '1' && c <= '9' && !isdigit((unsigned char)peek(r, 1)))
		r->has_reference = true;
	else if (c == 'b' || c == 'B')
		r->traits->needs_ascii = true;
	else if (!c || !strchr("AZz", c))
		return bad_escape(r);
	r->at++;
	return 0;
}

/* One member of a class; *ret_set: it stands for several characters. */
static int read_member(struct reader *r, bool *ret_set)
{
	bool known;
	int result;

	*ret_set = false;
	if (peek(r, 0) == '[')
		return bad(r, "Java reads a '[' within [ ] as a class within the class: write \\[");
	if (looking_at(r, "&&"))
		return bad(r, "Java reads && within [ ] as the intersection of two classes");
	if (peek(r, 0) != '\\') {
		note_wide(r, r->at, r->at + 1);
		r->at++;
		return 0;
	}
	r->at++;
	result = read_common_escape(r, &known, ret_set);
	return result < 0 || known ? result : bad_escape(r);
}

/* A '-' after a member. It is itself only at the end of the class. */
static int read_range(struct reader *r, bool after_one)
{
	bool set = false;
	int result = 0;

	if (!after_one)
		return bad(r, "a '-' that is no range: write \\-");
	r->at++;
	result = read_member(r, &set);
	return result == 0 && set ? bad(r, "a range can not end with a set of characters") : result;
}

/* From the '[' on. */
static int read_class(struct reader *r)
{
	bool first = true, after_one = false, set = false;
	int result = 0;

	r->at++;
	if (peek(r, 0) == '^')
		r->at++;
	if (peek(r, 0) == ']')
		return bad(r, "an empty class, or a ']' in it: write \\]");
	for (; left(r) && *r->at != ']'; first = false) {
		if (*r->at == '-' && !first && peek(r, 1) != ']') {
			result = read_range(r, after_one);
			after_one = false;
		} else {
			result = read_member(r, &set);
			after_one = !set;
		}
		if (result < 0)
			return result;
		/* The bytes of one character. */
		while (left(r) && ((unsigned char)*r->at & 0xc0) == 0x80)
			r->at++;
	}
	if (!left(r))
		return bad(r, "a '[' without its ']'");
	r->at++;
	return 0;
}

/* (?i), (?s), (?-i), (?i: and the like, from the first letter on. */
static int read_modifiers(struct reader *r)
{
	size_t n = 0;

	for (; peek(r, n) && strchr("is-", peek(r, n)); n++)
		if (peek(r, n) == 'i')
			r->traits->ignores_case = true;
	if (!n || (peek(r, n) != ')' && peek(r, n) != ':'))
		return bad(r, "of what may follow (? only :, =, !, >, <=, <!, <name> and the "
			      "modifiers i and s mean the same to Java and here");
	r->at += n + 1;
	return 0;
}

/* (?<name>, from the name on. */
static int read_group_name(struct reader *r)
{
	size_t n = 0;

	while (isalnum((unsigned char)peek(r, n)))
		n++;
	if (!isalpha((unsigned char)peek(r, 0)) || peek(r, n) != '>')
		return bad(r, "the name of a group is made of letters and digits");
	r->at += n + 1;
	return 0;
}

/* From the '(' on. */
static int read_group(struct reader *r)
{
	static const char *const plain[] = { "?:", "?=", "?!", "?>", "?<=", "?<!" };

	r->at++;
	if (peek(r, 0) == '*')
		return bad(r, "a '*' after a '(': nothing is there to repeat");
	if (peek(r, 0) != '?')
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		if (!looking_at(r, plain[i]))
			continue;
		r->at += strlen(plain[i]);
		return 0;
	}
	if (looking_at(r, "?<")) {
		r->at += 2;
		return read_group_name(r);
	}
	r->at++;
	return read_modifiers(r);
}

/* {n}, {n,} or {n,m}: its bytes, or 0. */
static size_t counted(const struct reader *r)
{
	size_t n = 1, digits = 0;

	for (; isdigit((unsigned char)peek(r, n)); digits++)
		n++;
	if (peek(r, n) == ',')
		for (n++; isdigit((unsigned char)peek(r, n));)
			n++;
	return digits && peek(r, n) == '}' ? n + 1 : 0;
}

/* A quantifier with its ? or + behind. */
static int read_quantifier(struct reader *r)
{
	size_t n = *r->at == '{' ? counted(r) : 1;

	if (!n)
		return bad(r, "a '{' that is no quantifier such as {2} or {1,3}: write \\{");
	r->at += n;
	if (peek(r, 0) == '?' || peek(r, 0) == '+')
		r->at++;
	if (peek(r, 0) && strchr("*+?{", peek(r, 0)))
		return bad(r, "a quantifier of a quantifier");
	return 0;
}

static int read_item(struct reader *r)
{
	switch (*r->at) {
	case '\\':
		r->at++;
		return read_escape(r);
	case '[':
		return read_class(r);
	case '(':
		return read_group(r);
	case '{':
	case '*':
	case '+':
	case '?':
		return read_quantifier(r);
	default:
		note_wide(r, r->at, r->at + 1);
		r->at++;
		return 0;
	}
}

int java_regex_examine(const char *pattern, size_t len, struct java_regex_traits *ret,
		       struct err_text *err)
{
	struct java_regex_traits traits = { 0 };
	struct reader r = {
		.start = pattern, .at = pattern, .end = pattern + len, .traits = &traits, .err = err
	};
	int result = 0;

	while (!result && left(&r))
		result = read_item(&r);
	if (result < 0)
		return result;
	if (traits.ignores_case && (r.has_wide || r.has_reference || r.has_property))
		return err_set(err, -EINVAL,
			       "the pattern: with (?i) only ASCII letters, no \\p and no reference "
			       "to a group mean the same to Java and here");
	*ret = traits;
	return 0;
}
