/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting before trying again (backoff.h). The bound of a wait doubles with each failure; where a
 * good certificate is in hand it is most of the time that is left, because then nothing is lost by
 * waiting, and after an outage nobody comes back in a crowd. Pure.
 */
#include "control/backoff.h"

#include "base/util.h"

#define URGENT_FIRST_NS	   (1 * NSEC_PER_SEC)
#define URGENT_LAST_NS	   (60 * NSEC_PER_SEC)
#define RETRY_AFTER_MAX_NS (3600 * NSEC_PER_SEC)
#define DOUBLINGS_MAX	   32

struct backoff_bounds backoff_urgent(void)
{
	return (struct backoff_bounds){ URGENT_FIRST_NS, URGENT_LAST_NS };
}

struct backoff_bounds backoff_while_good(uint64_t left_ns)
{
	uint64_t bound_ns = MIN(MAX(left_ns / 8 * 7, URGENT_FIRST_NS), BACKOFF_MAX_NS);

	return (struct backoff_bounds){ bound_ns, bound_ns };
}

static uint64_t bound_of(const struct backoff *backoff, struct backoff_bounds bounds)
{
	unsigned int doublings = MIN(backoff->failures, (unsigned int)DOUBLINGS_MAX);

	return bounds.first_ns > (bounds.last_ns >> doublings) ? bounds.last_ns
							       : bounds.first_ns << doublings;
}

void backoff_failed(struct backoff *backoff, struct backoff_bounds bounds, uint64_t retry_after_ns,
		    struct jitter *jitter, uint64_t now_ns)
{
	uint64_t wait_ns = jitter_up_to(jitter, bound_of(backoff, bounds));

	backoff->failures++;
	/* What the server asked for comes first, and the spread behind it. */
	backoff->not_before_ns = now_ns + MIN(retry_after_ns, RETRY_AFTER_MAX_NS) + wait_ns;
}

void backoff_succeeded(struct backoff *backoff)
{
	*backoff = (struct backoff){ 0 };
}

bool backoff_allows(const struct backoff *backoff, uint64_t now_ns)
{
	return now_ns >= backoff->not_before_ns;
}

/* --- the breaker of a source --- */

bool breaker_is_open(const struct breaker *breaker)
{
	return breaker->backoff.failures >= BREAKER_FAILURES;
}

bool breaker_allows(const struct breaker *breaker, uint64_t now_ns)
{
	if (!breaker_is_open(breaker))
		return backoff_allows(&breaker->backoff, now_ns);
	return !breaker->probing && backoff_allows(&breaker->backoff, now_ns);
}

void breaker_begin(struct breaker *breaker)
{
	breaker->probing = breaker_is_open(breaker);
}

void breaker_succeeded(struct breaker *breaker)
{
	*breaker = (struct breaker){ 0 };
}

void breaker_failed(struct breaker *breaker, uint64_t retry_after_ns, struct jitter *jitter,
		    uint64_t now_ns)
{
	breaker->probing = false;
	backoff_failed(&breaker->backoff, backoff_urgent(), retry_after_ns, jitter, now_ns);
}

void breaker_given_up(struct breaker *breaker)
{
	breaker->probing = false;
}

uint64_t breaker_due_ns(const struct breaker *breaker)
{
	return breaker->backoff.not_before_ns;
}
