/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of clients (clients.h): chains by a hash of the name, one short mutex. A policy is
 * sorted once, plain names first, so that a client's entry is found by bisection, or else is the
 * first pattern that matches. Groups are never freed while the table lives: whoever moves bytes
 * reads client->group without a lock, and there are no more of them than names of groups have ever
 * been configured.
 *
 * Clients without a connection are held against a new policy when they come back.
 */
#include "limits/clients.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "limits/client_orders.h"
#include "limits/pattern.h"
#include "limits/source_key.h"

#define CHAINS	     16384 /* untouched pages of it cost nothing */
#define CHAINS_SLICE 64

struct entry {
	char *pattern;
	struct client_group *group;
	size_t order; /* as they were added */
	struct client_limits limits;
};

struct client_policy {
	bool refuse_unnamed;
	struct entry *entries;	       /* sorted, the most specific first, once adopted */
	size_t count, capacity, names; /* of these, plain names */
	struct client_group *groups;   /* each with its limits; the table's own take their places */
};

struct clients {
	pthread_mutex_t mutex;
	struct source_secret secret;
	struct client_policy *policy;
	uint64_t generation, next_id;
	struct client_group *groups;
	struct client_order *orders;
	struct client_counts gone; /* of clients that have been forgotten */
	struct list_node idle;	   /* who left first is first */
	size_t idle_count;
	struct client *chains[CHAINS];
};

int client_policy_new(bool refuse_unnamed, struct client_policy **ret)
{
	struct client_policy *policy = calloc(1, sizeof(*policy));

	if (!policy)
		return -ENOMEM;
	policy->refuse_unnamed = refuse_unnamed;
	*ret = policy;
	return 0;
}

static struct client_group *find_group(struct client_group *groups, const char *name)
{
	while (groups && strcmp(groups->name, name) != 0)
		groups = groups->next;
	return groups;
}

int client_policy_add_group(struct client_policy *policy, const char *name,
			    const struct client_limits *limits)
{
	size_t len = strlen(name) + 1;
	struct client_group *group = calloc(1, sizeof(*group) + len);

	if (!group)
		return -ENOMEM;
	memcpy(group->name, name, len);
	group->configured = *limits;
	group->next = policy->groups;
	policy->groups = group;
	return 0;
}

int client_policy_add(struct client_policy *policy, const char *pattern, const char *group,
		      const struct client_limits *limits)
{
	struct entry *entry;

	if (policy->count == policy->capacity) {
		size_t capacity = MAX(policy->capacity * 2, (size_t)16);
		struct entry *entries =
			reallocarray(policy->entries, capacity, sizeof(*policy->entries));

		if (!entries)
			return -ENOMEM;
		policy->entries = entries;
		policy->capacity = capacity;
	}
	entry = &policy->entries[policy->count];
	*entry = (struct entry){ .pattern = strdup(pattern),
				 .group = group ? find_group(policy->groups, group) : NULL,
				 .order = policy->count,
				 .limits = *limits };
	if (!entry->pattern)
		return -ENOMEM;
	policy->count++;
	return 0;
}

static void free_groups(struct client_group *groups)
{
	while (groups) {
		struct client_group *next = groups->next;

		free(groups);
		groups = next;
	}
}

void client_policy_free(struct client_policy *policy)
{
	if (!policy)
		return;
	for (size_t i = 0; i < policy->count; i++)
		free(policy->entries[i].pattern);
	free(policy->entries);
	free_groups(policy->groups);
	free(policy);
}

int clients_new(struct clients **ret)
{
	struct clients *clients = calloc(1, sizeof(*clients));
	int r = clients ? client_policy_new(false, &clients->policy) : -ENOMEM;

	if (r == 0)
		r = source_secret_make(&clients->secret);
	if (r < 0) {
		if (clients)
			client_policy_free(clients->policy);
		free(clients);
		return r;
	}
	clients->generation = 1;
	/* Random, and far from 0. */
	clients->next_id = source_hash(&clients->secret, &in6addr_any) >> 1 | 1;
	list_init(&clients->idle);
	pthread_mutex_init(&clients->mutex, NULL);
	*ret = clients;
	return 0;
}

