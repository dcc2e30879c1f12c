/* SPDX-License-Identifier: Apache-2.0 */
/* The options that every connection's sockets get, whichever end opened them. */
#ifndef SALLYPORT_DATAPLANE_SOCKET_OPTIONS_H
#define SALLYPORT_DATAPLANE_SOCKET_OPTIONS_H

#include "config/config.h"

/* TCP_NODELAY, keepalive, TCP_USER_TIMEOUT; nothing for a unix socket. Best effort. */
void socket_set_options(int fd, int family, const struct config_timeouts *timeouts);

#endif
