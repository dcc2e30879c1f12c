/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers of the loop: a binary min-heap over the owners' struct loop_timer, which know their place
 * in it, so that moving and cancelling cost a few steps and no search. An entry has a copy of the
 * deadline: sifting does not touch the timers' own cache lines but to tell them their place.
 *
 * The loop's thread only. Timers belong to their owners; the array is the loop's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "loop/loop_backend.h"

#define TIMERS_MIN 64u

static void timer_place(struct loop *loop, uint32_t at, struct loop_timer_entry entry)
{
	loop->timers[at] = entry;
	entry.timer->heap_index = at;
}

static void timer_sift_up(struct loop *loop, uint32_t at, struct loop_timer_entry entry)
{
	while (at > 1 && loop->timers[at / 2].key_ns > entry.key_ns) {
		timer_place(loop, at, loop->timers[at / 2]);
		at /= 2;
	}
	timer_place(loop, at, entry);
}

static void timer_sift_down(struct loop *loop, uint32_t at, struct loop_timer_entry entry)
{
	for (;;) {
		uint32_t child = at * 2;

		if (child > loop->timer_count)
			break;
		if (child < loop->timer_count &&
		    loop->timers[child + 1].key_ns < loop->timers[child].key_ns)
			child++;
		if (loop->timers[child].key_ns >= entry.key_ns)
			break;
		timer_place(loop, at, loop->timers[child]);
		at = child;
	}
	timer_place(loop, at, entry);
}

static void timer_sift(struct loop *loop, uint32_t at, struct loop_timer_entry entry)
{
	if (at > 1 && loop->timers[at / 2].key_ns > entry.key_ns)
		timer_sift_up(loop, at, entry);
	else
		timer_sift_down(loop, at, entry);
}

int loop_timers_reserve(struct loop *loop, uint32_t count)
{
	struct loop_timer_entry *timers;
	uint32_t capacity = MAX(loop->timer_capacity, TIMERS_MIN);

	if (count < loop->timer_capacity)
		return 0;
	while (capacity <= count)
		capacity *= 2;
	timers = realloc(loop->timers, capacity * sizeof(*timers));
	if (!timers)
		return -ENOMEM;
	loop->timers = timers;
	loop->timer_capacity = capacity;
	return 0;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns)
{
	/* Later than now, so that a timer that sets itself to the past from its own callback is due
	 * in the next turn, not in this one for ever. */
	struct loop_timer_entry entry = { MAX(deadline_ns, loop->now_ns + 1), timer };

	timer->deadline_ns = deadline_ns;
	if (timer->heap_index) {
		timer_sift(loop, timer->heap_index, entry);
		return;
	}
	/* Room was made when watches were started, where failing is possible; a program with many
	 * more timers than that has no way to go on without memory. */
	if (loop_timers_reserve(loop, loop->timer_count + 1) < 0) {
		fputs("sallyport: no memory for a timer\n", stderr);
		abort();
	}
	timer_sift_up(loop, ++loop->timer_count, entry);
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	uint32_t at = timer->heap_index;
	struct loop_timer_entry last;

	if (!at)
		return;
	timer->heap_index = 0;
	last = loop->timers[loop->timer_count--];
	if (last.timer != timer)
		timer_sift(loop, at, last);
}

void loop_timers_expire(struct loop *loop)
{
	while (loop->timer_count && loop->timers[1].key_ns <= loop->now_ns) {
		struct loop_timer *timer = loop->timers[1].timer;

		loop_timer_cancel(loop, timer);
		timer->on_fire(timer);
	}
}
