/* SPDX-License-Identifier: Apache-2.0 */
/* Watches: edges are never lost, closing is safe at any time, descriptors go to whom they should.
 */
#include "unit/loop/fixture.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define NEED_LOOP(state)                                                                           \
	struct fixture *fx = *(state);                                                             \
	if (!fx)                                                                                   \
	skip()

#define ECHO_BYTES (8 * 1024 * 1024)

/* Reads all there is; true if something was. */
static bool endpoint_drain(struct endpoint_watch *end)
{
	char buf[16384];
	bool any = false;

	for (;;) {
		ssize_t n = recv(end->watch.fd, buf, sizeof(buf), 0);

		if (n == 0)
			end->eof = true;
		if (n <= 0)
			return any;
		end->received += (size_t)n;
		any = true;
	}
}

/* Sends what it owes, until EAGAIN. */
static void endpoint_pump(struct endpoint_watch *end)
{
	static const char zeros[16384];

	while (end->sent < end->to_send) {
		ssize_t n = send(end->watch.fd, zeros, MIN(sizeof(zeros), end->to_send - end->sent),
				 MSG_NOSIGNAL);

		if (n < 0)
			return;
		end->sent += (size_t)n;
	}
}

static void client_step(struct endpoint_watch *end, uint32_t events)
{
	(void)events;
	endpoint_pump(end);
	endpoint_drain(end);
	if (end->received == ECHO_BYTES)
		loop_stop(end->fx->loop);
}

/* An echo that keeps at most 64 KiB it has not given back: reading stops, and must go on later. */
static void server_step(struct endpoint_watch *end, uint32_t events)
{
	char buf[4096];

	(void)events;
	for (;;) {
		ssize_t n;

		end->to_send = end->received;
		endpoint_pump(end);
		if (end->received - end->sent > 65536)
			return;
		n = recv(end->watch.fd, buf, sizeof(buf), 0);
		if (n <= 0)
			return;
		end->received += (size_t)n;
	}
}

static void echo_over(struct fixture *fx, int fds[2])
{
	struct endpoint_watch client = { .then = client_step, .to_send = ECHO_BYTES };
	struct endpoint_watch server = { .then = server_step };

	endpoint_start(fx, &server, fds[1]);
	endpoint_start(fx, &client, fds[0]);
	fixture_run(fx);
	assert_int_equal(client.received, ECHO_BYTES);
	assert_int_equal(server.received, ECHO_BYTES);
	loop_watch_close(fx->loop, &client.watch);
	loop_watch_close(fx->loop, &server.watch);
}

static void echo_unix(void **state)
{
	int fds[2];

	NEED_LOOP(state);
	fixture_socketpair(fds);
	echo_over(fx, fds);
}

static void echo_tcp(void **state)
{
	int fds[2];

	NEED_LOOP(state);
	fixture_tcp_pair(fds);
	echo_over(fx, fds);
}

static void reports_what_was_there_before_start(void **state)
{
	struct endpoint_watch end = { .stop_when = LOOP_IN | LOOP_OUT };
	int fds[2];

	NEED_LOOP(state);
	fixture_socketpair(fds);
	assert_int_equal(write(fds[1], "x", 1), 1);
	endpoint_start(fx, &end, fds[0]);
	fixture_run(fx);
	assert_false(end.seen & LOOP_HUP);
	loop_watch_close(fx->loop, &end.watch);
	close(fds[1]);
}

static void write_more_while_told(struct endpoint_watch *end, uint32_t events)
{
	char c;

	if (!(events & LOOP_IN) || recv(end->watch.fd, &c, 1, 0) != 1)
		return;
	/* The next byte comes while the callback for this one runs, after its last read. */
	if (++end->received < 1000)
		assert_int_equal(write(end->other->watch.fd, "x", 1), 1);
	else
		loop_stop(end->fx->loop);
}

static void byte_written_inside_callback_is_an_edge(void **state)
{
	struct endpoint_watch a = { .then = write_more_while_told }, b = { .then = NULL };
	int fds[2];

	NEED_LOOP(state);
	fixture_tcp_pair(fds);
	a.other = &b;
	endpoint_start(fx, &a, fds[0]);
	endpoint_start(fx, &b, fds[1]);
	assert_int_equal(write(fds[1], "x", 1), 1);
	fixture_run(fx);
	assert_int_equal(a.received, 1000);
	loop_watch_close(fx->loop, &a.watch);
	loop_watch_close(fx->loop, &b.watch);
}

