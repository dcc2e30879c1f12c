/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for threads (thread.h). The call that is made for joining waits until a time of day: set
 * back meanwhile, the clock would make a moment of it as long as you like. So: look, and sleep a
 * little. No state; any thread.
 */
#include "base/thread.h"

#include <poll.h>

#include "base/util.h"

#define PAUSE_MS 5

void thread_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t clock;

	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &clock);
	pthread_condattr_destroy(&clock);
}

struct timespec thread_deadline(unsigned int ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * (long)NSEC_PER_MSEC;
	until.tv_sec += until.tv_nsec / (long)NSEC_PER_SEC;
	until.tv_nsec %= (long)NSEC_PER_SEC;
	return until;
}

bool thread_join_within(pthread_t thread, unsigned int ms)
{
	for (unsigned int waited = 0; pthread_tryjoin_np(thread, NULL) != 0; waited += PAUSE_MS) {
		if (waited >= ms)
			return false;
		poll(NULL, 0, PAUSE_MS);
	}
	return true;
}
