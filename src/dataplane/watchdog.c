/* SPDX-License-Identifier: Apache-2.0 */
/* The watchdog (watchdog.h). Main thread; workers are asked by a message to their loops. */
#include "dataplane/watchdog.h"

#include "base/log.h"
#include "base/notify.h"
#include "base/util.h"

/* Turns in the manager's interval: one may come late and one answer be missing. */
#define TURNS 4

void watchdog_init(struct watchdog *watchdog, uint64_t interval_ns)
{
	*watchdog = (struct watchdog){ .period_ns = interval_ns / TURNS };
}

/* -1: all have answered; else the number of one who has not. */
static int silent_worker(struct worker *const *workers, unsigned int count, bool draining)
{
	for (unsigned int i = 0; i < count; i++)
		if (!worker_answered(workers[i]) && !(draining && worker_ended(workers[i])))
			return (int)i;
	return -1;
}

void watchdog_turn(struct watchdog *watchdog, struct worker *const *workers, unsigned int count,
		   bool draining, uint64_t now_ns)
{
	int silent;

	if (!watchdog->period_ns || now_ns < watchdog->due_ns)
		return;
	watchdog->due_ns = now_ns + watchdog->period_ns;
	silent = silent_worker(workers, count, draining);
	if (silent < 0)
		notify_send("WATCHDOG=1");
	else if (!watchdog->told)
		log_msg(LOG_WARNING, "watchdog",
			"worker %d does not answer: the service manager hears nothing of us until "
			"it does",
			silent);
	watchdog->told = silent >= 0;
	for (unsigned int i = 0; i < count; i++)
		worker_ask(workers[i]);
}
