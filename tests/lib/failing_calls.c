/* SPDX-License-Identifier: Apache-2.0 */
/* See failing_calls.h. */
#include "lib/failing_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

static struct failing_calls_plan plan;
static bool armed, suspended, failed;
static unsigned long all, matching;

void failing_calls_arm(const struct failing_calls_plan *new_plan)
{
	plan = *new_plan;
	all = matching = 0;
	failed = suspended = false;
	armed = true;
}

bool failing_calls_disarm(void)
{
	armed = false;
	return failed;
}

void failing_calls_suspend(bool value)
{
	suspended = value;
}

unsigned long failing_calls_count(void)
{
	return all;
}

/* Those of a socket that does not block fail with it before they have done anything. */
static bool can_be_interrupted(enum failing_call call)
{
	return call == CALL_RECV || call == CALL_SEND || call == CALL_READV ||
	       call == CALL_SPLICE || call == CALL_ACCEPT4 || call == CALL_EPOLL_WAIT;
}

/* True: it fails, errno says of what. */
static bool fails(enum failing_call call)
{
	if (!armed || suspended)
		return false;
	all++;
	if (plan.interrupted && can_be_interrupted(call) && all % 2) {
		errno = EINTR;
		return true;
	}
	if (!plan.n || call != plan.call || ++matching != plan.n)
		return false;
	failed = true;
	errno = plan.error;
	return true;
}

static size_t bounded(size_t len)
{
	return armed && !suspended && plan.write_max && plan.write_max < len ? plan.write_max : len;
}

/* `fails` for a call that takes what it is given. */
#define WRAP(type, name, call, params, ...)                                                        \
	type __real_##name params;                                                                 \
	type __wrap_##name params;                                                                 \
	type __wrap_##name params                                                                  \
	{                                                                                          \
		return fails(call) ? -1 : __real_##name(__VA_ARGS__);                              \
	}

WRAP(ssize_t, recv, CALL_RECV, (int fd, void *buf, size_t len, int flags), fd, buf, len, flags)
WRAP(ssize_t, recvmsg, CALL_RECV, (int fd, struct msghdr *msg, int flags), fd, msg, flags)
WRAP(ssize_t, readv, CALL_READV, (int fd, const struct iovec *iov, int count), fd, iov, count)
WRAP(ssize_t, send, CALL_SEND, (int fd, const void *buf, size_t len, int flags), fd, buf,
     bounded(len), flags)
WRAP(ssize_t, splice, CALL_SPLICE,
     (int in, off_t *in_off, int out, off_t *out_off, size_t len, unsigned int flags), in, in_off,
     out, out_off, bounded(len), flags)
WRAP(int, socket, CALL_SOCKET, (int domain, int type, int protocol), domain, type, protocol)
WRAP(int, connect, CALL_CONNECT, (int fd, const struct sockaddr *addr, socklen_t len), fd, addr,
     len)
WRAP(int, accept4, CALL_ACCEPT4, (int fd, struct sockaddr *addr, socklen_t *len, int flags), fd,
     addr, len, flags)
WRAP(int, pipe2, CALL_PIPE2, (int fds[2], int flags), fds, flags)
WRAP(int, setsockopt, CALL_SETSOCKOPT,
     (int fd, int level, int name, const void *value, socklen_t len), fd, level, name, value, len)
WRAP(int, getsockopt, CALL_GETSOCKOPT, (int fd, int level, int name, void *value, socklen_t *len),
     fd, level, name, value, len)
WRAP(int, getpeername, CALL_GETPEERNAME, (int fd, struct sockaddr *addr, socklen_t *len), fd, addr,
     len)
WRAP(int, epoll_ctl, CALL_EPOLL_CTL, (int epfd, int op, int fd, struct epoll_event *event), epfd,
     op, fd, event)
WRAP(int, epoll_wait, CALL_EPOLL_WAIT,
     (int epfd, struct epoll_event *events, int count, int timeout), epfd, events, count, timeout)

ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct msghdr one = *msg;
	struct iovec iov = msg->msg_iov[0];

	if (fails(CALL_SEND))
		return -1;
	if (bounded(iov.iov_len + 1) > iov.iov_len)
		return __real_sendmsg(fd, msg, flags);
	iov.iov_len = bounded(iov.iov_len);
	one.msg_iov = &iov;
	one.msg_iovlen = 1;
	return __real_sendmsg(fd, &one, flags);
}
