/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user-space TLS transport over a socket pair, against records that a test peer seals: cuts at
 * every byte, batches, blocked output, keys that change, and what a hostile peer sends.
 */
#include "unit/dataplane/rig.h"

#include <string.h>
#include <sys/socket.h>

#include "lib/record_peer.h"

#define ROOM (1024 * 1024)

static uint8_t plain_bytes[ROOM], got_bytes[ROOM], wire_bytes[ROOM];

/* A leg by itself: nobody reads it but the test. */
struct scene {
	struct rig *rig;
	struct leg leg, sink; /* sink: where the relay would send to */
	struct record_peer peer;
	size_t got;
	size_t pieces_max, reads;
};

static const uint8_t close_notify[] = { TLS_ALERT_WARNING, TLS_ALERT_CLOSE_NOTIFY };
static const uint8_t key_update[] = { 24, 0, 0, 1, 0 }, key_update_requested[] = { 24, 0, 0, 1, 1 };

static void scene_open_as(struct scene *s, struct rig *rig, uint16_t version,
			  enum tls_cipher cipher)
{
	int fds[2], room = 4 * ROOM;
	struct tls_keys *keys[2];

	memset(s, 0, sizeof(*s));
	s->rig = rig;
	rig_socketpair(fds);
	assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)), 0);
	rig_keys(version, cipher, keys);
	s->leg.watch.fd = fds[0];
	s->leg.is_client = true;
	s->sink.watch.fd = -1;
	s->sink.transport = &transport_plain;
	leg_use_aead(&s->leg, keys[0]);
	record_peer_init(&s->peer, fds[1], keys[1]);
	rig_pattern(plain_bytes, ROOM, 11);
}

static void scene_open(struct scene *s, struct rig *rig)
{
	scene_open_as(s, rig, VERSION_1_3, TLS_CIPHER_AES_128_GCM_SHA256);
}

static void scene_close(struct scene *s)
{
	int fd = s->leg.watch.fd;

	leg_close(&s->leg, &s->rig->worker);
	close(fd);
	record_peer_fini(&s->peer);
}

/* Reads what is there, as the relay does, behind what came before. LEG_AGAIN: all of it. */
static enum leg_result read_all(struct scene *s)
{
	struct batch batch;
	enum leg_result r;

	s->leg.readable = true;
	while (s->leg.readable) {
		r = s->leg.transport->recv(&s->leg, &s->rig->worker, &s->sink, RELAY_BATCH_BYTES,
					   &batch);
		if (r != LEG_OK)
			return r;
		s->reads++;
		s->pieces_max = MAX(s->pieces_max, batch.count);
		assert_true(batch.count <= BATCH_PIECES_MAX);
		for (size_t i = 0; i < batch.count; i++) {
			memcpy(got_bytes + s->got, batch.pieces[i].iov_base,
			       batch.pieces[i].iov_len);
			s->got += batch.pieces[i].iov_len;
			batch.bytes -= batch.pieces[i].iov_len;
		}
		assert_int_equal(batch.bytes, 0);
	}
	return LEG_AGAIN;
}

static void expect_got(struct scene *s, size_t len)
{
	assert_int_equal(s->got, len);
	assert_memory_equal(got_bytes, plain_bytes, len);
	s->got = 0;
}

static void expect_failure(struct scene *s, enum close_reason reason, uint8_t alert)
{
	assert_int_equal(read_all(s), LEG_FAILED);
	assert_string_equal(close_reason_name((enum close_reason)s->leg.failure),
			    close_reason_name(reason));
	assert_int_equal(s->leg.alert, alert);
}

/* Sends `len` bytes of the pattern from `from` as the relay would. */
static enum leg_result leg_sends(struct scene *s, size_t from, size_t len)
{
	struct batch batch;
	size_t at = from;

