/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One flow's share of what its client and its client's group may move: whether it may read, how
 * much, and else when to ask again. Flows at the limit get slots of equal size in the order in
 * which they asked, on whatever thread they are; who waits may move CLIENT_FLOOR_BYTES in each
 * CLIENT_FLOOR_MS all the same.
 *
 * Belongs to the flow's thread; embedded, zero at first.
 */
#ifndef SALLYPORT_LIMITS_SHARE_H
#define SALLYPORT_LIMITS_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "limits/clients.h"

#define SHARE_UNLIMITED SIZE_MAX

enum share_mode { SHARE_FREE, SHARE_SLOT, SHARE_FLOOR, SHARE_WAIT };

struct share {
	struct client *client;	       /* NULL: nobody's limits apply */
	struct client_group *group;    /* that the last slot was claimed of too, or NULL */
	uint64_t claimed;	       /* bytes of a slot that has not begun; 0: none */
	uint64_t claimed_ns, ready_ns; /* when that was, and when it begins */
	uint64_t missed;	       /* bytes by which its last slot began too late */
	int64_t left;		       /* of the slot that has; below 0: too much was moved in it */
	uint64_t floor_ns;	       /* when the floor is renewed */
	uint64_t waits_since_ns;       /* 0: it does not */
	uint32_t own_epoch, group_epoch; /* of the last slot's claims */
	uint32_t floor_left;
	enum client_direction direction : 8;
	enum share_mode mode : 8; /* what the last answer was */
	bool for_group;		  /* it waits for the group's allowance, not for its client's own */
};

static inline bool share_waits(const struct share *share)
{
	return share->mode == SHARE_WAIT;
}

/* Whether share_ask() would give another answer than SHARE_UNLIMITED. */
static inline bool share_is_limited(const struct share *share)
{
	struct client *client = share->client;
	struct client_group *group;

	if (!client)
		return false;
	group = atomic_load_explicit(&client->group, memory_order_relaxed);
	return allowance_is_limited(&client->account.allowances[share->direction]) ||
	       (group && allowance_is_limited(&group->account.allowances[share->direction]));
}

/* How many bytes may be moved now: SHARE_UNLIMITED, or 0: not before share_wake_ns() (at most
 * CLIENT_FLOOR_MS away). What is moved may be more by a record: it is made up for later. */
size_t share_ask(struct share *share, uint64_t now_ns);
uint64_t share_wake_ns(const struct share *share);
/* So many have been moved, after it said yes. */
void share_use(struct share *share, uint64_t bytes, uint64_t now_ns);
/* There is nothing to move at present, or no flow any more: what is left is for others. */
void share_rest(struct share *share, uint64_t now_ns);
/* Bytes a second that a socket should not send faster than, so that a burst takes about a second;
 * UINT64_MAX: no limit. */
uint64_t share_pace(const struct share *share);

#endif
