/* SPDX-License-Identifier: Apache-2.0 */
/* SplitMix64 (jitter.h): every seed will do, and a state is one number. Whoever owns one uses it on
 * one thread. */
#include "control/jitter.h"

#include <sys/random.h>

#include "base/clock.h"

void jitter_init(struct jitter *jitter, uint64_t seed)
{
	if (!seed && getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		seed = clock_realtime_ns();
	jitter->state = seed;
}

static uint64_t next(struct jitter *jitter)
{
	uint64_t z = jitter->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

uint64_t jitter_up_to(struct jitter *jitter, uint64_t max)
{
	unsigned __int128 wide = (unsigned __int128)next(jitter) * ((unsigned __int128)max + 1);

	return (uint64_t)(wide >> 64);
}
