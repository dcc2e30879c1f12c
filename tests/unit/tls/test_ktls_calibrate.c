/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The measuring: that bytes arrive, that it ends, and that nothing is left. Never how long anything
 * takes. On every machine, with kernel TLS or without; ktls_check.c does the same where there is.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/open_fds.h"
#include "tls/ktls_calibrate.h"
#include "tls/ktls_lane.h"

#define PATIENCE_MS 300000
#define ALL_SUITES  ((1U << TLS_CIPHER_COUNT) - 1)

static void run_lane(uint16_t version, enum tls_cipher cipher, enum ktls_direction direction)
{
	static const struct ktls_support none;
	struct ktls_bench *bench = NULL;
	struct ktls_lane lane;
	struct err_text err = { "" };
	uint32_t ns = 0;

	assert_int_equal(ktls_bench_new(&bench), 0);
	assert_int_equal(
		ktls_lane_init(&lane, &none, version, cipher, direction, KTLS_WAY_OWN, &err),
		KTLS_LANE_OK);
	for (int i = 0; i < 4; i++)
		for (int size = 0; size < KTLS_SIZE_COUNT; size++) {
			assert_int_equal(ktls_lane_turn(&lane, bench, size, i < 2, &ns), 0);
			assert_int_not_equal(ns, 0);
		}
	ktls_lane_fini(&lane, bench);
	ktls_bench_free(bench);
}

static void test_own_records(void **state)
{
	size_t before = open_fds();

	(void)state;
	for (uint16_t version = 0x0303; version <= 0x0304; version++)
		for (int cipher = 0; cipher < TLS_CIPHER_COUNT; cipher++) {
			run_lane(version, cipher, KTLS_SENDING);
			run_lane(version, cipher, KTLS_RECEIVING);
		}
	assert_int_equal(open_fds(), before);
}

/* A byte that changes on its way is noticed. */
static void test_check(void **state)
{
	static const struct ktls_support none;
	struct ktls_bench *bench = NULL;
	struct ktls_lane lane;
	struct err_text err = { "" };
	uint32_t ns;

	(void)state;
	assert_int_equal(ktls_bench_new(&bench), 0);
	for (int d = 0; d < KTLS_DIRECTION_COUNT; d++) {
		assert_int_equal(ktls_lane_init(&lane, &none, 0x0304, 0, d, KTLS_WAY_OWN, &err), 0);
		lane.keys->rx.key[0] ^= 1;
		lane.keys->tx.key[0] ^= 1;
		assert_int_equal(ktls_lane_turn(&lane, bench, KTLS_SMALL, true, &ns), -EBADMSG);
		ktls_lane_fini(&lane, bench);
	}
	ktls_bench_free(bench);
}

/* A kernel that says yes and then does not: facts stand, and the reason is there. */
static void test_kernel_refuses(void **state)
{
	static const struct ktls_ways ways = { KTLS_WAY_SPLICE, KTLS_WAY_COPY };
	struct ktls_support support;
	struct ktls_suites wanted = { { 0, ALL_SUITES } };
	struct ktls_calibration calibration = { 0 };
	struct err_text why;
	size_t before = open_fds();

	(void)state;
	ktls_probe(&support);
	if (support.ulp)
		return; /* it would not refuse: ktls_check.c's part */
	support.ulp = support.rekey = true;
	memset(support.cipher13, true, sizeof(support.cipher13));
	ktls_calibrate(&calibration, &support, &wanted, PATIENCE_MS);
	for (int cipher = 0; cipher < TLS_CIPHER_COUNT; cipher++) {
		assert_false(calibration.costs[1][cipher].measured);
		assert_non_null(strstr(calibration.costs[1][cipher].why.text, "TCP_ULP"));
		/* Nobody wanted TLS 1.2. */
		assert_string_equal(calibration.costs[0][cipher].why.text, "");
	}
	assert_int_equal(ktls_choose(&calibration.costs[1][0], &ways, &why), KTLS_USE_BOTH);
	assert_non_null(strstr(why.text, "not measured: TCP_ULP"));
	assert_int_equal(open_fds(), before);
}

/* What has been tried is not tried again, and what takes too long is given up. */
static void test_bounds(void **state)
{
	struct ktls_support support = { .ulp = true, .rekey = true, .cipher13 = { true, true } };
	struct ktls_suites wanted = { { 0, ALL_SUITES } };
	struct ktls_calibration calibration = { 0 };
	size_t before = open_fds();

	(void)state;
	err_set(&calibration.costs[1][0].why, 0, "as before");
	ktls_calibrate(&calibration, &support, &wanted, 0);
	assert_string_equal(calibration.costs[1][0].why.text, "as before");
	assert_string_equal(calibration.costs[1][1].why.text, "it would have taken too long");
	assert_false(calibration.costs[1][1].measured);
	/* The kernel has not this one. */
	assert_string_equal(calibration.costs[1][2].why.text, "");
	assert_int_equal(open_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_records),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_kernel_refuses),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
