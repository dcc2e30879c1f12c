/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting: every connection once, errors as the header says, pause and back-off lose nothing. */
#include "unit/loop/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "lib/backlog.h"

#define CONNECTS 1000

struct acceptor {
	struct loop_accept accept;
	struct fixture *fx;
	unsigned accepted, wanted, errors;
	int last_error;
	int fds[CONNECTS];
	bool pause_after_each, close_after_first, pause_after_first, finish_after_first;
	struct loop_task restart;
	uint16_t port;
};

static void acceptor_on_accept(struct loop_accept *accept, int fd)
{
	struct acceptor *a = container_of(accept, struct acceptor, accept);

	if (fd < 0) {
		a->errors++;
		a->last_error = fd;
		assert_false(accept->active);
		loop_stop(a->fx->loop);
		return;
	}
	assert_true(a->accepted < CONNECTS);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	a->fds[a->accepted++] = fd;
	if (a->accepted == a->wanted)
		loop_stop(a->fx->loop);
	if (a->close_after_first)
		loop_accept_close(a->fx->loop, accept);
	if (a->pause_after_first)
		loop_accept_pause(a->fx->loop, accept);
	if (a->finish_after_first)
		assert_true(loop_accept_finish(a->fx->loop, accept));
	if (a->pause_after_each) {
		loop_accept_pause(a->fx->loop, accept);
		loop_task_queue(a->fx->loop, &a->restart);
	}
}

static void acceptor_restart(struct loop_task *task)
{
	struct acceptor *a = container_of(task, struct acceptor, restart);

	assert_int_equal(
		loop_accept_start(a->fx->loop, &a->accept, a->accept.fd, acceptor_on_accept), 0);
}

static void acceptor_start(struct fixture *fx, struct acceptor *a)
{
	a->fx = fx;
	a->restart.run = acceptor_restart;
	assert_int_equal(loop_accept_start(fx->loop, &a->accept, fixture_listen(&a->port),
					   acceptor_on_accept),
			 0);
}

static void acceptor_end(struct acceptor *a)
{
	loop_accept_close(a->fx->loop, &a->accept);
	for (unsigned i = 0; i < a->accepted; i++)
		close(a->fds[i]);
}

