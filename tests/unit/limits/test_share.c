/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allowances and shares of them, on a clock of the test's own: flows on workers that wake up every
 * millisecond, and late by as much as a generator of numbers says. What is tested is what was
 * moved.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "limits/share.h"

#define MS	 NSEC_PER_MSEC
#define SEC	 NSEC_PER_SEC
#define START	 (1000 * SEC)
#define KB	 1000ULL
#define MB	 (1000 * KB)
#define GB	 (1000 * MB)
#define TURN	 (1024 * 1024) /* a flow's turn in the relay */
#define FLOWS	 256
#define LATE_MAX 3 /* ms, unless a test says otherwise */

struct sim_flow {
	struct share share;
	unsigned int worker;
	uint64_t record;	      /* bytes that a read gives: a whole one; 0: what is allowed */
	uint64_t message, period_ns;  /* not always something to read: so much every so often */
	uint64_t next_ns, pending;    /* of these */
	uint64_t sent_ns, latest_ns;  /* how long a message has waited at most */
	uint64_t moved, floor_misses; /* and: seconds without CLIENT_FLOOR_BYTES */
	uint64_t second_moved;
};

struct sim {
	struct clients *clients;
	struct sim_flow flows[FLOWS];
	size_t count;
	uint64_t now_ns;
	unsigned int workers;
	uint64_t random, busy_until[8];
	uint64_t late_ms[8]; /* of workers that are not as punctual as others */
	struct client *held[FLOWS];
	size_t held_count;
};

static uint64_t draw(struct sim *sim, uint64_t below)
{
	sim->random = sim->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (sim->random >> 33) % below;
}

static int setup(void **state)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	assert_non_null(sim);
	assert_int_equal(clients_new(&sim->clients), 0);
	sim->now_ns = START;
	sim->workers = 1;
	sim->random = 7;
	*state = sim;
	return 0;
}

static int teardown(void **state)
{
	struct sim *sim = *state;

	for (size_t i = 0; i < sim->count; i++)
		share_rest(&sim->flows[i].share, sim->now_ns);
	for (size_t i = 0; i < sim->held_count; i++)
		clients_leave(sim->clients, sim->held[i], false);
	clients_free(sim->clients);
	free(sim);
	return 0;
}

struct setting {
	const char *pattern, *group;
	uint64_t rate, burst;
};

/* Groups first: a pattern of NULL. Both directions alike. */
static void adopt(struct sim *sim, const struct setting *settings, size_t count)
{
	struct client_policy *policy;

	assert_int_equal(client_policy_new(false, &policy), 0);
	for (size_t i = 0; i < count; i++) {
		struct client_limits limits = { .rate = { settings[i].rate, settings[i].rate },
						.burst = { settings[i].burst, settings[i].burst } };

		if (settings[i].pattern)
			assert_int_equal(client_policy_add(policy, settings[i].pattern,
							   settings[i].group, &limits),
					 0);
		else
			assert_int_equal(
				client_policy_add_group(policy, settings[i].group, &limits), 0);
	}
	clients_adopt(sim->clients, policy, sim->now_ns);
}

static void adopt_rate(struct sim *sim, uint64_t rate)
{
	adopt(sim, &(struct setting){ .pattern = "*", .rate = rate }, 1);
}

static struct sim_flow *add_flow(struct sim *sim, const char *name, unsigned int worker)
{
	struct sim_flow *flow = &sim->flows[sim->count++];
	struct client *client;
	struct err_text why;

	assert_true(sim->count <= FLOWS);
	assert_int_equal(clients_enter(sim->clients, name, sim->now_ns, &client, &why),
			 CLIENT_LET_IN);
	sim->held[sim->held_count++] = client;
	*flow = (struct sim_flow){ .share = { .client = client, .direction = CLIENT_PRODUCE },
				   .worker = worker };
	sim->workers = MAX(sim->workers, worker + 1);
	return flow;
}