	batch_layout(&batch, &s->rig->worker, &s->leg, len + TLS_PLAINTEXT_BYTES_MAX - 1);
	batch_trim(&batch, len);
	for (size_t i = 0; i < batch.count; i++) {
		memcpy(batch.pieces[i].iov_base, plain_bytes + at, batch.pieces[i].iov_len);
		at += batch.pieces[i].iov_len;
	}
	assert_int_equal(at - from, len);
	return s->leg.transport->send(&s->leg, &s->rig->worker, &batch);
}

static void expect_peer_gets(struct scene *s, uint8_t type, const void *data, size_t len)
{
	static uint8_t bytes[TLS_PLAINTEXT_BYTES_MAX];
	uint8_t got_type;
	size_t got_len;

	assert_int_equal(record_peer_recv(&s->peer, &got_type, bytes, &got_len),
			 RECORD_PEER_RECORD);
	assert_int_equal(got_type, type);
	assert_int_equal(got_len, len);
	assert_memory_equal(bytes, data, len);
}

/* Data from `from` to `to` of the pattern; the leg is flushed meanwhile. Returns the KeyUpdates in
 * between. */
static unsigned int peer_reads_data(struct scene *s, size_t from, size_t to)
{
	static uint8_t bytes[TLS_PLAINTEXT_BYTES_MAX];
	unsigned int updates = 0;

	while (from < to) {
		uint8_t type;
		size_t len;
		enum record_peer_result r = record_peer_recv(&s->peer, &type, bytes, &len);

		if (r == RECORD_PEER_NOTHING) {
			assert_true(leg_blocked(&s->leg));
			assert_int_not_equal(leg_flush(&s->leg, &s->rig->worker), LEG_FAILED);
			continue;
		}
		assert_int_equal(r, RECORD_PEER_RECORD);
		if (type == TLS_HANDSHAKE) {
			assert_int_equal(len, sizeof(key_update));
			assert_memory_equal(bytes, key_update, len);
			record_peer_rekey(&s->peer, false);
			updates++;
			continue;
		}
		assert_int_equal(type, TLS_APPLICATION_DATA);
		assert_true(len <= to - from);
		assert_memory_equal(bytes, plain_bytes + from, len);
		from += len;
	}
	return updates;
}

/* Records of these lengths one after the other, of the pattern from its start. */
static size_t seal_all(struct scene *s, const size_t *lengths, size_t count)
{
	size_t at = 0, used = 0;

	for (size_t i = 0; i < count; i++) {
		used += record_peer_seal(&s->peer, TLS_APPLICATION_DATA, plain_bytes + at,
					 lengths[i], wire_bytes + used);
		at += lengths[i];
	}
	return used;
}

static const struct {
	uint16_t version;
	enum tls_cipher cipher;
} suites[] = {
	{ VERSION_1_3, TLS_CIPHER_AES_128_GCM_SHA256 },
	{ VERSION_1_3, TLS_CIPHER_AES_256_GCM_SHA384 },
	{ VERSION_1_3, TLS_CIPHER_CHACHA20_POLY1305_SHA256 },
	{ VERSION_1_2, TLS_CIPHER_AES_128_GCM_SHA256 },
	{ VERSION_1_2, TLS_CIPHER_CHACHA20_POLY1305_SHA256 },
};

static void test_cut_at_every_byte(void **state)
{
	static const size_t lengths[] = { 1, 300, 17 };

	for (size_t i = 0; i < ARRAY_SIZE(suites); i++) {
		size_t total = 400;
		struct scene s;

		scene_open_as(&s, *state, suites[i].version, suites[i].cipher);
		for (size_t cut = 1; cut < total; cut++) {
			total = seal_all(&s, lengths, ARRAY_SIZE(lengths));
			record_peer_send_raw(&s.peer, wire_bytes, cut);
			assert_int_equal(read_all(&s), LEG_AGAIN);
			record_peer_send_raw(&s.peer, wire_bytes + cut, total - cut);
			assert_int_equal(read_all(&s), LEG_AGAIN);
			expect_got(&s, 318);
			assert_null(s.leg.in);
		}
		scene_close(&s);
	}
}

