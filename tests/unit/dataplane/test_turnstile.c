/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The share of handshakes, on a loop whose turns the test takes and a clock that moves only while a
 * step is "worked" at.
 */
#include "unit/dataplane/rig.h"

#include "dataplane/turnstile.h"

#define STEPS_MAX 64

struct queue;

struct stepper {
	struct turnstile_entry turn;
	struct queue *queue;
	unsigned int number;
};

struct queue {
	struct rig rig;
	struct turnstile *turnstile;
	struct loop_task relay; /* stands for live connections: takes its turn whenever it can */
	struct stepper steppers[STEPS_MAX];
	uint64_t cost_us;
	unsigned int order[STEPS_MAX], done;
	unsigned int relay_turns, steps_since_relay, most_steps_since_relay;
};

static void work(struct stepper *stepper)
{
	struct queue *q = stepper->queue;

	if (!turnstile_enter(q->turnstile, &stepper->turn))
		return;
	q->rig.clock.monotonic_ns += q->cost_us * 1000;
	q->order[q->done++] = stepper->number;
	q->steps_since_relay++;
	q->most_steps_since_relay = MAX(q->most_steps_since_relay, q->steps_since_relay);
	turnstile_done(q->turnstile);
}

static void on_go(struct turnstile_entry *turn)
{
	work(container_of(turn, struct stepper, turn));
}

static void on_relay(struct loop_task *task)
{
	struct queue *q = container_of(task, struct queue, relay);

	q->relay_turns++;
	q->steps_since_relay = 0;
	loop_task_queue(q->rig.worker.loop, task);
}

static int setup(void **state)
{
	struct queue *q = calloc(1, sizeof(*q));

	rig_init(&q->rig);
	q->turnstile = &q->rig.worker.turnstile;
	q->relay.run = on_relay;
	for (unsigned int i = 0; i < STEPS_MAX; i++)
		q->steppers[i] = (struct stepper){ .turn.go = on_go, .queue = q, .number = i };
	*state = q;
	return 0;
}

static int teardown(void **state)
{
	struct queue *q = *state;
	bool empty = list_empty(&q->turnstile->waiting);

	loop_task_cancel(q->rig.worker.loop, &q->relay);
	loop_task_cancel(q->rig.worker.loop, &q->turnstile->task);
	rig_fini(&q->rig);
	free(q);
	return empty ? 0 : -1;
}

static void come(struct queue *q, unsigned int from, unsigned int to)
{
	for (unsigned int i = from; i < to; i++)
		work(&q->steppers[i]);
}

/* A slice's worth of steps is done in place; who comes later waits. */
static void test_slice(void **state)
{
	struct queue *q = *state;

	q->cost_us = TURNSTILE_SLICE_US / 4;
	come(q, 0, 10);
	assert_int_equal(q->done, 4);
	rig_turns(&q->rig, 2);
	assert_true(q->done >= 8);
	rig_turns(&q->rig, 4);
	assert_int_equal(q->done, 10);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(q->order[i], i);
}

/* Steps that are longer than the slice: one a turn of the loop, no fewer, no more; live connections
 * have a turn between any two. */
static void test_relay_between_steps(void **state)
{
	struct queue *q = *state;

	q->cost_us = 3 * TURNSTILE_SLICE_US;
	loop_task_queue(q->rig.worker.loop, &q->relay);
	come(q, 0, 50);
	assert_int_equal(q->done, 1);
	while (q->done < 50) {
		unsigned int done = q->done;

		rig_turns(&q->rig, 2);
		assert_true(q->done > done);
	}
	assert_int_equal(q->most_steps_since_relay, 1);
	assert_true(q->relay_turns >= 49);
}

/* Cheap steps do not wait for anybody. */
static void test_cheap(void **state)
{
	struct queue *q = *state;

	come(q, 0, STEPS_MAX);
	assert_int_equal(q->done, STEPS_MAX);
}

/* Nobody overtakes while the queue is short. */
static void test_oldest_first(void **state)
{
	struct queue *q = *state;

	q->cost_us = 2 * TURNSTILE_SLICE_US;
	come(q, 0, 5);
	rig_turns(&q->rig, 2);
	q->cost_us = 0;
	come(q, 5, 6); /* cheap, and others wait */
	rig_turns(&q->rig, 10);
	assert_int_equal(q->done, 6);
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(q->order[i], i);
}

/* When the oldest has waited for too long, who has just come is served, and it later. */
static void test_newest_first_under_overload(void **state)
{
	struct queue *q = *state;

	q->cost_us = 2 * TURNSTILE_SLICE_US;
	come(q, 0, 4); /* 0 is served */
	q->rig.clock.monotonic_ns += TURNSTILE_PATIENCE_MS * NSEC_PER_MSEC;
	come(q, 4, 6);
	rig_turns(&q->rig, 20);
	assert_int_equal(q->done, 6);
	for (unsigned int i = 1; i < 6; i++)
		assert_int_equal(q->order[i], 6 - i);
}

/* Who has left is not called, and does not hold the others up. */
static void test_leave(void **state)
{
	struct queue *q = *state;

	q->cost_us = 2 * TURNSTILE_SLICE_US;
	come(q, 0, 5);
	turnstile_leave(q->turnstile, &q->steppers[1].turn);
	turnstile_leave(q->turnstile, &q->steppers[4].turn);
	turnstile_leave(q->turnstile, &q->steppers[4].turn);
	come(q, 2, 3); /* asks again while it waits */
	rig_turns(&q->rig, 10);
	assert_int_equal(q->done, 3);
	assert_int_equal(q->order[1], 2);
	assert_int_equal(q->order[2], 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_slice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_relay_between_steps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cheap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_oldest_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_newest_first_under_overload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leave, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
