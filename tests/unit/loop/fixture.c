/* SPDX-License-Identifier: Apache-2.0 */
/* See fixture.h. One thread unless a test starts more. */
#include "unit/loop/fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "lib/backlog.h"

enum loop_kind fixture_kinds[2] = { LOOP_IO_URING, LOOP_EPOLL };

static void guard_fire(struct loop_timer *timer)
{
	struct fixture *fx = container_of(timer, struct fixture, guard);

	fx->hung = true;
	loop_stop(fx->loop);
}

static int setup_sized(void **state, unsigned cq_entries)
{
	enum loop_kind kind = *(enum loop_kind *)*state;
	struct err_text why = { "" };
	struct fixture *fx;

	if (kind == LOOP_IO_URING && !loop_io_uring_usable(&why)) {
		fprintf(stderr, "no io_uring here: %s\n", why.text);
		/* Where it is promised, its absence is a failure. */
		if (getenv("SALLYPORT_TEST_IO_URING_PROMISED"))
			return -1;
		*state = NULL;
		return 0;
	}
	fx = calloc(1, sizeof(*fx));
	fx->kind = kind;
	fx->guard.on_fire = guard_fire;
	if (loop_new_sized(kind, cq_entries, &fx->loop, &why) < 0) {
		fprintf(stderr, "%s\n", why.text);
		free(fx);
		return -1;
	}
	*state = fx;
	return 0;
}

int fixture_setup(void **state)
{
	return setup_sized(state, LOOP_CQ_ENTRIES);
}

int fixture_setup_small_cq(void **state)
{
	return setup_sized(state, 4);
}

int fixture_teardown(void **state)
{
	struct fixture *fx = *state;

	if (fx)
		loop_free(fx->loop);
	free(fx);
	return 0;
}

void fixture_run(struct fixture *fx)
{
	loop_timer_set(fx->loop, &fx->guard, clock_monotonic_ns() + GUARD_NS);
	assert_int_equal(loop_run(fx->loop), 0);
	loop_timer_cancel(fx->loop, &fx->guard);
	assert_false(fx->hung);
}

static void turner_run(struct loop_task *task)
{
	struct fixture *fx = container_of(task, struct fixture, turner);

	if (fx->turns_left-- > 1)
		loop_task_queue(fx->loop, task);
	else
		loop_stop(fx->loop);
}

void fixture_turns(struct fixture *fx, unsigned turns)
{
	fx->turner.run = turner_run;
	fx->turns_left = turns;
	loop_task_queue(fx->loop, &fx->turner);
	fixture_run(fx);
}

void fixture_until(struct fixture *fx, bool (*done)(void *arg), void *arg)
{
	/* By the clock: what the kernel does on another CPU meanwhile may take many turns. */
	uint64_t end_ns = clock_monotonic_ns() + GUARD_NS;

	while (!done(arg)) {
		if (clock_monotonic_ns() > end_ns)
			fail_msg("it does not come about");
		fixture_turns(fx, 1);
	}
}

bool fixture_peer_gone(void *arg)
{
	char c;
	ssize_t n = recv(*(int *)arg, &c, 1, MSG_PEEK);

	return n == 0 || (n < 0 && errno != EAGAIN);
}

static void endpoint_ready(struct loop_watch *watch, uint32_t events)
{
	struct endpoint_watch *end = container_of(watch, struct endpoint_watch, watch);
	struct fixture *fx = end->fx;

	end->calls++;
	end->seen |= events;
	if (end->stop_when && (end->seen & end->stop_when) == end->stop_when)
		loop_stop(fx->loop);
	if (end->then)
		end->then(end, events);
}

void endpoint_start(struct fixture *fx, struct endpoint_watch *end, int fd)
{
	end->fx = fx;
	assert_int_equal(loop_watch_start(fx->loop, &end->watch, fd, endpoint_ready), 0);
}

void fixture_socketpair(int ret[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret),
			 0);
}

int fixture_listen(uint16_t *ret_port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(listen(fd, 4096), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	*ret_port = ntohs(sin.sin_port);
	return fd;
}

int fixture_connect(uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	/* Nobody waits for ever, even if nobody accepts. */
	struct timeval limit = { .tv_sec = 10 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

void fixture_tcp_pair(int ret[2])
{
	uint16_t port;
	int listener = fixture_listen(&port);

	ret[0] = fixture_connect(port);
	assert_true(ret[0] >= 0);
	assert_int_equal(fcntl(ret[0], F_SETFL, O_NONBLOCK), 0);
	assert_true(backlog_wait(listener, 1));
	ret[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(ret[1] >= 0);
	close(listener);
}

int fixture_fd_alive(int fd)
{
	return fcntl(fd, F_GETFD);
}