static void test_byte_by_byte(void **state)
{
	static const size_t lengths[] = { 5, 0, 40, 2 };
	struct scene s;
	size_t total;

	scene_open(&s, *state);
	total = seal_all(&s, lengths, ARRAY_SIZE(lengths));
	for (size_t i = 0; i < total; i++) {
		record_peer_send_raw(&s.peer, wire_bytes + i, 1);
		assert_int_equal(read_all(&s), LEG_AGAIN);
	}
	expect_got(&s, 47);
	assert_null(s.leg.in);
	scene_close(&s);
}

/* A full record whose start comes behind a batch: what is kept moves to the front. */
static void test_large_partial(void **state)
{
	struct scene s;
	size_t total = 0, at = 0;

	scene_open(&s, *state);
	for (int i = 0; i < 8; i++, at += TLS_PLAINTEXT_BYTES_MAX)
		total += record_peer_seal(&s.peer, TLS_APPLICATION_DATA, plain_bytes + at,
					  TLS_PLAINTEXT_BYTES_MAX, wire_bytes + total);
	record_peer_send_raw(&s.peer, wire_bytes, total - 1);
	assert_int_equal(read_all(&s), LEG_AGAIN);
	assert_int_equal(s.got, 7 * TLS_PLAINTEXT_BYTES_MAX);
	assert_non_null(s.leg.in);
	assert_true(s.leg.in->capacity <= TLS_RECORD_BYTES_MAX);
	record_peer_send_raw(&s.peer, wire_bytes + total - 1, 1);
	assert_int_equal(read_all(&s), LEG_AGAIN);
	expect_got(&s, at);
	assert_null(s.leg.in);
	scene_close(&s);
}

static void test_many_small_records_merge(void **state)
{
	size_t lengths[2000], total = 0;
	struct scene s;

	scene_open(&s, *state);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
		total += lengths[i] = 1 + i % 50;
	record_peer_send_raw(&s.peer, wire_bytes, seal_all(&s, lengths, ARRAY_SIZE(lengths)));
	assert_int_equal(read_all(&s), LEG_AGAIN);
	assert_int_equal(s.reads, 1);
	assert_int_equal(s.pieces_max, 1);
	expect_got(&s, total);
	scene_close(&s);
}

/* More records than a batch has pieces, too large to be merged without need; and mixed sizes. */
static void test_more_records_than_pieces(void **state)
{
	size_t lengths[90], total = 0;
	struct scene s;

	scene_open(&s, *state);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
		total += lengths[i] = 2100 + i;
	record_peer_send_raw(&s.peer, wire_bytes, seal_all(&s, lengths, ARRAY_SIZE(lengths)));
	assert_int_equal(read_all(&s), LEG_AGAIN);
	assert_int_equal(s.pieces_max, BATCH_PIECES_MAX);
	expect_got(&s, total);
	total = 0;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
		total += lengths[i] = i % 3 ? 1 + i : 5000;
	record_peer_send_raw(&s.peer, wire_bytes, seal_all(&s, lengths, ARRAY_SIZE(lengths)));
	assert_int_equal(read_all(&s), LEG_AGAIN);
	expect_got(&s, total);
	scene_close(&s);
}

static void test_blocked_output_keeps_its_order(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(suites); i++) {
		size_t at = 0, updates = 0, len;
		struct scene s;
		uint8_t type;

		scene_open_as(&s, *state, suites[i].version, suites[i].cipher);
		rig_small_buffers(s.leg.watch.fd);
		assert_int_equal(leg_sends(&s, 0, 10 * TLS_PLAINTEXT_BYTES_MAX + 77), LEG_OK);
		at += 10 * TLS_PLAINTEXT_BYTES_MAX + 77;
		assert_true(leg_blocked(&s.leg));
		/* What comes after waits behind it, a control record too. */
		if (suites[i].version == VERSION_1_3) {
			record_peer_send(&s.peer, TLS_HANDSHAKE, key_update_requested, 5);
			record_peer_rekey(&s.peer, true);
			assert_int_equal(read_all(&s), LEG_AGAIN);
			updates = 1;
		}
		/* Not even when the socket has room again meanwhile. */
		assert_int_equal(record_peer_recv(&s.peer, &type, got_bytes, &len),
				 RECORD_PEER_NOTHING);
		assert_int_equal(leg_sends(&s, at, 5000), LEG_OK);
		assert_int_equal(peer_reads_data(&s, 0, at + 5000), updates);
		assert_false(leg_blocked(&s.leg));
		assert_null(s.leg.out);
		scene_close(&s);
	}
}

