/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A unix socket on which operators give orders to a running process, and who may: root, the
 * process's own user, and whom the configuration names, by the kernel's word.
 */
#ifndef SALLYPORT_ADMIN_ADMIN_SOCKET_H
#define SALLYPORT_ADMIN_ADMIN_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "config/config.h"
#include "limits/limits.h"

struct admin_socket {
	int listen_fd;	/* until a server has it; -1: none */
	char path[108]; /* "" if there is none */
	dev_t dev;	/* … and which file it was */
	ino_t ino;
	uid_t allowed_uids[ADMIN_UIDS_MAX];
	size_t allowed_count;
};

struct admin_socket_options { /* all borrowed for the call only */
	const struct config_admin *config;
	const char *usual; /* path of "auto" */
	const char *whose; /* "proxy", for people */
	const char *user;  /* whom the process becomes, or NULL */
	bool replaces;	   /* another process, which still answers there */
};

/* Opens the socket, if there is to be one. 0, or -errno with `err`. Main thread. */
int admin_socket_open(struct admin_socket *socket, const struct admin_socket_options *options,
		      struct err_text *err);
/* This process serves: from now on the socket has its real path. 0, or -errno with `err`. */
int admin_socket_publish(struct admin_socket *socket, struct err_text *err);
/* Closes it if no server has it, and removes the file, if it is still ours. */
void admin_socket_close(struct admin_socket *socket);
/* Whether the peer of `fd` may give orders; who may not is told of in the log. The server's
 * thread. */
bool admin_socket_admits(const struct admin_socket *socket, int fd);

#endif
