/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay over real sockets on the real epoll loop: order, half-close, back-pressure, fairness,
 * pipes, and what either end hears when the other one breaks. The kTLS side of it is in
 * test_relay_ktls.c.
 */
#include "unit/dataplane/rig.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "lib/record_peer.h"

#define BULK_BYTES (3 * 1024 * 1024)

static uint8_t sent_bytes[BULK_BYTES], got_bytes[BULK_BYTES];

static const uint8_t close_notify[] = { TLS_ALERT_WARNING, TLS_ALERT_CLOSE_NOTIFY };

/* A plain connection; `client` and `service` are the far ends. */
struct scene {
	struct rig *rig;
	struct conn *conn;
	int client, service;
};

static void scene_open(struct scene *s, struct rig *rig, void (*pair)(int ret[2]))
{
	int near_pair[2], far_pair[2];

	pair(near_pair);
	pair(far_pair);
	*s = (struct scene){ .rig = rig, .client = near_pair[1], .service = far_pair[1] };
	s->conn = rig_conn(rig, near_pair[0], far_pair[0]);
	conn_relay_start(s->conn);
	rig_pattern(sent_bytes, BULK_BYTES, 21);
}

static void scene_hang_up(struct scene *s)
{
	if (s->client >= 0)
		close(s->client);
	if (s->service >= 0)
		close(s->service);
}

/* The last one. */
static void scene_close(struct scene *s)
{
	scene_hang_up(s);
	rig_until(s->rig, rig_is_empty, s->rig);
}

/* Everything that `from` takes without a turn of the loop. */
static size_t fill(int from, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = send(from, sent_bytes + done, len - done, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			break;
		}
		done += (size_t)n;
	}
	return done;
}

