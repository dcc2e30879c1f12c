/* SPDX-License-Identifier: Apache-2.0 */
/* Moments of renewal (renewal.h). Pure. */
#include "control/renewal.h"

#define FROM_PERCENT 60
#define TO_PERCENT   80

int64_t renewal_at(int64_t not_before, int64_t not_after, struct jitter *jitter)
{
	int64_t life = not_after - not_before;
	int64_t span;

	if (life <= 0)
		return not_before;
	span = life / 100 * (TO_PERCENT - FROM_PERCENT) +
	       life % 100 * (TO_PERCENT - FROM_PERCENT) / 100;
	return not_before + life / 100 * FROM_PERCENT + life % 100 * FROM_PERCENT / 100 +
	       (int64_t)jitter_up_to(jitter, (uint64_t)span);
}

uint64_t renewal_of_token_ns(uint64_t now_ns, uint64_t life_ns)
{
	return now_ns + life_ns / 3 * 2;
}