static void test_finish_comes_after_what_is_held(void **state)
{
	struct scene s;
	uint8_t type, bytes[1];
	size_t len;

	scene_open(&s, *state);
	rig_small_buffers(s.leg.watch.fd);
	assert_int_equal(leg_sends(&s, 0, 200000), LEG_OK);
	assert_int_equal(leg_finish(&s.leg, &s.rig->worker), LEG_AGAIN);
	peer_reads_data(&s, 0, 200000);
	assert_int_equal(leg_finish(&s.leg, &s.rig->worker), LEG_OK);
	assert_int_equal(leg_finish(&s.leg, &s.rig->worker), LEG_OK);
	expect_peer_gets(&s, TLS_ALERT, close_notify, 2);
	assert_int_equal(record_peer_recv(&s.peer, &type, bytes, &len), RECORD_PEER_END);
	scene_close(&s);
}

static void test_key_update(void **state)
{
	for (int i = 0; i < 3; i++) {
		struct scene s;
		size_t used = 0;

		scene_open_as(&s, *state, VERSION_1_3, suites[i].cipher);
		/* All in one read: the key changes in the middle of it, twice. */
		used += record_peer_seal(&s.peer, TLS_APPLICATION_DATA, plain_bytes, 1000,
					 wire_bytes);
		used += record_peer_seal(&s.peer, TLS_HANDSHAKE, key_update, 5, wire_bytes + used);
		record_peer_rekey(&s.peer, true);
		used += record_peer_seal(&s.peer, TLS_APPLICATION_DATA, plain_bytes + 1000, 3000,
					 wire_bytes + used);
		used += record_peer_seal(&s.peer, TLS_HANDSHAKE, key_update_requested, 5,
					 wire_bytes + used);
		record_peer_rekey(&s.peer, true);
		used += record_peer_seal(&s.peer, TLS_APPLICATION_DATA, plain_bytes + 4000, 10,
					 wire_bytes + used);
		record_peer_send_raw(&s.peer, wire_bytes, used);
		assert_int_equal(read_all(&s), LEG_AGAIN);
		expect_got(&s, 4010);
		assert_int_equal(s.leg.keys->rx.generation, 2);
		/* Answered once, and what follows is under the new key. */
		assert_int_equal(leg_sends(&s, 0, 500), LEG_OK);
		expect_peer_gets(&s, TLS_HANDSHAKE, key_update, 5);
		record_peer_rekey(&s.peer, false);
		assert_int_equal(peer_reads_data(&s, 0, 500), 0);
		assert_int_equal(s.leg.keys->tx.generation, 1);
		scene_close(&s);
	}
}

static void test_key_update_in_pieces(void **state)
{
	struct scene s;

	scene_open(&s, *state);
	for (int cut = 1; cut < 5; cut++) {
		record_peer_send(&s.peer, TLS_HANDSHAKE, key_update, (size_t)cut);
		assert_int_equal(read_all(&s), LEG_AGAIN);
		record_peer_send(&s.peer, TLS_HANDSHAKE, key_update + cut, 5 - (size_t)cut);
		record_peer_rekey(&s.peer, true);
		record_peer_send(&s.peer, TLS_APPLICATION_DATA, plain_bytes, 20);
		assert_int_equal(read_all(&s), LEG_AGAIN);
		expect_got(&s, 20);
	}
	scene_close(&s);
}

