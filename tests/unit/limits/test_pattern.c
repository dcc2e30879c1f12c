/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns: which of two counts, and what they have in common. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "limits/pattern.h"

static void test_names(void **state)
{
	(void)state;
	assert_true(pattern_is_name(""));
	assert_true(pattern_is_name("svc/a ü:1"));
	assert_false(pattern_is_name("a*"));
	assert_false(pattern_is_name("a?"));
	assert_false(pattern_is_name("[a]"));
	assert_false(pattern_is_name("a\\*"));
	assert_true(pattern_matches("*", ""));
	assert_true(pattern_matches("*", ".a/b"));
	assert_true(pattern_matches("a\\*", "a*"));
	assert_false(pattern_matches("a\\*", "ab"));
}

/* Each is more specific than the next. */
static void test_order(void **state)
{
	static const char *const chain[] = { "svc-a", "svc-a*", "svc-[ab]?", "svc-[ab]", "svc-??",
					     "svc-?", "svc-*",	"*svc-*",    "s*",	 "[st]*",
					     "??",    "?*",	"*" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(chain); i++)
		for (size_t k = 0; k < ARRAY_SIZE(chain); k++) {
			int r = pattern_compare(chain[i], chain[k]);

			assert_int_equal((r > 0) - (r < 0), (i > k) - (i < k));
		}
	assert_int_equal(pattern_compare("a*", "*a"), 0);
	assert_int_equal(pattern_compare("a**b", "a*b"), 0);
}

static void test_overlaps(void **state)
{
	static const struct {
		const char *a, *b;
		bool overlaps, a_covers, b_covers;
	} cases[] = {
		{ "*", "svc-*", true, true, false },
		{ "svc-*", "*-prod", true, false, false },
		{ "svc-*", "app-*", false, false, false },
		{ "a?", "a*", true, false, true },
		{ "[a-c]x", "bx", true, true, false },
		{ "[!a-c]x", "bx", false, false, false },
		{ "[!a-c]x", "[d-z]x", true, true, false },
		{ "a*b*c", "abc", true, true, false },
		{ "a*b*c", "a*c*b*c", true, true, false },
		{ "*a", "a*", true, false, false },
		{ "a\\*", "a[*]", true, true, true },
		{ "a\\*", "ab*", false, false, false },
		{ "[", "\\[", true, true, true },
		{ "a[]b]", "a]", true, true, false },
		{ "[[:alpha:]]x", "1x", true, true, false }, /* taken for any */
		{ "x[a", "x[[]a", true, true, true },
		{ "", "*", true, false, true },
		{ "", "?", false, false, false },
		{ "a*****b", "ab", true, true, false },
		{ "[a-", "a", false, false, false },
		{ "[\\]a]", "]", true, true, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(pattern_overlaps(cases[i].a, cases[i].b), cases[i].overlaps);
		assert_int_equal(pattern_overlaps(cases[i].b, cases[i].a), cases[i].overlaps);
		assert_int_equal(pattern_covers(cases[i].a, cases[i].b), cases[i].a_covers);
		assert_int_equal(pattern_covers(cases[i].b, cases[i].a), cases[i].b_covers);
	}
}

static void random_pattern(char *text, size_t size)
{
	static const char *const parts[] = { "a", "b", "*", "?", "[ab]", "[!a]", "a*" };
	size_t used = 0;

	text[0] = 0;
	while (used + 5 < size && random() % 5)
		used += (size_t)snprintf(text + used, size - used, "%s",
					 parts[(size_t)random() % ARRAY_SIZE(parts)]);
}

/* What is said of two patterns agrees with what fnmatch(3) says of all short names. */
static void test_against_names(void **state)
{
	char a[24], b[24], name[6];

	(void)state;
	srandom(3);
	for (size_t i = 0; i < 20000; i++) {
		bool both = false, only_b = false;

		random_pattern(a, sizeof(a));
		random_pattern(b, sizeof(b));
		for (unsigned int n = 0; n < 1u << 6; n++) {
			size_t len = n < 2 ? 0 : 31u - (unsigned int)__builtin_clz(n);

			for (size_t k = 0; k < len; k++)
				name[k] = n >> k & 1 ? 'a' : 'b';
			name[len] = 0;
			both |= pattern_matches(a, name) && pattern_matches(b, name);
			only_b |= !pattern_matches(a, name) && pattern_matches(b, name);
		}
		if (both)
			assert_true(pattern_overlaps(a, b));
		if (only_b)
			assert_false(pattern_covers(a, b));
		/* The rule of the header. */
		if (pattern_covers(a, b) && !pattern_covers(b, a))
			assert_true(pattern_compare(b, a) <= 0);
	}
}

static void test_long(void **state)
{
	char longest[PATTERN_BYTES_MAX + 2];

	(void)state;
	memset(longest, '*', sizeof(longest));
	longest[PATTERN_BYTES_MAX] = 0;
	assert_true(pattern_overlaps(longest, longest));
	memset(longest, '?', PATTERN_BYTES_MAX);
	assert_true(pattern_covers("*", longest));
	assert_true(pattern_overlaps(longest, longest));
	longest[PATTERN_BYTES_MAX] = '?';
	longest[PATTERN_BYTES_MAX + 1] = 0;
	assert_false(pattern_overlaps(longest, longest));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	      cmocka_unit_test(test_order),
		cmocka_unit_test(test_overlaps),      cmocka_unit_test(test_long),
		cmocka_unit_test(test_against_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