/* `len` bytes from one end to the other, both moving a little at a time. */
static void pass(struct rig *rig, int from, int to, size_t len)
{
	size_t sent = 0, got = 0;
	unsigned int tries = 0;

	while (got < len && rig_patience(&tries)) {
		ssize_t n;

		if (sent < len) {
			n = send(from, sent_bytes + sent, MIN(len - sent, (size_t)tries * 977),
				 MSG_NOSIGNAL | MSG_DONTWAIT);
			sent += n > 0 ? (size_t)n : 0;
		}
		rig_turns(rig, 1);
		n = recv(to, got_bytes + got, len - got, MSG_DONTWAIT);
		got += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(got, len);
	assert_memory_equal(got_bytes, sent_bytes, len);
}

static void (*const pairs[])(int ret[2]) = { rig_socketpair, rig_tcp_pair };

static void test_order(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		for (int splice = CONFIG_SPLICE_AUTO; splice <= CONFIG_SPLICE_OFF; splice++) {
			struct scene s;

			scene_open(&s, *state, pairs[i]);
			s.rig->config.splice = (enum config_splice)splice;
			s.rig->worker.stats.bytes_spliced = 0;
			pass(s.rig, s.client, s.service, BULK_BYTES);
			pass(s.rig, s.service, s.client, BULK_BYTES);
			assert_int_equal(s.conn->inbound.bytes, BULK_BYTES);
			assert_int_equal(s.conn->outbound.bytes, BULK_BYTES);
			assert_int_equal(s.rig->worker.stats.bytes_spliced > 0,
					 splice != CONFIG_SPLICE_OFF);
			assert_int_equal(s.rig->worker.pipes.lent_count, 0);
			scene_close(&s);
		}
}

/* A message that is small goes at once and by copy. */
static void test_small_messages_are_copied(void **state)
{
	struct scene s;
	char got[6];

	scene_open(&s, *state, rig_tcp_pair);
	for (int i = 0; i < 10; i++) {
		rig_write(s.rig, s.client, "hello", 5);
		rig_read(s.rig, s.service, got, 5);
		assert_memory_equal(got, "hello", 5);
	}
	assert_int_equal(s.rig->worker.stats.bytes_spliced, 0);
	assert_int_equal(s.rig->worker.pipes.idle_count, 0);
	scene_close(&s);
}

static void half_close(struct rig *rig, bool client_first, enum config_splice splice)
{
	struct scene s;
	int first, second;

	scene_open(&s, rig, rig_tcp_pair);
	rig->config.splice = splice;
	first = client_first ? s.client : s.service;
	second = client_first ? s.service : s.client;
	rig_write(rig, first, sent_bytes, 100000);
	shutdown(first, SHUT_WR);
	rig_read(rig, second, got_bytes, 100000);
	assert_memory_equal(got_bytes, sent_bytes, 100000);
	rig_expect_end(rig, second);
	/* The other way is still open, for as long as it takes. */
	rig_turns(rig, 10);
	pass(rig, second, first, 500000);
	assert_int_equal(rig->worker.conn_count, 1);
	shutdown(second, SHUT_WR);
	rig_expect_end(rig, first);
	rig_until(rig, rig_is_empty, rig);
	scene_close(&s);
}

static void test_half_close_by_client(void **state)
{
	for (int splice = CONFIG_SPLICE_AUTO; splice <= CONFIG_SPLICE_OFF; splice++)
		half_close(*state, true, (enum config_splice)splice);
	rig_assert_closed(*state, CLOSE_CLIENT_CLOSED, 3);
}

static void test_half_close_by_service(void **state)
{
	for (int splice = CONFIG_SPLICE_AUTO; splice <= CONFIG_SPLICE_OFF; splice++)
		half_close(*state, false, (enum config_splice)splice);
	rig_assert_closed(*state, CLOSE_UPSTREAM_CLOSED, 3);
}

/* What was sent before the end arrives though the reader is slow and the end is long over. */
static void test_end_behind_blocked_output(void **state)
{
	for (int splice = CONFIG_SPLICE_AUTO; splice <= CONFIG_SPLICE_OFF; splice++) {
		struct scene s;
		unsigned int tries = 0;
		size_t total = 0, n;

		scene_open(&s, *state, rig_tcp_pair);
		s.rig->config.splice = (enum config_splice)splice;
		rig_small_buffers(leg_fd(&s.conn->dialed));
		for (int i = 0; i < 50 && total < BULK_BYTES; i++) {
			ssize_t r = send(s.client, sent_bytes + total,
					 MIN((size_t)200000, BULK_BYTES - total), MSG_DONTWAIT);

			total += r > 0 ? (size_t)r : 0;
			rig_turns(s.rig, 1);
		}
		close(s.client);
		s.client = -1;
		for (n = 0; n < total && rig_patience(&tries);) {
			ssize_t r;

			rig_turns(s.rig, 2);
			r = recv(s.service, got_bytes + n, MIN((size_t)50000, total - n),
				 MSG_DONTWAIT);
			n += r > 0 ? (size_t)r : 0;
			assert_true(r > 0 || (r < 0 && errno == EAGAIN));
		}
		assert_int_equal(n, total);
		assert_memory_equal(got_bytes, sent_bytes, total);
		rig_expect_end(s.rig, s.service);
		scene_close(&s);
	}
	rig_assert_closed(*state, CLOSE_CLIENT_CLOSED, 3);
}

/* Nobody reads at the end: the source is left alone, and others are not. */
static void test_slow_reader_stops_its_own_sender(void **state)
{
	static const size_t held_max[] = { [CONFIG_SPLICE_AUTO] = PIPE_BYTES,
					   [CONFIG_SPLICE_ON] = PIPE_BYTES,
					   [CONFIG_SPLICE_OFF] = RELAY_BATCH_BYTES };

	for (int splice = CONFIG_SPLICE_AUTO; splice <= CONFIG_SPLICE_OFF; splice++) {
		struct scene slow, other;
		size_t sent = 0, held;
		uint64_t moved;

		scene_open(&slow, *state, rig_socketpair);
		scene_open(&other, *state, rig_socketpair);
		slow.rig->config.splice = (enum config_splice)splice;
		for (int quiet = 0; quiet < 20; quiet++) {
			ssize_t n = send(slow.client, sent_bytes + sent, BULK_BYTES - sent,
					 MSG_DONTWAIT);

			if (n > 0) {
				sent += (size_t)n;
				quiet = 0;
			}
			rig_turns(slow.rig, 1);
		}
		assert_true(sent < BULK_BYTES);
		moved = slow.conn->inbound.bytes;
		held = slow.conn->dialed.out
			       ? slow.conn->dialed.out->end - slow.conn->dialed.out->start
			       : 0;
		held += slow.conn->inbound.pipe ? slow.conn->inbound.pipe->bytes : 0;
		assert_true(held > 0 && held <= held_max[splice]);
		pass(other.rig, other.client, other.service, 300000);
		assert_int_equal(slow.conn->inbound.bytes, moved);
		/* Its own answer is not held up either. */
		pass(slow.rig, slow.service, slow.client, 300000);
		rig_read(slow.rig, slow.service, got_bytes, sent);
		assert_memory_equal(got_bytes, sent_bytes, sent);
		assert_null(slow.conn->dialed.out);
		assert_int_equal(slow.rig->worker.pipes.lent_count, 0);
		scene_hang_up(&slow);
		scene_close(&other);
	}
}

static void large_buffers(int fd)
{
	int bytes = 4 * BULK_BYTES;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)), 0);
}

