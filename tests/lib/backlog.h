/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When clients of a TCP listener have arrived: connect() may return before the last step of the
 * handshake has reached it, so that whoever looks at once may find nobody.
 */
#ifndef SALLYPORT_TESTS_LIB_BACKLOG_H
#define SALLYPORT_TESTS_LIB_BACKLOG_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>

#define BACKLOG_TRIES 30000 /* of a millisecond */

/* Waits until so many wait to be accepted. False: they do not come. */
static inline bool backlog_wait(int listener, unsigned int count)
{
	for (unsigned int i = 0; i < BACKLOG_TRIES; i++) {
		struct tcp_info info = { 0 };
		socklen_t len = sizeof(info);

		/* Of a listener, this field is the length of its queue. */
		if (getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
		    info.tcpi_unacked >= count)
			return true;
		poll(NULL, 0, 1);
	}
	return false;
}

#endif
