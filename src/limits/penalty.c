/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Penalties (penalty.h). A table is an array of sets; a source's hash names its set, and the set's
 * entries are looked through one by one. The mutex of a table is held for that long only, at
 * accepts and at failures, and not at all while no source has ever failed.
 *
 * An entry is what the source owes, as the time when it will have run off. Once it has, the entry
 * stays as a memory of how often the door was closed, until `max` later or until its place is
 * wanted.
 */
#include "limits/penalty.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "limits/limits.h"

#define SET_ENTRIES 8
#define DOUBLED_MAX 16

struct entry {
	struct in6_addr source;
	uint64_t ends_ns; /* what it owes has run off by then; 0: the entry is free */
	uint8_t closed;	  /* how often the door was closed: doublings */
	bool active;	  /* … and is, until ends_ns */
};

struct table {
	pthread_mutex_t mutex;
	struct entry *entries;
	uint64_t set_mask;
	atomic_bool used;
};

struct penalties {
	struct penalty_params params; /* read under either mutex, written under both */
	struct cidr exempt_items[NETWORKS_MAX];
	struct cidr_list exempt;
	struct source_secret secret;
	struct table ipv4, ipv6;
};

static int table_init(struct table *table, uint64_t sources)
{
	uint64_t sets = 1;

	while (sets * SET_ENTRIES < sources)
		sets *= 2;
	/* Untouched pages cost nothing. */
	table->entries = calloc(sets * SET_ENTRIES, sizeof(*table->entries));
	table->set_mask = sets - 1;
	pthread_mutex_init(&table->mutex, NULL);
	return table->entries ? 0 : -ENOMEM;
}

static void table_fini(struct table *table)
{
	pthread_mutex_destroy(&table->mutex);
	free(table->entries);
}

int penalties_new(const struct penalty_params *params, struct penalties **ret)
{
	struct penalties *penalties = calloc(1, sizeof(*penalties));
	int r;

	if (!penalties)
		return -ENOMEM;
	r = table_init(&penalties->ipv4, params->sources);
	if (table_init(&penalties->ipv6, params->sources) < 0)
		r = -ENOMEM;
	if (r == 0)
		r = source_secret_make(&penalties->secret);
	if (r < 0) {
		penalties_free(penalties);
		return r;
	}
	penalties_configure(penalties, params);
	*ret = penalties;
	return 0;
}

void penalties_configure(struct penalties *penalties, const struct penalty_params *params)
{
	pthread_mutex_lock(&penalties->ipv4.mutex);
	pthread_mutex_lock(&penalties->ipv6.mutex);
	penalties->params = *params;
	penalties->exempt.items = penalties->exempt_items;
	penalties->exempt.count = MIN(params->exempt->count, (size_t)NETWORKS_MAX);
	if (penalties->exempt.count)
		memcpy(penalties->exempt_items, params->exempt->items,
		       penalties->exempt.count * sizeof(struct cidr));
	penalties->params.exempt = &penalties->exempt;
	pthread_mutex_unlock(&penalties->ipv6.mutex);
	pthread_mutex_unlock(&penalties->ipv4.mutex);
}

void penalties_free(struct penalties *penalties)
{
	if (!penalties)
		return;
	table_fini(&penalties->ipv4);
	table_fini(&penalties->ipv6);
	free(penalties);
}

static bool is_active(const struct entry *entry, uint64_t now_ns)
{
	return entry->active && now_ns < entry->ends_ns;
}

static struct table *table_of(struct penalties *penalties, const struct in6_addr *address)
{
	return IN6_IS_ADDR_V4MAPPED(address) ? &penalties->ipv4 : &penalties->ipv6;
}

/* The set where `source` has its place. */
static struct entry *set_of(struct penalties *penalties, const struct table *table,
			    const struct in6_addr *source)
{
	return &table->entries[(source_hash(&penalties->secret, source) & table->set_mask) *
			       SET_ENTRIES];
}

static struct entry *find(struct entry *set, const struct in6_addr *source)
{
	for (int i = 0; i < SET_ENTRIES; i++)
		if (set[i].ends_ns && memcmp(&set[i].source, source, sizeof(*source)) == 0)
			return &set[i];
	return NULL;
}

