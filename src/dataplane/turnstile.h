/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's share of time for those who are not in yet: accepts and handshakes. A step of these
 * costs up to a millisecond where a turn of the relay costs microseconds; without a bound a storm
 * of them would keep live connections waiting for all of it. So each turn of the loop has a slice
 * for them: who comes when it is used up waits, and relays have had their turn before it is looked
 * at again. At least one step is done in every turn, so that nothing is lost while nothing else is
 * to do.
 *
 * Who is next: the oldest, as is fair; but once somebody has waited for TURNSTILE_PATIENCE_MS there
 * are more than can be served, and then the newest. Served in order, all would wait for longer than
 * clients do, and every step would be for somebody who has left; so some are served at once, and
 * the others meet their deadline.
 */
#ifndef SALLYPORT_DATAPLANE_TURNSTILE_H
#define SALLYPORT_DATAPLANE_TURNSTILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "loop/loop.h"

#define TURNSTILE_SLICE_US    500  /* of each turn of the loop */
#define TURNSTILE_PATIENCE_MS 1000 /* a client's, more or less */

/* Somebody who may have to wait; embedded, zero at first. */
struct turnstile_entry {
	/* It is the turn's turn: turnstile_enter() says yes now. May free it. */
	void (*go)(struct turnstile_entry *turn);
	struct list_node node;
	uint64_t since_ns;
	bool waiting, admitted;
};

struct turnstile {
	struct loop *loop;
	struct list_node waiting; /* oldest first */
	struct loop_task task;
	uint64_t iteration, used_ns; /* of the slice, in this turn of the loop */
	uint64_t entered_ns;
	unsigned int depth; /* a step may begin another one's: the time is the outer's */
};

void turnstile_init(struct turnstile *turnstile, struct loop *loop);
/* True: do a step now, and turnstile_done() after it. False: `turn` waits (or did so already),
 * and its go() will be called. */
bool turnstile_enter(struct turnstile *turnstile, struct turnstile_entry *turn);
void turnstile_done(struct turnstile *turnstile);
/* It does not wait any longer; harmless if it did not. */
void turnstile_leave(struct turnstile *turnstile, struct turnstile_entry *turn);

#endif
