/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limiter (log_limit.h). A kind is one number: the moment at which its allowance will be whole
 * again. A line moves it on by a line's share of a second, and is allowed while it is not further
 * ahead of now than a burst. Kinds are found by their event's name in a small table that only
 * grows; all of it is atomics, shared by all threads.
 */
#include "base/log_limit.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"

#define KINDS_MAX 64 /* a power of two, well above the number of events in the program */

struct kind {
	_Atomic(const char *) event;
	atomic_uint_fast64_t whole_ns; /* monotonic */
	atomic_uint_fast64_t suppressed;
};

static struct kind kinds[KINDS_MAX];
static atomic_uint rate;
static atomic_uint_fast64_t suppressed_total;

void log_limit_set_rate(unsigned int per_second)
{
	atomic_store_explicit(&rate, per_second, memory_order_relaxed);
}

static unsigned int hash_of(const char *event)
{
	unsigned int hash = 5381;

	for (; *event; event++)
		hash = hash * 33 + (unsigned char)*event;
	return hash;
}

/* NULL: the table is full, and this kind goes without a limit. */
static struct kind *kind_of(const char *event)
{
	unsigned int at = hash_of(event);

	for (unsigned int i = 0; i < KINDS_MAX; i++) {
		struct kind *kind = &kinds[(at + i) % KINDS_MAX];
		const char *name = atomic_load_explicit(&kind->event, memory_order_relaxed);

		/* On failure `name` is the one that somebody else has put there just now. */
		if (!name && atomic_compare_exchange_strong(&kind->event, &name, event))
			return kind;
		if (strcmp(name, event) == 0)
			return kind;
	}
	return NULL;
}

bool log_limit_allows(const char *event)
{
	unsigned int per_second = atomic_load_explicit(&rate, memory_order_relaxed);
	struct kind *kind = per_second ? kind_of(event) : NULL;
	uint64_t now_ns, whole_ns, next_ns;

	if (!kind)
		return true;
	now_ns = clock_monotonic_ns();
	whole_ns = atomic_load_explicit(&kind->whole_ns, memory_order_relaxed);
	do {
		next_ns = MAX(whole_ns, now_ns) + NSEC_PER_SEC / per_second;
		if (next_ns - now_ns > LOG_BURST_SECONDS * NSEC_PER_SEC) {
			atomic_fetch_add_explicit(&kind->suppressed, 1, memory_order_relaxed);
			atomic_fetch_add_explicit(&suppressed_total, 1, memory_order_relaxed);
			return false;
		}
	} while (!atomic_compare_exchange_weak(&kind->whole_ns, &whole_ns, next_ns));
	return true;
}

void log_limit_collect(void (*tell)(const char *event, uint64_t count))
{
	for (size_t i = 0; i < KINDS_MAX; i++) {
		uint64_t count = atomic_exchange(&kinds[i].suppressed, 0);

		if (count)
			tell(atomic_load(&kinds[i].event), count);
	}
}

uint64_t log_limit_suppressed(void)
{
	return atomic_load_explicit(&suppressed_total, memory_order_relaxed);
}
