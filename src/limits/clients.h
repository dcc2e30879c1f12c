/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each client may do, by its name: bytes a second each way, connections, new connections and
 * handshakes a second; and the same once more for groups, whose clients share one allowance: both
 * must allow. One table for all workers and listeners.
 *
 * A client is made with its first handshake and lives on without connections, so that what it owes
 * and what is counted of it are not forgotten; CLIENTS_IDLE_MAX of such are kept. A new policy
 * changes the limits of those who are there in place. What happens once a connection is behind one
 * mutex, what happens with bytes is atomic. Names are whatever the caller takes for one; "" is one
 * too.
 *
 * Time is the caller's, monotonic.
 */
#ifndef SALLYPORT_LIMITS_CLIENTS_H
#define SALLYPORT_LIMITS_CLIENTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "limits/allowance.h"
#include "limits/limits.h"
#include "limits/rate.h"

enum client_direction {
	CLIENT_PRODUCE, /* to the upstream */
	CLIENT_CONSUME,
	CLIENT_DIRECTION_COUNT,
};

/* 0: no limit, for a burst: the default of its rate. */
struct client_limits {
	uint64_t rate[CLIENT_DIRECTION_COUNT];	/* bytes a second */
	uint64_t burst[CLIENT_DIRECTION_COUNT]; /* bytes */
	uint64_t connections;			/* live */
	uint64_t connections_per_second;	/* that are let in */
	uint64_t handshakes_per_second;		/* that end well, let in or not */
};

/* Why a client is not let in. X(enum suffix) */
#define CLIENT_REFUSALS(X)                                                                         \
	X(UNNAMED)                                                                                 \
	X(HANDSHAKES)                                                                              \
	X(CONNECTIONS)                                                                             \
	X(CONNECTION_RATE)                                                                         \
	X(NO_MEMORY)

enum client_refusal {
#define X(suffix) CLIENT_REFUSED_##suffix,
	CLIENT_REFUSALS(X)
#undef X
		CLIENT_REFUSAL_COUNT,
	CLIENT_LET_IN = CLIENT_REFUSAL_COUNT,
};

/* Of one direction. Written by any worker, read by anybody; relaxed. */
struct client_usage {
	atomic_uint_fast64_t bytes;
	atomic_uint_fast64_t limited_ns; /* connections have waited, all together */
	/* When one last waited, and since when without CLIENT_AT_LIMIT_NS of peace. 0: never. */
	atomic_uint_fast64_t limited_last_ns, limited_since_ns;
};

/* Who has had to wait within so long is at its limit. */
#define CLIENT_AT_LIMIT_NS (2ULL * CLIENT_FLOOR_MS * 1000000ULL)

/* What clients and groups have in common. */
struct client_account {
	struct allowance allowances[CLIENT_DIRECTION_COUNT];
	struct client_usage usage[CLIENT_DIRECTION_COUNT];
	atomic_uint_fast64_t connections; /* live; written under the mutex */
	atomic_uint_fast64_t refused[CLIENT_REFUSAL_COUNT];
	/* Under the mutex. */
	struct client_limits limits;
	struct rate connection_rate, handshake_rate;
};

struct client_group {
	struct client_account account;
	struct client_limits configured; /* under the mutex; account.limits may be by order */
	struct client_group *next;	 /* of the table, which keeps it for as long as it lives */
	char name[];
};

struct client {
	struct client_account account;
	_Atomic(struct client_group *) group; /* NULL: in none */
	uint64_t id; /* no other client has it or has had it, in another process either; not 0 */
	/* Under the mutex. */
	const char *pattern; /* of the entry that counts for it, the policy's; NULL: none */
	uint64_t generation; /* of the policy that it was last held against */
	uint64_t references;
	struct list_node idle;
	struct client *next; /* in its chain */
	char name[];
};

/* What a client or several have come to. */
struct client_counts {
	uint64_t bytes[CLIENT_DIRECTION_COUNT], limited_ns[CLIENT_DIRECTION_COUNT];
	uint64_t refused[CLIENT_REFUSAL_COUNT];
};