static void out_comes_after_full_buffer_was_drained(void **state)
{
	struct endpoint_watch end = { .stop_when = 0 };
	char buf[65536] = { 0 };
	int fds[2];

	NEED_LOOP(state);
	fixture_tcp_pair(fds);
	endpoint_start(fx, &end, fds[0]);
	while (send(fds[0], buf, sizeof(buf), MSG_NOSIGNAL) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	fixture_turns(fx, 10);
	/* A peer of loopback may take more bytes late: fill until it stays full. */
	while (send(fds[0], buf, sizeof(buf), MSG_NOSIGNAL) > 0)
		fixture_turns(fx, 10);
	end.seen = 0;
	end.stop_when = LOOP_OUT;
	while (recv(fds[1], buf, sizeof(buf), 0) > 0)
		;
	fixture_run(fx);
	assert_true(send(fds[0], buf, 1, MSG_NOSIGNAL) == 1);
	loop_watch_close(fx->loop, &end.watch);
	close(fds[1]);
}

static void drain_and_stop_at_eof(struct endpoint_watch *end, uint32_t events)
{
	if (events & LOOP_IN)
		endpoint_drain(end);
	if (end->eof)
		loop_stop(end->fx->loop);
}

static void half_close_is_readable(void **state)
{
	struct endpoint_watch end = { .then = drain_and_stop_at_eof };
	int fds[2];

	NEED_LOOP(state);
	fixture_tcp_pair(fds);
	endpoint_start(fx, &end, fds[0]);
	fixture_turns(fx, 3);
	assert_int_equal(write(fds[1], "abc", 3), 3);
	assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
	fixture_run(fx);
	assert_int_equal(end.received, 3);
	assert_true(end.seen & LOOP_RDHUP);
	assert_false(end.seen & LOOP_HUP);
	/* The other direction still works. */
	assert_int_equal(write(end.watch.fd, "x", 1), 1);
	loop_watch_close(fx->loop, &end.watch);
	close(fds[1]);
}

static void reset_is_a_hang_up_for_all(void **state)
{
	struct endpoint_watch end = { .stop_when = LOOP_HUP };
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };
	int fds[2];
	char c;

	NEED_LOOP(state);
	fixture_tcp_pair(fds);
	endpoint_start(fx, &end, fds[0]);
	fixture_turns(fx, 3);
	end.seen = 0;
	assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	close(fds[1]);
	fixture_run(fx);
	assert_true((end.seen & (LOOP_IN | LOOP_OUT)) == (LOOP_IN | LOOP_OUT));
	assert_int_equal(recv(end.watch.fd, &c, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	loop_watch_close(fx->loop, &end.watch);
}

static void both_directions_shut_is_a_hang_up(void **state)
{
	struct endpoint_watch end = { .stop_when = LOOP_HUP };
	int fds[2];

	NEED_LOOP(state);
	fixture_tcp_pair(fds);
	endpoint_start(fx, &end, fds[0]);
	fixture_turns(fx, 3);
	assert_false(end.seen & (LOOP_HUP | LOOP_RDHUP));
	close(fds[1]);
	assert_int_equal(shutdown(fds[0], SHUT_WR), 0);
	fixture_run(fx);
	assert_true(end.seen & LOOP_RDHUP);
	loop_watch_close(fx->loop, &end.watch);
}

static void close_self_and_other(struct endpoint_watch *end, uint32_t events)
{
	(void)events;
	loop_watch_close(end->fx->loop, &end->watch);
	loop_watch_close(end->fx->loop, &end->other->watch);
	/* The memory may go at once. */
	memset(&end->other->watch, 0xee, sizeof(end->other->watch));
}

static void close_in_callback_drops_pending_events(void **state)
{
	int a_fds[2], b_fds[2];
	struct endpoint_watch a = { .then = NULL }, b = { .then = NULL };
	uint64_t late;
	char c;

	NEED_LOOP(state);
	fixture_socketpair(a_fds);
	fixture_socketpair(b_fds);
	endpoint_start(fx, &a, a_fds[0]);
	endpoint_start(fx, &b, b_fds[0]);
	fixture_turns(fx, 3);
	/* Both have an event in the same batch; whoever is first closes both. */
	a.calls = b.calls = 0;
	a.then = b.then = close_self_and_other;
	a.other = &b;
	b.other = &a;
	late = loop_stats(fx->loop)->late_completions;
	assert_int_equal(write(a_fds[1], "x", 1), 1);
	assert_int_equal(write(b_fds[1], "x", 1), 1);
	fixture_turns(fx, 5);
	assert_int_equal(a.calls + b.calls, 1);
	assert_int_equal(loop_stats(fx->loop)->late_completions - late, 1);
	/* And both descriptors are really closed: their peers see it. */
	assert_true(recv(a_fds[1], &c, 1, 0) <= 0 && errno != EAGAIN);
	assert_true(recv(b_fds[1], &c, 1, 0) <= 0 && errno != EAGAIN);
	assert_int_equal(fixture_fd_alive(a_fds[0]), -1);
	assert_int_equal(fixture_fd_alive(b_fds[0]), -1);
	close(a_fds[1]);
	close(b_fds[1]);
}

static void reopen_other(struct endpoint_watch *end, uint32_t events)
{
	struct endpoint_watch *other = end->other;
	int fd;

	(void)events;
	end->then = NULL;
	other->then = NULL;
	/* Detached and started anew: same descriptor, most likely the same slot. */
	fd = loop_watch_detach(end->fx->loop, &other->watch);
	assert_true(fd >= 0);
	other->calls = 0;
	endpoint_start(end->fx, other, fd);
}

static void reused_slot_does_not_get_old_events(void **state)
{
	int a_fds[2], b_fds[2];
	struct endpoint_watch a = { .then = NULL }, b = { .then = NULL };
	uint64_t late;

	NEED_LOOP(state);
	fixture_socketpair(a_fds);
	fixture_socketpair(b_fds);
	endpoint_start(fx, &a, a_fds[0]);
	endpoint_start(fx, &b, b_fds[0]);
	fixture_turns(fx, 3);
	a.calls = b.calls = 0;
	a.then = b.then = reopen_other;
	a.other = &b;
	b.other = &a;
	late = loop_stats(fx->loop)->late_completions;
	assert_int_equal(write(a_fds[1], "x", 1), 1);
	assert_int_equal(write(b_fds[1], "x", 1), 1);
	fixture_turns(fx, 5);
	assert_int_equal(loop_stats(fx->loop)->late_completions - late, 1);
	/* One real event for the first, one fresh report for the re-started. */
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 1);
	loop_watch_close(fx->loop, &a.watch);
	loop_watch_close(fx->loop, &b.watch);
	close(a_fds[1]);
	close(b_fds[1]);
}

static void detach_gives_the_descriptor_back(void **state)
{
	struct endpoint_watch end = { .then = NULL };
	int fds[2];

	NEED_LOOP(state);
	fixture_socketpair(fds);
	endpoint_start(fx, &end, fds[0]);
	fixture_turns(fx, 2);
	end.calls = 0;
	assert_int_equal(loop_watch_detach(fx->loop, &end.watch), fds[0]);
	assert_int_equal(end.watch.fd, -1);
	assert_int_equal(loop_watch_detach(fx->loop, &end.watch), -1);
	loop_watch_close(fx->loop, &end.watch);
	assert_int_equal(write(fds[1], "x", 1), 1);
	fixture_turns(fx, 4);
	assert_int_equal(end.calls, 0);
	assert_true(fixture_fd_alive(fds[0]) >= 0);
	/* The kernel has let go: our close is the last one, and the peer sees it. */
	close(fds[0]);
	assert_int_equal(write(fds[1], "x", 1), -1);
	close(fds[1]);
}

static void zeroed_and_closed_watches_are_no_ops(void **state)
{
	struct loop_watch zero = { 0 };
	struct loop_accept accept = { 0 };

	NEED_LOOP(state);
	loop_watch_close(fx->loop, &zero);
	loop_accept_close(fx->loop, &accept);
	loop_accept_pause(fx->loop, &accept);
	assert_int_equal(loop_watch_detach(fx->loop, &zero), -1);
	assert_true(fixture_fd_alive(0) >= 0);
	assert_int_equal(loop_watch_start(fx->loop, &zero, -1, NULL), -EBADF);
}

static void close_before_first_run(void **state)
{
	struct endpoint_watch end = { .then = NULL };
	int fds[2];

	NEED_LOOP(state);
	fixture_socketpair(fds);
	endpoint_start(fx, &end, fds[0]);
	loop_watch_close(fx->loop, &end.watch);
	fixture_turns(fx, 4);
	assert_int_equal(end.calls, 0);
	assert_int_equal(fixture_fd_alive(fds[0]), -1);
	close(fds[1]);
}

static void closed_after_run_is_closed_by_free(void **state)
{
	struct endpoint_watch end = { .then = NULL };
	int fds[2];

	NEED_LOOP(state);
	fixture_socketpair(fds);
	endpoint_start(fx, &end, fds[0]);
	fixture_turns(fx, 2);
	loop_watch_close(fx->loop, &end.watch);
	loop_free(TAKE_PTR(fx->loop));
	assert_int_equal(fixture_fd_alive(fds[0]), -1);
	close(fds[1]);
}

static void close_and_stop(struct endpoint_watch *end, uint32_t events)
{
	if (!(events & LOOP_IN))
		return;
	loop_watch_close(end->fx->loop, &end->watch);
	loop_stop(end->fx->loop);
}

/* The last thing that a loop did was to close: the peer hears of it no later than loop_free(). */
static void closed_in_the_last_turn_is_seen_by_the_peer(void **state)
{
	struct endpoint_watch end = { .then = close_and_stop };
	int fds[2];

	NEED_LOOP(state);
	fixture_socketpair(fds);
	endpoint_start(fx, &end, fds[0]);
	fixture_turns(fx, 3);
	assert_int_equal(write(fds[1], "x", 1), 1);
	fixture_run(fx);
	loop_free(TAKE_PTR(fx->loop));
	assert_true(fixture_peer_gone(&fds[1]));
	close(fds[1]);
}

enum { MANY = 1000 };

static struct endpoint_watch many[MANY];

static bool many_all_readable(void *arg)
{
	(void)arg;
	for (int i = 0; i < MANY; i++)
		if (!(many[i].seen & LOOP_IN))
			return false;
	return true;
}

/* More than the submission queue has room for, before the ring runs and after. */
static void thousand_watches(void **state)
{
	int peers[MANY];

	NEED_LOOP(state);
	memset(many, 0, sizeof(many));
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < MANY; i++) {
			int fds[2];

			fixture_socketpair(fds);
			peers[i] = fds[1];
			endpoint_start(fx, &many[i], fds[0]);
		}
		fixture_turns(fx, 10);
		for (int i = 0; i < MANY; i++) {
			many[i].seen = 0;
			assert_int_equal(write(peers[i], "x", 1), 1);
		}
		fixture_until(fx, many_all_readable, NULL);
		for (int i = 0; i < MANY; i++) {
			char c;

			assert_int_equal(recv(many[i].watch.fd, &c, 1, 0), 1);
			loop_watch_close(fx->loop, &many[i].watch);
		}
		for (int i = 0; i < MANY; i++) {
			fixture_until(fx, fixture_peer_gone, &peers[i]);
			close(peers[i]);
		}
	}
}

const struct CMUnitTest watch_tests[] = {
	BOTH(echo_unix),
	BOTH(echo_tcp),
	BOTH(reports_what_was_there_before_start),
	BOTH(byte_written_inside_callback_is_an_edge),
	BOTH(out_comes_after_full_buffer_was_drained),
	BOTH(half_close_is_readable),
	BOTH(reset_is_a_hang_up_for_all),
	BOTH(both_directions_shut_is_a_hang_up),
	BOTH(close_in_callback_drops_pending_events),
	BOTH(reused_slot_does_not_get_old_events),
	BOTH(detach_gives_the_descriptor_back),
	BOTH(zeroed_and_closed_watches_are_no_ops),
	BOTH(close_before_first_run),
	BOTH(closed_after_run_is_closed_by_free),
	BOTH(closed_in_the_last_turn_is_seen_by_the_peer),
	BOTH(thousand_watches),
	BOTH_WITH(echo_unix, fixture_setup_small_cq),
	BOTH_WITH(thousand_watches, fixture_setup_small_cq),
};
const size_t watch_test_count = ARRAY_SIZE(watch_tests);
