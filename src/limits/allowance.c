/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bucket (allowance.h) is the generic cell rate algorithm: `earned_ns` moves on by the price of
 * what is taken, never from before now, and a claim begins when it is no further ahead than the
 * burst. Times are monotonic nanoseconds; a price is rounded to one of them. Any thread.
 */
#include "limits/allowance.h"

#include "base/util.h"
#include "limits/limits.h"

/* With a longer queue of claims, what all who wait in it may move on the floor is more than the
 * rate as it is. */
#define DEBT_NS (CLIENT_FLOOR_MS * NSEC_PER_MSEC * (CLIENT_SLOT_BYTES_MIN / CLIENT_FLOOR_BYTES))

static uint64_t load(const atomic_uint_fast64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

/* Rounded to the nearest, so that many small prices add up to that of the whole. `bytes` up to
 * CLIENT_BURST_MAX need more than 64 bits on their way. */
static uint64_t price_ns(uint64_t bytes, uint64_t rate)
{
	if (bytes <= UINT64_MAX / NSEC_PER_SEC - 1)
		return (bytes * NSEC_PER_SEC + rate / 2) / rate;
	return (uint64_t)((unsigned __int128)bytes * NSEC_PER_SEC / rate);
}

static uint64_t worth_bytes(uint64_t ns, uint64_t rate)
{
	return (uint64_t)((unsigned __int128)ns * rate / NSEC_PER_SEC);
}

uint64_t allowance_default_burst(uint64_t rate)
{
	return MAX(rate * CLIENT_BURST_MS / 1000, CLIENT_BURST_MIN);
}

/* What is saved up now, and no debt: that is of claims. */
static uint64_t saved_bytes(const struct allowance *allowance, uint64_t rate, uint64_t now_ns)
{
	uint64_t full_ns = now_ns + load(&allowance->burst_ns);
	uint64_t earned_ns = MAX(load(&allowance->earned_ns), now_ns);

	return earned_ns < full_ns ? worth_bytes(full_ns - earned_ns, rate) : 0;
}

void allowance_configure(struct allowance *allowance, uint64_t rate, uint64_t burst,
			 uint64_t now_ns)
{
	uint64_t before = load(&allowance->rate), saved, burst_ns = 0, slot = 0, many = 0;

	if (rate) {
		burst = burst ? burst : allowance_default_burst(rate);
		burst_ns = price_ns(burst, rate);
		slot = MAX(MIN(rate * CLIENT_SLOT_MS / 1000, burst / 4),
			   (uint64_t)CLIENT_SLOT_BYTES_MIN);
		many = MAX(MIN(burst / 2, (uint64_t)RELAY_TURN_BYTES_MAX), slot);
	}
	if (rate == before && burst_ns == load(&allowance->burst_ns))
		return;
	/* Without a limit before there is all that can be saved. */
	saved = before ? MIN(saved_bytes(allowance, before, now_ns), burst) : burst;
	atomic_fetch_add_explicit(&allowance->epoch, 1, memory_order_relaxed);
	atomic_store_explicit(&allowance->slot_bytes, slot, memory_order_relaxed);
	atomic_store_explicit(&allowance->pace, rate + burst, memory_order_relaxed);
	atomic_store_explicit(&allowance->many_bytes, many, memory_order_relaxed);
	atomic_store_explicit(&allowance->burst_ns, burst_ns, memory_order_relaxed);
	atomic_store_explicit(&allowance->earned_ns,
			      rate ? now_ns + burst_ns - MIN(price_ns(saved, rate), burst_ns) : 0,
			      memory_order_relaxed);
	atomic_store_explicit(&allowance->rate, rate, memory_order_relaxed);
}

uint64_t allowance_offer(const struct allowance *allowance, uint64_t now_ns)
{
	if (!allowance_is_limited(allowance))
		return UINT64_MAX;
	/* Where there is plenty nobody waits, and large claims are cheaper. */
	return load(&allowance->earned_ns) < now_ns + load(&allowance->burst_ns) / 2
		       ? load(&allowance->many_bytes)
		       : load(&allowance->slot_bytes);
}

uint64_t allowance_claim(struct allowance *allowance, uint64_t bytes, uint64_t now_ns)
{
	uint_fast64_t earned_ns = atomic_load_explicit(&allowance->earned_ns, memory_order_relaxed);
	uint64_t rate = load(&allowance->rate), burst_ns = load(&allowance->burst_ns), after_ns;

	if (!rate)
		return 0;
	do {
		after_ns = MAX((uint64_t)earned_ns, now_ns) + price_ns(bytes, rate);
	} while (!atomic_compare_exchange_weak_explicit(&allowance->earned_ns, &earned_ns, after_ns,
							memory_order_relaxed,
							memory_order_relaxed));
	return after_ns > burst_ns ? after_ns - burst_ns : 0;
}

uint64_t allowance_ready_ns(const struct allowance *allowance)
{
	uint64_t earned_ns = load(&allowance->earned_ns), burst_ns = load(&allowance->burst_ns);

	return allowance_is_limited(allowance) && earned_ns > burst_ns ? earned_ns - burst_ns : 0;
}

void allowance_give_back(struct allowance *allowance, uint64_t bytes)
{
	uint_fast64_t earned_ns = atomic_load_explicit(&allowance->earned_ns, memory_order_relaxed);
	uint64_t rate = load(&allowance->rate), price;

	if (!rate)
		return;
	price = price_ns(bytes, rate);
	while (!atomic_compare_exchange_weak_explicit(&allowance->earned_ns, &earned_ns,
						      earned_ns - MIN((uint64_t)earned_ns, price),
						      memory_order_relaxed, memory_order_relaxed))
		;
}

void allowance_charge(struct allowance *allowance, uint64_t bytes, uint64_t now_ns)
{
	if (load(&allowance->earned_ns) < now_ns + load(&allowance->burst_ns) + DEBT_NS)
		allowance_claim(allowance, bytes, now_ns);
}