/* One that has much is stopped after its share, and the next one has its turn. */
static void test_turn_is_bounded(void **state)
{
	for (int splice = CONFIG_SPLICE_AUTO; splice <= CONFIG_SPLICE_OFF; splice++) {
		struct scene greedy, small;
		char got[5];

		scene_open(&greedy, *state, rig_socketpair);
		scene_open(&small, *state, rig_socketpair);
		greedy.rig->config.splice = (enum config_splice)splice;
		rig_turns(greedy.rig, 2);
		large_buffers(greedy.client);
		large_buffers(leg_fd(&greedy.conn->dialed));
		assert_int_equal(fill(greedy.client, BULK_BYTES), BULK_BYTES);
		assert_int_equal(send(small.client, "small", 5, 0), 5);
		rig_turns(greedy.rig, 1);
		/* Its share for the event, and one more as a task behind all events; the rest waits
		 * for the next turn. */
		assert_true(greedy.conn->inbound.bytes >= RELAY_TURN_BYTES_MAX);
		assert_true(greedy.conn->inbound.bytes < 2 * RELAY_TURN_BYTES_MAX + PIPE_BYTES);
		assert_true(greedy.conn->task.queued);
		assert_int_equal(recv(small.service, got, 5, MSG_DONTWAIT), 5);
		rig_read(greedy.rig, greedy.service, got_bytes, BULK_BYTES);
		assert_memory_equal(got_bytes, sent_bytes, BULK_BYTES);
		rig_turns(greedy.rig, 2);
		assert_false(greedy.conn->task.queued);
		assert_int_equal(greedy.rig->worker.pipes.lent_count, 0);
		scene_hang_up(&greedy);
		scene_close(&small);
	}
}

static void test_pipe_is_lent_only_while_it_holds_bytes(void **state)
{
	struct scene s;
	size_t sent = 0;

	scene_open(&s, *state, rig_socketpair);
	s.rig->config.splice = CONFIG_SPLICE_ON;
	for (int i = 0; i < 50; i++) {
		ssize_t n = send(s.client, sent_bytes + sent, BULK_BYTES - sent, MSG_DONTWAIT);

		sent += n > 0 ? (size_t)n : 0;
		rig_turns(s.rig, 1);
	}
	assert_int_equal(s.rig->worker.pipes.lent_count, 1);
	assert_true(s.conn->inbound.pipe->bytes > 0);
	rig_read(s.rig, s.service, got_bytes, sent);
	assert_memory_equal(got_bytes, sent_bytes, sent);
	assert_int_equal(s.rig->worker.pipes.lent_count, 0);
	assert_int_equal(s.rig->worker.pipes.idle_count, 1);
	/* The same one again; and one that ends with bytes inside is not kept. */
	fill(s.client, BULK_BYTES);
	rig_turns(s.rig, 4);
	fill(s.client, BULK_BYTES);
	rig_turns(s.rig, 4);
	assert_int_equal(s.rig->worker.pipes.lent_count, 1);
	assert_int_equal(s.rig->worker.pipes.idle_count, 0);
	conn_close(s.conn, CLOSE_DRAIN);
	assert_int_equal(s.rig->worker.pipes.lent_count, 0);
	assert_int_equal(s.rig->worker.pipes.idle_count, 0);
	scene_close(&s);
}

