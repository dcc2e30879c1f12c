/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection: two legs and two flows, walked through its states from accept to close. Owned by
 * its worker; one allocation that lives until both sockets are handed back to the loop.
 */
#ifndef SALLYPORT_DATAPLANE_CONN_H
#define SALLYPORT_DATAPLANE_CONN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "dataplane/conn_states.h"
#include "dataplane/leg.h"
#include "dataplane/reasons.h"
#include "dataplane/snapshot.h"
#include "dataplane/throttle.h"
#include "dataplane/worker.h"
#include "limits/share.h"
#include "proxy_protocol/proxy_protocol.h"
#include "tls/handshake.h"

/* One direction of the relay. */
struct flow {
	struct leg *from, *to;
	struct pipe_pair *pipe; /* lent while bytes are inside */
	uint64_t bytes;
	uint64_t delivered;   /* … of these: what left for `to`'s socket (aead: roughly) */
	uint64_t progress_ns; /* when that last grew */
	uint32_t bulk_reads;  /* full reads in a row: decides copy or splice */
	bool finished;	      /* everything delivered, `to` was told the end */
	struct share share;   /* what its client's limits let it move */
	struct throttle_entry throttle; /* while these make it wait */
	uint64_t pace; /* that `to`'s socket has been told, bytes a second; 0: none */
	bool held;     /* not yet: the broker has not said that it knows the client */
};

/* Of a connection that came through a balancer which said whose it is. */
struct conn_proxied {
	struct in6_addr balancer_ip;
	uint16_t balancer_port;
	struct proxy_protocol_addresses addresses; /* as the client saw them */
};

/* What exists only while the handshake lasts. */
struct conn_handshake;
/* What exists only while a PROXY protocol header is read. */
struct conn_header;
/* What exists only while the upstream is being connected. */
struct conn_connect;

struct conn {
	struct worker *worker;
	struct route *route;   /* a reference */
	struct stats *stats;   /* this worker's share of the listener's */
	struct list_node node; /* in worker->conns */
	uint64_t id;
	enum conn_state state;
	enum close_reason reason;
	struct leg accepted, dialed;	/* the socket that came in, the one that we opened */
	struct leg *tls;		/* whichever of them speaks TLS */
	struct flow inbound, outbound;	/* accepted -> dialed, dialed -> accepted */
	struct loop_timer timer;	/* deadline of the state */
	struct loop_task task;		/* the relay's next turn */
	struct turnstile_entry arrival; /* until its first step: waits for its turn */
	uint64_t started_ns, active_ns;
	struct conn_header *header;
	struct conn_proxied *proxied; /* NULL: it came straight to us */
	struct conn_handshake *handshake;
	struct conn_connect *connect;
	struct peer *peer;
	char *principal; /* what the broker is told that it is; NULL: nothing */
	struct tls_handshake_summary summary;
	struct source *source;	   /* counted there; NULL: not counted */
	struct client *client;	   /* whose it is; NULL: not known, or at an egress */
	int64_t held_bytes;	   /* counted at the gate */
	struct in6_addr client_ip; /* IPv4 mapped; zero for unix */
	uint16_t client_port;
	int error;		/* errno behind the reason, 0: none */
	size_t lingered_bytes;	/* thrown away while lingering */
	bool counted_handshake; /* in route->state->handshakes */
	bool secured;		/* the handshake is done */
	bool connected;		/* the upstream is there */
	bool vouches;		/* counted in route->proof */
	bool logged;		/* refused: no second line */
	bool client_admitted;	/* counted as a connection of its client */
};

/* What the connection holds in memory now is made known to the gate: after it has changed. */
void conn_count_memory(struct conn *conn);
/* The client's handshake has failed; no matter where it is the upstream's that we do. */
void conn_punish(struct conn *conn, enum penalty_kind kind);
/* The client's source is known: it may go on, or the connection has been closed (false). */
bool conn_enter(struct conn *conn);
/* The handshake has said who it is, and the rules have let it in: each time true, or a limit of the
 * client's is reached and `conn` may be gone. */
bool conn_limit_enter(struct conn *conn);
bool conn_limit_admit(struct conn *conn);
void conn_limit_leave(struct conn *conn); /* it is going */
/* A flow of the relay begins; how much it may move now (0: it waits, and the relay's task will be
 * queued; SHARE_UNLIMITED); so much it has moved; it has nothing to move, or ends. For one
 * that flow_is_limited() alone: who has no limits pays next to nothing. */
