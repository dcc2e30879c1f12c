/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader of patterns that knows what Java and PCRE2 agree on, and refuses all else: sets within
 * character classes, octal numbers, properties, modifiers, quantifiers upon quantifiers, … It
 * works by what is known to be good, so that what is new in either is refused too.
 *
 * Two things can only be seen of a pattern's shape. Java leaves a loop whose body has matched
 * nothing before it has gone round often enough; so what may match nothing is not repeated here.
 * And Java forgets to take back what a group has matched within something that it then gives up: a
 * repetition, an assertion; so it is remembered of which groups that may be. Pure.
 */
#include "kafka/java_regex_subset.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/util.h"

#define DEPTH_MAX  32
#define GROUPS_MAX 63

/* The pattern as a whole, or a part of it in parentheses. */
struct part {
	bool is_assertion, is_atomic;
	unsigned int group, first_group; /* its own number or 0; that of the first within */
	bool branch_empty, other_empty;	 /* this branch so far, or one before, may match nothing */
};

/* What a quantifier that comes next is about. */
struct item {
	bool exists, empty; /* empty: it may match nothing */
	unsigned int first_group;
};

struct reader {
	const char *start, *at, *end;
	struct java_regex_traits *traits;
	bool has_reference, has_property, has_wide; /* wide: beyond ASCII */
	struct part parts[DEPTH_MAX];
	size_t depth;
	struct item item;
	unsigned int groups; /* so far */
	uint64_t closed;     /* bit n: group n has ended */
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

static void end_item(struct reader *r)
{
	struct part *part = &r->parts[r->depth];

	if (r->item.exists)
		part->branch_empty = part->branch_empty && r->item.empty;
	r->item.exists = false;
}

static void begin_item(struct reader *r, bool empty)
{
	end_item(r);
	r->item = (struct item){ .exists = true, .empty = empty, .first_group = r->groups + 1 };
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

static bool is_in_assertion(const struct reader *r)
{
	for (size_t i = r->depth; i > 0; i--)
		if (r->parts[i].is_assertion)
			return true;
	return false;
}

/* \k<name>, from the k on. */
static int read_named_reference(struct reader *r)
{
	const char *close = memchr(r->at, '>', (size_t)(r->end - r->at));

	if (peek(r, 1) != '<' || !close || is_in_assertion(r))
		return bad_escape(r);
	r->has_reference = r->item.empty = true;
	r->at = close + 1;
	return 0;
}

/* \1 to \9, to a group that has ended. */
static int read_reference(struct reader *r)
{
	if (isdigit((unsigned char)peek(r, 1)) || !(r->closed >> (*r->at - '0') & 1) ||
	    is_in_assertion(r))
		return bad_escape(r);
	r->has_reference = r->item.empty = true;
	r->at++;
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
	r->item.exists = text < end;
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
	if (c >= '1' && c <= '9')
		return read_reference(r);
	if (c == 'b' || c == 'B')
		r->traits->needs_ascii = true;
	else if (!c || !strchr("AZz", c))
		return bad_escape(r);
	r->item.empty = true;
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

static int open_part(struct reader *r, bool is_assertion, bool is_atomic, bool is_group)
{
	end_item(r);
	if (++r->depth == DEPTH_MAX)
		return bad(r, "more than 31 parentheses within each other");
	if (is_group && ++r->groups > GROUPS_MAX)
		return bad(r, "more than 63 groups");
	r->parts[r->depth] = (struct part){ .is_assertion = is_assertion,
					    .is_atomic = is_atomic,
					    .group = is_group ? r->groups : 0,
					    .first_group = r->groups + !is_group,
					    .branch_empty = true };
	return 0;
}

/* Groups from `first` on. */
static void doubt_groups(struct reader *r, unsigned int first)
{
	for (; first <= r->groups; first++)
		r->traits->doubtful_groups |= 1ULL << first;
}

/* From the ')' on. */
static int close_part(struct reader *r)
{
	const struct part *part = &r->parts[r->depth];

	if (!r->depth)
		return bad(r, "a ')' without its '('");
	end_item(r);
	if (part->is_assertion || part->is_atomic)
		doubt_groups(r, part->first_group);
	if (part->group)
		r->closed |= 1ULL << part->group;
	r->depth--;
	r->item = (struct item){ .exists = true,
				 .empty = part->is_assertion || part->branch_empty ||
					  part->other_empty,
				 .first_group = part->first_group };
	r->at++;
	return 0;
}

/* From the '|' on. */
static void next_branch(struct reader *r)
{
	struct part *part = &r->parts[r->depth];

	end_item(r);
	part->other_empty = part->other_empty || part->branch_empty;
	part->branch_empty = true;
	r->at++;
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
	if (r->at[-1] == ':')
		return open_part(r, false, false, false);
	end_item(r);
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
	return open_part(r, false, false, true);
}

/* From the '(' on. */
static int read_opening(struct reader *r)
{
	static const struct {
		const char *text;
		bool is_assertion, is_atomic;
	} plain[] = { { "?:", false, false }, { "?=", true, false },  { "?!", true, false },
		      { "?>", false, true },  { "?<=", true, false }, { "?<!", true, false } };

	r->at++;
	if (peek(r, 0) == '*')
		return bad(r, "a '*' after a '(': nothing is there to repeat");
	if (peek(r, 0) != '?')
		return open_part(r, false, false, true);
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		if (!looking_at(r, plain[i].text))
			continue;
		r->at += strlen(plain[i].text);
		return open_part(r, plain[i].is_assertion, plain[i].is_atomic, false);
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
	bool optional = *r->at == '?', none = optional || *r->at == '*' || looking_at(r, "{0");
	size_t n = *r->at == '{' ? counted(r) : 1;

	if (!n)
		return bad(r, "a '{' that is no quantifier such as {2} or {1,3}: write \\{");
	if (!r->item.exists)
		return bad(r, "a quantifier with nothing before it to repeat");
	if (r->item.empty)
		return bad(r, "a quantifier of something that may match nothing: Java and this "
			      "program count that differently");
	r->at += n;
	if (!optional || peek(r, 0) == '+')
		doubt_groups(r, r->item.first_group);
	if (peek(r, 0) == '?' || peek(r, 0) == '+')
		r->at++;
	if (peek(r, 0) && strchr("*+?{", peek(r, 0)))
		return bad(r, "a quantifier of a quantifier");
	r->item.empty = none;
	end_item(r);
	return 0;
}

static int read_item(struct reader *r)
{
	switch (*r->at) {
	case '\\':
		begin_item(r, false);
		r->at++;
		return read_escape(r);
	case '[':
		begin_item(r, false);
		return read_class(r);
	case '(':
		return read_opening(r);
	case ')':
		return close_part(r);
	case '|':
		next_branch(r);
		return 0;
	case '{':
	case '*':
	case '+':
	case '?':
		return read_quantifier(r);
	default:
		begin_item(r, *r->at == '^' || *r->at == '$');
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

	r.parts[0].branch_empty = true;
	while (!result && left(&r))
		result = read_item(&r);
	if (result < 0)
		return result;
	if (traits.ignores_case && (r.has_wide || r.has_reference || r.has_property))
		return err_set(err, -EINVAL,
			       "the pattern: with (?i) only ASCII letters, no \\p and no reference "
			       "to a group mean the same to Java and here");
	if (r.has_reference && traits.doubtful_groups)
		return err_set(err, -EINVAL,
			       "the pattern: a reference to a group, and groups that are repeated "
			       "or within an assertion: Java may see another match than this "
			       "program");
	*ret = traits;
	return 0;
}
