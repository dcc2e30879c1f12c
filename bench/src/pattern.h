/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The byte pattern both ends of a benchmark agree on: position -> byte. Its period is a prime, so
 * that no lost, doubled or swapped record or page can line up with it and go unseen.
 */
#ifndef BENCH_PATTERN_H
#define BENCH_PATTERN_H

#include <stddef.h>
#include <stdint.h>

#define PATTERN_PERIOD 65521u
#define PATTERN_CHUNK (256u * 1024u)

/* Builds the table. Call once, before any thread starts. */
void pattern_init(void);

/* The pattern from @pos on; PATTERN_CHUNK bytes are readable. Never NULL. */
const unsigned char *pattern_at(uint64_t pos);

/*
 * Compares @len (<= PATTERN_CHUNK) bytes at @buf with the pattern from @pos on.
 * Returns -1 when all are right, else the index of the first wrong one.
 */
long pattern_first_wrong(uint64_t pos, const void *buf, size_t len);

#endif
