/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager's watchdog, fed by the workers: it hears of us only as long as each worker's
 * loop answers. Main thread.
 */
#ifndef SALLYPORT_DATAPLANE_WATCHDOG_H
#define SALLYPORT_DATAPLANE_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/worker.h"

struct watchdog {
	uint64_t period_ns; /* 0: nobody wants to hear */
	uint64_t due_ns;    /* the next turn */
	bool told;	    /* the log, of a worker that does not answer */
};

/* `interval_ns`: within which the manager must have heard of us; 0: there is no watchdog. */
void watchdog_init(struct watchdog *watchdog, uint64_t interval_ns);
/* When due: says WATCHDOG=1 if all workers have answered since the last turn, and asks them anew.
 * `draining`: who has ended by himself is not missed. */
void watchdog_turn(struct watchdog *watchdog, struct worker *const *workers, unsigned int count,
		   bool draining, uint64_t now_ns);

#endif
