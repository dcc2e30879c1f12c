/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all loop tests share: a loop of the kind under test with a guard timer that ends a test
 * which would hang, endpoints that count what is reported, and small socket helpers.
 */
#ifndef SALLYPORT_TESTS_LOOP_FIXTURE_H
#define SALLYPORT_TESTS_LOOP_FIXTURE_H

/* cmocka wants these before its own header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/util.h"
#include "loop/loop.h"
#include "loop/loop_backend.h"

#define GUARD_NS (30 * NSEC_PER_SEC)

struct fixture {
	struct loop *loop;
	enum loop_kind kind;
	struct loop_timer guard;
	bool hung;
	struct loop_task turner;
	unsigned turns_left;
};

/* A watch that counts; what else it does is up to `then`. */
struct endpoint_watch {
	struct loop_watch watch;
	struct fixture *fx;
	unsigned calls;
	uint32_t seen;	    /* all events so far */
	uint32_t stop_when; /* stops the loop once all of these were seen */
	void (*then)(struct endpoint_watch *end, uint32_t events);
	struct endpoint_watch *other;
	size_t received, sent, to_send;
	bool eof;
};

int fixture_setup(void **state);
int fixture_setup_small_cq(void **state);
int fixture_teardown(void **state);

/* Runs until somebody stops the loop; fails the test if nobody does. */
void fixture_run(struct fixture *fx);
/* Runs `turns` turns, without waiting. */
void fixture_turns(struct fixture *fx, unsigned turns);

/* Runs turns until `done`; fails the test after very many. How many events the kernel hands over in
 * one turn is its own affair (20, in new ones). */
void fixture_until(struct fixture *fx, bool (*done)(void *arg), void *arg);
/* For the above: the descriptor `arg` points to has an end of stream or an error to read. */
bool fixture_peer_gone(void *arg);

void endpoint_start(struct fixture *fx, struct endpoint_watch *end, int fd);
void fixture_socketpair(int ret[2]);
/* Listening loopback TCP socket, its port, and a blocking connect to it. */
int fixture_listen(uint16_t *ret_port);
int fixture_connect(uint16_t port);
/* Both ends non-blocking, connected TCP. */
void fixture_tcp_pair(int ret[2]);
/* -1 if the descriptor is closed. */
int fixture_fd_alive(int fd);

/* One row for each back end. */
extern enum loop_kind fixture_kinds[2];
#define BOTH_WITH(fn, setup)                                                                       \
	{ #fn " (io_uring)", fn, setup, fixture_teardown, &fixture_kinds[0] },                     \
	{                                                                                          \
#fn " (epoll)", fn, setup, fixture_teardown, &fixture_kinds[1]                     \
	}
#define BOTH(fn) BOTH_WITH(fn, fixture_setup)
#define IO_URING_WITH(fn, setup)                                                                   \
	{                                                                                          \
#fn " (io_uring)", fn, setup, fixture_teardown, &fixture_kinds[0]                  \
	}

extern const struct CMUnitTest watch_tests[], accept_tests[], timer_tests[], thread_tests[],
	kernel_tests[];
extern const size_t watch_test_count, accept_test_count, timer_test_count, thread_test_count,
	kernel_test_count;

#endif
