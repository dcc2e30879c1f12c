/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often a kind of line may be written: so many a second, and after a quiet time a burst of ten
 * seconds' worth at once. What is more is counted. Lock-free: any thread may ask at any time.
 */
#ifndef SALLYPORT_BASE_LOG_LIMIT_H
#define SALLYPORT_BASE_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_BURST_SECONDS 10

/* Lines a second of one kind; 0: no limit. */
void log_limit_set_rate(unsigned int per_second);
/* Whether a line of this kind may be written now; if not, it is counted. `event` is a literal, as
 * all events are: it is kept. */
bool log_limit_allows(const char *event);
/* Calls `tell` for each kind of which lines were suppressed since the last call. */
void log_limit_collect(void (*tell)(const char *event, uint64_t count));
/* Suppressed since the start, all kinds. */
uint64_t log_limit_suppressed(void);

#endif
