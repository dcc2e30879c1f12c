/* SPDX-License-Identifier: Apache-2.0 */
/* The histogram of the load generator: percentiles within a percent, at any size, merged or not. */
#include "../../../bench/src/load_hist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static struct load_hist *new_hist(void)
{
	struct load_hist *hist = calloc(1, sizeof(*hist));

	assert_non_null(hist);
	return hist;
}

static void assert_near(uint64_t got, uint64_t want)
{
	if (got < want || got > want + want / 100 + 1)
		fail_msg("%llu is not within a percent above %llu", (unsigned long long)got,
			 (unsigned long long)want);
}

static void test_nothing(void **state)
{
	struct load_hist *hist = new_hist();

	(void)state;
	assert_int_equal(load_hist_at(hist, 500000), 0);
	free(hist);
}

static void test_each_size(void **state)
{
	(void)state;
	for (uint32_t bit = 0; bit < 64; bit++) {
		for (int64_t off = -1; off <= 1; off++) {
			uint64_t value = (1ULL << bit) + (uint64_t)off;
			struct load_hist *hist = new_hist();

			/* The larger one keeps the maximum from hiding the bucket. */
			load_hist_add(hist, value);
			load_hist_add(hist, UINT64_MAX);
			assert_near(load_hist_at(hist, 500000), value);
			assert_int_equal(load_hist_at(hist, 1000000), UINT64_MAX);
			free(hist);
		}
	}
}

static void test_percentiles(void **state)
{
	struct load_hist *hist = new_hist();

	(void)state;
	for (uint64_t us = 1; us <= 10000; us++)
		load_hist_add(hist, us * 1000);
	assert_near(load_hist_at(hist, 500000), 5000000);
	assert_near(load_hist_at(hist, 990000), 9900000);
	assert_near(load_hist_at(hist, 999000), 9990000);
	assert_int_equal(hist->max_ns, 10000000);
	free(hist);
}

static void test_one_slow_among_many(void **state)
{
	struct load_hist *hist = new_hist();

	(void)state;
	for (int i = 0; i < 999; i++)
		load_hist_add(hist, 1000);
	load_hist_add(hist, 5000000);
	assert_near(load_hist_at(hist, 999000), 1000);
	assert_int_equal(load_hist_at(hist, 999001), 5000000);
	free(hist);
}

static void test_merge(void **state)
{
	struct load_hist *a = new_hist(), *b = new_hist();

	(void)state;
	for (uint64_t i = 0; i < 100; i++) {
		load_hist_add(a, 1000);
		load_hist_add(b, 900000);
	}
	load_hist_merge(a, b);
	assert_int_equal(a->count, 200);
	assert_near(load_hist_at(a, 500000), 1000);
	assert_near(load_hist_at(a, 510000), 900000);
	assert_int_equal(a->max_ns, 900000);
	free(a);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),	    cmocka_unit_test(test_each_size),
		cmocka_unit_test(test_percentiles), cmocka_unit_test(test_one_slow_among_many),
		cmocka_unit_test(test_merge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