void clients_free(struct clients *clients)
{
	if (!clients)
		return;
	for (size_t i = 0; i < CHAINS; i++)
		while (clients->chains[i]) {
			struct client *next = clients->chains[i]->next;

			free(clients->chains[i]);
			clients->chains[i] = next;
		}
	client_policy_free(clients->policy);
	free_groups(clients->groups);
	client_orders_free(clients->orders);
	pthread_mutex_destroy(&clients->mutex);
	free(clients);
}

static int compare_entries(const void *one, const void *other)
{
	const struct entry *a = one, *b = other;
	int r = pattern_compare(a->pattern, b->pattern);

	if (pattern_is_name(a->pattern) && pattern_is_name(b->pattern))
		r = strcmp(a->pattern, b->pattern);
	return r ? r : (a->order > b->order) - (a->order < b->order);
}

static void sort_entries(struct client_policy *policy)
{
	if (policy->count)
		qsort(policy->entries, policy->count, sizeof(*policy->entries), compare_entries);
	while (policy->names < policy->count &&
	       pattern_is_name(policy->entries[policy->names].pattern))
		policy->names++;
}

static int compare_name(const void *name, const void *entry)
{
	return strcmp(name, ((const struct entry *)entry)->pattern);
}

static const struct entry *find_entry(const struct client_policy *policy, const char *name)
{
	const struct entry *entry = NULL;

	if (policy->names)
		entry = bsearch(name, policy->entries, policy->names, sizeof(*entry), compare_name);
	for (size_t i = policy->names; !entry && i < policy->count; i++)
		if (pattern_matches(policy->entries[i].pattern, name))
			entry = &policy->entries[i];
	return entry;
}

static void configure(struct client_account *account, const struct client_limits *limits,
		      uint64_t now_ns)
{
	account->limits = *limits;
	for (size_t i = 0; i < CLIENT_DIRECTION_COUNT; i++)
		allowance_configure(&account->allowances[i], limits->rate[i], limits->burst[i],
				    now_ns);
}

/* Its connections are counted where it is. */
static void change_group(struct client *client, struct client_group *group)
{
	struct client_group *before = atomic_load(&client->group);
	uint64_t connections = client_read(&client->account.connections);

	if (before == group)
		return;
	if (before)
		atomic_fetch_sub(&before->account.connections, connections);
	if (group)
		atomic_fetch_add(&group->account.connections, connections);
	atomic_store(&client->group, group);
}

static void apply_policy(struct clients *clients, struct client *client, uint64_t now_ns)
{
	struct client_limits limits = { 0 };
	const struct entry *entry;

	if (client->generation == clients->generation)
		return;
	entry = find_entry(clients->policy, client->name);
	if (entry)
		limits = entry->limits;
	client_orders_apply(clients->orders, client->name, false, &limits);
	configure(&client->account, &limits, now_ns);
	change_group(client, entry ? entry->group : NULL);
	client->pattern = entry ? entry->pattern : NULL;
	client->generation = clients->generation;
}

static void configure_group(struct clients *clients, struct client_group *group,
			    const struct client_limits *configured, uint64_t now_ns)
{
	struct client_limits limits = *configured;

	group->configured = *configured;
	client_orders_apply(clients->orders, group->name, true, &limits);
	configure(&group->account, &limits, now_ns);
}

/* Groups that go on under their name keep what they owe and what is counted. One that is not
 * configured any more has no limits, and soon no clients. */
static void adopt_groups(struct clients *clients, struct client_policy *policy, uint64_t now_ns)
{
	static const struct client_limits none = { 0 };
	struct client_group *group = policy->groups, *next;

	for (struct client_group *old = clients->groups; old; old = old->next)
		if (!find_group(policy->groups, old->name))
			configure_group(clients, old, &none, now_ns);
	policy->groups = NULL;
	for (; group; group = next) {
		struct client_group *old = find_group(clients->groups, group->name);

		next = group->next;
		configure_group(clients, old ? old : group, &group->configured, now_ns);
		if (!old) {
			group->next = clients->groups;
			clients->groups = group;
			continue;
		}
		for (size_t i = 0; i < policy->count; i++)
			if (policy->entries[i].group == group)
				policy->entries[i].group = old;
		free(group);
	}
}

struct visit {
	uint64_t now_ns;
	void (*see)(const struct client *client, void *arg);
	void *arg;
};

