/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for threads, bounded, and never by the time of day.
 */
#ifndef SALLYPORT_BASE_THREAD_H
#define SALLYPORT_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

/* A condition whose waits end by CLOCK_MONOTONIC; for pthread_cond_destroy(). */
void thread_cond_init(pthread_cond_t *cond);
/* When such a wait ends that begins now; by the real clock, also where a test has a fake one. */
struct timespec thread_deadline(unsigned int ms);
/* Joins `thread` if it ends within about so long; false: it is still there. */
bool thread_join_within(pthread_t thread, unsigned int ms);

#endif