/* Moves while it may, as the relay would. */
static void turn(struct sim *sim, struct sim_flow *flow)
{
	for (uint64_t budget = TURN; budget > 0;) {
		size_t allowed;
		uint64_t n;

		if (flow->period_ns && !flow->pending) {
			share_rest(&flow->share, sim->now_ns);
			return;
		}
		allowed = share_ask(&flow->share, sim->now_ns);
		if (!allowed)
			return;
		n = MIN((uint64_t)allowed, budget);
		if (flow->period_ns)
			n = MIN(n, flow->pending);
		else if (flow->record && flow->share.mode == SHARE_SLOT)
			n = flow->record;
		share_use(&flow->share, n, sim->now_ns);
		flow->moved += n;
		flow->second_moved += n;
		if (flow->period_ns) {
			flow->pending -= n;
			if (!flow->pending)
				flow->latest_ns = MAX(flow->latest_ns, sim->now_ns - flow->sent_ns);
		}
		budget -= MIN(n, budget);
	}
}

static void tick(struct sim *sim)
{
	for (size_t i = 0; i < sim->count; i++) {
		struct sim_flow *flow = &sim->flows[i];

		if (flow->period_ns && sim->now_ns >= flow->next_ns) {
			flow->pending += flow->message;
			flow->sent_ns = sim->now_ns;
			flow->next_ns = sim->now_ns + flow->period_ns;
		}
		if (sim->now_ns < sim->busy_until[flow->worker] ||
		    (share_waits(&flow->share) && sim->now_ns < share_wake_ns(&flow->share)))
			continue;
		turn(sim, flow);
	}
	for (unsigned int i = 0; i < sim->workers; i++)
		if (sim->now_ns >= sim->busy_until[i])
			sim->busy_until[i] =
				sim->now_ns +
				draw(sim, MAX(sim->late_ms[i], (uint64_t)LATE_MAX) + 1) * MS;
	sim->now_ns += MS;
}

static void run(struct sim *sim, uint64_t ms)
{
	for (uint64_t i = 1; i <= ms; i++) {
		tick(sim);
		if (i % 1000)
			continue;
		for (size_t k = 0; k < sim->count; k++) {
			sim->flows[k].floor_misses +=
				sim->flows[k].second_moved < CLIENT_FLOOR_BYTES;
			sim->flows[k].second_moved = 0;
		}
	}
}

/* What all flows move in so long, once the burst is spent. */
static uint64_t measure(struct sim *sim, uint64_t ms)
{
	uint64_t moved = 0;

	uint64_t rate = client_read(&sim->held[0]->account.allowances[0].rate);

	/* Everybody has had a turn, too. */
	run(sim, 2000 + (rate ? sim->count * CLIENT_SLOT_BYTES_MIN * 2000 / rate : 0));
	for (size_t i = 0; i < sim->count; i++)
		sim->flows[i].moved = 0;
	run(sim, ms);
	for (size_t i = 0; i < sim->count; i++)
		moved += sim->flows[i].moved;
	return moved;
}

static void assert_near(uint64_t value, uint64_t expected, unsigned int per_mille)
{
	uint64_t most = expected / 1000 * per_mille;

	if (value + most < expected || value > expected + most)
		fail_msg("%lu is not within %u per mille of %lu", (unsigned long)value, per_mille,
			 (unsigned long)expected);
}

/* Rates of all sizes; the slots of 10 s are whole, so the slowest ones are given a slot more. */
static void test_rates(void **state)
{
	static const uint64_t rates[] = { 10 * KB, 100 * KB, 777777, 5 * MB,
					  50 * MB, 250 * MB, GB,     3 * GB };
	struct sim *sim = *state;

	for (size_t i = 0; i < 4; i++)
		add_flow(sim, "a", (unsigned int)i % 3);
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		/* Four flows of a turn each millisecond move no more than that in this model. */
		adopt_rate(sim, rates[i]);
		if (rates[i] <= 500 * MB)
			assert_near(measure(sim, rates[i] < MB ? 400000 : 10000),
				    rates[i] * (rates[i] < MB ? 400 : 10), 10);
		else
			assert_true(measure(sim, 10000) <= rates[i] * 10 / 1000 * 1005);
	}
}

