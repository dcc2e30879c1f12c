/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop on io_uring: a multishot poll for each watch, a multishot accept for each listening
 * socket, and one system call a turn that submits, waits and collects.
 *
 * For each slot the kernel has at most one request (slot->op). settle() compares that with what is
 * wanted and asks or cancels; every change ends there: start, pause, close, the last completion of
 * a request, room in the submission queue. A request ends with exactly one completion without
 * F_MORE, and only that frees the slot and closes the descriptor, so nothing is ever closed under
 * the kernel's hands.
 *
 * A multishot request also ends when the completion queue overflows. Asking anew is then enough:
 * the kernel reports what is ready at that moment, so no edge is lost.
 *
 * The ring is made disabled by whoever calls loop_new() and belongs to the thread of loop_run().
 * Until then requests only gather. Owns the ring and connections that were accepted after a pause.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "loop/loop_backend.h"
#include "loop/loop_io_uring_setup.h"

#define RETRY_NS NSEC_PER_MSEC /* pause after the kernel had no memory or no room for a request */

enum uring_op { URING_IDLE, URING_ARMED, URING_CANCELING, URING_CANCELING_AGAIN };

/* A connection that the kernel had accepted before it learned of the pause. */
struct uring_held {
	uint32_t slot;
	int fd;
};

struct uring_backend {
	struct io_uring ring;
	struct loop *loop;
	bool enabled;
	bool backoff;	       /* the kernel had no memory: let a moment pass before asking again */
	uint32_t deferred;     /* first slot of the list of those to settle in the next turn */
	uint32_t dropped_seen; /* the kernel's count of completions that it had no memory for */
	struct uring_held *held;
	size_t held_count, held_capacity;
	struct loop_task deliver_held;
};

static void uring_settle(struct loop *loop, uint32_t index);

/* --- connections that came after a pause --- */

static void uring_hold(struct uring_backend *be, uint32_t index, int fd)
{
	if (be->held_count == be->held_capacity) {
		size_t capacity = be->held_capacity ? be->held_capacity * 2 : 16;
		struct uring_held *held = realloc(be->held, capacity * sizeof(*held));

		if (!held) {
			close(fd);
			return;
		}
		be->held = held;
		be->held_capacity = capacity;
	}
	be->held[be->held_count++] = (struct uring_held){ index, fd };
}

static void uring_close_held(struct uring_backend *be, uint32_t index)
{
	size_t kept = 0;

	for (size_t i = 0; i < be->held_count; i++)
		if (be->held[i].slot == index)
			close(be->held[i].fd);
		else
			be->held[kept++] = be->held[i];
	be->held_count = kept;
}

static void uring_deliver_held(struct loop_task *task)
{
	struct uring_backend *be = container_of(task, struct uring_backend, deliver_held);
	struct loop *loop = be->loop;
	size_t i = 0;

	while (i < be->held_count) {
		struct loop_slot *slot = &loop->slots[be->held[i].slot];
		struct loop_accept *accept = slot->owner;
		int fd = be->held[i].fd;

		if (!slot->wanted) {
			i++;
			continue;
		}
		memmove(&be->held[i], &be->held[i + 1],
			(be->held_count - i - 1) * sizeof(*be->held));
		be->held_count--;
		accept->on_accept(accept, fd);
		i = 0; /* the callee may have closed others */
	}
}

/* --- requests --- */

static struct io_uring_sqe *uring_sqe(struct uring_backend *be)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&be->ring);

	if (sqe || !be->enabled)
		return sqe;
	io_uring_submit(&be->ring);
	return io_uring_get_sqe(&be->ring);
}

