/* SPDX-License-Identifier: Apache-2.0 */
/* Penalties on a clock that the test turns: when the door closes, for how long, and for whom. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "limits/penalty.h"

#define S NSEC_PER_SEC

static struct cidr_list exempt;
static struct penalty_params params; /* of the penalties that were made last */

static struct penalties *make(const struct penalty_params *change)
{
	struct penalties *penalties;

	exempt.count = 0;
	params = (struct penalty_params){
		.cost_ms = { [PENALTY_CERTIFICATE] = 5000, [PENALTY_TIMEOUT] = 20000 },
		.min_ms = 15000,
		.max_ms = 60000,
		.sources = 64,
		.masks = { 32, 64 },
		.exempt = &exempt,
	};
	if (change) {
		params.overflow = change->overflow;
		params.sources = change->sources ? change->sources : params.sources;
		params.masks = change->masks.ipv4 ? change->masks : params.masks;
	}
	assert_int_equal(penalties_new(&params, &penalties), 0);
	return penalties;
}

static struct in6_addr address(const char *text)
{
	struct cidr cidr;

	assert_int_equal(cidr_parse(text, &cidr), 0);
	return cidr.address;
}

static struct in6_addr numbered(uint32_t n)
{
	struct in6_addr a = address("10.0.0.0");

	n = __builtin_bswap32(0x0a000000 + n);
	memcpy(&a.s6_addr[12], &n, 4);
	return a;
}

static void test_adds_up(void **state)
{
	struct penalties *p = make(NULL);
	struct in6_addr a = address("192.0.2.1"), b = address("192.0.2.2");

	assert_false(penalties_refuse(p, &a, 100 * S));
	assert_int_equal(penalties_add(p, &a, PENALTY_CERTIFICATE, 100 * S), 0);
	assert_int_equal(penalties_add(p, &a, PENALTY_CERTIFICATE, 100 * S), 0);
	assert_false(penalties_refuse(p, &a, 100 * S));
	assert_int_equal(penalties_add(p, &a, PENALTY_CERTIFICATE, 100 * S), 15000);
	assert_true(penalties_refuse(p, &a, 100 * S));
	assert_false(penalties_refuse(p, &b, 100 * S));
	assert_true(penalties_refuse(p, &a, 115 * S - 1));
	assert_false(penalties_refuse(p, &a, 115 * S));
	penalties_free(p);
}

/* Who fails now and then only is left alone: what it owes runs off in between. */
static void test_runs_off(void **state)
{
	struct penalties *p = make(NULL);
	struct in6_addr a = address("192.0.2.1");

	for (uint64_t now = 1; now < 1000; now += 5) {
		assert_int_equal(penalties_add(p, &a, PENALTY_CERTIFICATE, now * S), 0);
		assert_false(penalties_refuse(p, &a, now * S));
	}
	penalties_free(p);
}

static void test_free_of_charge(void **state)
{
	struct penalties *p = make(NULL);
	struct in6_addr a = address("192.0.2.1");

	for (int i = 0; i < 1000; i++)
		assert_int_equal(penalties_add(p, &a, PENALTY_LEFT, S), 0);
	assert_false(penalties_refuse(p, &a, S));
	penalties_free(p);
}

/* Each time the door closes, the next failure costs twice as much; up to the maximum; and who
 * behaves for that long begins anew. */
static void test_grows(void **state)
{
	static const uint64_t closed_s[] = { 20, 40, 60, 60, 60 };
	struct penalties *p = make(NULL);
	struct in6_addr a = address("192.0.2.1");
	uint64_t now = 7 * S;

	for (size_t i = 0; i < ARRAY_SIZE(closed_s); i++) {
		assert_int_equal(penalties_add(p, &a, PENALTY_TIMEOUT, now), closed_s[i] * 1000);
		assert_true(penalties_refuse(p, &a, now + closed_s[i] * S - 1));
		now += closed_s[i] * S;
		assert_false(penalties_refuse(p, &a, now));
	}
	now += 60 * S - 1;
	assert_int_equal(penalties_add(p, &a, PENALTY_TIMEOUT, now), 60000);
	now += 60 * S + 60 * S;
	assert_int_equal(penalties_add(p, &a, PENALTY_TIMEOUT, now), 20000);
	penalties_free(p);
}

/* Failures of connections that were inside when the door closed add to it, and are told once. */
static void test_inside_when_closed(void **state)
{
	struct penalties *p = make(NULL);
	struct in6_addr a = address("192.0.2.1");

	assert_int_equal(penalties_add(p, &a, PENALTY_TIMEOUT, S), 20000);
	for (int i = 0; i < 100; i++)
		assert_int_equal(penalties_add(p, &a, PENALTY_TIMEOUT, S), 0);
	assert_true(penalties_refuse(p, &a, 61 * S - 1));
	assert_false(penalties_refuse(p, &a, 61 * S));
	penalties_free(p);
}

static void test_masks(void **state)
{
	struct penalties *p = make(&(struct penalty_params){ .masks = { 24, 48 } });
	struct in6_addr a = address("192.0.2.1"), near_a = address("192.0.2.255"),
			far_a = address("192.0.3.1"), b = address("2001:db8:1:1::1"),
			near_b = address("2001:db8:1:ffff::9"), far_b = address("2001:db8:2::1");

	penalties_add(p, &a, PENALTY_TIMEOUT, S);
	penalties_add(p, &b, PENALTY_TIMEOUT, S);
	assert_true(penalties_refuse(p, &near_a, S));
	assert_false(penalties_refuse(p, &far_a, S));
	assert_true(penalties_refuse(p, &near_b, S));
	assert_false(penalties_refuse(p, &far_b, S));
	penalties_free(p);
}