static void test_no_pipe_to_be_had(void **state)
{
	struct rlimit limit, none;
	struct scene s;

	scene_open(&s, *state, rig_socketpair);
	s.rig->config.splice = CONFIG_SPLICE_ON;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	pass(s.rig, s.client, s.service, BULK_BYTES);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(s.rig->worker.stats.bytes_spliced, 0);
	/* Not asked for again with every read. */
	assert_int_equal(s.rig->worker.pipes.refused, 1);
	rig_pass_ms(s.rig, 1000);
	pass(s.rig, s.client, s.service, BULK_BYTES);
	assert_true(s.rig->worker.stats.bytes_spliced > 0);
	scene_close(&s);
}

static void reset(int fd)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	close(fd);
}

/* A break must not look like the orderly end of the stream to the other side. */
static void test_reset_by_client(void **state)
{
	struct scene s;
	char got[5];

	scene_open(&s, *state, rig_tcp_pair);
	rig_write(s.rig, s.client, "hello", 5);
	rig_read(s.rig, s.service, got, 5);
	reset(s.client);
	s.client = -1;
	rig_expect_error(s.rig, s.service, ECONNRESET);
	rig_until(s.rig, rig_is_empty, s.rig);
	rig_assert_closed(s.rig, CLOSE_CLIENT_RESET, 1);
	scene_close(&s);
}

static void test_reset_by_service(void **state)
{
	struct scene s;
	char got[5];

	scene_open(&s, *state, rig_tcp_pair);
	rig_write(s.rig, s.client, "hello", 5);
	rig_read(s.rig, s.service, got, 5);
	reset(s.service);
	s.service = -1;
	rig_expect_error(s.rig, s.client, ECONNRESET);
	rig_until(s.rig, rig_is_empty, s.rig);
	rig_assert_closed(s.rig, CLOSE_UPSTREAM_RESET, 1);
	scene_close(&s);
}

static void test_reset_while_output_is_blocked(void **state)
{
	for (int splice = CONFIG_SPLICE_AUTO; splice <= CONFIG_SPLICE_OFF; splice++) {
		struct scene s;

		scene_open(&s, *state, rig_tcp_pair);
		s.rig->config.splice = (enum config_splice)splice;
		for (int i = 0; i < 50; i++) {
			fill(s.client, BULK_BYTES);
			rig_turns(s.rig, 1);
		}
		reset(s.service);
		s.service = -1;
		rig_until(s.rig, rig_is_empty, s.rig);
		assert_int_equal(s.rig->worker.pipes.lent_count, 0);
		scene_close(&s);
	}
	rig_assert_closed(*state, CLOSE_UPSTREAM_RESET, 3);
}

/* --- with our own record layer on one side --- */

struct tls_scene {
	struct rig *rig;
	struct conn *conn;
	struct record_peer peer; /* the TLS end */
	int plain;		 /* the other end */
};

static void tls_open_as(struct tls_scene *s, struct rig *rig, enum config_role role,
			uint16_t version)
{
	struct tls_keys *keys[2];
	int tls[2], plain[2];

	rig_tcp_pair(tls);
	rig_tcp_pair(plain);
	rig_keys(version, TLS_CIPHER_AES_128_GCM_SHA256, keys);
	rig->config.role = role;
	s->rig = rig;
	s->plain = plain[1];
	s->conn = role == CONFIG_ROLE_FRONT ? rig_conn(rig, tls[0], plain[0])
					    : rig_conn(rig, plain[0], tls[0]);
	s->conn->secured = true;
	leg_use_aead(s->conn->tls, keys[0]);
	record_peer_init(&s->peer, tls[1], keys[1]);
	conn_relay_start(s->conn);
	rig_pattern(sent_bytes, BULK_BYTES, 21);
}

