/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever measures owns the histogram; those of threads are merged when they have ended. */
#include "load_hist.h"

/* Below LOAD_HIST_STEPS each value has a bucket; above, the seven bits after the leading one count.
 */
static uint32_t load_hist_bucket(uint64_t ns)
{
	uint32_t shift;

	if (ns < LOAD_HIST_STEPS)
		return (uint32_t)ns;
	shift = 63u - 7u - (uint32_t)__builtin_clzll(ns);
	return (shift + 1) * LOAD_HIST_STEPS + (uint32_t)((ns >> shift) - LOAD_HIST_STEPS);
}

/* The largest value that falls into the bucket. */
static uint64_t load_hist_top(uint32_t bucket)
{
	uint32_t shift;

	if (bucket < LOAD_HIST_STEPS)
		return bucket;
	shift = bucket / LOAD_HIST_STEPS - 1;
	return ((uint64_t)(bucket % LOAD_HIST_STEPS + LOAD_HIST_STEPS + 1) << shift) - 1;
}

void load_hist_add(struct load_hist *hist, uint64_t ns)
{
	hist->buckets[load_hist_bucket(ns)]++;
	hist->count++;
	if (ns > hist->max_ns)
		hist->max_ns = ns;
}

void load_hist_merge(struct load_hist *into, const struct load_hist *from)
{
	for (uint32_t i = 0; i < LOAD_HIST_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
	into->count += from->count;
	if (from->max_ns > into->max_ns)
		into->max_ns = from->max_ns;
}

uint64_t load_hist_at(const struct load_hist *hist, uint32_t per_million)
{
	uint64_t rank = (hist->count * per_million + 999999) / 1000000, seen = 0;

	for (uint32_t i = 0; i < LOAD_HIST_BUCKETS && hist->count; i++) {
		seen += hist->buckets[i];
		if (seen && seen >= rank)
			return load_hist_top(i) < hist->max_ns ? load_hist_top(i) : hist->max_ns;
	}
	return 0;
}

void load_hist_print(const struct load_hist *hist, FILE *out)
{
	fprintf(out,
		"{\"count\": %llu, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f, "
		"\"max\": %.1f}",
		(unsigned long long)hist->count, (double)load_hist_at(hist, 500000) / 1e3,
		(double)load_hist_at(hist, 900000) / 1e3, (double)load_hist_at(hist, 990000) / 1e3,
		(double)load_hist_at(hist, 999000) / 1e3, (double)hist->max_ns / 1e3);
}
