/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks all workers about their connections, or to end some of them. Each worker goes through its
 * list in slices of CONN_SLICE between its other work, so that no answer holds its traffic up, and
 * keeps no more than was asked for.
 */
#ifndef SALLYPORT_DATAPLANE_CONN_WALK_H
#define SALLYPORT_DATAPLANE_CONN_WALK_H

#include "dataplane/conn_info.h"

struct conn;
struct worker;

struct conn_query {
	struct conn_filter filter;
	enum conn_sort sort;
	size_t limit;		  /* at most so many are told of; the rest is counted */
	unsigned int deadline_ms; /* for all workers together */
	bool kill;		  /* ends each that matches (limit is then 0) */
};

struct conn_list {
	struct conn_info **items; /* in order */
	size_t count;
	uint64_t matched;	     /* of which `count` are here; ended, if that was asked for */
	uint64_t live;		     /* connections that were looked at */
	unsigned int silent_workers; /* did not answer in time: what they have is missing */
	bool no_memory;		     /* something is missing */
};

/* Any thread but a worker's, while the workers exist. 0 (`ret` is to be given to conn_list_fini()),
 * -EBUSY (CONN_REQUESTS_MAX others wait for a worker that does not answer), -ENOMEM. */
int conn_walk(struct worker *const *workers, unsigned int count, const struct conn_query *query,
	      struct conn_list *ret);
void conn_list_fini(struct conn_list *list);

/* On the worker's thread: `conn` leaves the worker's list. */
void conn_walk_on_gone(struct worker *worker, const struct conn *conn);
/* On the worker's thread: no connection is left and none will come. */
void conn_walk_on_stop(struct worker *worker);

#endif
