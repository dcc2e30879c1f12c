/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that is late: linked into the real binary, these functions stand before those of the C
 * library and liburing and sleep now and then, on whatever thread, as on a machine that is busy
 *with something else. Tests that take for done what is only about to be done fail then.
 *
 *	cc -O2 -c tests/lib/jitter.c -o /tmp/jitter.o
 *	meson setup build-jitter -Dc_link_args=/tmp/jitter.o && ninja -C build-jitter sallyport
 *	SALLYPORT_JITTER=0.05,30 SALLYPORT_BIN=$PWD/build-jitter/sallyport python3 -m pytest …
 *
 * SALLYPORT_JITTER: the probability, and the longest sleep in milliseconds.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static double probability, max_ms;
static _Thread_local unsigned short seed[3];

__attribute__((constructor)) static void jitter_init(void)
{
	const char *text = getenv("SALLYPORT_JITTER");

	if (!text || sscanf(text, "%lf,%lf", &probability, &max_ms) != 2)
		probability = 0;
}

static void jitter(void)
{
	int before = errno;

	if (!seed[0] && !seed[1]) {
		struct timespec now;

		clock_gettime(CLOCK_MONOTONIC, &now);
		seed[0] = (unsigned short)now.tv_nsec | 1;
		seed[1] = (unsigned short)(now.tv_nsec >> 16);
		seed[2] = (unsigned short)gettid();
	}
	if (erand48(seed) < probability) {
		uint64_t ns = (uint64_t)(erand48(seed) * max_ms * 1e6);
		struct timespec left = { .tv_sec = (time_t)(ns / 1000000000),
					 .tv_nsec = (long)(ns % 1000000000) };

		while (nanosleep(&left, &left) < 0 && errno == EINTR)
			;
	}
	errno = before;
}

/* Before the call, and behind it. */
#define LATE(type, name, parameters, arguments)                                                    \
	type name parameters                                                                       \
	{                                                                                          \
		static __typeof__(&name) real;                                                     \
		type result;                                                                       \
                                                                                                   \
		if (!real)                                                                         \
			real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                         \
		jitter();                                                                          \
		result = real arguments;                                                           \
		jitter();                                                                          \
		return result;                                                                     \
	}

LATE(int, accept4, (int fd, struct sockaddr *addr, socklen_t *len, int flags),
     (fd, addr, len, flags))
LATE(int, close, (int fd), (fd))
LATE(int, connect, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))
LATE(int, epoll_pwait2,
     (int fd, struct epoll_event *events, int max, const struct timespec *timeout,
      const sigset_t *mask),
     (fd, events, max, timeout, mask))
LATE(int, epoll_wait, (int fd, struct epoll_event *events, int max, int timeout),
     (fd, events, max, timeout))
LATE(int, eventfd_write, (int fd, eventfd_t value), (fd, value))
LATE(int, io_uring_submit, (struct io_uring * ring), (ring))
LATE(int, io_uring_submit_and_get_events, (struct io_uring * ring), (ring))
LATE(int, io_uring_submit_and_wait_timeout,
     (struct io_uring * ring, struct io_uring_cqe **cqe, unsigned int count,
      struct __kernel_timespec *timeout, sigset_t *mask),
     (ring, cqe, count, timeout, mask))
LATE(int, listen, (int fd, int backlog), (fd, backlog))
LATE(int, poll, (struct pollfd * fds, nfds_t count, int timeout), (fds, count, timeout))
LATE(int, pthread_cond_signal, (pthread_cond_t * cond), (cond))
LATE(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size))
LATE(ssize_t, readv, (int fd, const struct iovec *iov, int count), (fd, iov, count))
LATE(ssize_t, recv, (int fd, void *data, size_t size, int flags), (fd, data, size, flags))
LATE(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags), (fd, msg, flags))
LATE(int, rename, (const char *from, const char *to), (from, to))
LATE(ssize_t, send, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags))
LATE(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))
LATE(int, shutdown, (int fd, int how), (fd, how))
LATE(ssize_t, splice,
     (int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned int flags),
     (from, from_at, to, to_at, size, flags))
LATE(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