/* The same without a turn's end: how precise the highest rates are does not depend on it. */
static void test_high_rates(void **state)
{
	static const uint64_t rates[] = { GB, 10 * GB, CLIENT_RATE_MAX };
	struct sim *sim = *state;
	struct sim_flow *flow = add_flow(sim, "a", 0);

	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		uint64_t moved = 0;

		adopt_rate(sim, rates[i]);
		for (uint64_t ms = 0; ms < 11000; ms++, sim->now_ns += MS) {
			size_t allowed;

			moved = ms == 1000 ? 0 : moved;
			while ((allowed = share_ask(&flow->share, sim->now_ns))) {
				share_use(&flow->share, allowed, sim->now_ns);
				moved += allowed;
			}
		}
		assert_near(moved, rates[i] * 10, 2);
	}
}

/* Whoever has what records, on whatever worker. */
static void test_fair(void **state)
{
	static const struct {
		uint64_t records[4];
		unsigned int workers[4];
		size_t count;
	} cases[] = {
		{ { 0, 0 }, { 0, 0 }, 2 },
		{ { 0, 0 }, { 0, 1 }, 2 },
		{ { 16384, 100 }, { 0, 0 }, 2 },
		{ { 16384, 100 }, { 0, 1 }, 2 },
		{ { 10000, 16384, 300, 0 }, { 0, 1, 1, 2 }, 4 },
	};
	static const uint64_t rates[] = { 100 * KB, 10 * MB, 300 * MB };

	for (size_t i = 0; i < ARRAY_SIZE(cases) * ARRAY_SIZE(rates); i++) {
		uint64_t rate = rates[i % ARRAY_SIZE(rates)], each;
		size_t n = i / ARRAY_SIZE(rates);
		struct sim *sim;

		teardown(state);
		setup(state);
		sim = *state;
		adopt_rate(sim, rate);
		for (size_t k = 0; k < cases[n].count; k++)
			add_flow(sim, "a", cases[n].workers[k])->record = cases[n].records[k];
		each = measure(sim, rate < MB ? 60000 : 10000) / cases[n].count;
		for (size_t k = 0; k < cases[n].count; k++)
			assert_near(sim->flows[k].moved, each, 50);
	}
}

/* One worker has hardly any time: its connections get theirs all the same. */
static void test_late(void **state)
{
	struct sim *sim = *state;
	uint64_t each;

	adopt_rate(sim, MB);
	sim->late_ms[1] = 60;
	for (size_t i = 0; i < 4; i++)
		add_flow(sim, "a", (unsigned int)i % 2);
	each = measure(sim, 20000) / sim->count;
	assert_near(each, 5 * MB, 10);
	for (size_t i = 0; i < sim->count; i++)
		assert_near(sim->flows[i].moved, each, 100);
}

/* Nobody starves by the order in which flows wake up. */
static void test_many(void **state)
{
	struct sim *sim = *state;

	adopt_rate(sim, 20 * MB);
	for (size_t i = 0; i < 100; i++)
		add_flow(sim, "a", (unsigned int)i % 4)->record = i % 3 ? 16384 : 500;
	assert_near(measure(sim, 20000), 400 * MB, 10);
	for (size_t i = 0; i < sim->count; i++)
		assert_near(sim->flows[i].moved, 4 * MB, 50);
}

/* One that says a word now and then is not held up by those who want all: it has used less. */
static void test_heartbeat(void **state)
{
	struct sim *sim = *state;
	struct sim_flow *flow;

	adopt_rate(sim, 100 * KB);
	for (size_t i = 0; i < 50; i++)
		add_flow(sim, "a", (unsigned int)i % 2);
	flow = add_flow(sim, "a", 0);
	flow->message = 200;
	flow->period_ns = 3 * SEC;
	run(sim, 60000);
	assert_true(flow->moved >= 19ULL * 200);
	assert_true(flow->latest_ns <= (LATE_MAX + 2) * MS);
}

/* The floor is more than the rate here, and all have it; when most have left, what was too much is
 * owed for a while, but not for ever. */
