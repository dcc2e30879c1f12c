/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of admin/ only: one family of one scrape, for those who write its samples.
 */
#ifndef SALLYPORT_ADMIN_METRICS_IMPL_H
#define SALLYPORT_ADMIN_METRICS_IMPL_H

#include "admin/client_series.h"
#include "admin/exposition.h"
#include "admin/metrics.h"

struct family;

/* What sums over all workers come to. */
struct worker_sums {
	uint64_t workers, pipes_lent, pipes_idle, pipes_refused, cq_overflows;
	struct histogram turns;
	const char *loop;
};

/* One family of one scrape. */
struct scrape {
	FILE *out;
	const struct metrics_source *source;
	const struct family *family;
	const struct snapshot *snapshot; /* in force */
	const struct stats *total;	 /* of all workers */
	const struct worker_sums *workers;
	const struct audit_stats *audit;
	const struct reload_state *reload;
	const struct process_stats *process;
	const struct client_series *clients;
};

struct family {
	const char *name;
	enum exposition_type type;
	const char *help;
	/* One of these is set. */
	void (*of_proxy)(const struct scrape *scrape);
	void (*of_listener)(const struct scrape *scrape, const struct route *route,
			    const struct stats *stats);
	void (*of_worker)(const struct scrape *scrape, const struct worker *worker);
	size_t offset; /* of_listener: in struct stats, for those that are a plain number there */
};

/* Lists of labels; LISTENER_LABELS() begins with the listener's name. */
#define LABELS(...)                                                                                \
	(const struct exposition_label[])                                                          \
	{                                                                                          \
		__VA_ARGS__,                                                                       \
		{                                                                                  \
			NULL, NULL                                                                 \
		}                                                                                  \
	}
#define LISTENER_LABELS(route, ...) LABELS({ "listener", (route)->config->name }, ##__VA_ARGS__)

/* Of clients, by name: metrics_clients.c. */
void metrics_client_bytes(const struct scrape *scrape);
void metrics_client_limited(const struct scrape *scrape);
void metrics_client_refused(const struct scrape *scrape);
void metrics_client_connections(const struct scrape *scrape);
void metrics_client_at_limit(const struct scrape *scrape);
void metrics_clients_known(const struct scrape *scrape);
void metrics_group_bytes(const struct scrape *scrape);
void metrics_group_limited(const struct scrape *scrape);
void metrics_group_connections(const struct scrape *scrape);

#endif