static void test_data_within_a_handshake_message(void **state)
{
	struct scene s;

	scene_open(&s, *state);
	record_peer_send(&s.peer, TLS_HANDSHAKE, key_update, 3);
	record_peer_send(&s.peer, TLS_APPLICATION_DATA, plain_bytes, 20);
	expect_failure(&s, CLOSE_BAD_RECORD, TLS_ALERT_UNEXPECTED_MESSAGE);
	scene_close(&s);
}

static void peer_updates_key(struct scene *s)
{
	record_peer_send(&s->peer, TLS_HANDSHAKE, key_update, sizeof(key_update));
	record_peer_rekey(&s->peer, true);
}

static void test_key_update_storm(void **state)
{
	struct scene s;

	scene_open(&s, *state);
	for (int i = 0; i < KEY_UPDATES_BURST; i++)
		peer_updates_key(&s);
	assert_int_equal(read_all(&s), LEG_AGAIN);
	/* Time earns it more, one after the other. */
	for (int i = 0; i < 3; i++) {
		rig_pass_ms(s.rig, KEY_UPDATE_REFILL_MS);
		peer_updates_key(&s);
		assert_int_equal(read_all(&s), LEG_AGAIN);
	}
	rig_pass_ms(s.rig, KEY_UPDATE_REFILL_MS - 1);
	peer_updates_key(&s);
	expect_failure(&s, CLOSE_KEY_UPDATE_STORM, TLS_ALERT_UNEXPECTED_MESSAGE);
	scene_close(&s);
}

/* Much time earns no more than the burst. */
static void test_key_update_burst_is_bounded(void **state)
{
	struct scene s;

	scene_open(&s, *state);
	rig_pass_ms(s.rig, 3600 * 1000);
	for (int i = 0; i < KEY_UPDATES_BURST; i++)
		peer_updates_key(&s);
	assert_int_equal(read_all(&s), LEG_AGAIN);
	peer_updates_key(&s);
	expect_failure(&s, CLOSE_KEY_UPDATE_STORM, TLS_ALERT_UNEXPECTED_MESSAGE);
	scene_close(&s);
}

static void test_empty_record_flood(void **state)
{
	struct scene s;

	scene_open(&s, *state);
	for (int i = 0; i < EMPTY_RECORDS_MAX; i++)
		record_peer_send(&s.peer, TLS_APPLICATION_DATA, "", 0);
	assert_int_equal(read_all(&s), LEG_AGAIN);
	record_peer_send(&s.peer, TLS_APPLICATION_DATA, plain_bytes, 1);
	for (int i = 0; i < EMPTY_RECORDS_MAX; i++)
		record_peer_send(&s.peer, TLS_APPLICATION_DATA, "", 0);
	assert_int_equal(read_all(&s), LEG_AGAIN);
	expect_got(&s, 1);
	record_peer_send(&s.peer, TLS_APPLICATION_DATA, "", 0);
	expect_failure(&s, CLOSE_EMPTY_RECORDS, TLS_ALERT_UNEXPECTED_MESSAGE);
	scene_close(&s);
}

static void test_close_notify_behind_data(void **state)
{
	struct batch batch;
	struct scene s;

	scene_open(&s, *state);
	record_peer_send(&s.peer, TLS_APPLICATION_DATA, plain_bytes, 700);
	record_peer_send(&s.peer, TLS_ALERT, close_notify, 2);
	/* What comes after the end is nobody's. */
	record_peer_send(&s.peer, TLS_APPLICATION_DATA, plain_bytes, 100);
	assert_int_equal(read_all(&s), LEG_AGAIN);
	expect_got(&s, 700);
	assert_true(s.leg.ended);
	assert_false(s.leg.truncated);
	assert_int_equal(s.leg.transport->recv(&s.leg, &s.rig->worker, &s.sink, 1, &batch),
			 LEG_EOF);
	scene_close(&s);
}

