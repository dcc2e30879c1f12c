/* SPDX-License-Identifier: Apache-2.0 */
/* The bucket (rate.h) is one number, the "theoretical arrival time" of the generic cell rate
 * algorithm; threads race for it by compare and swap. */
#include "limits/rate.h"

#include "base/util.h"

static uint64_t each_ns_of(uint64_t per_second)
{
	return MAX(NSEC_PER_SEC / per_second, (uint64_t)1);
}

static bool has_room(uint64_t from_ns, uint64_t each_ns, uint64_t now_ns)
{
	return from_ns - now_ns <= NSEC_PER_SEC - each_ns;
}

bool rate_has(const struct rate *rate, uint64_t per_second, uint64_t now_ns)
{
	uint64_t earned_ns = atomic_load_explicit(&rate->earned_ns, memory_order_relaxed);

	return has_room(MAX(earned_ns, now_ns), each_ns_of(per_second), now_ns);
}

bool rate_take(struct rate *rate, uint64_t per_second, uint64_t now_ns)
{
	uint64_t each_ns = each_ns_of(per_second), from_ns;
	uint_fast64_t earned_ns = atomic_load_explicit(&rate->earned_ns, memory_order_relaxed);

	do {
		from_ns = MAX((uint64_t)earned_ns, now_ns);
		if (!has_room(from_ns, each_ns, now_ns))
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&rate->earned_ns, &earned_ns,
							from_ns + each_ns, memory_order_relaxed,
							memory_order_relaxed));
	return true;
}
