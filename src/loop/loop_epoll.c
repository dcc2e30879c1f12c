/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop on epoll, for places that forbid io_uring. Watches are edge-triggered for both
 * directions; a listening socket is level-triggered and taken from in bounded helpings, so that a
 * storm of connections leaves room for the rest of the turn.
 *
 * epoll lets go at once: a dropped slot is free when drop() returns. Events that the same batch
 * still holds for it do not match its generation any more.
 *
 * The loop's thread only. Owns the epoll descriptor and the batch.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "loop/loop_backend.h"

#define EPOLL_BATCH 256

enum epoll_op { EPOLL_ABSENT, EPOLL_ADDED };

struct epoll_backend {
	int fd;
	int ready; /* events in the batch */
	bool no_pwait2;
	struct epoll_event batch[EPOLL_BATCH];
};

static int epoll_init(struct loop *loop, unsigned cq_entries, struct err_text *err)
{
	struct epoll_backend *be = calloc(1, sizeof(*be));
	int r;

	(void)cq_entries;
	if (!be)
		return err_set(err, -ENOMEM, "no memory for an event loop");
	be->fd = epoll_create1(EPOLL_CLOEXEC);
	if (be->fd < 0) {
		r = err_set(err, -errno, "epoll_create1: %m");
		free(be);
		return r;
	}
	loop->backend = be;
	return 0;
}

static void epoll_fini(struct loop *loop)
{
	struct epoll_backend *be = loop->backend;

	if (!be)
		return;
	close(be->fd);
	free(be);
}

static int epoll_enter(struct loop *loop)
{
	(void)loop;
	return 0;
}

static void epoll_leave(struct loop *loop)
{
	(void)loop;
}

/* epoll_wait() with a timeout that is never shorter than asked for. */
static int epoll_wait_ns(struct epoll_backend *be, uint64_t timeout_ns)
{
	uint64_t ms = (timeout_ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;

	if (timeout_ns == LOOP_WAIT_FOREVER)
		return epoll_wait(be->fd, be->batch, EPOLL_BATCH, -1);
	if (timeout_ns && !be->no_pwait2) {
		struct timespec ts = { (time_t)(timeout_ns / NSEC_PER_SEC),
				       (long)(timeout_ns % NSEC_PER_SEC) };
		int n = epoll_pwait2(be->fd, be->batch, EPOLL_BATCH, &ts, NULL);

		/* Kernels before 5.11, and seccomp profiles that have not heard of it. */
		if (n >= 0 || (errno != ENOSYS && errno != EPERM))
			return n;
		be->no_pwait2 = true;
	}
	return epoll_wait(be->fd, be->batch, EPOLL_BATCH, (int)MIN(ms, (uint64_t)INT32_MAX));
}

static int epoll_wait_turn(struct loop *loop, uint64_t timeout_ns)
{
	struct epoll_backend *be = loop->backend;
	int n = epoll_wait_ns(be, timeout_ns);

	be->ready = MAX(n, 0);
	return n >= 0 || errno == EINTR ? 0 : -errno;
}

static void epoll_accept_turn(struct loop *loop, uint64_t user_data)
{
	for (int i = 0; i < LOOP_ACCEPTS_A_TURN; i++) {
		/* Looked up each time: the callee may have paused, closed or moved it. */
		struct loop_slot *slot = loop_slot_match(loop, user_data);
		struct loop_accept *accept;
		int fd;

		if (!slot || !slot->wanted)
			return;
		accept = slot->owner;
		fd = accept4(slot->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && errno == EAGAIN)
			return;
		if (fd < 0)
			fd = -errno;
		if (!loop_judge_accept(loop, slot, fd))
			continue;
		if (fd < 0)
			loop->ops->disarm(loop, loop_user_data_index(user_data));
		accept->on_accept(accept, fd);
	}
}

static void epoll_dispatch(struct loop *loop)
{
	struct epoll_backend *be = loop->backend;

	for (int i = 0; i < be->ready; i++) {
		uint64_t user_data = be->batch[i].data.u64;
		struct loop_slot *slot = loop_slot_match(loop, user_data);

		counter_add(&loop->stats.completions, 1);
		if (!slot || !slot->wanted)
			counter_add(&loop->stats.late_completions, 1);
		else if (slot->kind == LOOP_SLOT_WATCH)
			loop_report_watch(slot->owner, be->batch[i].events);
		else if (slot->kind == LOOP_SLOT_ACCEPT)
			epoll_accept_turn(loop, user_data);
	}
	be->ready = 0;
}

static int epoll_arm(struct loop *loop, uint32_t index)
{
	struct epoll_backend *be = loop->backend;
	struct loop_slot *slot = &loop->slots[index];
	struct epoll_event event = {
		.events = slot->kind == LOOP_SLOT_ACCEPT
				  ? EPOLLIN
				  : EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.u64 = loop_user_data(slot->kind, index, slot->generation),
	};

	if (slot->kind == LOOP_SLOT_WAKE)
		event.events = EPOLLIN | EPOLLET;
	if (slot->op == EPOLL_ADDED)
		return 0;
	if (epoll_ctl(be->fd, EPOLL_CTL_ADD, slot->fd, &event) < 0)
		return -errno;
	slot->op = EPOLL_ADDED;
	return 0;
}

static void epoll_disarm(struct loop *loop, uint32_t index)
{
	struct epoll_backend *be = loop->backend;
	struct loop_slot *slot = &loop->slots[index];

	/* Explicitly, even before a close: another process may hold a copy of the socket, and then
	 * the close alone would leave it in the set. */
	if (slot->op == EPOLL_ADDED)
		epoll_ctl(be->fd, EPOLL_CTL_DEL, slot->fd, NULL);
	slot->op = EPOLL_ABSENT;
}

static void epoll_drop(struct loop *loop, uint32_t index)
{
	epoll_disarm(loop, index);
	loop_slot_release(loop, index);
}

const struct loop_backend_ops loop_epoll_ops = {
	.init = epoll_init,
	.fini = epoll_fini,
	.enter = epoll_enter,
	.leave = epoll_leave,
	.wait = epoll_wait_turn,
	.dispatch = epoll_dispatch,
	.arm = epoll_arm,
	.disarm = epoll_disarm,
	.drop = epoll_drop,
};
