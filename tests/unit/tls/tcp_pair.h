/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two connected TCP sockets on loopback, for tests of the kernel's TLS.
 */
#ifndef SALLYPORT_TESTS_TLS_TCP_PAIR_H
#define SALLYPORT_TESTS_TLS_TCP_PAIR_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* fds[0] is the accepted side. Reads give up after five seconds. Aborts on failure. */
static inline void tcp_pair(int fds[2])
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval tv = { .tv_sec = 5 };
	socklen_t len = sizeof(sin);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	fds[1] = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&sin, len) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&sin, &len) ||
	    connect(fds[1], (struct sockaddr *)&sin, len) ||
	    (fds[0] = accept(listener, NULL, NULL)) < 0 ||
	    setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) ||
	    setsockopt(fds[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv))) {
		perror("tcp_pair");
		abort();
	}
	close(listener);
}

#endif
