/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What workers know about the configuration: routes with their TLS context, rules, addresses and
 * limits. Built and published by the control side; workers only read. A change of the configuration
 * makes a new snapshot; the old one lives as long as somebody refers to it: each worker's listeners
 * do, and each connection to the route it came by. What must outlast a change, the counters that
 * bound a listener across workers, is the listener's own state, which snapshots share.
 */
#ifndef SALLYPORT_DATAPLANE_SNAPSHOT_H
#define SALLYPORT_DATAPLANE_SNAPSHOT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/err.h"
#include "config/config.h"
#include "dataplane/lookup.h"
#include "dataplane/stats.h"
#include "dataplane/supply.h"
#include "dataplane/upstream_probe.h"
#include "kafka/principal_rules.h"
#include "limits/limits.h"
#include "limits/rate.h"
#include "tls/context.h"
#include "tls/ktls.h"
#include "tls/ktls_calibrate.h"
#include "tls/peer.h"

struct upstream_address {
	struct sockaddr_storage addr;
	socklen_t len;
};

/* When something last happened at a listener, on clock_monotonic_ns(); 0: never. For those who
 * judge its health; written by any worker. */
struct listener_marks {
	atomic_uint_fast64_t upstream_ok_ns, upstream_failed_ns;
	atomic_int upstream_error; /* errno of the last failure; 0: the name has no address */
	atomic_uint_fast64_t limit_connections_ns, limit_handshakes_ns;
	atomic_uint_fast64_t accept_failed_ns;
	atomic_uint_fast64_t identity_ok_ns, identity_failed_ns;
	atomic_int identity_reason; /* enum close_reason of the last failure */
};

/* Of one listener, as long as it goes on from snapshot to snapshot under its name. */
struct listener_state {
	atomic_uint refs;
	atomic_uint_fast64_t connections, handshakes; /* live now, all workers */
	struct rate accept_rate;
	struct listener_stats stats;
	struct listener_marks marks;
};

struct snapshot;

/* That the upstream minds identities is known as long as a connection lives for which it did: its
 * process is then the same. */
struct route_proof {
	pthread_mutex_t mutex;
	struct upstream_address address; /* whose, if any live */
	unsigned int live;
};

struct route {
	struct snapshot *snapshot; /* it is part of */
	struct listener_state *state;
	const struct config_listener *config; /* the snapshot's */
	struct tls_context *tls;
	bool awaiting; /* certificate or roots have not come yet: there is no `tls` */
	struct principal_rules *principal_rules; /* NULL: no broker is told of anybody */
	const struct ktls_support *ktls;	 /* the snapshot's */
	uint8_t ktls_use[KTLS_VERSION_COUNT][TLS_CIPHER_COUNT]; /* enum ktls_use */
	enum ktls_use transport; /* of these that of TLS 1.3 with the suite that comes first */
	struct err_text transport_why;
	int unix_fd; /* the listening socket that all workers share, or -1 (borrowed from worker 0)
		      */
	/* The upstream's addresses, renewed by the control side. */
	pthread_mutex_t addresses_mutex;
	struct upstream_address addresses[UPSTREAM_ADDRESSES_MAX];
	size_t address_count;
	struct route_proof proof;
	struct upstream_probe probe; /* the control side's */
	struct lookup *lookup; /* of the upstream's name, that runs, or NULL; the control side's */
};

struct snapshot {
	atomic_uint refs;
	uint64_t generation;   /* 1 at start, then one more each time */
	struct config *config; /* owned */
	bool ktls_probed;
	struct ktls_support ktls;
	struct ktls_calibration calibration;
	struct route *routes;
	size_t route_count;
};

/* With one reference. Takes `config` if it succeeds. `supply` (NULL: none) is what listeners with
 * certificate_from or roots_from get theirs from. `previous` (NULL at start) hands on what goes
 * on: the states of listeners, addresses of upstreams. 0, or -errno with `err`. Control side. */
int snapshot_new(struct config *config, struct snapshot *previous, struct supply *supply,
		 struct snapshot **ret, struct err_text *err);
struct snapshot *snapshot_ref(struct snapshot *snapshot); /* any thread */
/* Any thread; the last reference frees it with its configuration. NULL is fine. */
void snapshot_unref(struct snapshot *snapshot);
/* The route of this name, or NULL. */
struct route *snapshot_route(struct snapshot *snapshot, const char *name);

/* Keeps the route, and with it its snapshot. Any thread. */
struct route *route_ref(struct route *route);
void route_unref(struct route *route);

/* Keeps the addresses of the upstream's name new without waiting; to be called now and then, by the
 * control side. Starts a look-up if asked to and none runs, and publishes what one that has ended
 * gave. If that failed the old addresses stay: -errno with `err`. */
int route_renew(struct route *route, bool start, struct err_text *err);
/* Copies the addresses for one connection; returns their number. */
size_t route_addresses(struct route *route, struct upstream_address ret[UPSTREAM_ADDRESSES_MAX]);
/* One handshake more in flight, given back with route_leave_handshake(); false: there are too many.
 */
bool route_enter_handshake(struct route *route);
void route_leave_handshake(struct route *route);
/* Whether this is a balancer that tells us who its clients are. */
bool route_trusts_header_from(const struct route *route, const struct in6_addr *address);
/* Somebody was turned away for this; reasons that are no limit of the listener's leave no mark. */
void route_mark_limit(struct route *route, enum close_reason reason, uint64_t now_ns);
/* The upstream could not be reached; `error`: errno, 0 if its name has no address. */
void route_mark_upstream_failed(struct route *route, uint64_t now_ns, int error);
/* The upstream at this address has taken a client's identity: true if the connection counts, until
 * route_withdraw(). */
bool route_vouch(struct route *route, const struct upstream_address *address);
void route_withdraw(struct route *route);
/* Whether a connection lives that counts for this address. */
bool route_is_proven(struct route *route, const struct upstream_address *address);
/* A broker has not taken an identity, or (`reason` 0) has. */
void route_mark_identity(struct route *route, uint64_t now_ns, int reason);
/* Whether the rules let this peer in; `ret_why` is static text for the log. */
bool route_admits(const struct route *route, const struct peer *peer, const char **ret_why);

#endif