static void *connect_many(void *arg)
{
	struct acceptor *a = arg;

	for (int i = 0; i < CONNECTS; i++) {
		int fd = fixture_connect(a->port);

		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

static void accept_thousand(struct fixture *fx, bool pause_after_each)
{
	struct acceptor a = { .wanted = CONNECTS, .pause_after_each = pause_after_each };
	pthread_t thread;

	acceptor_start(fx, &a);
	assert_int_equal(pthread_create(&thread, NULL, connect_many, &a), 0);
	fixture_run(fx);
	pthread_join(thread, NULL);
	assert_int_equal(a.accepted, CONNECTS);
	assert_int_equal(a.errors, 0);
	acceptor_end(&a);
}

static void thousand_connects(void **state)
{
	struct fixture *fx = *state;

	if (!fx)
		skip();
	accept_thousand(fx, false);
}

static void thousand_connects_with_pauses(void **state)
{
	struct fixture *fx = *state;

	if (!fx)
		skip();
	accept_thousand(fx, true);
}

static void backlog_before_start_is_taken(void **state)
{
	struct fixture *fx = *state;
	struct acceptor a = { .wanted = 200, .fx = fx };
	int listener, clients[200];

	if (!fx)
		skip();
	listener = fixture_listen(&a.port);
	for (int i = 0; i < 200; i++) {
		clients[i] = fixture_connect(a.port);
		assert_true(clients[i] >= 0);
	}
	assert_true(backlog_wait(listener, 200));
	assert_int_equal(loop_accept_start(fx->loop, &a.accept, listener, acceptor_on_accept), 0);
	fixture_run(fx);
	acceptor_end(&a);
	for (int i = 0; i < 200; i++)
		close(clients[i]);
}

static void paused_accept_takes_nothing(void **state)
{
	struct fixture *fx = *state;
	struct acceptor a = { .wanted = 2 };
	int clients[2];

	if (!fx)
		skip();
	acceptor_start(fx, &a);
	fixture_turns(fx, 3);
	loop_accept_pause(fx->loop, &a.accept);
	clients[0] = fixture_connect(a.port);
	clients[1] = fixture_connect(a.port);
	assert_true(backlog_wait(a.accept.fd, 2));
	fixture_turns(fx, 10);
	assert_int_equal(a.accepted, 0);
	acceptor_restart(&a.restart);
	fixture_run(fx);
	assert_int_equal(a.accepted, 2);
	acceptor_end(&a);
	close(clients[0]);
	close(clients[1]);
}

/* Connections that the kernel took in the same batch must not leak when the first one ends it all.
 */
static void nothing_leaks(struct fixture *fx, struct acceptor *a, bool close_in_the_end)
{
	int clients[20], fds[20], listener, highest;
	char c;

	a->fx = fx;
	listener = fixture_listen(&a->port);
	for (int i = 0; i < 20; i++)
		clients[i] = fixture_connect(a->port);
	assert_true(backlog_wait(listener, 20));
	highest = clients[19];
	assert_int_equal(loop_accept_start(fx->loop, &a->accept, listener, acceptor_on_accept), 0);
	fixture_turns(fx, 10);
	assert_int_equal(a->accepted, 1);
	if (close_in_the_end)
		loop_accept_close(fx->loop, &a->accept);
	fixture_turns(fx, 10);
	assert_int_equal(fixture_fd_alive(listener), -1);
	close(a->fds[0]);
	/* All others were closed or reset. */
	for (int i = 0; i < 20; i++) {
		assert_true(recv(clients[i], &c, 1, 0) == 0 || errno == ECONNRESET);
		close(clients[i]);
	}
	/* As many descriptors find room below where there was room before: none was left open. */
	for (int i = 0; i < 20; i++) {
		fds[i] = dup(0);
		assert_in_range(fds[i], 0, highest);
	}
	for (int i = 0; i < 20; i++)
		close(fds[i]);
}

static void close_in_callback_leaks_nothing(void **state)
{
	struct fixture *fx = *state;
	struct acceptor a = { .close_after_first = true };

	if (!fx)
		skip();
	nothing_leaks(fx, &a, false);
}

static void close_while_paused_leaks_nothing(void **state)
{
	struct fixture *fx = *state;
	struct acceptor a = { .pause_after_first = true };

	if (!fx)
		skip();
	nothing_leaks(fx, &a, true);
}

static void no_descriptors_left_stops_until_restart(void **state)
{
	struct fixture *fx = *state;
	struct acceptor a = { .wanted = 3, .restart.run = acceptor_restart, .fx = fx };
	struct rlimit old, low;
	int clients[3], listener, probe;
	uint64_t late;

	if (!fx)
		skip();
	listener = fixture_listen(&a.port);
	for (int i = 0; i < 3; i++)
		clients[i] = fixture_connect(a.port);
	assert_true(backlog_wait(listener, 3));
	probe = dup(0);
	close(probe);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = (struct rlimit){ .rlim_cur = (rlim_t)probe, .rlim_max = old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	/* io_uring looks at the limit when the accept is asked for, not when it accepts. */
	assert_int_equal(loop_accept_start(fx->loop, &a.accept, listener, acceptor_on_accept), 0);
	fixture_run(fx);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(a.errors, 1);
	assert_int_equal(a.last_error, -EMFILE);
	assert_int_equal(a.accepted, 0);
	/* It does not try again by itself, nor is woken in vain ... */
	late = loop_stats(fx->loop)->late_completions;
	fixture_turns(fx, 5);
	assert_int_equal(loop_stats(fx->loop)->late_completions, late);
	assert_int_equal(a.errors, 1);
	assert_int_equal(a.accepted, 0);
	/* ... and nothing was lost. */
	acceptor_restart(&a.restart);
	fixture_run(fx);
	assert_int_equal(a.accepted, 3);
	acceptor_end(&a);
	for (int i = 0; i < 3; i++)
		close(clients[i]);
}

static void broken_listener_is_told_once(void **state)
{
	struct fixture *fx = *state;
	struct acceptor a = { .wanted = 1 };

	if (!fx)
		skip();
	acceptor_start(fx, &a);
	fixture_turns(fx, 3);
	assert_int_equal(shutdown(a.accept.fd, SHUT_RDWR), 0);
	fixture_run(fx);
	fixture_turns(fx, 5);
	assert_int_equal(a.errors, 1);
	assert_int_equal(a.last_error, -EINVAL);
	acceptor_end(&a);
}

static void judging_of_errors(void **state)
{
	static const struct {
		int error;
		bool told;
	} rows[] = {
		{ ECONNABORTED, false }, { EPROTO, false }, { EINTR, false },
		{ EHOSTUNREACH, false }, { EPERM, false },  { EMFILE, true },
		{ ENFILE, true },	 { ENOBUFS, true }, { ENOMEM, true },
		{ EINVAL, true },	 { EBADF, true },
	};
	struct fixture *fx = *state;
	struct loop_accept accept = { .fd = -1 };
	uint64_t skipped, told = 0;

	if (!fx)
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct loop_slot slot = { .owner = &accept, .wanted = true };

		accept.active = true;
		skipped = loop_stats(fx->loop)->accepts_skipped;
		assert_int_equal(loop_judge_accept(fx->loop, &slot, -rows[i].error), rows[i].told);
		assert_int_equal(slot.wanted, !rows[i].told);
		assert_int_equal(accept.active, !rows[i].told);
		assert_int_equal(loop_stats(fx->loop)->accepts_skipped - skipped, !rows[i].told);
	}
	/* Nothing else but passing errors: a broken socket, not a busy loop. */
	struct loop_slot slot = { .owner = &accept, .wanted = true };

	for (int i = 0; i < LOOP_ACCEPT_SKIPS_MAX; i++)
		told += loop_judge_accept(fx->loop, &slot, -EPROTO);
	assert_int_equal(told, 1);
}

static void start_with_another_descriptor_is_refused(void **state)
{
	struct fixture *fx = *state;
	struct acceptor a = { .wanted = 1 };

	if (!fx)
		skip();
	acceptor_start(fx, &a);
	assert_int_equal(loop_accept_start(fx->loop, &a.accept, 0, acceptor_on_accept), -EBUSY);
	acceptor_restart(&a.restart);
	acceptor_end(&a);
	fixture_turns(fx, 3);
}

/* Whoever the kernel had accepted comes, and who waits in the backlog: who else holds the socket may
 * not have been woken for them. */
static void finish_loses_nobody(void **state)
{
	struct fixture *fx = *state;
	struct acceptor a = { .wanted = 201, .fx = fx, .finish_after_first = true };
	int listener, copy, clients[200], left = 0, fd;

	if (!fx)
		skip();
	listener = fixture_listen(&a.port);
	copy = fcntl(listener, F_DUPFD_CLOEXEC, 0);
	for (int i = 0; i < 200; i++)
		clients[i] = fixture_connect(a.port);
	assert_true(backlog_wait(listener, 200));
	assert_int_equal(loop_accept_start(fx->loop, &a.accept, listener, acceptor_on_accept), 0);
	fixture_run(fx);
	assert_int_equal(a.last_error, -ECANCELED);
	assert_int_equal(a.errors, 1);
	assert_int_equal(a.accept.fd, -1);
	assert_int_equal(fixture_fd_alive(listener), -1);
	assert_false(loop_accept_finish(fx->loop, &a.accept));
	for (; (fd = accept4(copy, NULL, NULL, SOCK_NONBLOCK)) >= 0; left++)
		close(fd);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(left, 0);
	assert_int_equal(a.accepted, 200);
	acceptor_end(&a);
	close(copy);
	for (int i = 0; i < 200; i++)
		close(clients[i]);
}

/* One that takes nothing just now (it was paused) is told all the same; closed, it is not. */
static void finish_of_a_paused_one(void **state)
{
	struct fixture *fx = *state;
	struct acceptor a = { .wanted = 1 }, closed = { .wanted = 1 };

	if (!fx)
		skip();
	acceptor_start(fx, &a);
	acceptor_start(fx, &closed);
	loop_accept_pause(fx->loop, &a.accept);
	assert_true(loop_accept_finish(fx->loop, &a.accept));
	assert_true(loop_accept_finish(fx->loop, &a.accept)); /* no more than once */
	assert_true(loop_accept_finish(fx->loop, &closed.accept));
	loop_accept_close(fx->loop, &closed.accept);
	fixture_run(fx);
	fixture_turns(fx, 3);
	assert_int_equal(a.errors, 1);
	assert_int_equal(a.last_error, -ECANCELED);
	assert_int_equal(closed.errors, 0);
	acceptor_end(&a);
}

const struct CMUnitTest accept_tests[] = {
	BOTH(thousand_connects),
	BOTH(thousand_connects_with_pauses),
	BOTH(backlog_before_start_is_taken),
	BOTH(paused_accept_takes_nothing),
	BOTH(close_in_callback_leaks_nothing),
	BOTH(close_while_paused_leaks_nothing),
	BOTH(no_descriptors_left_stops_until_restart),
	BOTH(broken_listener_is_told_once),
	BOTH(judging_of_errors),
	BOTH(start_with_another_descriptor_is_refused),
	BOTH(finish_loses_nobody),
	BOTH(finish_of_a_paused_one),
	BOTH_WITH(thousand_connects, fixture_setup_small_cq),
	BOTH_WITH(thousand_connects_with_pauses, fixture_setup_small_cq),
	BOTH_WITH(close_in_callback_leaks_nothing, fixture_setup_small_cq),
	BOTH_WITH(close_while_paused_leaks_nothing, fixture_setup_small_cq),
	BOTH_WITH(no_descriptors_left_stops_until_restart, fixture_setup_small_cq),
	BOTH_WITH(finish_loses_nobody, fixture_setup_small_cq),
};
const size_t accept_test_count = ARRAY_SIZE(accept_tests);