static void test_floor(void **state)
{
	struct sim *sim = *state;
	uint64_t before;

	adopt_rate(sim, 10 * KB);
	for (size_t i = 0; i < 200; i++)
		add_flow(sim, "a", (unsigned int)i % 2);
	run(sim, 60000);
	for (size_t i = 0; i < sim->count; i++)
		assert_true(sim->flows[i].floor_misses <= 1);
	for (size_t i = 1; i < sim->count; i++)
		share_rest(&sim->flows[i].share, sim->now_ns);
	sim->count = 1;
	run(sim, 20000);
	before = sim->flows[0].moved;
	run(sim, 60000);
	assert_near(sim->flows[0].moved - before, 600 * KB, 50);
}

/* What is saved up passes at once, and no more of it than the burst; a record too much at most. */
static void test_burst(void **state)
{
	struct sim *sim = *state;
	struct sim_flow *flow = add_flow(sim, "a", 0);
	uint64_t moved = 0;

	adopt(sim, &(struct setting){ .pattern = "a", .rate = MB, .burst = 5 * MB }, 1);
	sim->now_ns += 3600 * SEC;
	for (size_t allowed; (allowed = share_ask(&flow->share, sim->now_ns)); moved += allowed)
		share_use(&flow->share, allowed, sim->now_ns);
	assert_in_range(moved, 5 * MB - 16384, 5 * MB + 16384 + CLIENT_FLOOR_BYTES);
	/* Half of it comes back in its time. */
	share_rest(&flow->share, sim->now_ns);
	sim->now_ns += 2500 * MS;
	moved = 0;
	for (size_t allowed; (allowed = share_ask(&flow->share, sim->now_ns)); moved += allowed)
		share_use(&flow->share, allowed, sim->now_ns);
	assert_in_range(moved, 2500 * KB - 32768, 2500 * KB + 32768);
}

/* Nothing in any window is more than the burst and what was earned in it. */
static void test_never_more(void **state)
{
	struct sim *sim = *state;
	uint64_t total[2000], moved;

	adopt_rate(sim, 2 * MB);
	for (size_t i = 0; i < 3; i++)
		add_flow(sim, "a", (unsigned int)i);
	for (size_t i = 0; i < ARRAY_SIZE(total); i++) {
		run(sim, 1);
		total[i] = 0;
		for (size_t k = 0; k < sim->count; k++)
			total[i] += sim->flows[k].moved;
	}
	for (size_t i = 0; i < ARRAY_SIZE(total); i += 7)
		for (size_t k = i + 1; k < ARRAY_SIZE(total); k += 11) {
			moved = total[k] - total[i];
			assert_true(moved <= allowance_default_burst(2 * MB) + (k - i) * 2 * KB +
						     3 * (16384 + CLIENT_FLOOR_BYTES));
		}
}

static void test_group(void **state)
{
	static const struct setting settings[] = {
		{ .group = "g", .rate = 10 * MB },
		{ .pattern = "a", .group = "g", .rate = 2 * MB },
		{ .pattern = "b", .group = "g" },
	};
	struct sim *sim = *state;
	struct sim_flow *a, *b;
	uint64_t moved;

	adopt(sim, settings, ARRAY_SIZE(settings));
	a = add_flow(sim, "a", 0);
	b = add_flow(sim, "b", 1);
	moved = measure(sim, 10000);
	assert_near(moved, 100 * MB, 10);
	assert_near(a->moved, 20 * MB, 20); /* its own limit … */
	assert_near(b->moved, 80 * MB, 20); /* … and the rest */
	assert_true(client_read(&a->share.client->account.usage[0].limited_ns) > 0);
	assert_true(b->share.for_group);
	assert_true(client_read(&b->share.group->account.usage[0].limited_ns) > 0);
}