static void tls_open(struct tls_scene *s, struct rig *rig, enum config_role role)
{
	tls_open_as(s, rig, role, VERSION_1_3);
}

static void tls_close(struct tls_scene *s)
{
	if (s->plain >= 0)
		close(s->plain);
	record_peer_fini(&s->peer);
	rig_pass_ms(s->rig, 3000);
	rig_until(s->rig, rig_is_empty, s->rig);
}

static enum record_peer_result peer_receives(struct tls_scene *s, uint8_t *ret_type, uint8_t *ret,
					     size_t *ret_len)
{
	enum record_peer_result r = RECORD_PEER_NOTHING;
	unsigned int tries = 0;

	while (rig_patience(&tries)) {
		r = record_peer_recv(&s->peer, ret_type, ret, ret_len);
		if (r != RECORD_PEER_NOTHING)
			return r;
		rig_turns(s->rig, 1);
	}
	fail_msg("nothing for the peer");
	return r;
}

static void expect_peer_alert(struct tls_scene *s, uint8_t level, uint8_t description)
{
	static uint8_t bytes[TLS_PLAINTEXT_BYTES_MAX];
	uint8_t type;
	size_t len;

	assert_int_equal(peer_receives(s, &type, bytes, &len), RECORD_PEER_RECORD);
	assert_int_equal(type, TLS_ALERT);
	assert_int_equal(len, 2);
	assert_int_equal(bytes[0], level);
	assert_int_equal(bytes[1], description);
	assert_int_equal(peer_receives(s, &type, bytes, &len), RECORD_PEER_END);
}

static void expect_peer_data(struct tls_scene *s, size_t len)
{
	static uint8_t bytes[TLS_PLAINTEXT_BYTES_MAX];

	for (size_t at = 0, n; at < len; at += n) {
		uint8_t type;

		assert_int_equal(peer_receives(s, &type, bytes, &n), RECORD_PEER_RECORD);
		assert_int_equal(type, TLS_APPLICATION_DATA);
		assert_memory_equal(bytes, sent_bytes + at, n);
	}
}

static void peer_sends_data(struct tls_scene *s, size_t len)
{
	for (size_t at = 0; at < len; at += 10000)
		record_peer_send(&s->peer, TLS_APPLICATION_DATA, sent_bytes + at,
				 MIN(len - at, (size_t)10000));
}

static void test_tls_both_ways(void **state)
{
	static const enum config_role roles[] = { CONFIG_ROLE_FRONT, CONFIG_ROLE_EGRESS };
	static const enum close_reason reasons[] = { CLOSE_CLIENT_CLOSED, CLOSE_UPSTREAM_CLOSED };

	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		struct tls_scene s;

		tls_open(&s, *state, roles[i]);
		memset(s.rig->worker.stats.closes, 0, sizeof(s.rig->worker.stats.closes));
		peer_sends_data(&s, 200000);
		rig_read(s.rig, s.plain, got_bytes, 200000);
		assert_memory_equal(got_bytes, sent_bytes, 200000);
		rig_write(s.rig, s.plain, sent_bytes, 200000);
		expect_peer_data(&s, 200000);
		record_peer_send(&s.peer, TLS_ALERT, close_notify, 2);
		rig_expect_end(s.rig, s.plain);
		rig_write(s.rig, s.plain, sent_bytes, 5000);
		expect_peer_data(&s, 5000);
		shutdown(s.plain, SHUT_WR);
		expect_peer_alert(&s, TLS_ALERT_WARNING, TLS_ALERT_CLOSE_NOTIFY);
		rig_until(s.rig, rig_is_empty, s.rig);
		rig_assert_closed(s.rig, reasons[i], 1);
		tls_close(&s);
	}
}

