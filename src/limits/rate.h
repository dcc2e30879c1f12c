/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token bucket without a lock: so many events a second on average, a second's worth at once.
 */
#ifndef SALLYPORT_LIMITS_RATE_H
#define SALLYPORT_LIMITS_RATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The time at which all that was taken is earned again. Starts as zero. */
struct rate {
	atomic_uint_fast64_t earned_ns;
};

/* One event now; false if there have been too many. `per_second` > 0. Any thread. */
bool rate_take(struct rate *rate, uint64_t per_second, uint64_t now_ns);
/* Whether rate_take() would say yes. */
bool rate_has(const struct rate *rate, uint64_t per_second, uint64_t now_ns);

#endif
