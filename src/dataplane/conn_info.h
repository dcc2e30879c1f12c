/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections as an operator asks for them: which (a filter), in which order, and what is told of
 * each. The values are copies: they outlive the connection and may be read by any thread.
 */
#ifndef SALLYPORT_DATAPLANE_CONN_INFO_H
#define SALLYPORT_DATAPLANE_CONN_INFO_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/conn_states.h"
#include "limits/limits.h"
#include "tls/peer.h"
#include "tls/traffic_keys.h"

struct conn;
struct route;

/* Everything that is set must match; an empty text matches all. */
struct conn_filter {
	uint64_t id; /* only if has_id */
	bool has_id;
	uint32_t states;			 /* CONN_BIT()s; 0: all */
	char cn[PEER_NAME_BYTES_MAX + 1];	 /* fnmatch(3) globs on the verified names */
	char issuer[PEER_NAME_BYTES_MAX + 1];	 /* … */
	char principal[PEER_NAME_BYTES_MAX + 1]; /* a glob, too, on what the broker is told */
	char serial[PEER_SERIAL_TEXT_BYTES];	 /* the whole, any case */
	char listener[LISTENER_NAME_MAX + 1];
	char transport[12]; /* of the TLS side; "plain" before the keys are handed over */
};

enum conn_sort {
	CONN_SORT_AGE,	 /* oldest first */
	CONN_SORT_BYTES, /* both directions, most first */
	CONN_SORT_IDLE,	 /* longest without a byte first */
	CONN_SORT_STALL, /* longest blocked by a reader first; the others after these */
};

/* What a connection waits for, as an operator would put it. X(enum suffix, name) */
#define CONN_WAITS(X)                                                                              \
	X(HANDSHAKE, "handshake")		 /* the peer's part of it */                       \
	X(CONNECT, "connect")			 /* the upstream to accept */                      \
	X(TRAFFIC, "traffic")			 /* nothing to send: somebody to say a word */     \
	X(CLIENT_READS, "client_reads")		 /* the client takes nothing more */               \
	X(UPSTREAM_READS, "upstream_reads")	 /* the upstream takes nothing more */             \
	X(BOTH_READ, "client_and_upstream_read") /* neither does */                                \
	X(LIMITED, "limited")			 /* its client's limits: limits/clients.h */       \
	X(CLOSE, "close")			 /* the end of who was told to go */

enum conn_wait {
#define X(suffix, name) CONN_WAIT_##suffix,
	CONN_WAITS(X)
#undef X
		CONN_WAIT_COUNT
};

const char *conn_wait_name(enum conn_wait wait);

#define CONN_CLIENT_TEXT_BYTES 56

/* One allocation, free() ends it. Texts are never NULL, "" where there is nothing yet. */
struct conn_info {
	uint64_t id;
	uint64_t rank;		      /* by the order asked for: the highest comes first */
	uint64_t bytes_in, bytes_out; /* client to upstream, and back */
	uint64_t age_ns, idle_ns;     /* idle: since the last byte */
	uint64_t stall_ns; /* since the reader that it waits for (see `wait`) took something */
	enum conn_state state;
	enum conn_wait wait;
	char client[CONN_CLIENT_TEXT_BYTES];
	uint16_t tls_version;					       /* 0: no session yet */
	enum tls_cipher cipher;					       /* only with tls_version */
	const char *client_transport, *upstream_transport;	       /* static names */
	const char *listener, *cn, *uri, *serial, *issuer, *principal; /* in `texts` */
	char texts[];
};

/* "10.0.0.7:1234", "[::1]:1234" or "unix" */
void conn_client_text(const struct route *route, const struct in6_addr *ip, uint16_t port,
		      char ret[CONN_CLIENT_TEXT_BYTES]);
bool conn_filter_matches(const struct conn_filter *filter, const struct conn *conn);
/* Where `conn` stands in an order. */
uint64_t conn_rank(const struct conn *conn, enum conn_sort sort);
/* NULL without memory. */
struct conn_info *conn_info_new(const struct conn *conn, uint64_t rank);

#endif
