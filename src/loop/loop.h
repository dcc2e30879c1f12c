/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The completion loop of one worker thread: accepts, edge-triggered readiness of sockets, timers,
 * deferred tasks and messages from other threads. Two back ends behind this header: io_uring
 * (multishot accept and poll) and epoll for places that forbid io_uring. Callers can not tell them
 * apart.
 *
 * Threads: everything but loop_post() and loop_stop() is called on the loop's own thread.
 * Memory: watches, accepts, timers and tasks are embedded in their owner. A watch or accept may be
 * freed as soon as loop_watch_close()/loop_accept_close() has returned: completions that come late
 * carry a slot and a generation, do not match any more, and are dropped and counted.
 */
#ifndef SALLYPORT_LOOP_LOOP_H
#define SALLYPORT_LOOP_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counter.h"
#include "base/err.h"
#include "base/list.h"

struct loop;

enum loop_kind { LOOP_AUTO, LOOP_IO_URING, LOOP_EPOLL };

/* Events of a watch. */
#define LOOP_IN	   1u /* readable now, or end of stream */
#define LOOP_OUT   2u /* writable now, or connected */
#define LOOP_RDHUP 8u /* the peer has sent FIN: comes with IN, perhaps only once */
#define LOOP_HUP   4u /* error or both directions shut: read to learn which; with IN and OUT */

struct loop_watch {
	/* Called once each time readiness may have changed (edge-triggered): the callee reads or
	 * writes until EAGAIN or remembers that it has not. Spurious calls are legal. May close any
	 * watch, this one too. */
	void (*on_ready)(struct loop_watch *watch, uint32_t events);
	int fd;	       /* -1: not started */
	uint32_t slot; /* private to the loop */
};

struct loop_accept {
	/* `fd` is a new connection (non-blocking, close-on-exec; the callee owns it), or a negative
	 * errno: the loop has then stopped accepting, until loop_accept_start() is called again
	 * (back-off on EMFILE is the caller's). */
	void (*on_accept)(struct loop_accept *accept, int fd);
	int fd;		       /* listening socket; -1: closed */
	uint32_t slot;	       /* private */
	bool active;	       /* private */
	struct list_node node; /* private: among those that are being finished */
};

struct loop_timer {
	void (*on_fire)(struct loop_timer *timer);
	uint64_t deadline_ns; /* loop_now_ns() clock */
	uint32_t heap_index;  /* private; 0 = not set */
};

struct loop_task {
	void (*run)(struct loop_task *task);
	struct list_node node; /* private */
	bool queued;	       /* private */
};

/* A message from another thread: owned by the loop from loop_post() until `deliver` is called on
 * the loop's thread. */
struct loop_msg {
	void (*deliver)(struct loop_msg *msg);
	struct loop_msg *next; /* private */
};

/* Any thread may read them: base/counter.h. */
struct loop_stats {
	uint64_t iterations, completions, late_completions, cq_overflows, accepts_skipped;
	/* One turn in eight, from the end of a wait to the next: how long what becomes ready may
	 * have to wait. */
	struct histogram turns;
};

/* Whether this kernel and this process may use io_uring as we need it; else `ret_why` says what is
 * missing and the remedy (kernel.io_uring_disabled, seccomp, old kernel, memlock). */
bool loop_io_uring_usable(struct err_text *ret_why);

/* `kind` LOOP_AUTO takes io_uring if usable, else epoll. -errno (and `err`) if the kind asked for
 * can't be had. */
int loop_new(enum loop_kind kind, struct loop **ret, struct err_text *err);
/* Everything on it must have been closed or cancelled; closes what is still in the kernel. */
void loop_free(struct loop *loop);
enum loop_kind loop_kind(const struct loop *loop);
const char *loop_kind_name(enum loop_kind kind);
const struct loop_stats *loop_stats(const struct loop *loop);

/* Runs until loop_stop(). -errno only if the kernel interface itself breaks. */
int loop_run(struct loop *loop);
/* Any thread, async-signal-safe is not promised. */
void loop_stop(struct loop *loop);
/* Any thread. */
void loop_post(struct loop *loop, struct loop_msg *msg);
/* Monotonic nanoseconds, read once an iteration. */
uint64_t loop_now_ns(const struct loop *loop);

/* `fd` non-blocking, borrowed until loop_watch_close(), which takes it. Both directions are
 * watched; what is ready already is reported too. 0 or -errno (then nothing has changed). */
int loop_watch_start(struct loop *loop, struct loop_watch *watch, int fd,
		     void (*on_ready)(struct loop_watch *watch, uint32_t events));
/* Takes the fd: no callback follows; the fd is closed when the kernel has let go of it. No-op if
 * not started. */
void loop_watch_close(struct loop *loop, struct loop_watch *watch);
/* As above, but gives the fd back to the caller instead of closing it. -1 if not started. */
int loop_watch_detach(struct loop *loop, struct loop_watch *watch);

/* `fd` is a listening socket, borrowed until loop_accept_close(), which takes it. Also re-starts
 * after an error or a pause. */
int loop_accept_start(struct loop *loop, struct loop_accept *accept, int fd,
		      void (*on_accept)(struct loop_accept *accept, int fd));
/* Stops accepting; the fd stays open. */
void loop_accept_pause(struct loop *loop, struct loop_accept *accept);
/* What the kernel has accepted already, but not yet reported, is closed. */
void loop_accept_close(struct loop *loop, struct loop_accept *accept);
/* As loop_accept_close(), but nobody is lost: connections that the kernel has accepted already
 * still come, and those that wait in the backlog when it has let go. The last call of on_accept has
 * -ECANCELED; the accept is closed then and may be freed. (What a pause has held back is not given:
 * it is closed.) False, and nothing follows, if it was not started. */
bool loop_accept_finish(struct loop *loop, struct loop_accept *accept);

/* Sets or moves. Fires once, never before the deadline; a deadline in the past fires in the next
 * iteration. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);

/* Runs once in the next iteration, after its completions, without waiting. Queued twice runs once.
 */
void loop_task_queue(struct loop *loop, struct loop_task *task);
void loop_task_cancel(struct loop *loop, struct loop_task *task);

#endif
