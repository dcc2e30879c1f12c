/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Prometheus scrapes: every family, one row each, with how its samples are made. The page
 * docs/metrics.md says the same for people; a test compares them.
 */
#ifndef SALLYPORT_ADMIN_METRICS_H
#define SALLYPORT_ADMIN_METRICS_H

#include <stdio.h>

#include "admin/process_stats.h"
#include "dataplane/proxy.h"

struct metrics_source {
	struct proxy *proxy;
	const char *version; /* of the program */
	struct process_files process;
	struct client_series *clients; /* from scrape to scrape */
};

/* All families in the text format. One thread at a time. */
void metrics_write(FILE *out, const struct metrics_source *source);

#endif
