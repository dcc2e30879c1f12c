/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for threads, bounded.
 */
#ifndef SALLYPORT_BASE_THREAD_H
#define SALLYPORT_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Joins `thread` if it ends within about so long; false: it is still there. */
bool thread_join_within(pthread_t thread, unsigned int ms);

#endif
