/* SPDX-License-Identifier: Apache-2.0 */
/* Handing listening sockets over (handover.h). Main thread; owns nothing between two calls. */
#include "dataplane/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/util.h"

#define SILENCE_SEC 20 /* one that says nothing for so long is gone */

int handover_pair(int *ret_ours, int *ret_theirs)
{
	struct timeval silence = { .tv_sec = SILENCE_SEC };
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
		setsockopt(fds[i], SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
	}
	*ret_ours = fds[0];
	*ret_theirs = fds[1];
	return 0;
}

static int send_message(int fd, const struct handover_message *message, const int *fds)
{
	char control[CMSG_SPACE(HANDOVER_FDS_MAX * sizeof(int))]
		__attribute__((aligned(_Alignof(struct cmsghdr)))) = { 0 };
	struct iovec iov = { .iov_base = (void *)message, .iov_len = sizeof(*message) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg = (struct cmsghdr *)control;
	ssize_t n;

	if (message->count) {
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(message->count * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, message->count * sizeof(int));
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(message->count * sizeof(int));
	}
	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static struct handover_message message_of(enum handover_kind kind)
{
	return (struct handover_message){ .magic = HANDOVER_MAGIC,
					  .version = HANDOVER_VERSION,
					  .kind = kind };
}

int handover_send(int fd, enum handover_kind kind)
{
	struct handover_message message = message_of(kind);

	return send_message(fd, &message, NULL);
}

static int send_group(int fd, const struct listen_group *group, const char *listener)
{
	struct handover_message message = message_of(HANDOVER_SOCKETS);
	int r = 0;

	if (group->owns_path)
		message.flags |= HANDOVER_OWNS_PATH;
	if (group->by_name)
		snprintf(message.listener, sizeof(message.listener), "%s", listener);
	for (size_t at = 0; at < group->count && r == 0; at += message.count) {
		message.count = (uint32_t)MIN(group->count - at, (size_t)HANDOVER_FDS_MAX);
		r = send_message(fd, &message, &group->fds[at]);
	}
	return r;
}

int handover_send_sockets(int fd, const struct listen_table *table, const struct config *config,
			  struct err_text *err)
{
	int r = 0;

	for (size_t i = 0; i < table->count && r == 0; i++)
		r = send_group(fd, table->groups[i], config->listeners[i].name);
	if (r == 0)
		r = handover_send(fd, HANDOVER_SOCKETS_END);
	if (r < 0)
		err_set(err, r, "the listening sockets can not be handed over: %s", strerror(-r));
	return r;
}

static void close_all(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

/* One message and its descriptors, which are the caller's. 0 or -errno; -EPROTO: not our words. */
static int receive_message(int fd, struct handover_message *ret, int ret_fds[HANDOVER_FDS_MAX],
			   size_t *ret_count)
{
	char control[CMSG_SPACE(HANDOVER_FDS_MAX * sizeof(int))]
		__attribute__((aligned(_Alignof(struct cmsghdr))));
	struct iovec iov = { .iov_base = ret, .iov_len = sizeof(*ret) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg;
	ssize_t n;

	do
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : -EPIPE;
	cmsg = CMSG_FIRSTHDR(&msg);
	*ret_count = 0;
	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS) {
		*ret_count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(ret_fds, CMSG_DATA(cmsg), *ret_count * sizeof(int));
	}
	if (n == sizeof(*ret) && ret->magic == HANDOVER_MAGIC && ret->version == HANDOVER_VERSION &&
	    !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) && ret->count == *ret_count)
		return 0;
	close_all(ret_fds, *ret_count);
	/* Fewer than were sent: there is no room for them. */
	return msg.msg_flags & MSG_CTRUNC ? -EMFILE : -EPROTO;
}

int handover_expect(int fd, enum handover_kind kind)
{
	struct handover_message message;
	int fds[HANDOVER_FDS_MAX];
	size_t count;
	int r = receive_message(fd, &message, fds, &count);

	if (r < 0)
		return r;
	close_all(fds, count);
	return message.kind == kind ? 0 : -EPROTO;
}

int handover_inherited_end(void)
{
	const char *text = getenv(HANDOVER_FD_VARIABLE);
	uint64_t number;
	int fd = -1;

	if (text && parse_u64(text, 0, INT32_MAX, &number) == 0 &&
	    fcntl((int)number, F_SETFD, FD_CLOEXEC) == 0)
		fd = (int)number;
	unsetenv(HANDOVER_FD_VARIABLE);
	return fd;
}

static int take_in(struct inherited_sockets *ret, const struct handover_message *message,
		   const int *fds, size_t count, struct err_text *err)
{
	char name[sizeof(message->listener) + 1] = "";
	int r = 0;

	memcpy(name, message->listener, sizeof(message->listener));
	for (size_t i = 0; i < count; i++) {
		/* The rest would leak otherwise. */
		if (r < 0) {
			close(fds[i]);
			continue;
		}
		r = inherited_add(ret, fds[i], name, err);
		if (r == 0)
			ret->items[ret->count - 1].owns_path = message->flags & HANDOVER_OWNS_PATH;
	}
	return r;
}

int handover_receive_sockets(int fd, struct inherited_sockets *ret, struct err_text *err)
{
	struct handover_message message;
	int fds[HANDOVER_FDS_MAX];
	size_t count;
	int r;

	for (;;) {
		r = receive_message(fd, &message, fds, &count);
		if (r < 0)
			return err_set(err, r,
				       "the sockets of the running proxy did not arrive: %s",
				       r == -EPROTO ? "it is of a version that speaks otherwise"
						    : strerror(-r));
		if (message.kind == HANDOVER_SOCKETS_END) {
			close_all(fds, count);
			return 0;
		}
		r = take_in(ret, &message, fds, count, err);
		if (r < 0)
			return r;
	}
}
