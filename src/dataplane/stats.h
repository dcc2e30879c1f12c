/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters of a worker, and the same once more for each listener and worker. Only the worker's
 * thread writes; sums are taken by others with relaxed loads.
 */
#ifndef SALLYPORT_DATAPLANE_STATS_H
#define SALLYPORT_DATAPLANE_STATS_H

#include <stdint.h>

#include "base/counter.h"
#include "dataplane/conn_states.h"
#include "dataplane/reasons.h"
#include "limits/limits.h"
#include "tls/handshake.h"

enum stats_direction { STATS_IN, STATS_OUT, STATS_DIRECTION_COUNT }; /* IN: to the upstream */
enum stats_transport { STATS_AEAD, STATS_KTLS, STATS_TRANSPORT_COUNT };
enum stats_version { STATS_TLS_1_2, STATS_TLS_1_3, STATS_VERSION_COUNT };

/* X(field): plain counters */
#define STATS_COUNTERS(X)                                                                          \
	X(accepted)                                                                                \
	X(accept_errors)                                                                           \
	X(accept_backoffs)                                                                         \
	X(handshakes)                                                                              \
	X(handshakes_ktls)                                                                         \
	X(handshakes_aead)                                                                         \
	X(handshake_waits)                                                                         \
	X(bytes_spliced)                                                                           \
	X(key_updates_received)                                                                    \
	X(key_updates_sent)                                                                        \
	X(upstream_connects)                                                                       \
	X(upstream_connect_failures)                                                               \
	X(identities)                                                                              \
	X(identity_waits)

struct stats {
#define X(field) uint64_t field;
	STATS_COUNTERS(X)
#undef X
	uint64_t bytes[STATS_DIRECTION_COUNT][STATS_TRANSPORT_COUNT];
	/* The handshakes by what was agreed upon. */
	uint64_t sessions[STATS_VERSION_COUNT][TLS_CIPHER_COUNT];
	uint64_t closes[CLOSE_REASON_COUNT];
	uint64_t refusals[TLS_REFUSAL_COUNT];
	/* In a listener's only. From accept (egress: from the connected upstream); all addresses
	 * that were tried. */
	struct histogram handshake_time, connect_time;
	uint64_t conns[CONN_STATE_COUNT]; /* a gauge: live ones */
	uint64_t held_bytes; /* a gauge, in the worker's only: buffers that connections keep */
};

/* What workers count of one listener. */
struct listener_stats {
	struct stats *of[WORKERS_MAX]; /* owned; NULL: there is no such worker */
};

/* For the worker of that number, before it takes connections; more than once does no harm. 0 or
 * -ENOMEM. */
int listener_stats_prepare(struct listener_stats *stats, unsigned int worker);
void listener_stats_fini(struct listener_stats *stats);
/* Any thread, while workers count. */
void listener_stats_sum(struct stats *sum, const struct listener_stats *from);

static inline void stats_add(uint64_t *counter, uint64_t n)
{
	counter_add(counter, n);
}

/* A worker counts everything in its own, and what is a listener's in its share of that as well. */
#define stats_add_both(of_worker, of_listener, field, n)                                           \
	do {                                                                                       \
		stats_add(&(of_worker)->field, n);                                                 \
		stats_add(&(of_listener)->field, n);                                               \
	} while (0)

/* Adds `from` (maybe being written) to `sum`. */
void stats_sum(struct stats *sum, const struct stats *from);
/* Bytes of all transports. */
uint64_t stats_bytes(const struct stats *stats, enum stats_direction direction);
/* One log line with every counter that is not 0. */
void stats_log(const struct stats *stats);

#endif
