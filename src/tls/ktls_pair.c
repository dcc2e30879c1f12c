/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pairs of connected sockets on loopback, to try and to measure the kernel's TLS on (ktls_impl.h).
 * Whoever makes one owns it; any thread.
 */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/util.h"
#include "tls/ktls_impl.h"

#define ANSWER_TIMEOUT_MS 1000

/* A record that cannot be read must not keep the start of the program. */
static int set_timeouts(int fd)
{
	struct timeval tv = { .tv_sec = ANSWER_TIMEOUT_MS / 1000,
			      .tv_usec = ANSWER_TIMEOUT_MS % 1000 * 1000L };

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
		return -errno;
	return 0;
}

static int pair_connect(struct ktls_pair *p, int listener)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&sin, &len) < 0 ||
	    connect(p->a, (struct sockaddr *)&sin, sizeof(sin)) < 0)
		return -errno;
	p->b = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	return p->b < 0 ? -errno : 0;
}

int ktls_pair_init(struct ktls_pair *p)
{
	cleanup_close int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	p->b = -1;
	p->a = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || p->a < 0)
		return -errno;
	r = pair_connect(p, listener);
	if (!r)
		r = set_timeouts(p->a);
	return r ? r : set_timeouts(p->b);
}

void ktls_pair_fini(struct ktls_pair *p)
{
	if (p->a >= 0)
		close(p->a);
	if (p->b >= 0)
		close(p->b);
	p->a = p->b = -1;
}
