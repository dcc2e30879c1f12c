/* SPDX-License-Identifier: Apache-2.0 */
/* Counters (stats.h) and the stable names of close reasons. Any thread may sum; only the owner
 * writes. */
#include "dataplane/stats.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"

/* Between the counters of two workers, so that neither slows the other down. */
#define CACHE_LINE_BYTES 64

static const char *const reason_names[CLOSE_REASON_COUNT] = {
#define X(suffix, name, text) [CLOSE_##suffix] = name,
	CLOSE_REASONS(X)
#undef X
};

const char *close_reason_name(enum close_reason reason)
{
	return reason_names[reason];
}

void stats_sum(struct stats *sum, const struct stats *from)
{
	const uint64_t *in = (const uint64_t *)from;
	uint64_t *out = (uint64_t *)sum;

	static_assert(sizeof(struct stats) % sizeof(uint64_t) == 0,
		      "stats is an array of counters");
	for (size_t i = 0; i < sizeof(*sum) / sizeof(*out); i++)
		out[i] += counter_read(&in[i]);
}

int listener_stats_prepare(struct listener_stats *stats, unsigned int worker)
{
	struct stats *of;

	if (stats->of[worker])
		return 0;
	of = calloc(1, sizeof(*of) + CACHE_LINE_BYTES);
	if (!of)
		return -ENOMEM;
	__atomic_store_n(&stats->of[worker], of, __ATOMIC_RELEASE);
	return 0;
}

void listener_stats_fini(struct listener_stats *stats)
{
	for (size_t i = 0; i < ARRAY_SIZE(stats->of); i++)
		free(TAKE_PTR(stats->of[i]));
}

void listener_stats_sum(struct stats *sum, const struct listener_stats *from)
{
	for (size_t i = 0; i < ARRAY_SIZE(from->of); i++) {
		const struct stats *of = __atomic_load_n(&from->of[i], __ATOMIC_ACQUIRE);

		if (of)
			stats_sum(sum, of);
	}
}

uint64_t stats_bytes(const struct stats *stats, enum stats_direction direction)
{
	uint64_t bytes = 0;

	for (int i = 0; i < STATS_TRANSPORT_COUNT; i++)
		bytes += stats->bytes[direction][i];
	return bytes;
}

/* Some names stand for an end and for a refusal (peer_alert, no_memory): in a line each key may be
 * there once only. -1: no reason is called so. */
static int reason_of(const char *name)
{
	for (int i = 0; i < CLOSE_REASON_COUNT; i++)
		if (!strcmp(reason_names[i], name))
			return i;
	return -1;
}

void stats_log(const struct stats *stats)
{
	uint64_t ends[CLOSE_REASON_COUNT];
	struct log_line line;

	memcpy(ends, stats->closes, sizeof(ends));
	log_begin(&line, LOG_INFO, "totals");
#define X(field) log_u64(&line, #field, stats->field);
	STATS_COUNTERS(X)
#undef X
	log_u64(&line, "bytes_in", stats_bytes(stats, STATS_IN));
	log_u64(&line, "bytes_out", stats_bytes(stats, STATS_OUT));
	for (int i = 0; i < TLS_REFUSAL_COUNT; i++) {
		const char *name = tls_refusal_name((enum tls_refusal)i);
		int reason = reason_of(name);

		if (reason >= 0)
			ends[reason] += stats->refusals[i];
		else if (stats->refusals[i])
			log_u64(&line, name, stats->refusals[i]);
	}
	for (int i = 0; i < CLOSE_REASON_COUNT; i++)
		if (ends[i])
			log_u64(&line, reason_names[i], ends[i]);
	log_end(&line);
}
