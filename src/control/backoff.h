/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When to try again what has failed, so that many instances do not come back at the same moment:
 * exponential with full jitter (the wait is anything between nothing and a bound that doubles), no
 * sooner than the server asked for. And the circuit breaker of a source: while it is out of order,
 * one request in a while finds out whether it is back, whoever else waits.
 *
 * Pure: the time is the caller's, in nanoseconds of a clock that does not jump.
 */
#ifndef SALLYPORT_CONTROL_BACKOFF_H
#define SALLYPORT_CONTROL_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

#include "control/jitter.h"

/* How long there is: where nothing is lost by it, the first retry is put off by a good share of the
 * time that is left. */
struct backoff_bounds {
	uint64_t first_ns; /* bound of the first wait */
	uint64_t last_ns;  /* … of any; no less than first_ns */
};

struct backoff {
	unsigned int failures; /* in a row */
	uint64_t not_before_ns;
};

/* Something that must be had at once: a second, and up to a minute. */
struct backoff_bounds backoff_urgent(void);
/* What we have is good for another `left_ns`: seven eighths of that, a second at least and
 * BACKOFF_MAX_NS at most. So there is always another try before the end, and who waits together
 * comes back as far apart as can be. */
#define BACKOFF_MAX_NS (2 * 3600 * 1000000000ULL)
struct backoff_bounds backoff_while_good(uint64_t left_ns);

/* `retry_after_ns`: what the server asked for, 0: nothing; more than an hour is taken for one. */
void backoff_failed(struct backoff *backoff, struct backoff_bounds bounds, uint64_t retry_after_ns,
		    struct jitter *jitter, uint64_t now_ns);
void backoff_succeeded(struct backoff *backoff);
bool backoff_allows(const struct backoff *backoff, uint64_t now_ns);

#define BREAKER_FAILURES 3 /* in a row open it */

struct breaker {
	struct backoff backoff;
	bool probing; /* it is open, and a request is under way that will tell */
};

bool breaker_is_open(const struct breaker *breaker);
/* Whether a request may be made; who then makes one calls breaker_begin(), and tells how it went,
 * or that it was given up. */
bool breaker_allows(const struct breaker *breaker, uint64_t now_ns);
void breaker_begin(struct breaker *breaker);
void breaker_succeeded(struct breaker *breaker);
void breaker_failed(struct breaker *breaker, uint64_t retry_after_ns, struct jitter *jitter,
		    uint64_t now_ns);
void breaker_given_up(struct breaker *breaker);
/* When to ask again; 0: now. */
uint64_t breaker_due_ns(const struct breaker *breaker);

#endif
