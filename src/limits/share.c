/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shares (share.h). A slot is claimed of both allowances at once and begins when the later one lets
 * it. A claim is good as long as the epochs of what it was taken from are the same: after a change
 * of the policy it is given up and made anew. Pure but for the atomics behind; the flow's thread.
 */
#include "limits/share.h"

#include "base/util.h"

static unsigned int epoch_of(const struct allowance *allowance)
{
	return atomic_load_explicit(&allowance->epoch, memory_order_relaxed);
}

static uint64_t take(struct share_claim *claim, struct allowance *from, uint64_t bytes,
		     uint64_t now_ns)
{
	if (!from) {
		claim->from = NULL;
		return 0;
	}
	*claim = (struct share_claim){ from, epoch_of(from) };
	return allowance_claim(from, bytes, now_ns);
}

static void give_back(const struct share_claim *claim, uint64_t bytes)
{
	if (claim->from && claim->epoch == epoch_of(claim->from))
		allowance_give_back(claim->from, bytes);
}

static void give_up(struct share *share)
{
	uint64_t bytes = share->claimed + (uint64_t)MAX(share->left, (int64_t)0);

	if (bytes) {
		give_back(&share->own, bytes);
		give_back(&share->groups, bytes);
	}
	share->claimed = 0;
	share->left = MIN(share->left, (int64_t)0);
}

static bool is_valid(const struct share_claim *claim, const struct allowance *from)
{
	return claim->from == from && (!from || claim->epoch == epoch_of(from));
}

/* The wait is over, or goes on and is counted so far. */
static void count_wait(struct share *share, uint64_t now_ns)
{
	uint64_t for_ns;

	if (!share->waits_since_ns)
		return;
	for_ns = now_ns > share->waits_since_ns ? now_ns - share->waits_since_ns : 0;
	client_note_limited(&share->client->account.usage[share->direction], for_ns, now_ns);
	if (share->group)
		client_note_limited(&share->group->account.usage[share->direction], for_ns, now_ns);
	share->waits_since_ns = 0;
}

static size_t answer(struct share *share, enum share_mode mode, size_t bytes, uint64_t now_ns)
{
	count_wait(share, now_ns);
	share->mode = mode;
	return bytes;
}

static size_t hold_back(struct share *share, struct client_group *group, uint64_t now_ns)
{
	count_wait(share, now_ns);
	share->group = group;
	share->waits_since_ns = now_ns;
	share->wake_ns = MIN(share->ready_ns, share->floor_ns);
	share->mode = SHARE_WAIT;
	client_note_limited(&share->client->account.usage[share->direction], 0, now_ns);
	if (group)
		client_note_limited(&group->account.usage[share->direction], 0, now_ns);
	return 0;
}

/* At least a record at once: what is too much is made up for in the next slot. */
static size_t of_slot(const struct share *share)
{
	return MAX((size_t)share->left, (size_t)CLIENT_SLOT_BYTES_MIN);
}

/* A slot comes forward when those before it have gone. */
static void move_up(struct share *share, struct allowance *own, struct allowance *groups)
{
	uint64_t ready_ns = allowance_ready_ns(own);

	if (groups)
		ready_ns = MAX(ready_ns, allowance_ready_ns(groups));
	share->ready_ns = MIN(share->ready_ns, ready_ns);
}

/* Claims a slot. False: there has just ceased to be a limit. */
static bool claim(struct share *share, struct client_group *group, struct allowance *own,
		  struct allowance *groups, uint64_t now_ns)
{
	uint64_t bytes = MIN(allowance_offer(own, now_ns),
			     groups ? allowance_offer(groups, now_ns) : UINT64_MAX);
	uint64_t own_ns, group_ns;

	if (bytes == UINT64_MAX)
		return false;
	share->claimed = bytes;
	own_ns = take(&share->own, own, bytes, now_ns);
	group_ns = take(&share->groups, groups, bytes, now_ns);
	share->ready_ns = MAX(own_ns, group_ns);
	share->group = group_ns > own_ns ? group : NULL;
	return true;
}

static size_t ask_limited(struct share *share, struct client_group *group, struct allowance *own,
			  struct allowance *groups, uint64_t now_ns)
{
	if (share->claimed && (!is_valid(&share->own, own) || !is_valid(&share->groups, groups)))
		give_up(share);
	for (;;) {
		if (share->left > 0)
			return answer(share, SHARE_SLOT, of_slot(share), now_ns);
		if (share->claimed) {
			move_up(share, own, groups);
		} else if (!claim(share, group, own, groups, now_ns)) {
			return answer(share, SHARE_FREE, SHARE_UNLIMITED, now_ns);
		}
		if (share->ready_ns > now_ns)
			break;
		share->left += (int64_t)share->claimed;
		share->claimed = 0;
	}
	if (now_ns >= share->floor_ns)
		share->floor_left = CLIENT_FLOOR_BYTES;
	if (share->floor_left)
		return answer(share, SHARE_FLOOR, share->floor_left, now_ns);
	return hold_back(share, share->group, now_ns);
}

size_t share_ask(struct share *share, uint64_t now_ns)
{
	struct client *client = share->client;
	struct client_group *group;
	struct allowance *own, *groups;

	if (!client)
		return SHARE_UNLIMITED;
	group = atomic_load_explicit(&client->group, memory_order_relaxed);
	own = &client->account.allowances[share->direction];
	groups = group ? &group->account.allowances[share->direction] : NULL;
	if (allowance_is_limited(own) || (groups && allowance_is_limited(groups)))
		return ask_limited(share, group, own, groups, now_ns);
	if (share->mode != SHARE_FREE) {
		give_up(share);
		share->left = 0;
		count_wait(share, now_ns);
		share->mode = SHARE_FREE;
	}
	return SHARE_UNLIMITED;
}

void share_use(struct share *share, uint64_t bytes, uint64_t now_ns)
{
	if (share->mode == SHARE_SLOT) {
		share->left -= (int64_t)bytes;
		return;
	}
	if (share->mode != SHARE_FLOOR)
		return;
	if (now_ns >= share->floor_ns)
		share->floor_ns = now_ns + CLIENT_FLOOR_MS * NSEC_PER_MSEC;
	share->floor_left -= (uint32_t)MIN(bytes, (uint64_t)share->floor_left);
	if (share->own.from)
		allowance_charge(share->own.from, bytes, now_ns);
	if (share->groups.from)
		allowance_charge(share->groups.from, bytes, now_ns);
}

void share_rest(struct share *share, uint64_t now_ns)
{
	if (!share->client || share->mode == SHARE_FREE)
		return;
	give_up(share);
	count_wait(share, now_ns);
	share->mode = SHARE_FREE;
}

static uint64_t pace_of(const struct allowance *allowance)
{
	uint64_t rate = client_read(&allowance->rate), burst_ns = client_read(&allowance->burst_ns);

	return rate ? rate + (uint64_t)((double)rate * (double)burst_ns / NSEC_PER_SEC)
		    : UINT64_MAX;
}

uint64_t share_pace(const struct share *share)
{
	struct client_group *group =
		atomic_load_explicit(&share->client->group, memory_order_relaxed);

	return MIN(pace_of(&share->client->account.allowances[share->direction]),
		   group ? pace_of(&group->account.allowances[share->direction]) : UINT64_MAX);
}
