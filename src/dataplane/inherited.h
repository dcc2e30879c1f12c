/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets that this process was started with: from the service manager (LISTEN_FDS, see
 * sd_listen_fds(3)) or from the process that it replaces. Main thread, at start.
 */
#ifndef SALLYPORT_DATAPLANE_INHERITED_H
#define SALLYPORT_DATAPLANE_INHERITED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "config/config.h"

struct inherited_socket {
	int fd;		/* -1: somebody has taken it */
	char *name;	/* "": it has none */
	bool owns_path; /* of a unix socket: who takes it over removes the file in the end */
};

struct inherited_sockets {
	struct inherited_socket *items;
	size_t count;
};

/* Those of $LISTEN_FDS, if they are for this process; the variables are gone afterwards, so that
 * nobody else takes them up. 0, or -errno with `err`: something is no listening stream socket. */
int inherited_from_manager(struct inherited_sockets *sockets, struct err_text *err);
/* Takes `fd`, in any case. `name` may be NULL. 0, or -errno with `err`. */
int inherited_add(struct inherited_sockets *sockets, int fd, const char *name,
		  struct err_text *err);
/* Takes those out that are this listener's, `room` at most, by name or, if it has none, by address;
 * returns how many. `ret_owns_path` is of one of them: they share it. */
size_t inherited_take(struct inherited_sockets *sockets, const struct config_listener *config,
		      int *ret_fds, size_t room, bool *ret_by_name, bool *ret_owns_path);
/* Closes the rest, and says so. */
void inherited_fini(struct inherited_sockets *sockets);

#endif