void flow_limit_start(struct conn *conn, struct flow *flow);
size_t flow_limit_ask(struct conn *conn, struct flow *flow);
void flow_limit_use(struct conn *conn, struct flow *flow, uint64_t bytes);
void flow_limit_rest(struct conn *conn, struct flow *flow);
bool conn_is_limited(const struct conn *conn); /* a flow waits */

/* Limits apply to it, or did until now. */
static inline bool flow_is_limited(const struct flow *flow)
{
	return flow->share.mode != SHARE_FREE || flow->pace || share_is_limited(&flow->share);
}

/* A counter of struct stats: the worker's, and its share of the listener's. */
#define conn_stats_add(conn, field, n)                                                             \
	stats_add_both(&(conn)->worker->stats, (conn)->stats, field, n)

/* Takes `fd`. Never fails towards the caller: what goes wrong is counted and logged. */
void conn_accept(struct worker *worker, struct route *route, int fd);

/* Readiness of one of its sockets: notes it and calls the state's handler. */
void conn_on_ready(struct conn *conn, struct leg *leg, uint32_t events);
/* The only writer of conn->state; starts the state's deadline. */
void conn_set_state(struct conn *conn, enum conn_state state);
const char *conn_state_name(enum conn_state state);

/* Ends the connection at once, both sockets: nobody is there to be told. May be called in any
 * state; `conn` is gone afterwards. */
void conn_close(struct conn *conn, enum close_reason reason);
/* Ends it in order: the other socket closes now, `leg` (the one who is to be told) gets the alert
 * (0: close_notify), FIN, and time to read them. `conn` may be gone afterwards. */
void conn_end(struct conn *conn, struct leg *leg, enum close_reason reason, uint8_t alert);
/* A leg's transport has failed: ends according to leg->failure. `conn` may be gone afterwards. */
void conn_on_leg_failed(struct conn *conn, struct leg *leg);
/* The proxy is stopping and waited long enough. */
void conn_drain(struct conn *conn);
/* An operator wants it gone: the TLS peer is told, the other side gets a reset. */
void conn_kill(struct conn *conn);

/* Steps; each moves the connection on to the next one when it is done. */
void conn_header_start(struct conn *conn);
void conn_header_ready(struct conn *conn, struct leg *leg, uint32_t events);
void conn_header_free(struct conn *conn);
/* The upstream is told who the client is before anything else goes there. `hs`: the client's
 * handshake that is done, NULL if there is none. 0; -ENOMEM; -EMSGSIZE: it does not fit. */
int conn_header_hold(struct conn *conn, const struct tls_handshake *hs);
void conn_handshake_start(struct conn *conn);
void conn_handshake_ready(struct conn *conn, struct leg *leg, uint32_t events);
void conn_handshake_free(struct conn *conn);
/* Its time is up: true if it was the peer that we waited for. */
bool conn_handshake_waits_for_peer(const struct conn *conn);
/* What it is taken to hold. */
size_t conn_handshake_bytes(const struct conn *conn);
/* What the peer says it is, verified or not: for the log only. NULL: nothing yet. */
const struct peer *conn_handshake_claimed_peer(struct conn *conn);
void conn_connect_start(struct conn *conn);
void conn_connect_ready(struct conn *conn, struct leg *leg, uint32_t events);
void conn_connect_timeout(struct conn *conn);
void conn_connect_free(struct conn *conn);
/* Tells a Kafka broker who the client is, and waits until it knows. */
void conn_prelude_start(struct conn *conn);
void conn_prelude_ready(struct conn *conn, struct leg *leg, uint32_t events);
void conn_prelude_timeout(struct conn *conn);
/* The upstream's socket has failed before the broker has answered. */
void conn_prelude_on_broken(struct conn *conn);
/* The upstream has hung up, or the connection ends: it vouches for the upstream no longer. */
void conn_prelude_withdraw(struct conn *conn);
/* Makes the flows without letting them run. */
void conn_relay_prepare(struct conn *conn);
/* Moves what may be moved; `conn` may be gone afterwards. */
void conn_relay_turn(struct conn *conn);
void conn_relay_start(struct conn *conn);
void conn_relay_ready(struct conn *conn, struct leg *leg, uint32_t events);
void conn_relay_fini(struct conn *conn);
/* Bytes that `flow` has read and `to` does not take: 0 unless it is blocked. */
size_t flow_undelivered(const struct flow *flow);
/* The step after handshake or connect, whichever remains. */
void conn_next_step(struct conn *conn);

#endif
