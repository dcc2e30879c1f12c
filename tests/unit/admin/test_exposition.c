/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text format: what is escaped, what numbers look like, and that a histogram is cumulative.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "admin/exposition.h"
#include "base/util.h"

static char *text;
static size_t text_len;
static FILE *out;

static void begin(void)
{
	out = open_memstream(&text, &text_len);
	assert_non_null(out);
}

static void expect(const char *expected)
{
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
}

static void test_family(void **state)
{
	begin();
	exposition_family(out, "a_total", EXPOSITION_COUNTER, "Says \"a\\b\".\nTwice.");
	exposition_family(out, "b", EXPOSITION_GAUGE, "b");
	exposition_family(out, "c", EXPOSITION_HISTOGRAM, "c");
	expect("# HELP a_total Says \"a\\\\b\".\\nTwice.\n# TYPE a_total counter\n"
	       "# HELP b b\n# TYPE b gauge\n# HELP c c\n# TYPE c histogram\n");
}

static void test_labels(void **state)
{
	const struct exposition_label none[] = { { NULL, NULL } };
	const struct exposition_label labels[] = {
		{ "plain", "kafka-1" },	 { "forged", "x\"} 1\nevil_total{a=\"" },
		{ "path", "C:\\n" },	 { "utf8", "K\xc3\xb6ln" },
		{ "bytes", "\xff\xc3" }, { "empty", "" },
		{ NULL, NULL },
	};

	begin();
	exposition_count(out, "a_total", NULL, 1);
	exposition_count(out, "a_total", none, 2);
	exposition_count(out, "a_total", labels, 3);
	expect("a_total 1\na_total 2\n"
	       "a_total{plain=\"kafka-1\",forged=\"x\\\"} 1\\nevil_total{a=\\\"\","
	       "path=\"C:\\\\n\",utf8=\"K\xc3\xb6ln\",bytes=\"\xef\xbf\xbd\xef\xbf\xbd\","
	       "empty=\"\"} 3\n");
}

static void test_values(void **state)
{
	begin();
	exposition_count(out, "a", NULL, UINT64_MAX);
	exposition_number(out, "a", NULL, -5);
	exposition_seconds(out, "a", NULL, 0);
	exposition_seconds(out, "a", NULL, 1);
	exposition_seconds(out, "a", NULL, 10 * NSEC_PER_SEC);
	exposition_seconds(out, "a", NULL, 12345678900);
	expect("a 18446744073709551615\na -5\na 0\na 0.000000001\na 10\na 12.3456789\n");
}

static void test_histogram(void **state)
{
	const struct exposition_label labels[] = { { "l", "x" }, { NULL, NULL } };
	struct histogram histogram = { 0 };

	histogram_add(&histogram, 50000);
	histogram_add(&histogram, 2400000);
	histogram_add(&histogram, 60 * NSEC_PER_SEC);
	begin();
	exposition_histogram(out, "h_seconds", labels, &histogram);
	expect("h_seconds_bucket{l=\"x\",le=\"0.0001\"} 1\n"
	       "h_seconds_bucket{l=\"x\",le=\"0.00025\"} 1\n"
	       "h_seconds_bucket{l=\"x\",le=\"0.0005\"} 1\n"
	       "h_seconds_bucket{l=\"x\",le=\"0.001\"} 1\n"
	       "h_seconds_bucket{l=\"x\",le=\"0.0025\"} 2\n"
	       "h_seconds_bucket{l=\"x\",le=\"0.005\"} 2\n"
	       "h_seconds_bucket{l=\"x\",le=\"0.01\"} 2\n"
	       "h_seconds_bucket{l=\"x\",le=\"0.025\"} 2\n"
	       "h_seconds_bucket{l=\"x\",le=\"0.05\"} 2\n"
	       "h_seconds_bucket{l=\"x\",le=\"0.1\"} 2\n"
	       "h_seconds_bucket{l=\"x\",le=\"0.25\"} 2\n"
	       "h_seconds_bucket{l=\"x\",le=\"0.5\"} 2\n"
	       "h_seconds_bucket{l=\"x\",le=\"1\"} 2\n"
	       "h_seconds_bucket{l=\"x\",le=\"2.5\"} 2\n"
	       "h_seconds_bucket{l=\"x\",le=\"5\"} 2\n"
	       "h_seconds_bucket{l=\"x\",le=\"10\"} 2\n"
	       "h_seconds_bucket{l=\"x\",le=\"+Inf\"} 3\n"
	       "h_seconds_sum{l=\"x\"} 60.00245\n"
	       "h_seconds_count{l=\"x\"} 3\n");
	/* Without labels of its own there is no comma too many. */
	begin();
	exposition_histogram(out, "h_seconds", NULL, &(struct histogram){ 0 });
	fflush(out);
	assert_memory_equal(text, "h_seconds_bucket{le=\"0.0001\"} 0\n", 32);
	fclose(out);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_family),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_histogram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
