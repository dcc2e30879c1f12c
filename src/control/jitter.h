/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that spread instances in time; not for secrets. The same seed gives the same numbers.
 */
#ifndef SALLYPORT_CONTROL_JITTER_H
#define SALLYPORT_CONTROL_JITTER_H

#include <stdint.h>

struct jitter {
	uint64_t state;
};

/* `seed` 0: one of the kernel's. */
void jitter_init(struct jitter *jitter, uint64_t seed);
/* Uniform in 0..max. */
uint64_t jitter_up_to(struct jitter *jitter, uint64_t max);

#endif
