/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening sockets of the process: for each address a group of sockets, one a worker
 * (SO_REUSEPORT) or one that all share (a unix socket). The main thread owns them; workers listen
 * on copies of the descriptors. What is in the backlog of a socket is lost when its last copy is
 * closed, so a group stays as it is for as long as its address is configured.
 */
#ifndef SALLYPORT_DATAPLANE_LISTEN_GROUP_H
#define SALLYPORT_DATAPLANE_LISTEN_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/parse.h"
#include "config/config.h"
#include "dataplane/inherited.h"
#include "limits/limits.h"

struct listen_group {
	uint64_t id;		 /* not used again in this process */
	struct endpoint address; /* as configured */
	int *fds;
	size_t count;
	bool workers_have_it;
	bool owns_path;	    /* a unix socket whose file goes with it */
	bool inherits_path; /* will own it when the process before has given way */
	bool by_name;	    /* not by its address is it the listener's */
};

/* In the order of the configuration's listeners. */
struct listen_table {
	struct listen_group *groups[LISTENERS_MAX];
	size_t count;
};

/* Fills `ret` with a group for each listener: those of `current` that have its address; for the
 * others what `inherited` has of them, or new ones with `workers` sockets each. 0, or -errno with
 * `err`: nothing has changed then. */
int listen_table_open(const struct listen_table *current, const struct config *config,
		      unsigned int workers, struct inherited_sockets *inherited,
		      struct listen_table *ret, struct err_text *err);
/* Closes the groups of `table` that `keep` (NULL: nothing) does not have. */
void listen_table_close(struct listen_table *table, const struct listen_table *keep);

/* How many sockets worker `index` of `workers` serves, and a copy of the `n`th, owned by the
 * caller: -errno. Each socket is served by one worker at least, and each worker serves one. */
size_t listen_group_share(const struct listen_group *group, unsigned int index,
			  unsigned int workers);
int listen_group_copy(const struct listen_group *group, unsigned int index, unsigned int workers,
		      size_t n);

#endif