struct clients;
struct client_policy;
struct client_order;

/* 0, -ENOMEM, or -EIO if the kernel gives no random bytes. The policy is an empty one. */
int clients_new(struct clients **ret);
void clients_free(struct clients *clients); /* no client may be in use; NULL is fine */

/* A policy is put together, and then put in force in one step that can not fail. An entry counts
 * for the names that its `pattern` (pattern.h) matches, the most specific one alone; `group` (NULL:
 * none) has been added before. Texts are copied. 0 or -ENOMEM. */
int client_policy_new(bool refuse_unnamed, struct client_policy **ret);
int client_policy_add_group(struct client_policy *policy, const char *name,
			    const struct client_limits *limits);
int client_policy_add(struct client_policy *policy, const char *pattern, const char *group,
		      const struct client_limits *limits);
void client_policy_free(struct client_policy *policy); /* NULL is fine */
/* Takes the policy. */
void clients_adopt(struct clients *clients, struct client_policy *policy, uint64_t now_ns);

/* A handshake of this name has ended well: CLIENT_LET_IN, or why that was one too many. In any case
 * but CLIENT_REFUSED_NO_MEMORY `ret` is to be given back. `why` says whose limit it is. */
enum client_refusal clients_enter(struct clients *clients, const char *name, uint64_t now_ns,
				  struct client **ret, struct err_text *why);
/* … and its connection wants to go on. CLIENT_LET_IN: it counts from now on. */
enum client_refusal clients_admit(struct clients *clients, struct client *client, uint64_t now_ns,
				  struct err_text *why);
/* `admitted`: what clients_admit() has counted ends. NULL is fine. */
void clients_leave(struct clients *clients, struct client *client, bool admitted);

/* Calls `see` for each client or group under the mutex: it must be quick, and may read everything.
 * `at_limit` etc. are for it to tell from the account. */
void clients_visit(struct clients *clients, uint64_t now_ns,
		   void (*see)(const struct client *client, void *arg), void *arg);
void clients_visit_groups(struct clients *clients,
			  void (*see)(const struct client_group *group, void *arg), void *arg);

/* Limits by order (client_orders.h), in force at once, on live connections too. 0, -ENOENT (no such
 * group), -ENOSPC (too many orders) or -ENOMEM. `next` of the order is not looked at. */
int clients_order(struct clients *clients, const struct client_order *order, uint64_t now_ns);
/* Back to what the configuration says. 0, or -ENOENT: there is no such order. */
int clients_withdraw(struct clients *clients, const char *name, bool of_group, uint64_t now_ns);
/* When the first order runs off; UINT64_MAX: none does. Nothing happens by itself: */
uint64_t clients_next_expiry(struct clients *clients);
/* Takes back an order that has run off and returns it, for client_order_free(), or NULL. */
struct client_order *clients_take_expired(struct clients *clients, uint64_t now_ns);
/* Under the mutex. */
void clients_visit_orders(struct clients *clients,
			  void (*see)(const struct client_order *order, void *arg), void *arg);

void client_counts_add(struct client_counts *counts, const struct client_account *account);
/* Of clients that have been forgotten. */
void clients_gone(struct clients *clients, struct client_counts *ret);

static inline uint64_t client_read(const atomic_uint_fast64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

static inline void client_count_bytes(struct client *client, enum client_direction direction,
				      uint64_t bytes)
{
	struct client_group *group = atomic_load_explicit(&client->group, memory_order_relaxed);

	atomic_fetch_add_explicit(&client->account.usage[direction].bytes, bytes,
				  memory_order_relaxed);
	if (group)
		atomic_fetch_add_explicit(&group->account.usage[direction].bytes, bytes,
					  memory_order_relaxed);
}

/* For how long it has been at its limit without a pause; 0: it is not. */
uint64_t client_at_limit_ns(const struct client_usage *usage, uint64_t now_ns);
/* A connection waits, or has just waited `for_ns`. */
void client_note_limited(struct client_usage *usage, uint64_t for_ns, uint64_t now_ns);

#endif
