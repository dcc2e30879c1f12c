/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One period of xorshift noise, repeated until every start offset has a whole chunk behind it, so
 * that making and checking data is a plain memcpy or memcmp and never what a benchmark waits for.
 * The table is written once by pattern_init() and only read afterwards, from any thread.
 */
#include "pattern.h"

#include <string.h>

static unsigned char pattern_table[PATTERN_PERIOD + PATTERN_CHUNK];

void pattern_init(void)
{
	uint64_t x = 0x9e3779b97f4a7c15u;
	size_t i;

	for (i = 0; i < PATTERN_PERIOD; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		pattern_table[i] = (unsigned char)(x >> 32);
	}
	for (; i < sizeof(pattern_table); i++)
		pattern_table[i] = pattern_table[i - PATTERN_PERIOD];
}

const unsigned char *pattern_at(uint64_t pos)
{
	return pattern_table + pos % PATTERN_PERIOD;
}

long pattern_first_wrong(uint64_t pos, const void *buf, size_t len)
{
	const unsigned char *want = pattern_at(pos), *got = buf;
	size_t i = 0;

	if (memcmp(want, got, len) == 0)
		return -1;
	while (want[i] == got[i])
		i++;
	return (long)i;
}
