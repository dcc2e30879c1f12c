/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of the loop that both back ends share: its life, the turn, slots, watches and accepts,
 * tasks, and messages from other threads.
 *
 * One turn: wait (not at all if tasks are queued, else until the next timer), read the clock,
 * deliver messages, report what the kernel said, fire timers, run tasks. What any of these queues
 * is for the next turn, so that none can keep the others out.
 *
 * Everything is on the loop's thread but loop_post() and loop_stop(): they push onto an atomic
 * stack, or set a flag, and write to an eventfd that the back end watches. The eventfd is never
 * read: it is watched for edges, and each write is one.
 */
#include "loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"
#include "loop/loop_backend.h"

#define SLOTS_MIN	32u
#define TIMERS_FOR_SLOT 4u /* room that is made ahead; see loop_timer_set() */

static int loop_slots_grow(struct loop *loop)
{
	uint32_t count = loop->slot_count ? loop->slot_count * 2 : SLOTS_MIN;
	struct loop_slot *slots;

	if (count > LOOP_SLOTS_MAX)
		return -ENFILE;
	if (loop_timers_reserve(loop, count * TIMERS_FOR_SLOT) < 0)
		return -ENOMEM;
	slots = realloc(loop->slots, count * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (uint32_t i = count - 1; i >= MAX(loop->slot_count, 1u); i--) {
		slots[i] = (struct loop_slot){ .fd = -1, .next = loop->slot_free };
		loop->slot_free = i;
	}
	loop->slots = slots;
	loop->slot_count = count;
	return 0;
}

static int loop_slot_take(struct loop *loop, enum loop_slot_kind kind, void *owner, int fd,
			  uint32_t *ret)
{
	struct loop_slot *slot;
	uint32_t index;
	int r;

	if (!loop->slot_free) {
		r = loop_slots_grow(loop);
		if (r < 0)
			return r;
	}
	index = loop->slot_free;
	slot = &loop->slots[index];
	loop->slot_free = slot->next;
	*slot = (struct loop_slot){
		.owner = owner, .fd = fd, .generation = slot->generation + 1, .kind = kind
	};
	*ret = index;
	return 0;
}

void loop_slot_release(struct loop *loop, uint32_t index)
{
	struct loop_slot *slot = &loop->slots[index];

	if (slot->owns_fd)
		close(slot->fd);
	*slot = (struct loop_slot){ .fd = -1,
				    .generation = slot->generation + 1,
				    .next = loop->slot_free };
	loop->slot_free = index;
}

struct loop_slot *loop_slot_match(struct loop *loop, uint64_t user_data)
{
	uint32_t index = loop_user_data_index(user_data);
	struct loop_slot *slot = &loop->slots[index];

	if (index >= loop->slot_count || slot->generation != (uint32_t)user_data ||
	    slot->kind == LOOP_SLOT_FREE)
		return NULL;
	return slot;
}

/* A slot for `owner`, asked for at the kernel. */
static int loop_slot_start(struct loop *loop, enum loop_slot_kind kind, void *owner, int fd,
			   uint32_t *ret)
{
	uint32_t index;
	int r = loop_slot_take(loop, kind, owner, fd, &index);

	if (r < 0)
		return r;
	loop->slots[index].wanted = true;
	r = loop->ops->arm(loop, index);
	if (r < 0) {
		loop_slot_release(loop, index);
		return r;
	}
	*ret = index;
	return 0;
}

static void loop_slot_drop(struct loop *loop, uint32_t index, bool owns_fd)
{
	struct loop_slot *slot = &loop->slots[index];

	slot->owner = NULL;
	slot->wanted = false;
	slot->owns_fd = owns_fd;
	loop->ops->drop(loop, index);
}

int loop_new_sized(enum loop_kind kind, unsigned cq_entries, struct loop **ret,
		   struct err_text *err)
{
	struct loop *loop;
	uint32_t wake_slot;
	int r;

	if (kind == LOOP_IO_URING) {
		r = loop_io_uring_check(err);
		if (r < 0)
			return r;
	}
	loop = calloc(1, sizeof(*loop));
	if (!loop)
		return err_set(err, -ENOMEM, "no memory for an event loop");
	loop->kind = kind;
	loop->ops = kind == LOOP_EPOLL ? &loop_epoll_ops : &loop_io_uring_ops;
	list_init(&loop->tasks);
	list_init(&loop->finishing);
	loop->now_ns = clock_monotonic_ns();
	loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (loop->wake_fd < 0) {
		r = err_set(err, -errno, "can't make an eventfd: %m");
		free(loop);
		return r;
	}
	r = loop->ops->init(loop, cq_entries, err);
	if (r == 0) {
		r = loop_slot_start(loop, LOOP_SLOT_WAKE, loop, loop->wake_fd, &wake_slot);
		if (r == 0) {
			*ret = loop;
			return 0;
		}
		err_set(err, r, "can't watch an eventfd");
	}
	loop_free(loop);
	return r;
}

int loop_new(enum loop_kind kind, struct loop **ret, struct err_text *err)
{
	if (kind == LOOP_AUTO) {
		struct err_text ignored;

		if (loop_new_sized(LOOP_IO_URING, LOOP_CQ_ENTRIES, ret, &ignored) == 0)
			return 0;
		kind = LOOP_EPOLL;
	}
	return loop_new_sized(kind, LOOP_CQ_ENTRIES, ret, err);
}

enum loop_kind loop_kind(const struct loop *loop)
{
	return loop->kind;
}

const char *loop_kind_name(enum loop_kind kind)
{
	static const char *const names[] = { "auto", "io_uring", "epoll" };

	return names[kind];
}

const struct loop_stats *loop_stats(const struct loop *loop)
{
	return &loop->stats;
}

uint64_t loop_now_ns(const struct loop *loop)
{
	return loop->now_ns;
}

/* --- messages --- */

static void loop_wake(struct loop *loop)
{
	const uint64_t one = 1;
	/* Can fail only with EAGAIN at 2^64 - 1 writes. */
	ssize_t n = write(loop->wake_fd, &one, sizeof(one));

	(void)n;
}

void loop_stop(struct loop *loop)
{
	atomic_store_explicit(&loop->stop, true, memory_order_release);
	loop_wake(loop);
}

void loop_post(struct loop *loop, struct loop_msg *msg)
{
	struct loop_msg *top = atomic_load_explicit(&loop->posted, memory_order_relaxed);

	/* From here on the message may be delivered and gone: `top` says whether we were the first
	 * since the loop last took the stack, and then it has to be woken. */
	do
		msg->next = top;
	while (!atomic_compare_exchange_weak_explicit(&loop->posted, &top, msg,
						      memory_order_release, memory_order_relaxed));
	if (!top)
		loop_wake(loop);
}

static void loop_deliver(struct loop *loop)
{
	struct loop_msg *msg, *next, *oldest = NULL;

	if (!atomic_load_explicit(&loop->posted, memory_order_relaxed))
		return;
	msg = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
	for (; msg; msg = next) {
		next = msg->next;
		msg->next = oldest;
		oldest = msg;
	}
	for (msg = oldest; msg; msg = next) {
		next = msg->next;
		msg->deliver(msg);
	}
}

/* --- tasks --- */

void loop_task_queue(struct loop *loop, struct loop_task *task)
{
	if (task->queued)
		return;
	task->queued = true;
	list_append(&loop->tasks, &task->node);
}

void loop_task_cancel(struct loop *loop, struct loop_task *task)
{
	(void)loop;
	if (!task->queued)
		return;
	task->queued = false;
	list_remove(&task->node);
}

static void loop_run_tasks(struct loop *loop)
{
	struct list_node now;

	if (list_empty(&loop->tasks))
		return;
	/* `now` takes the place of the head: what is queued from here on is for the next turn, and
	 * a task that is cancelled leaves whichever list it is in. */
	list_append(&loop->tasks, &now);
	list_remove(&loop->tasks);
	while (!list_empty(&now)) {
		struct loop_task *task = container_of(now.next, struct loop_task, node);

		loop_task_cancel(loop, task);
		task->run(task);
	}
}

/* --- the turn --- */

/* A look at the clock is one part in a hundred of what a small message costs. */
#define LOOP_TURNS_A_SAMPLE 8
/* Of a socket that is given up, taken at once: a full backlog. */
#define LOOP_SWEEP_MAX 4096

static uint64_t loop_timeout_ns(const struct loop *loop, uint64_t now_ns)
{
	uint64_t deadline;

	if (!list_empty(&loop->tasks))
		return 0;
	if (!loop->timer_count)
		return LOOP_WAIT_FOREVER;
	deadline = loop->timers[1].key_ns;
	return deadline > now_ns ? deadline - now_ns : 0;
}

static bool loop_accept_started(const struct loop_accept *accept)
{
	return accept->fd >= 0 && accept->slot;
}

/* Somebody else may wait for the same socket: of those who wait in io_uring the kernel wakes one
 * (EPOLLEXCLUSIVE), and if it was us, who have let go since, nobody knows of the connection until
 * the next one comes. So what is there now is ours. */
static void loop_sweep(struct loop_accept *accept)
{
	for (int i = 0; i < LOOP_SWEEP_MAX && accept->fd >= 0; i++) {
		int fd = accept4(accept->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			accept->on_accept(accept, fd);
		else if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

/* Tells those of which the kernel has let go. */
static void loop_finish_accepts(struct loop *loop)
{
	struct list_node *it = loop->finishing.next;

	while (it != &loop->finishing) {
		struct loop_accept *accept = container_of(it, struct loop_accept, node);

		it = it->next;
		if (loop->slots[accept->slot].op)
			continue;
		loop_sweep(accept);
		if (loop_accept_started(accept)) {
			loop_accept_close(loop, accept);
			accept->on_accept(accept, -ECANCELED);
		}
		it = loop->finishing.next; /* anew: the callee may have closed others */
	}
}

static int loop_turn(struct loop *loop)
{
	bool measured = loop->stats.iterations % LOOP_TURNS_A_SAMPLE == 0; /* the turn before */
	uint64_t ended_ns = measured || loop->timer_count ? clock_monotonic_ns() : loop->now_ns;
	int r;

	if (measured)
		histogram_add(&loop->stats.turns, ended_ns - loop->now_ns);
	r = loop->ops->wait(loop, loop_timeout_ns(loop, ended_ns));
	if (r < 0)
		return r;
	loop->now_ns = clock_monotonic_ns();
	counter_add(&loop->stats.iterations, 1);
	loop_deliver(loop);
	loop->ops->dispatch(loop);
	loop_timers_expire(loop);
	loop_run_tasks(loop);
	loop_finish_accepts(loop);
	return 0;
}

int loop_run(struct loop *loop)
{
	int r = loop->ops->enter(loop);

	if (r < 0)
		return r;
	loop->now_ns = clock_monotonic_ns();
	while (r == 0 && !atomic_load_explicit(&loop->stop, memory_order_acquire))
		r = loop_turn(loop);
	/* What was posted before the stop is still delivered. */
	loop_deliver(loop);
	loop->ops->leave(loop);
	atomic_store_explicit(&loop->stop, false, memory_order_relaxed);
	return r;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	loop_deliver(loop);
	loop->ops->fini(loop);
	/* The kernel holds nothing of ours any more: what waited for that is closed now. */
	for (uint32_t i = 1; i < loop->slot_count; i++)
		if (loop->slots[i].owns_fd)
			close(loop->slots[i].fd);
	close(loop->wake_fd);
	free(loop->slots);
	free(loop->timers);
	free(loop);
}

/* --- watches --- */

void loop_report_watch(struct loop_watch *watch, uint32_t poll_events)
{
	uint32_t events = 0;

	if (poll_events & (POLLIN | POLLRDHUP))
		events |= LOOP_IN;
	if (poll_events & POLLRDHUP)
		events |= LOOP_RDHUP;
	if (poll_events & POLLOUT)
		events |= LOOP_OUT;
	/* Errors and hang-ups are for whoever waits, be it to read, to write or to connect. */
	if (poll_events & (POLLERR | POLLHUP | POLLNVAL))
		events |= LOOP_HUP | LOOP_IN | LOOP_OUT;
	if (events)
		watch->on_ready(watch, events);
}

static bool loop_watch_started(const struct loop_watch *watch)
{
	return watch->fd >= 0 && watch->slot;
}

int loop_watch_start(struct loop *loop, struct loop_watch *watch, int fd,
		     void (*on_ready)(struct loop_watch *watch, uint32_t events))
{
	uint32_t slot;
	int r;

	if (fd < 0)
		return -EBADF;
	r = loop_slot_start(loop, LOOP_SLOT_WATCH, watch, fd, &slot);
	if (r < 0)
		return r;
	*watch = (struct loop_watch){ .on_ready = on_ready, .fd = fd, .slot = slot };
	return 0;
}

static int loop_watch_end(struct loop *loop, struct loop_watch *watch, bool owns_fd)
{
	int fd = watch->fd;

	if (!loop_watch_started(watch))
		return -1;
	assert(loop->slots[watch->slot].owner == watch);
	loop_slot_drop(loop, watch->slot, owns_fd);
	watch->fd = -1;
	watch->slot = 0;
	return fd;
}

void loop_watch_close(struct loop *loop, struct loop_watch *watch)
{
	loop_watch_end(loop, watch, true);
}

int loop_watch_detach(struct loop *loop, struct loop_watch *watch)
{
	return loop_watch_end(loop, watch, false);
}

/* --- accepts --- */

/* Errors that say something of one connection, not of us; see "Error handling" in accept(2). */
static bool accept_error_passes(int error)
{
	switch (error) {
	case EAGAIN:
	case EINTR:
	case ECANCELED:
	case ECONNABORTED:
	case EPROTO:
	case EPERM: /* a firewall rule */
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
	case ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

bool loop_judge_accept(struct loop *loop, struct loop_slot *slot, int result)
{
	struct loop_accept *accept = slot->owner;

	if (result >= 0) {
		slot->skipped = 0;
		return true;
	}
	/* A socket on which nothing else comes is broken: do not spin on it. */
	if (accept_error_passes(-result) && ++slot->skipped < LOOP_ACCEPT_SKIPS_MAX) {
		if (result != -EAGAIN && result != -ECANCELED)
			counter_add(&loop->stats.accepts_skipped, 1);
		return false;
	}
	slot->skipped = 0;
	slot->wanted = false;
	accept->active = false;
	return true;
}

int loop_accept_start(struct loop *loop, struct loop_accept *accept, int fd,
		      void (*on_accept)(struct loop_accept *accept, int fd))
{
	uint32_t slot;
	int r;

	if (fd < 0)
		return -EBADF;
	if (!loop_accept_started(accept)) {
		r = loop_slot_start(loop, LOOP_SLOT_ACCEPT, accept, fd, &slot);
		if (r < 0)
			return r;
		*accept = (struct loop_accept){
			.on_accept = on_accept, .fd = fd, .slot = slot, .active = true
		};
		return 0;
	}
	assert(loop->slots[accept->slot].owner == accept);
	if (fd != accept->fd)
		return -EBUSY;
	accept->on_accept = on_accept;
	if (accept->active)
		return 0;
	loop->slots[accept->slot].wanted = true;
	r = loop->ops->arm(loop, accept->slot);
	if (r < 0) {
		loop->slots[accept->slot].wanted = false;
		return r;
	}
	accept->active = true;
	return 0;
}

void loop_accept_pause(struct loop *loop, struct loop_accept *accept)
{
	if (!loop_accept_started(accept) || !accept->active)
		return;
	accept->active = false;
	loop->slots[accept->slot].wanted = false;
	loop->ops->disarm(loop, accept->slot);
}

void loop_accept_close(struct loop *loop, struct loop_accept *accept)
{
	if (!loop_accept_started(accept))
		return;
	assert(loop->slots[accept->slot].owner == accept);
	if (loop->slots[accept->slot].finishing)
		list_remove(&accept->node);
	loop_slot_drop(loop, accept->slot, true);
	accept->fd = -1;
	accept->slot = 0;
	accept->active = false;
}

bool loop_accept_finish(struct loop *loop, struct loop_accept *accept)
{
	if (!loop_accept_started(accept))
		return false;
	if (loop->slots[accept->slot].finishing)
		return true;
	loop->slots[accept->slot].finishing = true;
	list_append(&loop->finishing, &accept->node);
	loop_accept_pause(loop, accept);
	return true;
}
