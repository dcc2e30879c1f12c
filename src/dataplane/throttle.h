/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who on a worker waits for the clock because of a limit: a wheel of THROTTLE_TICKS milliseconds
 * with one timer, so that many who wait cost one wake-up a tick, and each of them the same however
 * many there are. Nobody waits longer than a turn of the wheel. The worker's thread.
 */
#ifndef SALLYPORT_DATAPLANE_THROTTLE_H
#define SALLYPORT_DATAPLANE_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "loop/loop.h"

#define THROTTLE_TICKS 1024

/* Embedded in who waits; zero at first. */
struct throttle_entry {
	struct list_node node;
	struct loop_task *task; /* queued when the time has come */
	uint64_t tick;		/* 0: it does not wait */
};

struct throttle {
	struct loop *loop;
	struct loop_timer timer;
	uint64_t armed_tick; /* 0: it is not set */
	uint64_t busy[THROTTLE_TICKS / 64];
	struct list_node slots[THROTTLE_TICKS];
};

void throttle_init(struct throttle *throttle, struct loop *loop);
/* `entry->task` is queued once, not before `until_ns` (loop_now_ns()); moves one that waits. */
void throttle_wait(struct throttle *throttle, struct throttle_entry *entry, uint64_t until_ns);
/* It does not wait any longer; harmless if it did not. */
void throttle_leave(struct throttle *throttle, struct throttle_entry *entry);
void throttle_fini(struct throttle *throttle); /* nobody waits any more */
/* The limits may have changed: everybody looks again. */
void throttle_wake_all(struct throttle *throttle);

#endif
