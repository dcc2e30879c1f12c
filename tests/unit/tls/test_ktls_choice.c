/* SPDX-License-Identifier: Apache-2.0 */
/* The decision of `ktls: auto`: from facts and figures, which are made up here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "tls/ktls_choice.h"

#define AES_128	   (1U << TLS_CIPHER_AES_128_GCM_SHA256)
#define ALL_SUITES ((1U << TLS_CIPHER_COUNT) - 1)

static const struct ktls_ways usual = { KTLS_WAY_SPLICE, KTLS_WAY_COPY };

/* Nanoseconds of a record that are the same in all rounds: large, small. */
struct cost {
	uint32_t large, small;
};

static void set(struct ktls_costs *costs, enum ktls_direction direction, enum ktls_way way,
		struct cost cost)
{
	for (int i = 0; i < KTLS_ROUNDS; i++) {
		costs->ns[direction][KTLS_LARGE][way][i] = cost.large;
		costs->ns[direction][KTLS_SMALL][way][i] = cost.small;
	}
}

/* 10000 for everything, and these in the kernel; copied and spliced alike. */
static struct ktls_costs costs_of(uint32_t sending, uint32_t receiving)
{
	struct ktls_costs costs = { .measured = true };

	for (int d = 0; d < KTLS_DIRECTION_COUNT; d++)
		for (int way = 0; way < KTLS_WAY_COUNT; way++)
			set(&costs, d, way, (struct cost){ 8000, 2000 });
	for (int way = KTLS_WAY_COPY; way < KTLS_WAY_COUNT; way++) {
		set(&costs, KTLS_SENDING, way, (struct cost){ sending - 2000, 2000 });
		set(&costs, KTLS_RECEIVING, way, (struct cost){ receiving - 2000, 2000 });
	}
	return costs;
}

