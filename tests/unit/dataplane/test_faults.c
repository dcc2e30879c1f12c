/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls that fail, are interrupted or write less than asked, at every point of a whole
 * connection (whole.h), and clocks that jump. Each time: one counted reason, no descriptor and no
 * pipe is left, a cut stream does not look whole, the work done is bounded, and the next connection
 * is served.
 */
#include "unit/dataplane/whole.h"

#include <errno.h>
#include <sys/socket.h>

#include "lib/failing_calls.h"

#define CALLS_MAX 100000 /* of a connection; some thousands are usual */

static const struct failing_calls_plan nothing;

static void check_after(struct whole *s, unsigned long n, bool whole)
{
	if (failing_calls_count() > CALLS_MAX)
		fail_msg("failure %lu: %lu calls", n, failing_calls_count());
	assert_int_equal(whole_closes(s), s->rig.worker.stats.accepted);
	whole_check_ends(s, n);
	assert_int_equal(atomic_load(&s->rig.state.connections), 0);
	assert_int_equal(atomic_load(&s->rig.state.handshakes), 0);
	assert_int_equal(s->rig.worker.pipes.lent_count, 0);
	if (whole && !s->rig.worker.stats.closes[CLOSE_CLIENT_CLOSED] &&
	    !s->rig.worker.stats.closes[CLOSE_UPSTREAM_CLOSED])
		fail_msg("failure %lu: whole, but closed for another reason", n);
}

static const struct way {
	enum config_role role;
	bool identity, proven; /* told to a broker, of which it is known that it minds them */
} ways[] = {
	{ CONFIG_ROLE_FRONT, false, false },
	{ CONFIG_ROLE_EGRESS, false, false },
	{ CONFIG_ROLE_FRONT, true, false },
	{ CONFIG_ROLE_FRONT, true, true },
};

static void open_way(struct whole *s, const struct way *way)
{
	whole_open(s, way->role, CONFIG_SPLICE_AUTO, failing_calls_suspend);
	if (way->identity)
		whole_use_identity(s, way->proven);
}

/* --- what must go unnoticed --- */

/* `pieces`: the peers write no more at once; 0: as usual. */
static void unnoticed(const struct failing_calls_plan *plan, size_t pieces)
{
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		size_t before = open_fds();
		struct whole s;
		bool whole;

		open_way(&s, &ways[i]);
		s.write_max = pieces ? pieces : s.write_max;
		/* A system call and a packet for each byte take their time. */
		if (pieces || plan->write_max)
			s.stream_bytes = MIN(s.stream_bytes, 1000 * MAX(pieces, plan->write_max));
		failing_calls_arm(plan);
		whole = whole_connection(&s);
		failing_calls_disarm();
		assert_true(whole);
		assert_int_equal(whole_closes(&s), 1);
		whole_close(&s);
		assert_int_equal(open_fds(), before);
	}
}

static void test_interrupted_calls(void **state)
{
	(void)state;
	unnoticed(&(struct failing_calls_plan){ .interrupted = true }, 0);
}