/* A few chains at a time, so that no worker waits long for the mutex. */
static void for_each_client(struct clients *clients,
			    void (*one)(struct clients *clients, struct client *client,
					const struct visit *visit),
			    const struct visit *visit)
{
	for (size_t slice = 0; slice < CHAINS; slice += CHAINS_SLICE) {
		pthread_mutex_lock(&clients->mutex);
		for (size_t i = slice; i < slice + CHAINS_SLICE; i++)
			for (struct client *client = clients->chains[i]; client;
			     client = client->next)
				one(clients, client, visit);
		pthread_mutex_unlock(&clients->mutex);
	}
}

static void apply_if_used(struct clients *clients, struct client *client, const struct visit *visit)
{
	if (client->references)
		apply_policy(clients, client, visit->now_ns);
}

void clients_adopt(struct clients *clients, struct client_policy *policy, uint64_t now_ns)
{
	struct client_policy *before;

	sort_entries(policy);
	pthread_mutex_lock(&clients->mutex);
	before = clients->policy;
	adopt_groups(clients, policy, now_ns);
	clients->policy = policy;
	clients->generation++;
	pthread_mutex_unlock(&clients->mutex);
	for_each_client(clients, apply_if_used, &(struct visit){ .now_ns = now_ns });
	client_policy_free(before);
}

/* The name in two words, for a hash that strangers can not steer. */
static struct client **chain_of(struct clients *clients, const char *name)
{
	uint64_t words[2] = { 0xcbf29ce484222325ULL, 0 };
	struct in6_addr key;

	for (; *name; name++) {
		words[0] = (words[0] ^ (unsigned char)*name) * 0x100000001b3ULL;
		words[1] = words[1] * 0x9e3779b97f4a7c15ULL + (unsigned char)*name;
	}
	memcpy(&key, words, sizeof(key));
	return &clients->chains[source_hash(&clients->secret, &key) % CHAINS];
}

static void forget(struct clients *clients, struct client *client)
{
	struct client **slot = chain_of(clients, client->name);

	while (*slot != client)
		slot = &(*slot)->next;
	*slot = client->next;
	list_remove(&client->idle);
	clients->idle_count--;
	client_counts_add(&clients->gone, &client->account);
	free(client);
}

static struct client *find_or_make(struct clients *clients, const char *name)
{
	struct client **chain = chain_of(clients, name), *client = *chain;
	size_t len = strlen(name) + 1;

	while (client && strcmp(client->name, name) != 0)
		client = client->next;
	if (client)
		return client;
	client = calloc(1, sizeof(*client) + len);
	if (!client)
		return NULL;
	memcpy(client->name, name, len);
	client->id = clients->next_id++;
	list_init(&client->idle);
	client->next = *chain;
	*chain = client;
	return client;
}

static struct client *hold(struct clients *clients, const char *name, uint64_t now_ns)
{
	struct client *client = find_or_make(clients, name);

	if (!client)
		return NULL;
	if (!list_empty(&client->idle)) {
		list_remove(&client->idle);
		clients->idle_count--;
	}
	client->references++;
	apply_policy(clients, client, now_ns);
	return client;
}

static void let_go(struct clients *clients, struct client *client)
{
	if (--client->references)
		return;
	list_append(&clients->idle, &client->idle);
	if (++clients->idle_count > CLIENTS_IDLE_MAX)
		forget(clients, container_of(clients->idle.next, struct client, idle));
}

/* `by`: whose limit it is, the client's or its group's. */
static enum client_refusal refuse(struct client *client, struct client_group *by,
				  enum client_refusal reason, struct err_text *why,
				  const char *limit, uint64_t value)
{
	atomic_fetch_add_explicit(&client->account.refused[reason], 1, memory_order_relaxed);
	if (by)
		atomic_fetch_add_explicit(&by->account.refused[reason], 1, memory_order_relaxed);
	if (by)
		err_set(why, 0, "%s: %" PRIu64 " of its group '%s'", limit, value, by->name);
	else
		err_set(why, 0, "%s: %" PRIu64 " of the client", limit, value);
	return reason;
}

