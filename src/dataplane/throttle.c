/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wheel (throttle.h): a list for each millisecond of the next second or so, and a bit for each
 * list that is not empty. The timer is set to the first of them; one that goes off too early,
 * because who it was for has left, does no harm.
 */
#include "dataplane/throttle.h"

#include "base/util.h"

#define TICK_NS NSEC_PER_MSEC

static void on_timer(struct loop_timer *timer);

void throttle_init(struct throttle *throttle, struct loop *loop)
{
	*throttle = (struct throttle){ .loop = loop, .timer.on_fire = on_timer };
	for (size_t i = 0; i < THROTTLE_TICKS; i++)
		list_init(&throttle->slots[i]);
}

void throttle_fini(struct throttle *throttle)
{
	loop_timer_cancel(throttle->loop, &throttle->timer);
}

static void arm(struct throttle *throttle, uint64_t tick)
{
	throttle->armed_tick = tick;
	loop_timer_set(throttle->loop, &throttle->timer, tick * TICK_NS);
}

void throttle_leave(struct throttle *throttle, struct throttle_entry *entry)
{
	size_t slot = entry->tick % THROTTLE_TICKS;

	if (!entry->tick)
		return;
	entry->tick = 0;
	list_remove(&entry->node);
	if (list_empty(&throttle->slots[slot]))
		throttle->busy[slot / 64] &= ~(1ULL << (slot % 64));
}

void throttle_wait(struct throttle *throttle, struct throttle_entry *entry, uint64_t until_ns)
{
	uint64_t now_tick = loop_now_ns(throttle->loop) / TICK_NS;
	uint64_t tick = (until_ns + TICK_NS - 1) / TICK_NS;
	size_t slot;

	tick = MIN(MAX(tick, now_tick + 1), now_tick + THROTTLE_TICKS - 1);
	if (entry->tick == tick)
		return;
	throttle_leave(throttle, entry);
	slot = tick % THROTTLE_TICKS;
	entry->tick = tick;
	list_append(&throttle->slots[slot], &entry->node);
	throttle->busy[slot / 64] |= 1ULL << (slot % 64);
	if (!throttle->armed_tick || tick < throttle->armed_tick)
		arm(throttle, tick);
}

/* Those in a slot whose tick has come. */
static void wake_slot(struct throttle *throttle, size_t slot, uint64_t now_tick)
{
	struct list_node *it, *next;

	list_for_each_safe (it, next, &throttle->slots[slot]) {
		struct throttle_entry *entry = container_of(it, struct throttle_entry, node);

		if (entry->tick > now_tick)
			continue;
		throttle_leave(throttle, entry);
		loop_task_queue(throttle->loop, entry->task);
	}
}

/* The first slot that is not empty at `from` or after it, around the wheel; THROTTLE_TICKS: none.
 */
static size_t next_busy(const struct throttle *throttle, size_t from)
{
	for (size_t n = 0; n <= ARRAY_SIZE(throttle->busy); n++) {
		size_t word = (from / 64 + n) % ARRAY_SIZE(throttle->busy);
		uint64_t bits = throttle->busy[word];

		if (n == 0)
			bits &= ~0ULL << (from % 64);
		else if (n == ARRAY_SIZE(throttle->busy))
			bits &= ~(~0ULL << (from % 64));
		if (bits)
			return word * 64 + (size_t)__builtin_ctzll(bits);
	}
	return THROTTLE_TICKS;
}

static void on_timer(struct loop_timer *timer)
{
	struct throttle *throttle = container_of(timer, struct throttle, timer);
	uint64_t now_tick = loop_now_ns(throttle->loop) / TICK_NS, tick = throttle->armed_tick;
	size_t slot;

	/* All who waited were due within one turn of the wheel from where it stood. */
	for (uint64_t end = MIN(now_tick, tick + THROTTLE_TICKS - 1); tick <= end; tick++)
		wake_slot(throttle, tick % THROTTLE_TICKS, now_tick);
	throttle->armed_tick = 0;
	slot = next_busy(throttle, (now_tick + 1) % THROTTLE_TICKS);
	if (slot < THROTTLE_TICKS)
		arm(throttle, now_tick + 1 +
				      (slot + THROTTLE_TICKS - (now_tick + 1) % THROTTLE_TICKS) %
					      THROTTLE_TICKS);
}

void throttle_wake_all(struct throttle *throttle)
{
	for (size_t slot = 0; slot < THROTTLE_TICKS; slot++)
		wake_slot(throttle, slot, UINT64_MAX);
}