static void test_each_direction(void **state)
{
	static const struct {
		uint32_t sending, receiving;
		enum ktls_use use;
		const char *why;
	} cases[] = {
		{ 8000, 8000, KTLS_USE_BOTH,
		  "measured: sending in the kernel costs 20 % less, receiving 20 % less" },
		{ 8000, 12000, KTLS_USE_SENDING,
		  "measured: sending in the kernel costs 20 % less, receiving 20 % more" },
		{ 12000, 12000, KTLS_USE_NONE,
		  "measured: sending in the kernel costs 20 % more, receiving 20 % more" },
		/* What is no difference is no reason to leave the kernel. */
		{ 10000, 10000, KTLS_USE_BOTH,
		  "measured: sending in the kernel costs about the same, receiving about the "
		  "same" },
		{ 10490, 10490, KTLS_USE_BOTH,
		  "measured: sending in the kernel costs about the same, receiving about the "
		  "same" },
		{ 10490, 10510, KTLS_USE_SENDING,
		  "measured: sending in the kernel costs about the same, receiving 5 % more" },
		/* Receiving alone is not on offer. */
		{ 11000, 7000, KTLS_USE_BOTH,
		  "measured: sending in the kernel costs 10 % more, receiving 30 % less, together "
		  "10 % less" },
		{ 14000, 9000, KTLS_USE_NONE,
		  "measured: sending in the kernel costs 40 % more, receiving 10 % less, together "
		  "15 % more" },
		{ 11000, 9500, KTLS_USE_BOTH,
		  "measured: sending in the kernel costs 10 % more, receiving 5 % less, together "
		  "about the same" },
		{ 13000, 10000, KTLS_USE_NONE,
		  "measured: sending in the kernel costs 30 % more, receiving about the same, "
		  "together 15 % more" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ktls_costs costs = costs_of(cases[i].sending, cases[i].receiving);
		struct err_text why;

		assert_int_equal(ktls_choose(&costs, &usual, &why), cases[i].use);
		assert_string_equal(why.text, cases[i].why);
	}
}

/* Large and small count together. */
static void test_sizes(void **state)
{
	struct ktls_costs costs = costs_of(10000, 10000);
	struct err_text why;

	(void)state;
	/* Bulk is cheaper by 1000, small messages dearer by 2000 (they are not spliced). */
	set(&costs, KTLS_SENDING, KTLS_WAY_SPLICE, (struct cost){ 7000, 0 });
	set(&costs, KTLS_SENDING, KTLS_WAY_COPY, (struct cost){ 9000, 4000 });
	set(&costs, KTLS_RECEIVING, KTLS_WAY_COPY, (struct cost){ 9000, 3000 });
	assert_int_equal(ktls_choose(&costs, &usual, &why), KTLS_USE_NONE);
	assert_string_equal(why.text,
			    "measured: sending in the kernel costs 10 % more, receiving 20 % more");
}

/* A listener's own settings decide which of the kernel's ways is looked at. */
static void test_ways(void **state)
{
	static const struct ktls_ways copied = { KTLS_WAY_COPY, KTLS_WAY_UNPADDED },
				      spliced = { KTLS_WAY_SPLICE, KTLS_WAY_SPLICE };
	struct ktls_costs costs = costs_of(10000, 10000);
	struct err_text why;

	(void)state;
	set(&costs, KTLS_SENDING, KTLS_WAY_COPY, (struct cost){ 12000, 2000 });
	set(&costs, KTLS_RECEIVING, KTLS_WAY_COPY, (struct cost){ 12000, 2000 });
	set(&costs, KTLS_RECEIVING, KTLS_WAY_UNPADDED, (struct cost){ 6000, 2000 });
	set(&costs, KTLS_RECEIVING, KTLS_WAY_SPLICE, (struct cost){ 9000, 0 });
	assert_int_equal(ktls_choose(&costs, &usual, &why), KTLS_USE_SENDING);
	assert_int_equal(ktls_choose(&costs, &copied, &why), KTLS_USE_NONE);
	assert_non_null(strstr(why.text, "receiving 20 % less"));
	/* … where small messages are still copied, of which the cost is the same here. */
	assert_int_equal(ktls_choose(&costs, &spliced, &why), KTLS_USE_SENDING);
	assert_non_null(strstr(why.text, "receiving 10 % more"));
	/* No pipe, no splice. */
	set(&costs, KTLS_SENDING, KTLS_WAY_SPLICE, (struct cost){ 0, 0 });
	assert_int_equal(ktls_choose(&costs, &usual, &why), KTLS_USE_NONE);
	assert_non_null(strstr(why.text, "sending in the kernel costs 40 % more"));
}

/* One round may be an accident, two are doubt. */
static void test_noise(void **state)
{
	struct ktls_costs costs = costs_of(8000, 13000);
	struct err_text why;

	(void)state;
	costs.ns[KTLS_RECEIVING][KTLS_LARGE][KTLS_WAY_OWN][2] = 90000;
	assert_int_equal(ktls_choose(&costs, &usual, &why), KTLS_USE_SENDING);
	costs.ns[KTLS_RECEIVING][KTLS_LARGE][KTLS_WAY_OWN][5] = 90000;
	assert_int_equal(ktls_choose(&costs, &usual, &why), KTLS_USE_BOTH);
	assert_string_equal(why.text, "measured: sending in the kernel costs 20 % less, receiving "
				      "about the same");
}

static void test_not_measured(void **state)
{
	struct ktls_costs costs = { .why = { "no sockets" } };
	struct err_text why;

	(void)state;
	assert_int_equal(ktls_choose(&costs, &usual, &why), KTLS_USE_BOTH);
	assert_string_equal(why.text, "the kernel is fit; not measured: no sockets");
	assert_int_equal(ktls_cost(&costs, KTLS_SENDING, KTLS_LARGE, KTLS_WAY_OWN), 0);
}

/* Figures that nobody can have measured do no harm. */
static void test_extremes(void **state)
{
	struct ktls_costs costs;
	struct err_text why;

	(void)state;
	memset(&costs, 0xff, sizeof(costs));
	costs.measured = true;
	assert_int_equal(ktls_choose(&costs, &usual, &why), KTLS_USE_BOTH);
	set(&costs, KTLS_SENDING, KTLS_WAY_OWN, (struct cost){ 1, 1 });
	set(&costs, KTLS_RECEIVING, KTLS_WAY_OWN, (struct cost){ 0, 0 });
	assert_int_equal(ktls_choose(&costs, &usual, &why), KTLS_USE_NONE);
}

static void test_fit(void **state)
{
	struct ktls_support support = { .why = "modprobe tls" };
	struct err_text why;

	(void)state;
	assert_false(ktls_is_fit(&support, 0x0304, AES_128, &why));
	assert_string_equal(why.text, "the kernel has no TLS (modprobe tls)");
	support.ulp = true;
	support.cipher13[0] = support.cipher12[0] = true;
	assert_false(ktls_is_fit(&support, 0x0304, ALL_SUITES, &why));
	assert_string_equal(why.text, "the kernel's TLS lacks a cipher (modprobe tls)");
	/* Only what a listener has matters. TLS 1.2 knows no change of keys. */
	assert_false(ktls_is_fit(&support, 0x0304, AES_128, &why));
	assert_non_null(strstr(why.text, "can not change keys"));
	assert_true(ktls_is_fit(&support, 0x0303, AES_128, &why));
	assert_false(ktls_is_fit(&support, 0x0303, ALL_SUITES, &why));
	support.rekey = true;
	assert_true(ktls_is_fit(&support, 0x0304, AES_128, &why));
	assert_true(ktls_has_suites(&support, 0x0304, AES_128));
	assert_false(ktls_has_suites(&support, 0x0304, ALL_SUITES));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_direction),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_not_measured),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