static void test_truncation(void **state)
{
	static const size_t length = 100;

	for (size_t cut = 0; cut < 120; cut += 40) {
		struct scene s;

		scene_open(&s, *state);
		record_peer_send(&s.peer, TLS_APPLICATION_DATA, plain_bytes, 50);
		seal_all(&s, &length, 1);
		if (cut)
			record_peer_send_raw(&s.peer, wire_bytes, cut);
		shutdown(s.peer.fd, SHUT_WR);
		s.leg.hung_up = true; /* as the loop would have said */
		assert_int_equal(read_all(&s), LEG_EOF);
		expect_got(&s, 50);
		assert_true(s.leg.truncated);
		scene_close(&s);
	}
}

static void test_bad_mac(void **state)
{
	static const size_t length = 100;

	for (size_t i = 0; i < ARRAY_SIZE(suites); i++)
		for (size_t at = TLS_RECORD_HEADER_BYTES; at < 116; at += 22) {
			struct scene s;
			size_t total;

			scene_open_as(&s, *state, suites[i].version, suites[i].cipher);
			total = seal_all(&s, &length, 1);
			wire_bytes[at] ^= 0x10;
			record_peer_send_raw(&s.peer, wire_bytes, total);
			expect_failure(&s, CLOSE_BAD_RECORD_MAC, TLS_ALERT_BAD_RECORD_MAC);
			scene_close(&s);
		}
}

static void test_records_that_can_not_be(void **state)
{
	static const uint8_t oversized[] = { 23, 3, 3, 0x41, 0x01 }, http[] = "GET / HTTP/1.1\r\n",
			     inner[] = { 22, 3, 3, 0, 40 };
	static const struct {
		const uint8_t *bytes;
		size_t len;
		uint8_t alert;
	} rows[] = {
		{ oversized, sizeof(oversized), TLS_ALERT_RECORD_OVERFLOW },
		{ http, sizeof(http), TLS_ALERT_UNEXPECTED_MESSAGE },
		{ inner, 45, TLS_ALERT_UNEXPECTED_MESSAGE }, /* not application data outside */
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t bytes[64] = { 0 };
		struct scene s;

		scene_open(&s, *state);
		memcpy(bytes, rows[i].bytes, MIN(rows[i].len, (size_t)5));
		record_peer_send_raw(&s.peer, i == 2 ? bytes : rows[i].bytes, rows[i].len);
		expect_failure(&s, CLOSE_BAD_RECORD, rows[i].alert);
		scene_close(&s);
	}
}

static void test_fatal_alert(void **state)
{
	static const uint8_t alert[] = { TLS_ALERT_FATAL, TLS_ALERT_DECODE_ERROR };
	struct scene s;

	scene_open(&s, *state);
	record_peer_send(&s.peer, TLS_ALERT, alert, 2);
	expect_failure(&s, CLOSE_PEER_ALERT, 0);
	assert_int_equal(s.leg.peer_alert, TLS_ALERT_DECODE_ERROR);
	scene_close(&s);
}

static void test_tickets(void **state)
{
	uint8_t ticket[4 + 200] = { 4, 0, 0, 200 };
	struct scene s;

	scene_open(&s, *state);
	s.leg.we_are_client = true;
	record_peer_send(&s.peer, TLS_HANDSHAKE, ticket, 100);
	record_peer_send(&s.peer, TLS_HANDSHAKE, ticket + 100, sizeof(ticket) - 100);
	record_peer_send(&s.peer, TLS_APPLICATION_DATA, plain_bytes, 20);
	assert_int_equal(read_all(&s), LEG_AGAIN);
	expect_got(&s, 20);
	scene_close(&s);
	scene_open(&s, *state);
	record_peer_send(&s.peer, TLS_HANDSHAKE, ticket, sizeof(ticket));
	expect_failure(&s, CLOSE_BAD_RECORD, TLS_ALERT_UNEXPECTED_MESSAGE);
	scene_close(&s);
}