/* Whose place may be taken first: who owes the least, and closed doors last. */
static struct entry *find_victim(struct entry *set, uint64_t now_ns)
{
	struct entry *victim = set;

	for (struct entry *it = set + 1; it < set + SET_ENTRIES; it++) {
		bool it_active = is_active(it, now_ns), active = is_active(victim, now_ns);

		if (it_active < active || (it_active == active && it->ends_ns < victim->ends_ns))
			victim = it;
	}
	return victim;
}

static bool is_refused(struct penalties *penalties, const struct table *table,
		       const struct in6_addr *address, uint64_t now_ns)
{
	const struct penalty_params *params = &penalties->params;
	struct in6_addr source = source_key(address, &params->masks);
	struct entry *set = set_of(penalties, table, &source), *entry = find(set, &source);

	if (!params->max_ms || cidr_list_contains(params->exempt, address))
		return false;
	if (entry)
		return is_active(entry, now_ns);
	return params->overflow == PENALTY_OVERFLOW_DENY &&
	       is_active(find_victim(set, now_ns), now_ns);
}

bool penalties_refuse(struct penalties *penalties, const struct in6_addr *address, uint64_t now_ns)
{
	struct table *table = table_of(penalties, address);
	bool refused;

	if (!atomic_load_explicit(&table->used, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&table->mutex);
	refused = is_refused(penalties, table, address, now_ns);
	pthread_mutex_unlock(&table->mutex);
	return refused;
}

/* The entry of `source`, a new one if need be; NULL: there is no room. */
static struct entry *take(const struct penalty_params *params, struct entry *set,
			  const struct in6_addr *source, uint64_t now_ns)
{
	struct entry *entry = find(set, source);

	if (entry)
		return entry;
	entry = find_victim(set, now_ns);
	if (is_active(entry, now_ns) && params->overflow == PENALTY_OVERFLOW_DENY)
		return NULL;
	*entry = (struct entry){ .source = *source, .ends_ns = now_ns };
	return entry;
}

static uint64_t charge(const struct penalty_params *params, struct entry *entry, uint64_t cost_ns,
		       uint64_t now_ns)
{
	uint64_t min_ns = params->min_ms * NSEC_PER_MSEC, max_ns = params->max_ms * NSEC_PER_MSEC;

	if (now_ns >= entry->ends_ns) {
		entry->active = false;
		if (now_ns - entry->ends_ns >= max_ns)
			entry->closed = 0;
		entry->ends_ns = now_ns;
	}
	entry->ends_ns =
		MIN(entry->ends_ns + MIN(cost_ns << entry->closed, max_ns), now_ns + max_ns);
	if (entry->active || entry->ends_ns - now_ns < min_ns)
		return 0;
	entry->active = true;
	entry->closed = (uint8_t)MIN(entry->closed + 1, DOUBLED_MAX);
	return (entry->ends_ns - now_ns) / NSEC_PER_MSEC;
}

static uint64_t add(struct penalties *penalties, struct table *table,
		    const struct in6_addr *address, enum penalty_kind kind, uint64_t now_ns)
{
	const struct penalty_params *params = &penalties->params;
	struct in6_addr source = source_key(address, &params->masks);
	struct entry *entry;

	if (!params->max_ms || !params->cost_ms[kind] ||
	    cidr_list_contains(params->exempt, address))
		return 0;
	atomic_store_explicit(&table->used, true, memory_order_relaxed);
	entry = take(params, set_of(penalties, table, &source), &source, now_ns);
	return entry ? charge(params, entry, params->cost_ms[kind] * NSEC_PER_MSEC, now_ns) : 0;
}

uint64_t penalties_add(struct penalties *penalties, const struct in6_addr *address,
		       enum penalty_kind kind, uint64_t now_ns)
{
	struct table *table = table_of(penalties, address);
	uint64_t closed_ms;

	pthread_mutex_lock(&table->mutex);
	closed_ms = add(penalties, table, address, kind, now_ns);
	pthread_mutex_unlock(&table->mutex);
	return closed_ms;
}
