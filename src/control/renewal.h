/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a certificate or a token is to be renewed. Pure; seconds since the epoch for certificates,
 * nanoseconds of a clock that does not jump for tokens.
 */
#ifndef SALLYPORT_CONTROL_RENEWAL_H
#define SALLYPORT_CONTROL_RENEWAL_H

#include <stdint.h>

#include "control/jitter.h"

/* Some moment between 60 % and 80 % of its life, so that instances that started together do not
 * renew together. A life that is no life: at once. */
int64_t renewal_at(int64_t not_before, int64_t not_after, struct jitter *jitter);
/* 2/3 of a token's life from now. */
uint64_t renewal_of_token_ns(uint64_t now_ns, uint64_t life_ns);

#endif
