/* SPDX-License-Identifier: Apache-2.0 */
/* The options that every connection's sockets get, whichever end opened them; and whose they are.
 */
#ifndef SALLYPORT_DATAPLANE_SOCKET_OPTIONS_H
#define SALLYPORT_DATAPLANE_SOCKET_OPTIONS_H

#include <netinet/in.h>
#include <stdint.h>

#include "config/config.h"

/* TCP_NODELAY, keepalive, TCP_USER_TIMEOUT; nothing for a unix socket. Best effort. */
void socket_set_options(int fd, int family, const struct config_timeouts *timeouts);

/* The kernel sends no faster, where it can pace (TCP); bytes a second, UINT64_MAX: no limit. */
void socket_set_pace(int fd, uint64_t rate);

/* Address (IPv4 mapped) and port of the other end, also when it has reset the connection; all zero
 * where it has none. */
void socket_peer(int fd, struct in6_addr *ret_ip, uint16_t *ret_port);

#endif
