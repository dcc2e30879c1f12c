/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters of one worker. Only its thread writes; sums are taken by others with relaxed loads.
 */
#ifndef SALLYPORT_DATAPLANE_STATS_H
#define SALLYPORT_DATAPLANE_STATS_H

#include <stdint.h>

#include "dataplane/reasons.h"
#include "tls/handshake.h"

/* X(field): plain counters */
#define STATS_COUNTERS(X)                                                                          \
	X(accepted)                                                                                \
	X(accept_errors)                                                                           \
	X(accept_backoffs)                                                                         \
	X(handshakes)                                                                              \
	X(handshakes_ktls)                                                                         \
	X(handshakes_aead)                                                                         \
	X(handshake_waits)                                                                         \
	X(bytes_in)                                                                                \
	X(bytes_out)                                                                               \
	X(bytes_spliced)                                                                           \
	X(key_updates_received)                                                                    \
	X(key_updates_sent)                                                                        \
	X(upstream_connects)                                                                       \
	X(upstream_connect_failures)

struct stats {
#define X(field) uint64_t field;
	STATS_COUNTERS(X)
#undef X
	uint64_t closes[CLOSE_REASON_COUNT];
	uint64_t refusals[TLS_REFUSAL_COUNT];
};

static inline void stats_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* Adds `from` (maybe being written) to `sum`. */
void stats_sum(struct stats *sum, const struct stats *from);
/* One log line with every counter that is not 0. */
void stats_log(const struct stats *stats);

#endif