static void test_tls_peer_resets(void **state)
{
	struct tls_scene s;

	tls_open(&s, *state, CONFIG_ROLE_FRONT);
	peer_sends_data(&s, 100);
	rig_read(s.rig, s.plain, got_bytes, 100);
	reset(s.peer.fd);
	s.peer.fd = -1;
	rig_expect_error(s.rig, s.plain, ECONNRESET);
	rig_until(s.rig, rig_is_empty, s.rig);
	rig_assert_closed(s.rig, CLOSE_CLIENT_RESET, 1);
	tls_close(&s);
}

static void test_service_of_tls_peer_resets(void **state)
{
	struct tls_scene s;

	tls_open(&s, *state, CONFIG_ROLE_FRONT);
	peer_sends_data(&s, 100);
	rig_read(s.rig, s.plain, got_bytes, 100);
	reset(s.plain);
	s.plain = -1;
	expect_peer_alert(&s, TLS_ALERT_FATAL, TLS_ALERT_INTERNAL_ERROR);
	tls_close(&s);
	rig_assert_closed(s.rig, CLOSE_UPSTREAM_RESET, 1);
}

static void test_forged_record(void **state)
{
	uint8_t record[200];
	struct tls_scene s;
	size_t len;

	tls_open(&s, *state, CONFIG_ROLE_FRONT);
	peer_sends_data(&s, 100);
	rig_read(s.rig, s.plain, got_bytes, 100);
	len = record_peer_seal(&s.peer, TLS_APPLICATION_DATA, sent_bytes, 50, record);
	record[20] ^= 1;
	record_peer_send_raw(&s.peer, record, len);
	expect_peer_alert(&s, TLS_ALERT_FATAL, TLS_ALERT_BAD_RECORD_MAC);
	rig_expect_error(s.rig, s.plain, ECONNRESET);
	tls_close(&s);
	rig_assert_closed(s.rig, CLOSE_BAD_RECORD_MAC, 1);
}

static void test_peer_alert_resets_the_service(void **state)
{
	static const uint8_t alert[] = { TLS_ALERT_FATAL, TLS_ALERT_DECODE_ERROR };
	struct tls_scene s;

	tls_open(&s, *state, CONFIG_ROLE_FRONT);
	record_peer_send(&s.peer, TLS_ALERT, alert, 2);
	rig_expect_error(s.rig, s.plain, ECONNRESET);
	tls_close(&s);
	rig_assert_closed(s.rig, CLOSE_PEER_ALERT, 1);
}

/* A key that can not be renewed has no record left: what was read then is lost, and neither end may
 * take its stream for a whole one. */
static void test_last_record_of_a_key(void **state)
{
	struct tls_scene s;

	tls_open_as(&s, *state, CONFIG_ROLE_FRONT, VERSION_1_2);
	s.conn->tls->keys->tx_sequence = s.peer.keys->rx_sequence = AES_GCM_RECORDS_MAX - 2;
	rig_write(s.rig, s.plain, sent_bytes, 100);
	expect_peer_data(&s, 100);
	rig_write(s.rig, s.plain, sent_bytes, 100);
	expect_peer_alert(&s, TLS_ALERT_FATAL, TLS_ALERT_INTERNAL_ERROR);
	rig_expect_error(s.rig, s.plain, ECONNRESET);
	tls_close(&s);
	rig_assert_closed(s.rig, CLOSE_KEY_EXHAUSTED, 1);
}

static uint64_t wanted_updates;

static bool has_updates(void *arg)
{
	const struct rig *rig = arg;

	return rig->worker.stats.key_updates_received == wanted_updates;
}

