/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the loop, shared by loop.c, loop_timer.c, the two back ends and the unit tests; nobody
 * else includes it.
 *
 * A slot is what the loop remembers of one descriptor that the kernel watches for us. It outlives
 * its owner (a watch or an accept): the owner goes when it likes, the slot stays until the kernel
 * has let go, and only then may its number be used again. What comes back from the kernel names
 * kind, slot and generation; the generation changes each time that the kernel is asked anew, so
 * that an answer to an older question is seen as such.
 */
#ifndef SALLYPORT_LOOP_LOOP_BACKEND_H
#define SALLYPORT_LOOP_LOOP_BACKEND_H

#include <stdatomic.h>

#include "loop/loop.h"

#define LOOP_SLOTS_MAX	      (1u << 24) /* a slot's number has 24 bits in a user_data */
#define LOOP_CQ_ENTRIES	      4096u
#define LOOP_ACCEPTS_A_TURN   64   /* epoll: connections taken before others have their turn */
#define LOOP_ACCEPT_SKIPS_MAX 1024 /* passing errors in a row before one is taken for lasting */
#define LOOP_WAIT_FOREVER     UINT64_MAX

enum loop_slot_kind {
	LOOP_SLOT_FREE,
	LOOP_SLOT_WATCH,
	LOOP_SLOT_ACCEPT,
	LOOP_SLOT_WAKE,	  /* the loop's own eventfd */
	LOOP_SLOT_CANCEL, /* never a slot's kind: marks the completion of a cancel */
};

struct loop_slot {
	void *owner; /* struct loop_watch or loop_accept; NULL once closed */
	int fd;
	uint32_t generation;
	uint32_t next;	  /* in the list of free slots, or in the back end's own */
	uint16_t skipped; /* passing accept errors in a row */
	uint8_t kind;	  /* enum loop_slot_kind */
	uint8_t op;	  /* the back end's: what the kernel has of it; 0 is nothing */
	bool wanted;	  /* events are wanted now (an accept may be paused) */
	bool finishing;	  /* an accept: takes what still comes, asks for no more */
	bool owns_fd;	  /* closed by the owner: the descriptor is ours to close */
	bool deferred;	  /* io_uring: on the list of those that wait for room */
	bool resync;	  /* io_uring: ask anew, an answer may have been lost */
};

struct loop_timer_entry {
	uint64_t key_ns;
	struct loop_timer *timer;
};

struct loop {
	const struct loop_backend_ops *ops;
	enum loop_kind kind;
	void *backend; /* the back end's own state */
	uint64_t now_ns;
	struct loop_stats stats;

	struct loop_slot *slots; /* [0] is never used: slot 0 means none. Moves when it grows. */
	uint32_t slot_count, slot_free;

	struct loop_timer_entry *timers; /* binary min-heap in [1..timer_count] */
	uint32_t timer_count, timer_capacity;

	struct list_node tasks;
	struct list_node finishing; /* accepts whose last connections are waited for */

	int wake_fd;
	_Atomic(struct loop_msg *) posted; /* newest first */
	atomic_bool stop;
};

/*
 * A back end turns slots into what its kernel interface knows. Errors are -errno. None of these
 * but dispatch() calls back into users.
 */
struct loop_backend_ops {
	int (*init)(struct loop *loop, unsigned cq_entries, struct err_text *err);
	void (*fini)(struct loop *loop);
	/* loop_run() begins and ends, on the thread that will own the loop from then on. */
	int (*enter)(struct loop *loop);
	void (*leave)(struct loop *loop);
	/* Hands pending requests to the kernel and waits for one event or for `timeout_ns`. */
	int (*wait)(struct loop *loop, uint64_t timeout_ns);
	/* Reports what wait() has found, through loop_report_*(). */
	void (*dispatch)(struct loop *loop);
	/* slot->wanted has become true or false. May fail only when it has become true. */
	int (*arm)(struct loop *loop, uint32_t index);
	void (*disarm)(struct loop *loop, uint32_t index);
	/* slot->owner is gone: ends with loop_slot_release(), now or when the kernel has let go. */
	void (*drop)(struct loop *loop, uint32_t index);
};

extern const struct loop_backend_ops loop_io_uring_ops;
extern const struct loop_backend_ops loop_epoll_ops;

static inline uint64_t loop_user_data(enum loop_slot_kind kind, uint32_t index, uint32_t generation)
{
	return (uint64_t)kind << 56 | (uint64_t)index << 32 | generation;
}

static inline enum loop_slot_kind loop_user_data_kind(uint64_t user_data)
{
	return (enum loop_slot_kind)(user_data >> 56);
}

static inline uint32_t loop_user_data_index(uint64_t user_data)
{
	return (uint32_t)(user_data >> 32) & (LOOP_SLOTS_MAX - 1);
}

/* loop_new() with another size of the completion queue, so that tests can make it overflow. */
int loop_new_sized(enum loop_kind kind, unsigned cq_entries, struct loop **ret,
		   struct err_text *err);

/* The slot that `user_data` speaks of, if it is still about the same request; else NULL. */
struct loop_slot *loop_slot_match(struct loop *loop, uint64_t user_data);
/* Closes the descriptor if it is ours and makes the slot free. */
void loop_slot_release(struct loop *loop, uint32_t index);

/* Calls on_ready with the poll(2) bits translated. */
void loop_report_watch(struct loop_watch *watch, uint32_t poll_events);
/*
 * What to do with the outcome of an accept (descriptor or -errno): true if the owner is to hear of
 * it; false for errors of one connection, which are counted and skipped. For the others the slot is
 * not wanted any more when this returns. Calls nobody.
 */
bool loop_judge_accept(struct loop *loop, struct loop_slot *slot, int result);

int loop_timers_reserve(struct loop *loop, uint32_t count);
/* Calls on_fire of all that are due at loop->now_ns. */
void loop_timers_expire(struct loop *loop);

/* 0, or why io_uring can't be had: -errno, and `err` says cause and remedy. */
int loop_io_uring_check(struct err_text *err);
/* The words of the above: `error` of io_uring_setup(2) as -errno, `disabled` the value of
 * kernel.io_uring_disabled, -1 if this kernel has no such switch. Returns `error`. */
int loop_io_uring_explain(int error, int disabled, struct err_text *err);
/* Asks the kernel anew about everything; done when completions were lost for want of memory. */
void loop_io_uring_resync(struct loop *loop);

#endif
