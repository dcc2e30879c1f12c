/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls of the program's own code that fail at a chosen moment, are interrupted, or write
 * less than they were asked to. What libraries call inside themselves is not touched. The seam is
 * the linker: FAILING_CALLS_WRAPS of tests/unit/dataplane/meson.build. One thread.
 */
#ifndef SALLYPORT_TESTS_LIB_FAILING_CALLS_H
#define SALLYPORT_TESTS_LIB_FAILING_CALLS_H

#include <stdbool.h>
#include <stddef.h>

enum failing_call {
	CALL_RECV, /* recv, recvmsg */
	CALL_SEND, /* send, sendmsg */
	CALL_READV,
	CALL_SPLICE,
	CALL_SOCKET,
	CALL_CONNECT,
	CALL_ACCEPT4,
	CALL_PIPE2,
	CALL_SETSOCKOPT,
	CALL_GETSOCKOPT,
	CALL_GETPEERNAME,
	CALL_EPOLL_CTL,
	CALL_EPOLL_WAIT,
	FAILING_CALL_COUNT
};

struct failing_calls_plan {
	enum failing_call call;
	unsigned long n;  /* counted from 1: this one of `call` fails; 0: none */
	int error;	  /* … with this errno */
	bool interrupted; /* every second call that may be is: EINTR */
	size_t write_max; /* at most so many bytes a write or splice; 0: no limit */
};

/* From now on, while not suspended. */
void failing_calls_arm(const struct failing_calls_plan *plan);
/* The end of it. True if the one has failed. */
bool failing_calls_disarm(void);
/* While the test itself calls. */
void failing_calls_suspend(bool suspended);
/* All calls since the last arming, of every kind. */
unsigned long failing_calls_count(void);

#endif
