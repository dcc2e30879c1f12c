/* SPDX-License-Identifier: Apache-2.0 */
/* The bucket (rate.h) is one number, the "theoretical arrival time" of the generic cell rate
 * algorithm; threads race for it by compare and swap. */
#include "limits/rate.h"

#include "base/util.h"

bool rate_take(struct rate *rate, uint64_t per_second, uint64_t now_ns)
{
	uint64_t each_ns = MAX(NSEC_PER_SEC / per_second, (uint64_t)1), from_ns;
	uint_fast64_t earned_ns = atomic_load_explicit(&rate->earned_ns, memory_order_relaxed);

	do {
		from_ns = MAX((uint64_t)earned_ns, now_ns);
		if (from_ns - now_ns > NSEC_PER_SEC - each_ns)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&rate->earned_ns, &earned_ns,
							from_ns + each_ns, memory_order_relaxed,
							memory_order_relaxed));
	return true;
}