static void test_exempt(void **state)
{
	struct penalties *p = make(NULL);
	struct cidr network;
	struct in6_addr in = address("192.0.2.130"), out = address("192.0.2.127");

	assert_int_equal(cidr_parse("192.0.2.128/25", &network), 0);
	exempt = (struct cidr_list){ &network, 1 };
	penalties_configure(p, &params);
	exempt.count = 0; /* it has a list of its own */
	assert_int_equal(penalties_add(p, &in, PENALTY_TIMEOUT, S), 0);
	assert_int_equal(penalties_add(p, &out, PENALTY_TIMEOUT, S), 20000);
	assert_false(penalties_refuse(p, &in, S));
	assert_true(penalties_refuse(p, &out, S));
	penalties_free(p);
}

/* Other rules: what is owed stays owed, unless there are no penalties at all any more. */
static void test_configure(void **state)
{
	struct penalties *p = make(NULL);
	struct in6_addr a = address("192.0.2.1"), b = address("192.0.2.2");

	penalties_add(p, &a, PENALTY_TIMEOUT, S);
	params.cost_ms[PENALTY_TIMEOUT] = 0;
	penalties_configure(p, &params);
	assert_int_equal(penalties_add(p, &b, PENALTY_TIMEOUT, S), 0);
	assert_true(penalties_refuse(p, &a, S));
	params.max_ms = 0;
	penalties_configure(p, &params);
	assert_false(penalties_refuse(p, &a, S));
	assert_int_equal(penalties_add(p, &a, PENALTY_CERTIFICATE, S), 0);
	penalties_free(p);
}

static unsigned int refused_of(struct penalties *p, uint32_t count, uint64_t now)
{
	unsigned int refused = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct in6_addr a = numbered(i);

		refused += penalties_refuse(p, &a, now);
	}
	return refused;
}

/* A table that is full forgets who is free soonest; it never holds more than it has room for. */
static void test_overflow_permissive(void **state)
{
	struct penalties *p = make(NULL);
	struct in6_addr last = numbered(9999), six = address("2001:db8::1");

	penalties_add(p, &six, PENALTY_TIMEOUT, S);
	for (uint32_t i = 0; i < 10000; i++) {
		struct in6_addr a = numbered(i);

		assert_int_equal(penalties_add(p, &a, PENALTY_TIMEOUT, S + i), 20000);
		assert_true(penalties_refuse(p, &a, S + i));
	}
	assert_int_equal(refused_of(p, 10000, 2 * S), 64);
	assert_true(penalties_refuse(p, &last, 2 * S));
	assert_true(penalties_refuse(p, &six, 2 * S)); /* a family can not push the other out */
	penalties_free(p);
}

/* Who owes something but is not shut out makes room before anybody who is. */
static void test_overflow_spares_the_closed(void **state)
{
	struct penalties *p = make(&(struct penalty_params){ .sources = 1 });

	for (uint32_t i = 0; i < 8; i++) {
		struct in6_addr a = numbered(i);

		penalties_add(p, &a, i < 7 ? PENALTY_TIMEOUT : PENALTY_CERTIFICATE, S);
	}
	for (uint32_t i = 8; i < 100; i++) {
		struct in6_addr a = numbered(i);

		penalties_add(p, &a, PENALTY_CERTIFICATE, 2 * S);
	}
	assert_int_equal(refused_of(p, 7, 2 * S), 7);
	penalties_free(p);
}

static void test_overflow_deny(void **state)
{
	struct penalties *p =
		make(&(struct penalty_params){ .sources = 8, .overflow = PENALTY_OVERFLOW_DENY });
	struct in6_addr stranger = numbered(4711), six = address("2001:db8::1");

	for (uint32_t i = 0; i < 8; i++) {
		struct in6_addr a = numbered(i);

		assert_false(penalties_refuse(p, &stranger, S));
		penalties_add(p, &a, PENALTY_TIMEOUT, S);
	}
	assert_true(penalties_refuse(p, &stranger, S));
	assert_int_equal(penalties_add(p, &stranger, PENALTY_TIMEOUT, S), 0);
	assert_false(penalties_refuse(p, &six, S));
	assert_int_equal(refused_of(p, 8, S), 8); /* nobody was pushed out */
	assert_false(penalties_refuse(p, &stranger, 21 * S));
	penalties_free(p);
}

static void *fail_all(void *arg)
{
	for (uint32_t i = 0; i < 20000; i++) {
		struct in6_addr a = numbered(i % 500);

		penalties_add(arg, &a, PENALTY_TIMEOUT, S + i);
		penalties_refuse(arg, &a, S + i);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct penalties *p = make(&(struct penalty_params){ .sources = 4096 });
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fail_all, p), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	assert_true(refused_of(p, 500, 2 * S) > 450);
	penalties_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_adds_up),
		cmocka_unit_test(test_runs_off),
		cmocka_unit_test(test_free_of_charge),
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_inside_when_closed),
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_exempt),
		cmocka_unit_test(test_configure),
		cmocka_unit_test(test_overflow_permissive),
		cmocka_unit_test(test_overflow_spares_the_closed),
		cmocka_unit_test(test_overflow_deny),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
