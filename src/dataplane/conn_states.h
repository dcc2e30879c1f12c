/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The states of a connection, one row each; enum, names, legal transitions and handlers come from
 * here. Behind a balancer that speaks the PROXY protocol a connection begins in HEADER. A front
 * door goes HANDSHAKE -> CONNECT -> RELAY, an egress CONNECT -> HANDSHAKE -> RELAY; where a broker
 * is told who the client is, PRELUDE comes before RELAY. Any of them may go to LINGER (our last
 * bytes are out, the peer's are thrown away so that it can read ours) and then CLOSED.
 */
#ifndef SALLYPORT_DATAPLANE_CONN_STATES_H
#define SALLYPORT_DATAPLANE_CONN_STATES_H

/* X(enum suffix, name, handler prefix, states that may come next) */
#define CONN_STATES(X)                                                                             \
	X(NEW, "new",                                                                              \
	  CONN_BIT(HEADER) | CONN_BIT(HANDSHAKE) | CONN_BIT(CONNECT) | CONN_BIT(CLOSED))           \
	X(HEADER, "header", CONN_BIT(HANDSHAKE) | CONN_BIT(CONNECT) | CONN_BIT(CLOSED))            \
	X(HANDSHAKE, "handshake",                                                                  \
	  CONN_BIT(CONNECT) | CONN_BIT(RELAY) | CONN_BIT(LINGER) | CONN_BIT(CLOSED))               \
	X(CONNECT, "connect",                                                                      \
	  CONN_BIT(HANDSHAKE) | CONN_BIT(PRELUDE) | CONN_BIT(RELAY) | CONN_BIT(LINGER) |           \
		  CONN_BIT(CLOSED))                                                                \
	X(PRELUDE, "prelude", CONN_BIT(RELAY) | CONN_BIT(LINGER) | CONN_BIT(CLOSED))               \
	X(RELAY, "relay", CONN_BIT(LINGER) | CONN_BIT(CLOSED))                                     \
	X(LINGER, "linger", CONN_BIT(CLOSED))                                                      \
	X(CLOSED, "closed", 0)

enum conn_state {
#define X(suffix, name, next) CONN_##suffix,
	CONN_STATES(X)
#undef X
		CONN_STATE_COUNT
};

#define CONN_BIT(suffix) (1u << CONN_##suffix)

#endif