static bool uring_request(struct uring_backend *be, struct loop_slot *slot, uint32_t index)
{
	struct io_uring_sqe *sqe = uring_sqe(be);

	if (!sqe)
		return false;
	if (slot->kind == LOOP_SLOT_ACCEPT)
		io_uring_prep_multishot_accept(sqe, slot->fd, NULL, NULL,
					       SOCK_NONBLOCK | SOCK_CLOEXEC);
	else if (slot->kind == LOOP_SLOT_WAKE)
		io_uring_prep_poll_multishot(sqe, slot->fd, POLLIN | EPOLLET);
	else
		io_uring_prep_poll_multishot(sqe, slot->fd, POLLIN | POLLOUT | POLLRDHUP | EPOLLET);
	slot->generation++;
	sqe->user_data = loop_user_data(slot->kind, index, slot->generation);
	slot->op = URING_ARMED;
	return true;
}

/* By ASYNC_CANCEL: POLL_REMOVE may fail on a poll that has just been woken, and leave it alive. */
static bool uring_cancel(struct uring_backend *be, struct loop_slot *slot, uint32_t index,
			 enum uring_op op)
{
	struct io_uring_sqe *sqe = uring_sqe(be);

	if (!sqe)
		return false;
	io_uring_prep_cancel64(sqe, loop_user_data(slot->kind, index, slot->generation), 0);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = loop_user_data(LOOP_SLOT_CANCEL, index, slot->generation);
	slot->op = op;
	slot->resync = false;
	return true;
}

static void uring_defer(struct loop *loop, uint32_t index)
{
	struct uring_backend *be = loop->backend;
	struct loop_slot *slot = &loop->slots[index];

	if (slot->deferred)
		return;
	slot->deferred = true;
	slot->next = be->deferred;
	be->deferred = index;
}

/* Brings what the kernel has in line with what is wanted, as far as that can be done now. */
static void uring_settle(struct loop *loop, uint32_t index)
{
	struct uring_backend *be = loop->backend;
	struct loop_slot *slot = &loop->slots[index];
	bool done = true;

	if (slot->wanted && slot->op == URING_IDLE)
		done = uring_request(be, slot, index);
	else if ((!slot->wanted || slot->resync) && slot->op == URING_ARMED)
		done = uring_cancel(be, slot, index, URING_CANCELING);
	else if (!slot->owner && slot->op == URING_IDLE && !slot->deferred)
		loop_slot_release(loop, index);
	if (!done)
		uring_defer(loop, index);
}

static void uring_settle_deferred(struct loop *loop)
{
	struct uring_backend *be = loop->backend;
	uint32_t index = be->deferred, next;

	be->deferred = 0;
	for (; index; index = next) {
		next = loop->slots[index].next;
		loop->slots[index].deferred = false;
		uring_settle(loop, index);
	}
}

void loop_io_uring_resync(struct loop *loop)
{
	for (uint32_t i = 1; i < loop->slot_count; i++) {
		struct loop_slot *slot = &loop->slots[i];

		if (slot->kind == LOOP_SLOT_FREE || slot->op == URING_IDLE)
			continue;
		slot->op = URING_ARMED;
		slot->resync = true;
		uring_settle(loop, i);
	}
}

/* --- completions --- */

/*
 * A cancel found nothing. Either the request has just ended (its completion came first, and the
 * slot has moved on), or it was on its way between two places in the kernel and lives: cancel once
 * more. If nothing is found again, and no completion has come meanwhile, that completion was lost.
 */
static void uring_on_cancel_failed(struct loop *loop, struct loop_slot *slot, uint32_t index)
{
	if (slot->op == URING_CANCELING_AGAIN) {
		slot->op = URING_IDLE;
		uring_settle(loop, index);
	} else if (slot->op == URING_CANCELING) {
		slot->op = URING_ARMED;
		if (uring_cancel(loop->backend, slot, index, URING_CANCELING_AGAIN))
			return;
		slot->resync = true;
		uring_defer(loop, index);
	}
}

static void uring_on_accept(struct loop *loop, struct loop_slot *slot, uint32_t index, int res,
			    bool more)
{
	struct loop_accept *accept = slot->owner;
	bool tell = false;

	if (accept && slot->wanted)
		tell = loop_judge_accept(loop, slot, res);
	else if (accept && slot->finishing)
		tell = res >= 0;
	else if (accept && res >= 0)
		uring_hold(loop->backend, index, res);
	else if (res >= 0)
		close(res);
	if (!accept && res >= 0)
		counter_add(&loop->stats.late_completions, 1);
	if (!more) {
		slot->op = URING_IDLE;
		uring_settle(loop, index);
	}
	if (tell)
		accept->on_accept(accept, res);
}