static void test_renegotiation(void **state)
{
	static const uint8_t hello_request[] = { 0, 0, 0, 0 };
	struct scene s;

	scene_open_as(&s, *state, VERSION_1_2, TLS_CIPHER_AES_128_GCM_SHA256);
	record_peer_send(&s.peer, TLS_HANDSHAKE, hello_request, sizeof(hello_request));
	expect_failure(&s, CLOSE_RENEGOTIATION, TLS_ALERT_NO_RENEGOTIATION);
	scene_close(&s);
}

static void near_the_limit(struct scene *s, uint64_t records)
{
	s->leg.keys->tx_sequence = s->peer.keys->rx_sequence = AES_GCM_RECORDS_MAX - records;
}

static void test_record_limit_renews_the_key(void **state)
{
	for (int i = 0; i < 2; i++) { /* both AES-GCM suites */
		unsigned int updates = 0;
		struct scene s;

		scene_open_as(&s, *state, VERSION_1_3, suites[i].cipher);
		near_the_limit(&s, 5);
		for (size_t at = 0; at < 400000; at += 40000) {
			assert_int_equal(leg_sends(&s, at, 40000), LEG_OK);
			updates += peer_reads_data(&s, at, at + 40000);
		}
		assert_int_equal(updates, 1);
		assert_int_equal(s.leg.keys->tx.generation, 1);
		assert_true(s.leg.keys->tx_sequence < 100);
		/* The other direction has not changed. */
		record_peer_send(&s.peer, TLS_APPLICATION_DATA, plain_bytes, 10);
		assert_int_equal(read_all(&s), LEG_AGAIN);
		expect_got(&s, 10);
		scene_close(&s);
	}
}

static void test_record_limit_that_can_not_be_renewed(void **state)
{
	struct scene s;

	scene_open_as(&s, *state, VERSION_1_2, TLS_CIPHER_AES_128_GCM_SHA256);
	near_the_limit(&s, 2);
	assert_int_equal(leg_sends(&s, 0, 100), LEG_OK);
	assert_int_equal(peer_reads_data(&s, 0, 100), 0);
	assert_int_equal(leg_sends(&s, 0, 100), LEG_FAILED);
	assert_int_equal(s.leg.failure, CLOSE_KEY_EXHAUSTED);
	/* A few are left to say so. */
	assert_int_equal(leg_finish(&s.leg, &s.rig->worker), LEG_OK);
	expect_peer_gets(&s, TLS_ALERT, close_notify, 2);
	scene_close(&s);
}

static void test_chacha_has_no_record_limit(void **state)
{
	for (int i = 2; i < 5; i += 2) {
		struct scene s;

		scene_open_as(&s, *state, suites[i].version, suites[i].cipher);
		near_the_limit(&s, 2);
		for (int j = 0; j < 10; j++) {
			assert_int_equal(leg_sends(&s, 0, 100), LEG_OK);
			assert_int_equal(peer_reads_data(&s, 0, 100), 0);
		}
		scene_close(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_cut_at_every_byte),
		RIG_TEST(test_byte_by_byte),
		RIG_TEST(test_large_partial),
		RIG_TEST(test_many_small_records_merge),
		RIG_TEST(test_more_records_than_pieces),
		RIG_TEST(test_blocked_output_keeps_its_order),
		RIG_TEST(test_finish_comes_after_what_is_held),
		RIG_TEST(test_key_update),
		RIG_TEST(test_key_update_in_pieces),
		RIG_TEST(test_data_within_a_handshake_message),
		RIG_TEST(test_key_update_storm),
		RIG_TEST(test_key_update_burst_is_bounded),
		RIG_TEST(test_empty_record_flood),
		RIG_TEST(test_close_notify_behind_data),
		RIG_TEST(test_truncation),
		RIG_TEST(test_bad_mac),
		RIG_TEST(test_records_that_can_not_be),
		RIG_TEST(test_fatal_alert),
		RIG_TEST(test_tickets),
		RIG_TEST(test_renegotiation),
		RIG_TEST(test_record_limit_renews_the_key),
		RIG_TEST(test_record_limit_that_can_not_be_renewed),
		RIG_TEST(test_chacha_has_no_record_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
