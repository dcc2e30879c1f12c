/* SPDX-License-Identifier: Apache-2.0 */
/* How many lines of a kind are written, on a clock that is turned by hand. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log_limit.h"
#include "base/util.h"

#define RATE 10

static struct clock_fake moment;
static const char *told_event;
static uint64_t told_count;
static unsigned int told;

static void note(const char *event, uint64_t count)
{
	told_event = event;
	told_count = count;
	told++;
}

static void collect(void)
{
	told_event = NULL;
	told_count = told = 0;
	log_limit_collect(note);
}

/* Each test comes long after the one before: all allowances are whole. */
static int set_up(void **state)
{
	moment.monotonic_ns += 1000 * NSEC_PER_SEC;
	clock_set_fake(&moment);
	log_limit_set_rate(RATE);
	collect();
	return 0;
}

static int tear_down(void **state)
{
	clock_set_fake(NULL);
	log_limit_set_rate(0);
	return 0;
}

static unsigned int allowed_of(const char *event, unsigned int count)
{
	unsigned int allowed = 0;

	while (count--)
		allowed += log_limit_allows(event);
	return allowed;
}

static void test_burst_then_rate(void **state)
{
	assert_int_equal(allowed_of("refused", 1000), RATE * LOG_BURST_SECONDS);
	moment.monotonic_ns += NSEC_PER_SEC;
	assert_int_equal(allowed_of("refused", 1000), RATE);
	moment.monotonic_ns += NSEC_PER_SEC / RATE / 2;
	assert_int_equal(allowed_of("refused", 10), 0);
	moment.monotonic_ns += NSEC_PER_SEC / RATE / 2;
	assert_int_equal(allowed_of("refused", 10), 1);
}

static void test_steady_rate_is_never_limited(void **state)
{
	for (int i = 0; i < 10000; i++) {
		assert_true(log_limit_allows("steady"));
		moment.monotonic_ns += NSEC_PER_SEC / RATE;
	}
}

/* A quiet hour does not save up more than a burst. */
static void test_burst_is_bounded(void **state)
{
	log_limit_allows("refused");
	moment.monotonic_ns += 3600 * NSEC_PER_SEC;
	assert_int_equal(allowed_of("refused", 1000), RATE * LOG_BURST_SECONDS);
}

static void test_kinds_are_apart(void **state)
{
	char same_name[] = "refused";

	allowed_of("refused", 1000);
	assert_true(log_limit_allows("closed"));
	/* It is the name that counts, not where it is stored. */
	assert_int_equal(allowed_of(same_name, 10), 0);
}

static void test_suppressed_are_told_once(void **state)
{
	uint64_t before = log_limit_suppressed();

	allowed_of("refused", RATE * LOG_BURST_SECONDS);
	collect();
	assert_int_equal(told, 0);
	allowed_of("refused", 7);
	collect();
	assert_int_equal(told, 1);
	assert_string_equal(told_event, "refused");
	assert_int_equal(told_count, 7);
	collect();
	assert_int_equal(told, 0);
	assert_int_equal(log_limit_suppressed() - before, 7);
}

static void test_no_limit(void **state)
{
	log_limit_set_rate(0);
	assert_int_equal(allowed_of("refused", 5000), 5000);
}

/* More kinds than the program has: the surplus goes without a limit, and nothing breaks. */
static void test_many_kinds(void **state)
{
	static char names[200][8];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		names[i][0] = 'k';
		names[i][1] = (char)('a' + i / 20);
		names[i][2] = (char)('a' + i % 20);
		assert_true(allowed_of(names[i], 200) >= RATE * LOG_BURST_SECONDS);
	}
	assert_int_equal(allowed_of(names[0], 200), 0);
}

static void *hammer(void *arg)
{
	*(unsigned int *)arg = allowed_of("together", 20000);
	return NULL;
}

/* Threads share an allowance to the line. */
static void test_threads(void **state)
{
	unsigned int allowed[4], sum = 0;
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, &allowed[i]), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		pthread_join(threads[i], NULL);
		sum += allowed[i];
	}
	assert_int_equal(sum, RATE * LOG_BURST_SECONDS);
	collect();
	assert_int_equal(told_count, 80000 - sum);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_burst_then_rate, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_steady_rate_is_never_limited, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_burst_is_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_kinds_are_apart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_suppressed_are_told_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_kinds, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
