/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calibration (ktls_calibrate.h). For each suite all ways stand side by side and take turns, round
 * by round, so that whatever else the machine does hits them alike; CPU time of this thread is
 * counted and not the clock on the wall. The first turn of each is not counted: its bytes are
 * checked. On the caller's thread; the lanes with their keys, sockets and pipes are gone when it
 * returns.
 */
#include "tls/ktls_calibrate.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "tls/ktls_lane.h"

#define LANES_MAX (KTLS_DIRECTION_COUNT * KTLS_WAY_COUNT)

/* Side by side, of one suite. */
struct lanes {
	struct ktls_lane items[LANES_MAX];
	size_t count;
};

static int add_lane(struct lanes *lanes, struct ktls_bench *bench,
		    const struct ktls_support *support, uint16_t version, enum tls_cipher cipher,
		    unsigned int which, struct err_text *err)
{
	struct ktls_lane *lane = &lanes->items[lanes->count];
	int r = ktls_lane_init(lane, support, version, cipher, which / KTLS_WAY_COUNT,
			       which % KTLS_WAY_COUNT, err);

	if (r)
		ktls_lane_fini(lane, bench);
	else
		lanes->count++;
	return MIN(r, 0);
}

/* One turn of one lane at one size. */
static int turn(struct ktls_lane *lane, struct ktls_bench *bench, enum ktls_size size, int round,
		struct ktls_costs *costs)
{
	uint32_t ns = 0;
	int r;

	if (size == KTLS_SMALL && lane->way == KTLS_WAY_SPLICE)
		return 0;
	r = ktls_lane_turn(lane, bench, size, round < 0, &ns);
	if (!r && round >= 0)
		costs->ns[lane->direction][size][lane->way][round] = ns;
	return r;
}

/* Round -1 only checks. */
static int run_round(struct lanes *lanes, struct ktls_bench *bench, int round, uint64_t until_ns,
		     struct ktls_costs *costs)
{
	for (size_t i = 0; i < lanes->count; i++) {
		/* Nobody is always the first. */
		struct ktls_lane *lane = &lanes->items[(i + (size_t)(round + 1)) % lanes->count];

		for (int size = 0; size < KTLS_SIZE_COUNT; size++) {
			int r = turn(lane, bench, size, round, costs);

			if (r)
				return r;
			if (clock_monotonic_ns() > until_ns)
				return -ETIME;
		}
	}
	return 0;
}

static const char *failure_text(int r)
{
	switch (r) {
	case -ETIME:
		return "it would have taken too long";
	case -EBADMSG:
		return "what arrived is not what was sent";
	case -EAGAIN:
		return "a socket did not answer in time";
	default:
		return strerror(-r);
	}
}

static void measure(struct ktls_bench *bench, const struct ktls_support *support, uint16_t version,
		    enum tls_cipher cipher, uint64_t until_ns, struct ktls_costs *ret)
{
	struct lanes lanes = { .count = 0 };
	struct ktls_costs costs = { .measured = true };
	struct err_text why = { "" };
	int r = clock_monotonic_ns() >= until_ns ? -ETIME : 0;

	for (unsigned int i = 0; !r && i < LANES_MAX; i++)
		r = add_lane(&lanes, bench, support, version, cipher, i, &why);
	for (int round = -1; !r && round < KTLS_ROUNDS; round++)
		r = run_round(&lanes, bench, round, until_ns, &costs);
	while (lanes.count)
		ktls_lane_fini(&lanes.items[--lanes.count], bench);
	if (!r) {
		*ret = costs;
		return;
	}
	err_set(&ret->why, 0, "%s", why.text[0] ? why.text : failure_text(r));
}

static bool is_due(const struct ktls_costs *costs)
{
	return !costs->measured && !costs->why.text[0];
}

void ktls_calibrate(struct ktls_calibration *calibration, const struct ktls_support *support,
		    const struct ktls_suites *wanted, uint32_t ms_max)
{
	uint64_t began_ns = clock_monotonic_ns();
	uint64_t until_ns = began_ns + ms_max * NSEC_PER_MSEC;
	struct ktls_bench *bench = NULL;

	for (unsigned int i = 0; i < KTLS_VERSION_COUNT * TLS_CIPHER_COUNT; i++) {
		uint16_t version = (uint16_t)(TLS_VERSION_1_3 - i / TLS_CIPHER_COUNT);
		unsigned int index = ktls_version_index(version), cipher = i % TLS_CIPHER_COUNT;
		struct ktls_costs *costs = &calibration->costs[index][cipher];

		if (!(wanted->of[index] & 1U << cipher) || !is_due(costs) ||
		    !ktls_has_suites(support, version, 1U << cipher))
			continue;
		if (!bench && ktls_bench_new(&bench) < 0)
			err_set(&costs->why, 0, "%s", strerror(ENOMEM));
		else
			measure(bench, support, version, cipher, until_ns, costs);
	}
	if (!bench)
		return;
	ktls_bench_free(bench);
	calibration->took_ms = (uint32_t)((clock_monotonic_ns() - began_ns) / NSEC_PER_MSEC);
}
