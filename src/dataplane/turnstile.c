/* SPDX-License-Identifier: Apache-2.0 */
/* The turnstile (turnstile.h): a queue, a task of the loop that empties it slice by slice, and a
 * look at the clock around each step. One worker's thread. */
#include "dataplane/turnstile.h"

#include "base/clock.h"
#include "base/util.h"

static bool slice_is_left(struct turnstile *turnstile)
{
	uint64_t iteration = loop_stats(turnstile->loop)->iterations;

	if (iteration != turnstile->iteration) {
		turnstile->iteration = iteration;
		turnstile->used_ns = 0;
	}
	return turnstile->used_ns < TURNSTILE_SLICE_US * 1000;
}

static struct turnstile_entry *next_turn(const struct turnstile *turnstile)
{
	struct turnstile_entry *oldest =
		container_of(turnstile->waiting.next, struct turnstile_entry, node);
	uint64_t waited_ns = loop_now_ns(turnstile->loop) - oldest->since_ns;

	if (waited_ns < TURNSTILE_PATIENCE_MS * NSEC_PER_MSEC)
		return oldest;
	return container_of(turnstile->waiting.prev, struct turnstile_entry, node);
}

static void on_task(struct loop_task *task)
{
	struct turnstile *turnstile = container_of(task, struct turnstile, task);

	while (!list_empty(&turnstile->waiting) && slice_is_left(turnstile)) {
		struct turnstile_entry *turn = next_turn(turnstile);

		turnstile_leave(turnstile, turn);
		turn->admitted = true;
		turn->go(turn);
	}
	if (!list_empty(&turnstile->waiting))
		loop_task_queue(turnstile->loop, task);
}

void turnstile_init(struct turnstile *turnstile, struct loop *loop)
{
	*turnstile = (struct turnstile){ .loop = loop, .task.run = on_task };
	list_init(&turnstile->waiting);
}

bool turnstile_enter(struct turnstile *turnstile, struct turnstile_entry *turn)
{
	if (turn->waiting)
		return false;
	if (turn->admitted || (list_empty(&turnstile->waiting) && slice_is_left(turnstile))) {
		turn->admitted = false;
		if (turnstile->depth++ == 0)
			turnstile->entered_ns = clock_monotonic_ns();
		return true;
	}
	turn->waiting = true;
	turn->since_ns = loop_now_ns(turnstile->loop);
	list_append(&turnstile->waiting, &turn->node);
	loop_task_queue(turnstile->loop, &turnstile->task);
	return false;
}

void turnstile_done(struct turnstile *turnstile)
{
	if (--turnstile->depth == 0)
		turnstile->used_ns += clock_monotonic_ns() - turnstile->entered_ns;
}

void turnstile_leave(struct turnstile *turnstile, struct turnstile_entry *turn)
{
	(void)turnstile;
	if (!turn->waiting)
		return;
	turn->waiting = false;
	list_remove(&turn->node);
}
