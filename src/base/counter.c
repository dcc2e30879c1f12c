/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms of durations (counter.h): from a tenth of a millisecond to ten seconds. Only the owner
 * of one adds to it. */
#include "base/counter.h"

#include "base/util.h"

#define USEC 1000ULL

const uint64_t histogram_bounds_ns[HISTOGRAM_BOUNDS] = {
	100 * USEC,	    250 * USEC,		  500 * USEC,	       1 * NSEC_PER_MSEC,
	2500 * USEC,	    5 * NSEC_PER_MSEC,	  10 * NSEC_PER_MSEC,  25 * NSEC_PER_MSEC,
	50 * NSEC_PER_MSEC, 100 * NSEC_PER_MSEC,  250 * NSEC_PER_MSEC, 500 * NSEC_PER_MSEC,
	1 * NSEC_PER_SEC,   2500 * NSEC_PER_MSEC, 5 * NSEC_PER_SEC,    10 * NSEC_PER_SEC,
};

void histogram_add(struct histogram *histogram, uint64_t ns)
{
	size_t i = 0;

	while (i < HISTOGRAM_BOUNDS && ns > histogram_bounds_ns[i])
		i++;
	counter_add(&histogram->buckets[i], 1);
	counter_add(&histogram->sum_ns, ns);
}

void histogram_sum(struct histogram *sum, const struct histogram *from)
{
	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
		sum->buckets[i] += counter_read(&from->buckets[i]);
	sum->sum_ns += counter_read(&from->sum_ns);
}