/* A new policy on flows that are at work, some of them deep in a queue. */
static void test_changes(void **state)
{
	static const struct setting grouped[] = {
		{ .group = "g", .rate = 4 * MB },
		{ .pattern = "*", .group = "g" },
	};
	struct sim *sim = *state;
	uint64_t before;

	adopt_rate(sim, 10 * KB);
	for (size_t i = 0; i < 40; i++)
		add_flow(sim, "a", (unsigned int)i % 2);
	run(sim, 5000);
	adopt_rate(sim, 8 * MB);
	run(sim, 1100); /* who waits looks again within so long */
	before = measure(sim, 5000);
	assert_near(before, 40 * MB, 10);
	adopt(sim, grouped, ARRAY_SIZE(grouped));
	assert_near(measure(sim, 5000), 20 * MB, 10);
	adopt_rate(sim, 100 * KB);
	assert_near(measure(sim, 100000), 10 * MB, 20);
	/* The same once more changes nothing: what is claimed stays so. */
	before = client_read(&sim->held[0]->account.allowances[0].earned_ns);
	adopt_rate(sim, 100 * KB);
	assert_int_equal(client_read(&sim->held[0]->account.allowances[0].earned_ns), before);
	adopt(sim, NULL, 0);
	for (size_t i = 0; i < sim->count; i++) {
		assert_true(share_ask(&sim->flows[i].share, sim->now_ns) == SHARE_UNLIMITED);
		assert_false(share_waits(&sim->flows[i].share));
	}
	assert_true(share_pace(&sim->flows[0].share) == UINT64_MAX);
}

/* Far from zero and far ahead nothing overflows; a clock that stands still or is a little behind
 * (another thread has looked later) does no harm. */
static void test_extremes(void **state)
{
	struct allowance allowance = { 0 };
	uint64_t now_ns = 40ULL * 365 * 86400 * SEC, ready_ns = 0;

	(void)state;
	allowance_configure(&allowance, CLIENT_RATE_MAX, CLIENT_BURST_MAX, now_ns);
	assert_true(allowance_claim(&allowance, TURN, now_ns) <= now_ns);
	allowance_configure(&allowance, CLIENT_RATE_MIN, CLIENT_BURST_MIN, now_ns);
	for (size_t i = 0; i < 1000000; i++)
		ready_ns = allowance_claim(&allowance, TURN, now_ns - i % 2 * MS);
	assert_true(ready_ns > now_ns && ready_ns < UINT64_MAX / 4);
	for (size_t i = 0; i < 1000000; i++)
		allowance_give_back(&allowance, TURN);
	assert_true(allowance_claim(&allowance, CLIENT_SLOT_BYTES_MIN, now_ns) <= now_ns);
	/* Given back what was never taken: it stops at nothing. */
	allowance_configure(&allowance, CLIENT_RATE_MIN, CLIENT_BURST_MIN, 1);
	allowance_configure(&allowance, CLIENT_RATE_MIN, CLIENT_BURST_MIN * 2, 1);
	for (size_t i = 0; i < 100; i++)
		allowance_give_back(&allowance, TURN);
	assert_true(allowance_claim(&allowance, CLIENT_SLOT_BYTES_MIN, SEC) <= SEC);
}

#define THREADS	 4
#define CLAIMS	 200000
#define THREAD_R 1000000000ULL /* a byte is a nanosecond */

static void *claim_much(void *arg)
{
	struct allowance *allowance = arg;

	for (uint64_t i = 0; i < CLAIMS; i++) {
		allowance_claim(allowance, 1000 + i % 100, START);
		if (i % 3 == 0)
			allowance_give_back(allowance, 500);
	}
	return NULL;
}

/* Nothing of what many threads take at once is lost. */
static void test_threads(void **state)
{
	struct allowance allowance = { 0 };
	pthread_t threads[THREADS];
	uint64_t taken = 0, burst_ns;

	(void)state;
	allowance_configure(&allowance, THREAD_R, 0, START);
	burst_ns = client_read(&allowance.burst_ns);
	assert_int_equal(burst_ns, CLIENT_BURST_MS * MS);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, claim_much, &allowance), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (uint64_t i = 0; i < CLAIMS; i++)
		taken += 1000 + i % 100 - (i % 3 == 0 ? 500 : 0);
	assert_int_equal(client_read(&allowance.earned_ns), START + THREADS * taken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rates, setup, teardown),
		cmocka_unit_test_setup_teardown(test_high_rates, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fair, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_heartbeat, setup, teardown),
		cmocka_unit_test_setup_teardown(test_floor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_burst, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_more, setup, teardown),
		cmocka_unit_test_setup_teardown(test_group, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changes, setup, teardown),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
