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

static struct allowance *own_allowance(const struct share *share)
{
	return &share->client->account.allowances[share->direction];
}

/* NULL: it is in no group. */
static struct allowance *group_allowance(const struct share *share, struct client_group *group)
{
	return group ? &group->account.allowances[share->direction] : NULL;
}

static void give_up(struct share *share)
{
	uint64_t bytes = share->claimed + (uint64_t)MAX(share->left, (int64_t)0);
	struct allowance *own = own_allowance(share),
			 *groups = group_allowance(share, share->group);

	if (bytes && share->own_epoch == epoch_of(own))
		allowance_give_back(own, bytes);
	if (bytes && groups && share->group_epoch == epoch_of(groups))
		allowance_give_back(groups, bytes);
	share->claimed = 0;
	share->left = MIN(share->left, (int64_t)0);
}

/* Whether what it was claimed of is still what counts. */
static bool is_valid(const struct share *share, struct client_group *group)
{
	return share->group == group && share->own_epoch == epoch_of(own_allowance(share)) &&
	       (!group || share->group_epoch == epoch_of(group_allowance(share, group)));
}

static void note(const struct share *share, uint64_t for_ns, uint64_t now_ns)
{
	client_note_limited(&share->client->account.usage[share->direction], for_ns, now_ns);
	if (share->for_group)
		client_note_limited(&share->group->account.usage[share->direction], for_ns, now_ns);
}

/* The wait is over, or goes on and is counted so far. */
static void count_wait(struct share *share, uint64_t now_ns)
{
	if (share->waits_since_ns)
		note(share, now_ns - MIN(share->waits_since_ns, now_ns), now_ns);
	share->waits_since_ns = 0;
}

static size_t answer(struct share *share, enum share_mode mode, size_t bytes, uint64_t now_ns)
{
	count_wait(share, now_ns);
	share->mode = mode;
	return bytes;
}

static size_t hold_back(struct share *share, uint64_t now_ns)
{
	count_wait(share, now_ns);
	note(share, 0, now_ns);
	share->waits_since_ns = now_ns;
	share->mode = SHARE_WAIT;
	return 0;
}

/* At least a record at once: what is too much is made up for in the next slot. */
static size_t of_slot(const struct share *share)
{
	return MAX((size_t)share->left, (size_t)CLIENT_SLOT_BYTES_MIN);
}

/* A slot comes forward when those before it have gone. */
static void move_up(struct share *share)
{
	struct allowance *groups = group_allowance(share, share->group);
	uint64_t ready_ns = allowance_ready_ns(own_allowance(share));

	if (groups)
		ready_ns = MAX(ready_ns, allowance_ready_ns(groups));
	share->ready_ns = MIN(share->ready_ns, ready_ns);
}

/* Claims a slot. False: there has just ceased to be a limit. */
static bool claim(struct share *share, struct client_group *group, uint64_t now_ns)
{
	struct allowance *own = own_allowance(share), *groups = group_allowance(share, group);
	uint64_t bytes = MIN(allowance_offer(own, now_ns),
			     groups ? allowance_offer(groups, now_ns) : UINT64_MAX);
	uint64_t own_ns, group_ns = 0;

	if (bytes == UINT64_MAX)
		return false;
	bytes += MIN(share->missed, bytes);
	share->missed = 0;
	share->group = group;
	share->claimed = bytes;
	share->claimed_ns = now_ns;
	share->own_epoch = epoch_of(own);
	own_ns = allowance_claim(own, bytes, now_ns);
	if (groups) {
		share->group_epoch = epoch_of(groups);
		group_ns = allowance_claim(groups, bytes, now_ns);
	}
	share->ready_ns = MAX(own_ns, group_ns);
	share->for_group = group_ns > own_ns;
	return true;
}

/* The slot begins. Whose thread wakes up late gets fewer slots than others; as much as it would
 * have had in that time is added to its next one. */
static void begin_slot(struct share *share, uint64_t now_ns)
{
	uint64_t late_ns = now_ns - share->ready_ns, waited_ns;

	if (share->ready_ns > share->claimed_ns) {
		waited_ns = share->ready_ns - share->claimed_ns;
		share->missed = share->claimed * MIN(late_ns, waited_ns) / waited_ns;
	}
	share->left += (int64_t)share->claimed;
	share->claimed = 0;
}

static size_t ask_limited(struct share *share, struct client_group *group, uint64_t now_ns)
{
	if (share->claimed && !is_valid(share, group)) {
		count_wait(share, now_ns);
		give_up(share);
	}
	for (;;) {
		if (share->left > 0)
			return answer(share, SHARE_SLOT, of_slot(share), now_ns);
		if (share->claimed)
			move_up(share);
		else if (!claim(share, group, now_ns))
			return answer(share, SHARE_FREE, SHARE_UNLIMITED, now_ns);
		if (share->ready_ns > now_ns)
			break;
		begin_slot(share, now_ns);
	}
	if (now_ns >= share->floor_ns)
		share->floor_left = CLIENT_FLOOR_BYTES;
	if (share->floor_left)
		return answer(share, SHARE_FLOOR, share->floor_left, now_ns);
	return hold_back(share, now_ns);
}

size_t share_ask(struct share *share, uint64_t now_ns)
{
	if (share_is_limited(share))
		return ask_limited(
			share, atomic_load_explicit(&share->client->group, memory_order_relaxed),
			now_ns);
	if (share->mode != SHARE_FREE) {
		share_rest(share, now_ns);
		share->left = 0;
	}
	return SHARE_UNLIMITED;
}

uint64_t share_wake_ns(const struct share *share)
{
	return MIN(share->ready_ns, share->floor_ns);
}

void share_use(struct share *share, uint64_t bytes, uint64_t now_ns)
{
	struct allowance *groups;

	if (share->mode == SHARE_SLOT) {
		share->left -= (int64_t)bytes;
		return;
	}
	if (share->mode != SHARE_FLOOR)
		return;
	if (now_ns >= share->floor_ns)
		share->floor_ns = now_ns + CLIENT_FLOOR_MS * NSEC_PER_MSEC;
	share->floor_left -= (uint32_t)MIN(bytes, (uint64_t)share->floor_left);
	allowance_charge(own_allowance(share), bytes, now_ns);
	groups = group_allowance(share, share->group);
	if (groups)
		allowance_charge(groups, bytes, now_ns);
}

void share_rest(struct share *share, uint64_t now_ns)
{
	if (!share->client || share->mode == SHARE_FREE)
		return;
	count_wait(share, now_ns);
	give_up(share);
	share->missed = 0;
	share->mode = SHARE_FREE;
}

static uint64_t pace_of(const struct allowance *allowance)
{
	return allowance_is_limited(allowance) ? client_read(&allowance->pace) : UINT64_MAX;
}

uint64_t share_pace(const struct share *share)
{
	struct client_group *group =
		atomic_load_explicit(&share->client->group, memory_order_relaxed);

	return MIN(pace_of(own_allowance(share)),
		   group ? pace_of(group_allowance(share, group)) : UINT64_MAX);
}
