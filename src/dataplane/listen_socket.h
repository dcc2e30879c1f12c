/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets of a route: one a worker (SO_REUSEPORT), or one shared by all for a unix
 * socket. */
#ifndef SALLYPORT_DATAPLANE_LISTEN_SOCKET_H
#define SALLYPORT_DATAPLANE_LISTEN_SOCKET_H

#include "base/err.h"
#include "dataplane/snapshot.h"

/* Non-blocking listening socket for worker `index` (workers are opened in order from 0), owned by
 * the caller; or -errno with `err`. */
int listen_socket_open(struct route *route, unsigned int index, struct err_text *err);

#endif
