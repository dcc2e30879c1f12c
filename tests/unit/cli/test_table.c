/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables and values for people, and what may not reach their terminal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "cli/table.h"

static void test_safe_text(void **state)
{
	static const struct {
		const char *text, *safe;
	} cases[] = {
		{ "", "" },
		{ "svc-a é 漢字 🙂", "svc-a é 漢字 🙂" },
		{ "\033[2J", "\\x1b[2J" },
		{ "a\tb\nc\rd\x7f", "a\\x09b\\x0ac\\x0dd\\x7f" },
		{ "\xc2\x9b", "\\xc2\\x9b" },			/* CSI as one C1 control */
		{ "\xe2\x80\xae", "\\xe2\\x80\\xae" },		/* right-to-left override */
		{ "\xe2\x80\x8b", "\\xe2\\x80\\x8b" },		/* a space that is not seen */
		{ "\xe2\x81\xa6", "\\xe2\\x81\\xa6" },		/* isolate */
		{ "\xef\xbb\xbf", "\\xef\\xbb\\xbf" },		/* byte order mark */
		{ "\xf3\xa0\x81\x81", "\\xf3\\xa0\\x81\\x81" }, /* tag */
		{ "\xff\xc3", "\\xff\\xc3" },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" }, /* half of a surrogate pair */
		{ "\xc0\xaf", "\\xc0\\xaf" },	       /* longer than need be */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *safe = table_safe_text(cases[i].text);

		assert_string_equal(safe, cases[i].safe);
		free(safe);
	}
}

static void test_columns(void **state)
{
	static const char *const titles[] = { "A", "LONGER", "C" };
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct table table;

	(void)state;
	table_init(&table, titles, ARRAY_SIZE(titles));
	table_add(&table, "é漢");
	table_add(&table, "");
	table_addf(&table, "%d of %d", 1, 2);
	table_add(&table, "x");
	table_add(&table, "\n");
	table_add(&table, "last");
	table_print(&table, out);
	fclose(out);
	assert_string_equal(text, "A   LONGER  C\n"
				  "é漢  -       1 of 2\n"
				  "x   \\x0a    last\n");
	free(text);
}

/* Growth, and a table without rows. */
static void test_many_rows(void **state)
{
	static const char *const titles[] = { "N" };
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct table table;

	(void)state;
	table_init(&table, titles, 1);
	table_print(&table, out);
	table_init(&table, titles, 1);
	for (int i = 0; i < 1000; i++)
		table_addf(&table, "%d", i);
	table_print(&table, out);
	fclose(out);
	assert_memory_equal(text, "N\nN\n0\n", 6);
	assert_string_equal(text + len - 4, "999\n");
	free(text);
}

static void test_bytes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 1023, "1023" },
		{ 1024, "1.0K" },
		{ 1536, "1.5K" },
		{ 1024 * 1024 - 1, "1.0M" },
		{ 10485760, "10.0M" },
		{ 1ULL << 30, "1.0G" },
		{ 5ULL << 40, "5.0T" },
		{ UINT64_MAX, "16.0E" },
	};
	char text[TABLE_VALUE_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(table_bytes(cases[i].bytes, text), cases[i].text);
}

static void test_seconds(void **state)
{
	static const struct {
		double seconds;
		const char *text;
	} cases[] = {
		{ -1, "0.0s" },	   { 0, "0.0s" },	{ 0.44, "0.4s" },   { 9.5, "9.5s" },
		{ 10.9, "10s" },   { 59.9, "59s" },	{ 60, "1m00s" },    { 3599, "59m59s" },
		{ 3600, "1h00m" }, { 86399, "23h59m" }, { 86400, "1d00h" }, { 1e7, "115d17h" },
	};
	char text[TABLE_VALUE_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(table_seconds(cases[i].seconds, text), cases[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_safe_text), cmocka_unit_test(test_columns),
		cmocka_unit_test(test_many_rows), cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