/* Of both, or of none. Returns whose limit is reached, or CLIENT_LET_IN. */
static enum client_refusal take_rate(struct client *client, enum client_refusal reason,
				     uint64_t now_ns, struct err_text *why)
{
	struct client_group *group = atomic_load(&client->group);
	struct client_account *accounts[] = { &client->account, group ? &group->account : NULL };
	bool handshake = reason == CLIENT_REFUSED_HANDSHAKES;
	const char *name = handshake ? "handshakes_per_second" : "connections_per_second";

	for (int take = 0; take < 2; take++) {
		for (size_t i = 0; i < ARRAY_SIZE(accounts) && accounts[i]; i++) {
			const struct client_limits *limits = &accounts[i]->limits;
			uint64_t max = handshake ? limits->handshakes_per_second
						 : limits->connections_per_second;
			struct rate *rate = handshake ? &accounts[i]->handshake_rate
						      : &accounts[i]->connection_rate;

			if (max && take)
				rate_take(rate, max, now_ns);
			else if (max && !rate_has(rate, max, now_ns))
				return refuse(client, i ? group : NULL, reason, why, name, max);
		}
	}
	return CLIENT_LET_IN;
}

enum client_refusal clients_enter(struct clients *clients, const char *name, uint64_t now_ns,
				  struct client **ret, struct err_text *why)
{
	enum client_refusal r = CLIENT_REFUSED_NO_MEMORY;
	struct client *client;

	pthread_mutex_lock(&clients->mutex);
	client = hold(clients, name, now_ns);
	if (client)
		r = take_rate(client, CLIENT_REFUSED_HANDSHAKES, now_ns, why);
	if (r == CLIENT_LET_IN && !name[0] && clients->policy->refuse_unnamed) {
		r = CLIENT_REFUSED_UNNAMED;
		atomic_fetch_add(&client->account.refused[r], 1);
		err_set(why, 0, "its certificate has no name (clients.unnamed: refuse)");
	}
	pthread_mutex_unlock(&clients->mutex);
	*ret = client;
	return r;
}

static enum client_refusal admit(struct client *client, uint64_t now_ns, struct err_text *why)
{
	struct client_group *group = atomic_load(&client->group);
	uint64_t max = client->account.limits.connections, group_max;
	enum client_refusal r;

	if (max && client_read(&client->account.connections) >= max)
		return refuse(client, NULL, CLIENT_REFUSED_CONNECTIONS, why, "connections", max);
	group_max = group ? group->account.limits.connections : 0;
	if (group_max && client_read(&group->account.connections) >= group_max)
		return refuse(client, group, CLIENT_REFUSED_CONNECTIONS, why, "connections",
			      group_max);
	r = take_rate(client, CLIENT_REFUSED_CONNECTION_RATE, now_ns, why);
	if (r != CLIENT_LET_IN)
		return r;
	atomic_fetch_add(&client->account.connections, 1);
	if (group)
		atomic_fetch_add(&group->account.connections, 1);
	return CLIENT_LET_IN;
}

enum client_refusal clients_admit(struct clients *clients, struct client *client, uint64_t now_ns,
				  struct err_text *why)
{
	enum client_refusal r;

	pthread_mutex_lock(&clients->mutex);
	r = admit(client, now_ns, why);
	pthread_mutex_unlock(&clients->mutex);
	return r;
}

void clients_leave(struct clients *clients, struct client *client, bool admitted)
{
	struct client_group *group;

	if (!client)
		return;
	pthread_mutex_lock(&clients->mutex);
	group = atomic_load(&client->group);
	if (admitted)
		atomic_fetch_sub(&client->account.connections, 1);
	if (admitted && group)
		atomic_fetch_sub(&group->account.connections, 1);
	let_go(clients, client);
	pthread_mutex_unlock(&clients->mutex);
}

static void show(struct clients *clients, struct client *client, const struct visit *visit)
{
	apply_policy(clients, client, visit->now_ns);
	visit->see(client, visit->arg);
}

void clients_visit(struct clients *clients, uint64_t now_ns,
		   void (*see)(const struct client *client, void *arg), void *arg)
{
	for_each_client(clients, show, &(struct visit){ .now_ns = now_ns, .see = see, .arg = arg });
}

void clients_visit_groups(struct clients *clients,
			  void (*see)(const struct client_group *group, void *arg), void *arg)
{
	pthread_mutex_lock(&clients->mutex);
	for (struct client_group *group = clients->groups; group; group = group->next)
		see(group, arg);
	pthread_mutex_unlock(&clients->mutex);
}

/* --- orders --- */

