/* SPDX-License-Identifier: Apache-2.0 */
/* Connections by source, and events a second. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cidr.h"
#include "base/util.h"
#include "limits/rate.h"
#include "limits/sources.h"

static struct in6_addr address(const char *text)
{
	struct cidr cidr;

	assert_int_equal(cidr_parse(text, &cidr), 0);
	return cidr.address;
}

static struct sources *make(void)
{
	struct sources *sources;

	assert_int_equal(sources_new(&(struct source_masks){ 32, 64 }, &sources), 0);
	return sources;
}

static void test_sources(void **state)
{
	struct in6_addr a = address("192.0.2.1"), b = address("192.0.2.2");
	struct source *inside[3], *other, *elsewhere;
	struct sources *sources = make();

	for (int i = 0; i < 3; i++)
		assert_int_equal(sources_enter(sources, 1, &a, 3, &inside[i]), 0);
	assert_int_equal(sources_enter(sources, 1, &a, 3, &other), -EDQUOT);
	assert_int_equal(sources_enter(sources, 1, &b, 3, &other), 0);
	assert_int_equal(sources_enter(sources, 2, &a, 3, &elsewhere), 0);
	sources_leave(sources, inside[1]);
	assert_int_equal(sources_enter(sources, 1, &a, 3, &inside[1]), 0);
	assert_int_equal(sources_enter(sources, 1, &a, 3, &other), -EDQUOT);
	for (int i = 0; i < 3; i++)
		sources_leave(sources, inside[i]);
	assert_int_equal(sources_enter(sources, 1, &a, 1, &inside[0]), 0);
	sources_leave(sources, inside[0]);
	sources_leave(sources, other);
	sources_leave(sources, elsewhere);
	sources_leave(sources, NULL);
	sources_free(sources);
}

/* A whole IPv6 network is one source. */
static void test_network(void **state)
{
	struct in6_addr a = address("2001:db8::1"), near_a = address("2001:db8::ffff:1"),
			far_a = address("2001:db8:0:1::1");
	struct sources *sources = make();
	struct source *first, *second;

	assert_int_equal(sources_enter(sources, 1, &a, 1, &first), 0);
	assert_int_equal(sources_enter(sources, 1, &near_a, 1, &second), -EDQUOT);
	assert_int_equal(sources_enter(sources, 1, &far_a, 1, &second), 0);
	sources_leave(sources, first);
	sources_leave(sources, second);
	sources_free(sources);
}

#define MANY 200000

/* More than there are chains; they leave in another order than they came, and none is lost (the
 * sanitizer's run sees what is not freed). */
static void test_many(void **state)
{
	struct in6_addr a = address("10.0.0.0");
	struct source **inside = calloc(MANY, sizeof(*inside)), *other;
	struct sources *sources = make();

	for (uint32_t i = 0; i < MANY; i++) {
		a.s6_addr[13] = (uint8_t)(i >> 16);
		a.s6_addr[14] = (uint8_t)(i >> 8);
		a.s6_addr[15] = (uint8_t)i;
		assert_int_equal(sources_enter(sources, 7, &a, 1, &inside[i]), 0);
	}
	assert_int_equal(sources_enter(sources, 7, &a, 1, &other), -EDQUOT);
	for (uint32_t i = 0; i < MANY; i += 2)
		sources_leave(sources, inside[i]);
	for (uint32_t i = 1; i < MANY; i += 2)
		sources_leave(sources, inside[i]);
	assert_int_equal(sources_enter(sources, 7, &a, 1, &other), 0);
	sources_leave(sources, other);
	free(inside);
	sources_free(sources);
}

static void test_rate(void **state)
{
	struct rate rate = { 0 };
	uint64_t now = 50 * NSEC_PER_SEC;

	for (int i = 0; i < 100; i++)
		assert_true(rate_take(&rate, 100, now));
	assert_false(rate_take(&rate, 100, now));
	now += 10 * NSEC_PER_MSEC - 1;
	assert_false(rate_take(&rate, 100, now));
	now += 1;
	assert_true(rate_take(&rate, 100, now));
	assert_false(rate_take(&rate, 100, now));
	now += NSEC_PER_SEC; /* no more than a second's worth is saved up */
	for (int i = 0; i < 100; i++)
		assert_true(rate_take(&rate, 100, now));
	now += 3600 * NSEC_PER_SEC;
	for (int i = 0; i < 100; i++)
		assert_true(rate_take(&rate, 100, now));
	assert_false(rate_take(&rate, 100, now));
}

static void test_rate_of_one(void **state)
{
	struct rate rate = { 0 };

	assert_true(rate_take(&rate, 1, 5));
	assert_false(rate_take(&rate, 1, NSEC_PER_SEC + 4));
	assert_true(rate_take(&rate, 1, NSEC_PER_SEC + 5));
}

struct racer {
	struct rate *rate;
	unsigned int taken;
};

static void *race(void *arg)
{
	struct racer *racer = arg;

	for (int i = 0; i < 50000; i++)
		racer->taken += rate_take(racer->rate, 10000, NSEC_PER_SEC);
	return NULL;
}

static void test_rate_threads(void **state)
{
	struct rate rate = { 0 };
	struct racer racers[4];
	unsigned int taken = 0;
	pthread_t threads[4];

	for (int i = 0; i < 4; i++) {
		racers[i] = (struct racer){ .rate = &rate };
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		taken += racers[i].taken;
	}
	assert_int_equal(taken, 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sources),	    cmocka_unit_test(test_network),
		cmocka_unit_test(test_many),	    cmocka_unit_test(test_rate),
		cmocka_unit_test(test_rate_of_one), cmocka_unit_test(test_rate_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
