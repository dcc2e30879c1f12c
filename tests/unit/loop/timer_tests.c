/* SPDX-License-Identifier: Apache-2.0 */
/* Timers: never early, in order, once; moving and cancelling at any time, against a plain model. */
#include "unit/loop/fixture.h"

#include <stdlib.h>

struct test_timer {
	struct loop_timer timer;
	struct fixture *fx;
	unsigned fired;
	uint64_t deadline_ns; /* what the model expects; 0: not set */
	struct test_timer *victim;
};

static uint64_t last_deadline_ns;
static unsigned fired_total, expected_total;

static void timer_expected(struct loop_timer *timer)
{
	struct test_timer *t = container_of(timer, struct test_timer, timer);

	t->fired++;
	fired_total++;
	assert_true(t->deadline_ns);
	assert_true(loop_now_ns(t->fx->loop) >= t->deadline_ns);
	assert_int_equal(timer->heap_index, 0);
	assert_true(t->deadline_ns >= last_deadline_ns);
	last_deadline_ns = t->deadline_ns;
	t->deadline_ns = 0;
	if (fired_total == expected_total)
		loop_stop(t->fx->loop);
}

static void random_timers_against_a_model(void **state)
{
	enum { COUNT = 10000 };
	struct fixture *fx = *state;
	struct test_timer *timers;
	uint64_t base;

	if (!fx)
		skip();
	timers = calloc(COUNT, sizeof(*timers));
	srandom(7);
	last_deadline_ns = fired_total = expected_total = 0;
	base = clock_monotonic_ns() + 20 * NSEC_PER_MSEC;
	for (int step = 0; step < COUNT * 4; step++) {
		struct test_timer *t = &timers[random() % COUNT];

		t->fx = fx;
		t->timer.on_fire = timer_expected;
		if (random() % 4 == 0) {
			loop_timer_cancel(fx->loop, &t->timer);
			t->deadline_ns = 0;
		} else {
			t->deadline_ns = base + (uint64_t)random() % (50 * NSEC_PER_MSEC);
			loop_timer_set(fx->loop, &t->timer, t->deadline_ns);
		}
	}
	for (int i = 0; i < COUNT; i++)
		expected_total += timers[i].deadline_ns != 0;
	assert_true(expected_total > COUNT / 2);
	fixture_run(fx);
	assert_int_equal(fired_total, expected_total);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(timers[i].deadline_ns, 0);
	free(timers);
}

static void fire_and_set_to_the_past(struct loop_timer *timer)
{
	struct test_timer *t = container_of(timer, struct test_timer, timer);

	if (++t->fired < 100)
		loop_timer_set(t->fx->loop, timer, t->fired % 2 ? 1 : loop_now_ns(t->fx->loop));
	else
		loop_stop(t->fx->loop);
}

static void timer_set_to_the_past_fires_once_a_turn(void **state)
{
	struct fixture *fx = *state;
	struct test_timer t = { .timer.on_fire = fire_and_set_to_the_past, .fx = fx };
	uint64_t turns;

	if (!fx)
		skip();
	turns = loop_stats(fx->loop)->iterations;
	loop_timer_set(fx->loop, &t.timer, 1);
	fixture_run(fx);
	assert_int_equal(t.fired, 100);
	assert_true(loop_stats(fx->loop)->iterations - turns >= 100);
}

static void fire_and_cancel_victim(struct loop_timer *timer)
{
	struct test_timer *t = container_of(timer, struct test_timer, timer);

	t->fired++;
	loop_timer_cancel(t->fx->loop, &t->victim->timer);
	loop_timer_cancel(t->fx->loop, timer);
}

static void cancel_in_callback(void **state)
{
	struct fixture *fx = *state;
	struct test_timer a = { .timer.on_fire = fire_and_cancel_victim, .fx = fx };
	struct test_timer b = a;

	if (!fx)
		skip();
	/* Both are due in the same turn; whichever fires first cancels the other. */
	a.victim = &b;
	b.victim = &a;
	loop_timer_set(fx->loop, &a.timer, 1);
	loop_timer_set(fx->loop, &b.timer, 1);
	fixture_turns(fx, 3);
	assert_int_equal(a.fired + b.fired, 1);
	assert_int_equal(a.timer.heap_index, 0);
	assert_int_equal(b.timer.heap_index, 0);
	loop_timer_cancel(fx->loop, &a.timer);
}

static void moving_a_timer_replaces_its_deadline(void **state)
{
	struct fixture *fx = *state;
	struct test_timer t = { .timer.on_fire = timer_expected, .fx = fx };

	if (!fx)
		skip();
	last_deadline_ns = fired_total = 0;
	expected_total = 1;
	loop_timer_set(fx->loop, &t.timer, 1);
	t.deadline_ns = clock_monotonic_ns() + 5 * NSEC_PER_MSEC;
	loop_timer_set(fx->loop, &t.timer, t.deadline_ns);
	fixture_run(fx);
	assert_int_equal(t.fired, 1);
}

static void stop_on_fire(struct loop_timer *timer)
{
	struct test_timer *t = container_of(timer, struct test_timer, timer);

	loop_stop(t->fx->loop);
}

static void idle_loop_makes_no_turns(void **state)
{
	struct fixture *fx = *state;
	struct test_timer t = { .timer.on_fire = stop_on_fire, .fx = fx };
	uint64_t turns;

	if (!fx)
		skip();
	fixture_turns(fx, 3);
	turns = loop_stats(fx->loop)->iterations;
	loop_timer_set(fx->loop, &t.timer, clock_monotonic_ns() + 100 * NSEC_PER_MSEC);
	fixture_run(fx);
	/* One for the timer, one for the wake-up that the last stop left behind, and a few for
	 * EINTR: the kernel takes down the rings of earlier tests on this thread when it likes. */
	assert_true(loop_stats(fx->loop)->iterations - turns <= 10);
}

const struct CMUnitTest timer_tests[] = {
	BOTH(random_timers_against_a_model),
	BOTH(timer_set_to_the_past_fires_once_a_turn),
	BOTH(cancel_in_callback),
	BOTH(moving_a_timer_replaces_its_deadline),
	BOTH(idle_loop_makes_no_turns),
};
const size_t timer_test_count = ARRAY_SIZE(timer_tests);