/* What an order is about has its limits made up anew. */
static void apply_order(struct clients *clients, const char *name, bool of_group, uint64_t now_ns)
{
	struct client_group *group = of_group ? find_group(clients->groups, name) : NULL;
	struct client *client = of_group ? NULL : *chain_of(clients, name);

	while (client && strcmp(client->name, name) != 0)
		client = client->next;
	if (group)
		configure_group(clients, group, &group->configured, now_ns);
	if (client) {
		client->generation = 0;
		apply_policy(clients, client, now_ns);
	}
}

int clients_order(struct clients *clients, const struct client_order *order, uint64_t now_ns)
{
	int r = -ENOENT;

	pthread_mutex_lock(&clients->mutex);
	if (!order->of_group || find_group(clients->groups, order->name))
		r = client_orders_set(&clients->orders, order->name, order->of_group, order->fields,
				      order->limits, order->expires_ns);
	if (r == 0)
		apply_order(clients, order->name, order->of_group, now_ns);
	pthread_mutex_unlock(&clients->mutex);
	return r;
}

int clients_withdraw(struct clients *clients, const char *name, bool of_group, uint64_t now_ns)
{
	struct client_order *order;

	pthread_mutex_lock(&clients->mutex);
	order = client_orders_take(&clients->orders, name, of_group);
	if (order)
		apply_order(clients, name, of_group, now_ns);
	pthread_mutex_unlock(&clients->mutex);
	client_order_free(order);
	return order ? 0 : -ENOENT;
}

struct client_order *clients_take_expired(struct clients *clients, uint64_t now_ns)
{
	struct client_order *order;

	pthread_mutex_lock(&clients->mutex);
	order = client_orders_take_expired(&clients->orders, now_ns);
	if (order)
		apply_order(clients, order->name, order->of_group, now_ns);
	pthread_mutex_unlock(&clients->mutex);
	return order;
}

uint64_t clients_next_expiry(struct clients *clients)
{
	uint64_t first_ns = UINT64_MAX;

	pthread_mutex_lock(&clients->mutex);
	for (const struct client_order *order = clients->orders; order; order = order->next)
		first_ns = MIN(first_ns, order->expires_ns);
	pthread_mutex_unlock(&clients->mutex);
	return first_ns;
}

void clients_visit_orders(struct clients *clients,
			  void (*see)(const struct client_order *order, void *arg), void *arg)
{
	pthread_mutex_lock(&clients->mutex);
	for (const struct client_order *order = clients->orders; order; order = order->next)
		see(order, arg);
	pthread_mutex_unlock(&clients->mutex);
}

/* --- what is counted --- */

void client_counts_add(struct client_counts *counts, const struct client_account *account)
{
	for (int i = 0; i < CLIENT_DIRECTION_COUNT; i++) {
		counts->bytes[i] += client_read(&account->usage[i].bytes);
		counts->limited_ns[i] += client_read(&account->usage[i].limited_ns);
	}
	for (int i = 0; i < CLIENT_REFUSAL_COUNT; i++)
		counts->refused[i] += client_read(&account->refused[i]);
}

void clients_gone(struct clients *clients, struct client_counts *ret)
{
	pthread_mutex_lock(&clients->mutex);
	*ret = clients->gone;
	pthread_mutex_unlock(&clients->mutex);
}

uint64_t client_at_limit_ns(const struct client_usage *usage, uint64_t now_ns)
{
	uint64_t last_ns = client_read(&usage->limited_last_ns),
		 since_ns = client_read(&usage->limited_since_ns);

	if (!last_ns || now_ns > last_ns + CLIENT_AT_LIMIT_NS)
		return 0;
	return now_ns > since_ns ? now_ns - since_ns : 1;
}

void client_note_limited(struct client_usage *usage, uint64_t for_ns, uint64_t now_ns)
{
	uint64_t last_ns = client_read(&usage->limited_last_ns);

	if (!last_ns || now_ns > last_ns + CLIENT_AT_LIMIT_NS)
		atomic_store_explicit(&usage->limited_since_ns, now_ns, memory_order_relaxed);
	atomic_store_explicit(&usage->limited_last_ns, now_ns, memory_order_relaxed);
	if (for_ns)
		atomic_fetch_add_explicit(&usage->limited_ns, for_ns, memory_order_relaxed);
}
