/* SPDX-License-Identifier: Apache-2.0 */
/* Socket options of the data plane (socket_options.h). Pure system calls; any thread. */
#include "dataplane/socket_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/cidr.h"
#include "base/util.h"

#define KEEPALIVE_PROBES     5
#define KEEPALIVE_INTERVAL_S 10

static void set(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value));
}

void socket_set_options(int fd, int family, const struct config_timeouts *timeouts)
{
	if (family == AF_UNIX)
		return;
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (timeouts->keepalive_ms) {
		set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
		set(fd, IPPROTO_TCP, TCP_KEEPIDLE,
		    (int)MAX(timeouts->keepalive_ms / 1000, (uint64_t)1));
		set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
		set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
	}
	if (timeouts->tcp_user_ms)
		set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
		    (int)MIN(timeouts->tcp_user_ms, (uint64_t)INT32_MAX));
}

void socket_set_pace(int fd, uint64_t rate)
{
	setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate));
}

/* Of a connection that has been reset meanwhile: getpeername() knows nothing of it any more. The
 * option gives no more than it is asked for, and nothing to who asks for more than there is. */
static void peer_of_reset(int fd, struct sockaddr_storage *addr)
{
	static const socklen_t sizes[] = { sizeof(struct sockaddr_in6),
					   sizeof(struct sockaddr_in) };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		socklen_t len = sizes[i];

		if (getsockopt(fd, SOL_SOCKET, SO_PEERNAME, addr, &len) == 0)
			return;
	}
}

void socket_peer(int fd, struct in6_addr *ret_ip, uint16_t *ret_port)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);

	if (getpeername(fd, (struct sockaddr *)&addr, &len) < 0)
		peer_of_reset(fd, &addr);
	address_from_sockaddr(&addr, ret_ip, ret_port);
}
