/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which clients have series of their own in the metrics: names come with certificates, so there is
 * a bound, and the rest is one series more. Who has one keeps it, so that series do not come and
 * go; a place is given to somebody else only when its client has been forgotten, or has had no
 * connection for an hour. One thread at a time.
 */
#ifndef SALLYPORT_ADMIN_CLIENT_SERIES_H
#define SALLYPORT_ADMIN_CLIENT_SERIES_H

#include <stddef.h>
#include <stdint.h>

#include "limits/clients.h"

/* What the row of all others is called; a client of that name is one of them. */
#define CLIENT_SERIES_OTHER   "(other)"
#define CLIENT_SERIES_IDLE_NS (3600ULL * 1000000000ULL)

struct client_row {
	char *name;
	struct client_counts counts;
	uint64_t connections;			   /* live */
	uint64_t at_limit[CLIENT_DIRECTION_COUNT]; /* clients that are held back now */
	uint64_t busy_ns;			   /* when it last had a connection */
	bool seen;
};

struct client_series {
	struct client_row *rows;
	size_t count, room;
	struct client_row other; /* all who have no row; its counters never go back */
	uint64_t known;		 /* clients in the table */
	uint64_t at_limit[CLIENT_DIRECTION_COUNT]; /* of all */
};

/* Brings all up to date, with at most `most` rows. What there is no memory for is in `other`. */
void client_series_update(struct client_series *series, struct clients *clients, size_t most,
			  uint64_t now_ns);
void client_series_fini(struct client_series *series);

#endif
