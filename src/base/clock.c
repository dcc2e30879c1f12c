/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks: the kernel's by vDSO, or a test's fake. Any thread; the fake is set before threads. */
#include "base/clock.h"

#include <stddef.h>
#include <time.h>

#include "base/util.h"

static const struct clock_fake *fake_clock;

void clock_set_fake(const struct clock_fake *fake)
{
	fake_clock = fake;
}

static uint64_t clock_read(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
	return fake_clock ? fake_clock->monotonic_ns : clock_read(CLOCK_MONOTONIC);
}

uint64_t clock_realtime_ns(void)
{
	return fake_clock ? fake_clock->realtime_ns : clock_read(CLOCK_REALTIME);
}

uint64_t clock_thread_cpu_ns(void)
{
	return clock_read(CLOCK_THREAD_CPUTIME_ID);
}
