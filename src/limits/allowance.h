/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes a second that many flows on many threads share, without a lock: a token bucket kept as one
 * number, the time at which all that was taken is earned again.
 *
 * Who wants bytes claims a slot, which is paid at once and begins when it is earned: claims queue
 * up in the order in which they were made, whoever wakes up first. What of a slot is not used is
 * given back.
 */
#ifndef SALLYPORT_LIMITS_ALLOWANCE_H
#define SALLYPORT_LIMITS_ALLOWANCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Starts zeroed: no limit. */
struct allowance {
	atomic_uint_fast64_t earned_ns;
	atomic_uint_fast64_t rate;	 /* bytes a second, 0: no limit */
	atomic_uint_fast64_t burst_ns;	 /* for how long what is not used adds up */
	atomic_uint_fast64_t slot_bytes; /* of a claim … */
	atomic_uint_fast64_t many_bytes; /* … and while there is plenty */
	atomic_uint_fast64_t pace;	 /* bytes a second by which a burst takes a second */
	atomic_uint epoch;		 /* claims of an earlier one are void */
};

/* What `burst` is if nobody has said it, in bytes. */
uint64_t allowance_default_burst(uint64_t rate);
/* `rate` 0: no limit; `burst` 0: the default. Changes nothing if they are what they were; else what
 * is saved up stays, as far as the burst goes, and all claims are void. One thread at a time, while
 * others claim. */
void allowance_configure(struct allowance *allowance, uint64_t rate, uint64_t burst,
			 uint64_t now_ns);

static inline bool allowance_is_limited(const struct allowance *allowance)
{
	return atomic_load_explicit(&allowance->rate, memory_order_relaxed) != 0;
}

/* How much a claim should be for: a slot, or more if there is plenty. UINT64_MAX without a limit.
 */
uint64_t allowance_offer(const struct allowance *allowance, uint64_t now_ns);
/* Takes `bytes`, which may pass from the time on that is returned; 0: no limit. */
uint64_t allowance_claim(struct allowance *allowance, uint64_t bytes, uint64_t now_ns);
/* From when on all that is claimed may have passed: a claim need not wait longer than this, though
 * others that were made before it have been given back. 0: no limit. */
uint64_t allowance_ready_ns(const struct allowance *allowance);
/* Of a claim of this epoch. */
void allowance_give_back(struct allowance *allowance, uint64_t bytes);
/* Bytes that have passed without asking. Of such there is an end to what is owed: it would go on
 * growing where the floor of many is more than the rate. */
void allowance_charge(struct allowance *allowance, uint64_t bytes, uint64_t now_ns);

#endif