static bool uring_error_passes(int error)
{
	return error == ECANCELED || error == ENOMEM || error == ENOBUFS || error == EAGAIN ||
	       error == EINTR;
}

static void uring_on_poll(struct loop *loop, struct loop_slot *slot, uint32_t index, int res,
			  bool more)
{
	struct loop_watch *watch = slot->kind == LOOP_SLOT_WATCH ? slot->owner : NULL;
	struct uring_backend *be = loop->backend;

	if (slot->kind == LOOP_SLOT_WATCH && !watch && res >= 0)
		counter_add(&loop->stats.late_completions, 1);
	/* Whatever else is wrong with the descriptor, its user learns when it reads. */
	if (res < 0 && !uring_error_passes(-res))
		slot->wanted = false;
	if (!more) {
		slot->op = URING_IDLE;
		if (res < 0 && res != -ECANCELED) {
			be->backoff = true;
			uring_defer(loop, index);
		} else {
			uring_settle(loop, index);
		}
	}
	if (watch && res >= 0)
		loop_report_watch(watch, (uint32_t)res);
	else if (watch && !uring_error_passes(-res))
		loop_report_watch(watch, POLLNVAL);
}

static void uring_on_completion(struct loop *loop, const struct io_uring_cqe *cqe)
{
	enum loop_slot_kind kind = loop_user_data_kind(cqe->user_data);
	uint32_t index = loop_user_data_index(cqe->user_data);
	struct loop_slot *slot = loop_slot_match(loop, cqe->user_data);
	bool more = cqe->flags & IORING_CQE_F_MORE;

	counter_add(&loop->stats.completions, 1);
	if (kind == LOOP_SLOT_CANCEL) {
		if (slot)
			uring_on_cancel_failed(loop, slot, index);
	} else if (!slot || slot->op == URING_IDLE) {
		counter_add(&loop->stats.late_completions, 1);
		if (kind == LOOP_SLOT_ACCEPT && cqe->res >= 0)
			close(cqe->res);
	} else if (kind == LOOP_SLOT_ACCEPT) {
		uring_on_accept(loop, slot, index, cqe->res, more);
	} else {
		uring_on_poll(loop, slot, index, cqe->res, more);
	}
}

static void uring_dispatch(struct loop *loop)
{
	struct uring_backend *be = loop->backend;

	/* Not more than there are now: callees may make the kernel add some. */
	for (unsigned n = io_uring_cq_ready(&be->ring); n; n--) {
		struct io_uring_cqe *next, cqe;

		if (io_uring_peek_cqe(&be->ring, &next) < 0)
			return;
		cqe = *next;
		io_uring_cq_advance(&be->ring, 1);
		uring_on_completion(loop, &cqe);
	}
}

static int uring_wait(struct loop *loop, uint64_t timeout_ns)
{
	struct uring_backend *be = loop->backend;
	struct __kernel_timespec ts;
	struct io_uring_cqe *cqe;
	uint32_t dropped;
	int r;

	if (be->deferred) {
		if (!be->backoff)
			uring_settle_deferred(loop);
		be->backoff = false;
		if (be->deferred)
			timeout_ns = MIN(timeout_ns, (uint64_t)RETRY_NS);
	}
	if (timeout_ns) {
		ts.tv_sec = (int64_t)(timeout_ns / NSEC_PER_SEC);
		ts.tv_nsec = (long long)(timeout_ns % NSEC_PER_SEC);
		r = io_uring_submit_and_wait_timeout(
			&be->ring, &cqe, 1, timeout_ns == LOOP_WAIT_FOREVER ? NULL : &ts, NULL);
	} else {
		r = io_uring_submit_and_get_events(&be->ring);
	}
	if (io_uring_cq_has_overflow(&be->ring))
		counter_add(&loop->stats.cq_overflows, 1);
	dropped = __atomic_load_n(be->ring.cq.koverflow, __ATOMIC_RELAXED);
	if (dropped != be->dropped_seen) {
		be->dropped_seen = dropped;
		counter_add(&loop->stats.cq_overflows, 1);
		loop_io_uring_resync(loop);
	}
	switch (r) {
	case -ETIME:
	case -EINTR:
		return 0;
	case -EAGAIN: /* no memory for a request: it is still in the queue */
	case -EBUSY:  /* too many completions waiting: dispatch() makes room */
	case -EBADR:  /* completions were lost: seen above */
		if (!io_uring_cq_ready(&be->ring))
			poll(NULL, 0, RETRY_NS / NSEC_PER_MSEC);
		return 0;
	default:
		return MIN(r, 0);
	}
}

