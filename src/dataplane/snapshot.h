/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What workers know about the configuration: routes with their TLS context, rules, addresses and
 * limits. Built and published by the control side; workers only read. The counters of a route that
 * bound it across workers are atomics.
 */
#ifndef SALLYPORT_DATAPLANE_SNAPSHOT_H
#define SALLYPORT_DATAPLANE_SNAPSHOT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/err.h"
#include "config/config.h"
#include "limits/limits.h"
#include "tls/context.h"
#include "tls/ktls.h"
#include "tls/peer.h"

struct upstream_address {
	struct sockaddr_storage addr;
	socklen_t len;
};

struct route {
	const struct config_listener *config; /* borrowed */
	struct tls_context *tls;
	const struct ktls_support *ktls; /* the snapshot's */
	bool use_ktls_13, use_ktls_12;
	int unix_fd; /* the listening socket that all workers share, or -1 (borrowed from worker 0)
		      */
	atomic_uint_fast64_t connections, handshakes; /* live now, all workers */
	/* The upstream's addresses, renewed by the control side. */
	pthread_mutex_t addresses_mutex;
	struct upstream_address addresses[UPSTREAM_ADDRESSES_MAX];
	size_t address_count;
};

struct snapshot {
	struct ktls_support ktls;
	struct route *routes;
	size_t route_count;
};

/* `config` is borrowed for the snapshot's life. 0, or -errno with `err`. */
int snapshot_new(const struct config *config, struct snapshot **ret, struct err_text *err);
void snapshot_free(struct snapshot *snapshot);

/* Looks the upstream's name up again (blocking: control side only). Keeps the old addresses if that
 * fails: -errno with `err`. */
int route_resolve(struct route *route, struct err_text *err);
/* Copies the addresses for one connection; returns their number. */
size_t route_addresses(struct route *route, struct upstream_address ret[UPSTREAM_ADDRESSES_MAX]);
/* Whether the rules let this peer in; `ret_why` is static text for the log. */
bool route_admits(const struct route *route, const struct peer *peer, const char **ret_why);

#endif
