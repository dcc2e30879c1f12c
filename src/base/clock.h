/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clocks of the program behind one seam, so that tests can turn them by hand.
 */
#ifndef SALLYPORT_BASE_CLOCK_H
#define SALLYPORT_BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t clock_monotonic_ns(void);
/* CLOCK_REALTIME in nanoseconds since the epoch. */
uint64_t clock_realtime_ns(void);
/* CPU time of the calling thread in nanoseconds. */
uint64_t clock_thread_cpu_ns(void);

/* Tests only: the first two clocks are taken from here; NULL gives the kernel's back. */
struct clock_fake {
	uint64_t monotonic_ns;
	uint64_t realtime_ns;
};
void clock_set_fake(const struct clock_fake *fake);

#endif