/* A peer that asks for new keys for hours and reads none of the answers makes us hold one. */
static void test_answers_to_a_peer_that_does_not_read(void **state)
{
	static const uint8_t request[] = { 24, 0, 0, 1, 1 };
	struct tls_scene s;
	const struct held *out;
	unsigned int writes = 0;
	size_t held;

	tls_open(&s, *state, CONFIG_ROLE_FRONT);
	rig_small_buffers(leg_fd(s.conn->tls));
	rig_small_buffers(s.peer.fd);
	while (!s.conn->tls->out) {
		rig_write(s.rig, s.plain, sent_bytes, 16384);
		assert_true(++writes < 1000);
	}
	rig_turns(s.rig, 10);
	held = s.conn->tls->out->end - s.conn->tls->out->start;
	for (wanted_updates = 1; wanted_updates <= 1000; wanted_updates++) {
		record_peer_send(&s.peer, TLS_HANDSHAKE, request, sizeof(request));
		record_peer_rekey(&s.peer, true);
		rig_until(s.rig, has_updates, s.rig);
		rig_pass_ms(s.rig, KEY_UPDATE_REFILL_MS);
	}
	out = s.conn->tls->out;
	assert_int_equal(s.rig->worker.stats.key_updates_sent, 1);
	assert_in_range(out->end - out->start, 1, held + 100);
	tls_close(&s);
}

/* We end it: the TLS end hears so in order, whichever side of us it is on. */
static void test_our_own_end_is_no_truncation(void **state)
{
	static const enum config_role roles[] = { CONFIG_ROLE_FRONT, CONFIG_ROLE_EGRESS };

	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		struct tls_scene s;

		tls_open(&s, *state, roles[i]);
		peer_sends_data(&s, 100);
		rig_read(s.rig, s.plain, got_bytes, 100);
		conn_drain(s.conn);
		expect_peer_alert(&s, TLS_ALERT_WARNING, TLS_ALERT_CLOSE_NOTIFY);
		rig_expect_end(s.rig, s.plain);
		tls_close(&s);
		rig_assert_closed(s.rig, CLOSE_DRAIN, i + 1);
	}
}

/* What the peer has still sent while it is being told is read away, up to a bound. */
static void test_linger_is_bounded(void **state)
{
	unsigned int tries = 0;
	struct tls_scene s;
	ssize_t n = 0;

	tls_open(&s, *state, CONFIG_ROLE_FRONT);
	conn_drain(s.conn);
	for (size_t total = 0; n >= 0 && rig_patience(&tries);) {
		n = send(s.peer.fd, sent_bytes, 100000, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			n = 0;
		total += (size_t)MAX(n, (ssize_t)0);
		rig_turns(s.rig, 1);
		if (!s.rig->worker.conn_count)
			break;
		assert_true(total < LINGER_BYTES_MAX + BULK_BYTES);
	}
	assert_int_equal(s.rig->worker.conn_count, 0);
	tls_close(&s);
	rig_assert_closed(s.rig, CLOSE_DRAIN, 1);
}

static void test_linger_ends_with_time(void **state)
{
	struct tls_scene s;

	tls_open(&s, *state, CONFIG_ROLE_FRONT);
	conn_drain(s.conn);
	rig_pass_ms(s.rig, 1999);
	assert_int_equal(s.rig->worker.conn_count, 1);
	rig_pass_ms(s.rig, 2);
	assert_int_equal(s.rig->worker.conn_count, 0);
	tls_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_order),
		RIG_TEST(test_small_messages_are_copied),
		RIG_TEST(test_half_close_by_client),
		RIG_TEST(test_half_close_by_service),
		RIG_TEST(test_end_behind_blocked_output),
		RIG_TEST(test_slow_reader_stops_its_own_sender),
		RIG_TEST(test_turn_is_bounded),
		RIG_TEST(test_pipe_is_lent_only_while_it_holds_bytes),
		RIG_TEST(test_no_pipe_to_be_had),
		RIG_TEST(test_reset_by_client),
		RIG_TEST(test_reset_by_service),
		RIG_TEST(test_reset_while_output_is_blocked),
		RIG_TEST(test_tls_both_ways),
		RIG_TEST(test_tls_peer_resets),
		RIG_TEST(test_service_of_tls_peer_resets),
		RIG_TEST(test_forged_record),
		RIG_TEST(test_peer_alert_resets_the_service),
		RIG_TEST(test_last_record_of_a_key),
		RIG_TEST(test_answers_to_a_peer_that_does_not_read),
		RIG_TEST(test_our_own_end_is_no_truncation),
		RIG_TEST(test_linger_is_bounded),
		RIG_TEST(test_linger_ends_with_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
