/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log-linear histogram of nanoseconds, as HdrHistogram's: 128 equal buckets in each power of two,
 * so that a percentile is off by less than one percent, however long the tail.
 */
#ifndef BENCH_LOAD_HIST_H
#define BENCH_LOAD_HIST_H

#include <stdint.h>
#include <stdio.h>

#define LOAD_HIST_STEPS	  128u
#define LOAD_HIST_BUCKETS ((64u - 7u + 1u) * LOAD_HIST_STEPS)

struct load_hist {
	uint64_t count, max_ns;
	uint64_t buckets[LOAD_HIST_BUCKETS];
};

void load_hist_add(struct load_hist *hist, uint64_t ns);
void load_hist_merge(struct load_hist *into, const struct load_hist *from);

/* The time that @per_million of the values do not exceed; 0 when there are none. */
uint64_t load_hist_at(const struct load_hist *hist, uint32_t per_million);

/* {"count": …, "p50": …, "p90": …, "p99": …, "p999": …, "max": …}, in microseconds. */
void load_hist_print(const struct load_hist *hist, FILE *out);

#endif