/* --- life --- */

static int uring_init(struct loop *loop, unsigned cq_entries, struct err_text *err)
{
	struct uring_backend *be = calloc(1, sizeof(*be));
	int r;

	if (!be)
		return err_set(err, -ENOMEM, "no memory for an event loop");
	r = loop_io_uring_setup(&be->ring, cq_entries, IORING_SETUP_R_DISABLED);
	if (r < 0) {
		free(be);
		return loop_io_uring_explain(r, -1, err);
	}
	be->loop = loop;
	be->deliver_held.run = uring_deliver_held;
	loop->backend = be;
	return 0;
}

static int uring_enter(struct loop *loop)
{
	struct uring_backend *be = loop->backend;
	int r;

	if (!be->enabled) {
		/* By hand: liburing 2.3 declares io_uring_enable_rings() but does not export it. */
		r = (int)syscall(__NR_io_uring_register, be->ring.ring_fd,
				 IORING_REGISTER_ENABLE_RINGS, NULL, 0);
		if (r < 0)
			return -errno;
		be->enabled = true;
	}
	/* Saves the kernel a look-up in the table of open files a turn; no matter if it can't. */
	io_uring_register_ring_fd(&be->ring);
	return 0;
}

static void uring_leave(struct loop *loop)
{
	struct uring_backend *be = loop->backend;

	/* Cancels must reach the kernel even if this was the last run: it lets go of the sockets
	 * now, and loop_free() has only to close them. */
	uring_settle_deferred(loop);
	io_uring_submit_and_get_events(&be->ring);
	io_uring_unregister_ring_fd(&be->ring);
}

static void uring_fini(struct loop *loop)
{
	struct uring_backend *be = loop->backend;
	struct io_uring_cqe *cqe;
	unsigned head;

	if (!be)
		return;
	io_uring_for_each_cqe(&be->ring, head,
			      cqe) if (loop_user_data_kind(cqe->user_data) == LOOP_SLOT_ACCEPT &&
				       cqe->res >= 0) close(cqe->res);
	for (size_t i = 0; i < be->held_count; i++)
		close(be->held[i].fd);
	io_uring_queue_exit(&be->ring);
	free(be->held);
	free(be);
}

static int uring_arm(struct loop *loop, uint32_t index)
{
	struct uring_backend *be = loop->backend;

	uring_settle(loop, index);
	if (be->held_count)
		loop_task_queue(loop, &be->deliver_held);
	return 0;
}

static void uring_disarm(struct loop *loop, uint32_t index)
{
	uring_settle(loop, index);
}

static void uring_drop(struct loop *loop, uint32_t index)
{
	struct uring_backend *be = loop->backend;

	if (be->held_count)
		uring_close_held(be, index);
	uring_settle(loop, index);
}

const struct loop_backend_ops loop_io_uring_ops = {
	.init = uring_init,
	.fini = uring_fini,
	.enter = uring_enter,
	.leave = uring_leave,
	.wait = uring_wait,
	.dispatch = uring_dispatch,
	.arm = uring_arm,
	.disarm = uring_disarm,
	.drop = uring_drop,
};
