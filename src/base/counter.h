/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters, gauges and histograms that one thread writes and any may read: relaxed stores and
 * loads, no locked instruction. A reader sees each number whole, and numbers of slightly different
 * moments. A gauge of several writers is the sum of their shares, which wrap around zero.
 */
#ifndef SALLYPORT_BASE_COUNTER_H
#define SALLYPORT_BASE_COUNTER_H

#include <stdint.h>

static inline void counter_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline void counter_sub(uint64_t *counter, uint64_t n)
{
	counter_add(counter, -n);
}

static inline uint64_t counter_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Durations. Nothing but uint64_t inside, so that sums can run over it as over an array. */
#define HISTOGRAM_BOUNDS 16

extern const uint64_t histogram_bounds_ns[HISTOGRAM_BOUNDS];

struct histogram {
	uint64_t buckets[HISTOGRAM_BOUNDS +
			 1]; /* not cumulative; the last: longer than all bounds */
	uint64_t sum_ns;
};

void histogram_add(struct histogram *histogram, uint64_t ns);
/* Adds `from` (maybe being written) to `sum`. */
void histogram_sum(struct histogram *sum, const struct histogram *from);

#endif