static void test_short_writes(void **state)
{
	static const size_t sizes[] = { 1, 7, 4099 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		unnoticed(&(struct failing_calls_plan){ .write_max = sizes[i] }, 0);
	unnoticed(&(struct failing_calls_plan){ .write_max = 1000, .interrupted = true }, 0);
}

/* Peers that say little at a time. */
static void test_small_pieces(void **state)
{
	(void)state;
	unnoticed(&nothing, 61);
}

/* --- what ends a connection, or not --- */

struct fault {
	enum failing_call call;
	int error;
};

static const struct fault faults[] = {
	{ CALL_RECV, ENOMEM },
	{ CALL_RECV, ECONNRESET },
	{ CALL_RECV, ETIMEDOUT },
	{ CALL_SEND, ENOBUFS },
	{ CALL_SEND, EPIPE },
	{ CALL_READV, ENOMEM },
	{ CALL_SOCKET, EMFILE },
	{ CALL_SOCKET, ENFILE },
	{ CALL_CONNECT, EADDRNOTAVAIL },
	{ CALL_CONNECT, EAGAIN },
	{ CALL_ACCEPT4, EMFILE },
	{ CALL_ACCEPT4, ENFILE },
	{ CALL_ACCEPT4, ECONNABORTED },
	{ CALL_ACCEPT4, ENOBUFS },
	{ CALL_SETSOCKOPT, ENOBUFS },
	{ CALL_GETSOCKOPT, ENOBUFS },
	{ CALL_GETPEERNAME, ENOBUFS },
	{ CALL_EPOLL_CTL, ENOSPC },
	{ CALL_EPOLL_CTL, ENOMEM },
};

/* True if there was such a call. */
static bool fault_at(const struct fault *fault, const struct way *way, unsigned long n)
{
	struct failing_calls_plan plan = { .call = fault->call, .n = n, .error = fault->error };
	size_t before = open_fds();
	bool whole, failed;
	struct whole s;

	open_way(&s, way);
	failing_calls_arm(&plan);
	whole = whole_connection(&s);
	failed = failing_calls_disarm();
	check_after(&s, n, whole);
	assert_true(whole || failed);
	assert_true(whole_connection(&s));
	whole_close(&s);
	assert_int_equal(open_fds(), before);
	return failed;
}

static void test_failing_calls(void **state)
{
	bool reached[ARRAY_SIZE(faults)] = { false };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		for (size_t j = 0; j < ARRAY_SIZE(ways); j++) {
			unsigned long n = 1;

			/* Every one at first, then larger and larger steps. */
			while (fault_at(&faults[i], &ways[j], n))
				n += 1 + n / 8;
			reached[i] |= n > 1;
		}
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		if (!reached[i])
			fail_msg("nobody calls what should fail: row %zu", i);
}

/* --- splice, which takes two sides without our record layer --- */

#define BULK_BYTES (2 * 1024 * 1024)

/* True if all of it came through. */
static bool splice_with(const struct failing_calls_plan *plan, bool *ret_failed)
{
	static uint8_t sent[BULK_BYTES], got[BULK_BYTES];
	size_t before = open_fds(), at = 0, len = 0;
	int client[2], service[2];
	unsigned int tries = 0;
	struct rig rig;
	ssize_t n = 1;

	rig_init(&rig);
	rig_pattern(sent, BULK_BYTES, 17);
	rig_tcp_pair(client);
	rig_tcp_pair(service);
	conn_relay_start(rig_conn(&rig, client[1], service[1]));
	failing_calls_arm(plan);
	while (len < BULK_BYTES && n && rig_patience(&tries)) {
		failing_calls_suspend(true);
		n = send(client[0], sent + at, BULK_BYTES - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		at += (size_t)MAX(n, (ssize_t)0);
		n = recv(service[0], got + len, BULK_BYTES - len, MSG_DONTWAIT);
		len += (size_t)MAX(n, (ssize_t)0);
		n = n < 0 && errno != EAGAIN ? 0 : n;
		failing_calls_suspend(false);
		rig_turns(&rig, 1);
	}
	*ret_failed = failing_calls_disarm();
	assert_memory_equal(got, sent, len);
	assert_true(failing_calls_count() < CALLS_MAX);
	assert_true(len == BULK_BYTES || !rig.worker.conn_count);
	assert_true(rig.worker.stats.bytes_spliced > 0 || *ret_failed);
	close(client[0]);
	close(service[0]);
	rig_until(&rig, rig_is_empty, &rig);
	assert_int_equal(rig.worker.pipes.lent_count, 0);
	rig_fini(&rig);
	assert_int_equal(open_fds(), before);
	return len == BULK_BYTES;
}

static void test_splice(void **state)
{
	struct failing_calls_plan plan = { .interrupted = true };
	bool failed;

	(void)state;
	assert_true(splice_with(&plan, &failed));
	plan = (struct failing_calls_plan){ .write_max = 4099 };
	assert_true(splice_with(&plan, &failed));
	/* No pipe: copied instead. */
	plan = (struct failing_calls_plan){ .call = CALL_PIPE2, .n = 1, .error = EMFILE };
	assert_true(splice_with(&plan, &failed));
	assert_true(failed);
	plan = (struct failing_calls_plan){ .call = CALL_SPLICE, .error = ENOMEM };
	for (plan.n = 1; plan.n < 8; plan.n++) {
		assert_false(splice_with(&plan, &failed));
		assert_true(failed);
	}
}

/* --- clocks --- */

static struct {
	enum conn_state state; /* in which it jumps */
	uint64_t monotonic_ns;
	int64_t realtime_ns;
	bool done;
} jump;

static void jump_in_state(struct whole *s)
{
	struct list_node *node = s->rig.worker.conns.next;

	if (jump.done || list_empty(&s->rig.worker.conns) ||
	    container_of(node, struct conn, node)->state != jump.state)
		return;
	jump.done = true;
	s->rig.clock.monotonic_ns += jump.monotonic_ns;
	s->rig.clock.realtime_ns += (uint64_t)jump.realtime_ns;
}

static bool with_jump(const struct way *way, enum conn_state state, uint64_t monotonic_ns,
		      int64_t realtime_ns, enum close_reason *ret_reason)
{
	struct whole s;
	bool whole;

	jump.done = false;
	jump.state = state;
	jump.monotonic_ns = monotonic_ns;
	jump.realtime_ns = realtime_ns;
	open_way(&s, way);
	s.rig.config.timeouts.idle_ms = 60000;
	s.meanwhile = jump_in_state;
	failing_calls_arm(&nothing);
	whole = whole_connection(&s);
	failing_calls_disarm();
	check_after(&s, state, whole);
	for (int i = 0; i < CLOSE_REASON_COUNT; i++)
		if (s.rig.worker.stats.closes[i])
			*ret_reason = (enum close_reason)i;
	/* The time that it is now is as good as any, unless certificates have ended. */
	s.meanwhile = NULL;
	if (way->identity && jump.done)
		s.rig.clock.realtime_ns -= (uint64_t)realtime_ns;
	assert_true(whole_connection(&s));
	whole_close(&s);
	return whole;
}

static const enum conn_state states[] = { CONN_HANDSHAKE, CONN_CONNECT, CONN_PRELUDE, CONN_RELAY };

/* Set back by years, or on: nobody's deadline; but a broker is not told of a certificate that has
 * ended. */
static void test_wall_clock_does_not_matter(void **state)
{
	static const int64_t years[] = { -30, 30 };
	enum close_reason reason;

	(void)state;
	for (size_t way = 0; way < ARRAY_SIZE(ways); way++)
		for (size_t i = 0; i < ARRAY_SIZE(states); i++)
			for (size_t j = 0; j < ARRAY_SIZE(years); j++)
				if (!with_jump(&ways[way], states[i], 0,
					       years[j] * 31536000 * (int64_t)NSEC_PER_SEC,
					       &reason)) {
					assert_true(ways[way].identity && years[j] > 0);
					assert_int_equal(reason, CLOSE_IDENTITY_UNUSABLE);
				}
}

/* A machine that slept for years: every deadline has passed, and that is all. What has come
 * meanwhile is looked at first, and may be enough to go on. */
static void test_years_later(void **state)
{
	const uint64_t years = 30ULL * 31536000 * NSEC_PER_SEC;
	enum close_reason reason = CLOSE_INTERNAL;

	(void)state;
	for (size_t way = 0; way < ARRAY_SIZE(ways); way++) {
		if (!with_jump(&ways[way], CONN_HANDSHAKE, years, 0, &reason))
			assert_int_equal(reason, CLOSE_HANDSHAKE_TIMEOUT);
		if (!with_jump(&ways[way], CONN_CONNECT, years, 0, &reason))
			assert_int_equal(reason, CLOSE_UPSTREAM_TIMEOUT);
		if (!with_jump(&ways[way], CONN_PRELUDE, years, 0, &reason))
			assert_int_equal(reason, CLOSE_IDENTITY_TIMEOUT);
		if (!with_jump(&ways[way], CONN_RELAY, years, 0, &reason))
			assert_int_equal(reason, CLOSE_IDLE_TIMEOUT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interrupted_calls),
		cmocka_unit_test(test_short_writes),
		cmocka_unit_test(test_small_pieces),
		cmocka_unit_test(test_failing_calls),
		cmocka_unit_test(test_splice),
		cmocka_unit_test(test_wall_clock_does_not_matter),
		cmocka_unit_test(test_years_later),
	};

	return cmocka_run_group_tests(tests, whole_tls_setup, whole_tls_teardown);
}
