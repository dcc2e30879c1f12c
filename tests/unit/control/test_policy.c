/* SPDX-License-Identifier: Apache-2.0 */
/* When to renew and when to try again, on a clock and with chances of the test's. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "control/backoff.h"
#include "control/cause.h"
#include "control/renewal.h"

#define S      NSEC_PER_SEC
#define ROUNDS 2000

static void test_jitter(void **state)
{
	struct jitter a, b, c;
	uint64_t max = 0, min = UINT64_MAX;
	bool differs = false;

	(void)state;
	jitter_init(&a, 7);
	jitter_init(&b, 7);
	jitter_init(&c, 8);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t n = jitter_up_to(&a, 99);

		assert_int_equal(n, jitter_up_to(&b, 99));
		differs = differs || n != jitter_up_to(&c, 99);
		max = MAX(max, n);
		min = MIN(min, n);
	}
	assert_int_equal(min, 0);
	assert_int_equal(max, 99);
	assert_true(differs);
	assert_int_equal(jitter_up_to(&a, 0), 0);
	(void)jitter_up_to(&a, UINT64_MAX);
	jitter_init(&a, 0);
	assert_int_not_equal(a.state, 0);
}

/* Between 60 % and 80 %, and all of that. */
static void test_renewal(void **state)
{
	int64_t first = INT64_MAX, last = 0;
	struct jitter jitter;

	(void)state;
	jitter_init(&jitter, 1);
	for (int i = 0; i < ROUNDS; i++) {
		int64_t at = renewal_at(1000, 2000, &jitter);

		first = MIN(first, at);
		last = MAX(last, at);
	}
	assert_in_range(first, 1600, 1605);
	assert_in_range(last, 1795, 1800);
	assert_int_equal(renewal_at(1000, 1000, &jitter), 1000);
	assert_int_equal(renewal_at(1000, 5, &jitter), 1000);
	assert_in_range(renewal_at(0, 3, &jitter), 1, 2);
	assert_int_equal(renewal_of_token_ns(5 * S, 9 * S), 11 * S);
}

/* The bound doubles up to the last one; every wait up to it is as likely. */
static void test_backoff(void **state)
{
	static const uint64_t bounds[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };
	struct jitter jitter;

	(void)state;
	jitter_init(&jitter, 2);
	for (unsigned int failures = 0; failures < ARRAY_SIZE(bounds); failures++) {
		uint64_t longest = 0;

		for (int i = 0; i < ROUNDS; i++) {
			struct backoff backoff = { .failures = failures };

			backoff_failed(&backoff, backoff_urgent(), 0, &jitter, 100 * S);
			assert_int_equal(backoff.failures, failures + 1);
			assert_true(backoff.not_before_ns >= 100 * S);
			longest = MAX(longest, backoff.not_before_ns - 100 * S);
		}
		assert_in_range(longest, bounds[failures] * S * 98 / 100, bounds[failures] * S);
	}
}

static void test_backoff_of_what_is_good(void **state)
{
	struct backoff_bounds day = backoff_while_good(86400 * S), end = backoff_while_good(2 * S);

	(void)state;
	assert_int_equal(day.last_ns, BACKOFF_MAX_NS);
	assert_int_equal(day.first_ns, BACKOFF_MAX_NS);
	assert_int_equal(backoff_while_good(1200 * S).first_ns, 1050 * S);
	assert_int_equal(backoff_while_good(1200 * S).last_ns, 1050 * S);
	assert_int_equal(end.first_ns, 7 * S / 4);
	assert_int_equal(backoff_while_good(0).last_ns, S);
}

static void test_retry_after(void **state)
{
	struct backoff backoff = { 0 };
	struct jitter jitter;

	(void)state;
	jitter_init(&jitter, 3);
	backoff_failed(&backoff, backoff_urgent(), 30 * S, &jitter, 10 * S);
	assert_false(backoff_allows(&backoff, 40 * S - 1));
	assert_true(backoff_allows(&backoff, 41 * S));
	backoff_failed(&backoff, backoff_urgent(), 1000000 * S, &jitter, 0);
	assert_true(backoff_allows(&backoff, 3602 * S));
	backoff_succeeded(&backoff);
	assert_true(backoff_allows(&backoff, 0));
}

static void test_breaker(void **state)
{
	struct breaker breaker = { 0 };
	struct jitter jitter;

	(void)state;
	jitter_init(&jitter, 4);
	for (int i = 0; i < BREAKER_FAILURES; i++) {
		assert_false(breaker_is_open(&breaker));
		breaker_begin(&breaker);
		assert_false(breaker.probing);
		breaker_failed(&breaker, 0, &jitter, 0);
	}
	assert_true(breaker_is_open(&breaker));
	/* One at a time finds out whether it is back. */
	assert_true(breaker_allows(&breaker, 100 * S));
	breaker_begin(&breaker);
	assert_false(breaker_allows(&breaker, 100 * S));
	breaker_given_up(&breaker);
	assert_true(breaker_allows(&breaker, 100 * S));
	breaker_begin(&breaker);
	breaker_failed(&breaker, 20 * S, &jitter, 100 * S);
	assert_false(breaker_allows(&breaker, 120 * S - 1));
	assert_true(breaker_due_ns(&breaker) >= 120 * S);
	breaker_succeeded(&breaker);
	assert_false(breaker_is_open(&breaker));
	assert_true(breaker_allows(&breaker, 0));
}

static void test_causes(void **state)
{
	(void)state;
	for (int i = 0; i < CAUSE_COUNT; i++) {
		assert_non_null(cause_name((enum cause)i));
		assert_non_null(cause_meaning((enum cause)i));
	}
	assert_true(cause_is_of_source(CAUSE_SEALED));
	assert_false(cause_is_of_source(CAUSE_DENIED));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jitter),	    cmocka_unit_test(test_renewal),
		cmocka_unit_test(test_backoff),	    cmocka_unit_test(test_backoff_of_what_is_good),
		cmocka_unit_test(test_retry_after), cmocka_unit_test(test_breaker),
		cmocka_unit_test(test_causes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
