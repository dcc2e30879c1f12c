/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conditions: since when they hold, when they are over, and which comes first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "admin/health.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "limits/limits.h"

static struct clock_fake the_clock;
static struct health *health;
static struct health_condition list[HEALTH_CONDITIONS_MAX];

static int setup(void **state)
{
	(void)state;
	log_init(2, LOG_ERROR, LOG_FORMAT_TEXT);
	the_clock = (struct clock_fake){ .realtime_ns = 1000 * NSEC_PER_SEC };
	clock_set_fake(&the_clock);
	health = health_new();
	return health ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	health_free(health);
	clock_set_fake(NULL);
	return 0;
}

static size_t look(enum health_severity *ret_worst)
{
	return health_list(health, list, HEALTH_CONDITIONS_MAX, ret_worst);
}

static void test_nothing_is_wrong(void **state)
{
	enum health_severity worst;

	(void)state;
	assert_int_equal(look(&worst), 0);
	assert_int_equal(worst, HEALTH_NOTE);
	health_clear(health, HEALTH_DRAINING, "");
	health_sweep(health, UINT32_MAX);
}

static void test_since_stays(void **state)
{
	enum health_severity worst;

	(void)state;
	health_set(health, HEALTH_UPSTREAM_UNREACHABLE, "kafka", "first %d", 1);
	the_clock.realtime_ns += 5 * NSEC_PER_SEC;
	health_set(health, HEALTH_UPSTREAM_UNREACHABLE, "kafka", "second");
	assert_int_equal(look(&worst), 1);
	assert_int_equal(worst, HEALTH_FAILING);
	assert_int_equal(list[0].since_ns, 1000 * NSEC_PER_SEC);
	assert_string_equal(list[0].detail, "second");
	health_clear(health, HEALTH_UPSTREAM_UNREACHABLE, "other");
	assert_int_equal(look(&worst), 1);
	health_clear(health, HEALTH_UPSTREAM_UNREACHABLE, "kafka");
	assert_int_equal(look(&worst), 0);
	/* Anew: it holds from now on. */
	health_set(health, HEALTH_UPSTREAM_UNREACHABLE, "kafka", "third");
	look(&worst);
	assert_int_equal(list[0].since_ns, 1005 * NSEC_PER_SEC);
}

static void test_order(void **state)
{
	static const enum health_kind expected[] = { HEALTH_CERTIFICATE_EXPIRED,
						     HEALTH_ACCEPT_FAILED, HEALTH_DRAINING,
						     HEALTH_LIMIT_REACHED, HEALTH_KTLS_NOT_IN_USE };
	enum health_severity worst;

	(void)state;
	health_set(health, HEALTH_KTLS_NOT_IN_USE, "a", "%s", "");
	health_set(health, HEALTH_DRAINING, "", "%s", "");
	health_set(health, HEALTH_CERTIFICATE_EXPIRED, "a", "%s", "");
	the_clock.realtime_ns++;
	health_set(health, HEALTH_LIMIT_REACHED, "a", "%s", "");
	health_set(health, HEALTH_ACCEPT_FAILED, "a", "%s", "");
	assert_int_equal(look(&worst), ARRAY_SIZE(expected));
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_int_equal(list[i].kind, expected[i]);
}

/* What a round of looking does not find again is over; what others look after stays. */
static void test_sweep(void **state)
{
	const uint32_t looked_at = HEALTH_BIT(UPSTREAM_UNREACHABLE) | HEALTH_BIT(DRAINING);
	enum health_severity worst;

	(void)state;
	for (int round = 0; round < 3; round++) {
		health_set(health, HEALTH_UPSTREAM_UNREACHABLE, "stays", "%s", "");
		if (!round)
			health_set(health, HEALTH_UPSTREAM_UNREACHABLE, "goes", "%s", "");
		if (!round)
			health_set(health, HEALTH_RELOAD_FAILED, "", "%s", "");
		health_sweep(health, looked_at);
		assert_int_equal(look(&worst), round ? 2 : 3);
	}
	assert_string_equal(list[0].subject, "stays");
	assert_int_equal(list[1].kind, HEALTH_RELOAD_FAILED);
}

static void test_more_than_fit(void **state)
{
	enum health_severity worst;
	char subject[32];

	(void)state;
	for (int i = 0; i < HEALTH_CONDITIONS_MAX + 10; i++) {
		snprintf(subject, sizeof(subject), "%d", i);
		health_set(health, HEALTH_LIMIT_REACHED, subject, "%s", "");
	}
	assert_int_equal(look(&worst), HEALTH_CONDITIONS_MAX);
	assert_int_equal(health_list(health, list, 1, &worst), HEALTH_CONDITIONS_MAX);
}

static void test_words(void **state)
{
	(void)state;
	for (int i = 0; i < HEALTH_KIND_COUNT; i++) {
		enum health_kind kind = (enum health_kind)i;

		assert_true(strlen(health_kind_name(kind)) > 3);
		assert_true(strlen(health_kind_meaning(kind)) > 10);
		assert_true(strlen(health_kind_remedy(kind)) > 10);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(health_kind_name(kind),
						health_kind_name((enum health_kind)j));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_is_wrong, setup, teardown),
		cmocka_unit_test_setup_teardown(test_since_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sweep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_than_fit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_words, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
