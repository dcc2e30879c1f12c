/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kTLS transports and the relay over them, on the fake socket of tests/lib/fake_ktls.h: what
 * comes in between the data must neither stop nor reorder nor lose it. All of it twice: with the
 * kernel for both directions, and for sending only, where the peer's records are real ones.
 */
#include "unit/dataplane/rig.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/fake_ktls.h"

#define BULK_BYTES	 (1024 * 1024)
#define WHOLE_RECORDS(n) ((size_t)(n) * FAKE_KTLS_RECORD_BYTES_MAX)

static uint8_t sent_bytes[BULK_BYTES], got_bytes[BULK_BYTES];

/* One connection: `wire` is the TLS peer's end, `service` the upstream's. */
struct scene {
	struct rig *rig;
	struct conn *conn;
	int ktls, wire, service;
	struct tls_keys *peer; /* the peer's view of the keys */
	size_t got;
	uint8_t send_generation; /* of the peer's own key */
	/* Sending only: what the peer seals with, now of this generation. */
	struct tls_keys *seal_keys;
	struct aead seal;
	uint8_t seal_generation;
};

static bool sending_only;

static const uint8_t close_notify[] = { TLS_ALERT_WARNING, TLS_ALERT_CLOSE_NOTIFY };
static const uint8_t internal_error[] = { TLS_ALERT_FATAL, TLS_ALERT_INTERNAL_ERROR };
static const uint8_t key_update[] = { 24, 0, 0, 1, 0 }, key_update_requested[] = { 24, 0, 0, 1, 1 };

static void scene_open_over(struct scene *s, struct rig *rig, bool can_rekey,
			    enum config_splice splice, const int plain[2])
{
	struct tls_keys *keys[2];
	int tls[2];

	memset(s, 0, sizeof(*s));
	s->rig = rig;
	rig->config.splice = splice;
	fake_ktls_pair(tls, can_rekey);
	rig_keys(VERSION_1_3, TLS_CIPHER_AES_128_GCM_SHA256, keys);
	s->ktls = tls[0];
	s->wire = tls[1];
	s->service = plain[1];
	s->peer = keys[1];
	s->conn = rig_conn(rig, tls[0], plain[0]);
	s->conn->secured = true;
	if (sending_only) {
		fake_ktls_receive_raw(tls[0]);
		leg_use_ktls_send(&s->conn->accepted, keys[0]);
		s->seal_keys = tls_keys_new();
		assert_non_null(s->seal_keys);
		*s->seal_keys = *keys[1];
		aead_init(&s->seal, s->seal_keys, true);
	} else {
		leg_use_ktls(&s->conn->accepted, keys[0], can_rekey);
	}
	rig_pattern(sent_bytes, BULK_BYTES, 7);
}

static void scene_open(struct scene *s, struct rig *rig, bool can_rekey, enum config_splice splice)
{
	int plain[2];

	rig_socketpair(plain);
	scene_open_over(s, rig, can_rekey, splice, plain);
}

static void scene_start(struct scene *s)
{
	conn_relay_start(s->conn);
	rig_turns(s->rig, 2);
}

static void scene_close(struct scene *s)
{
	if (s->wire >= 0)
		close(s->wire);
	if (s->service >= 0)
		close(s->service);
	rig_turns(s->rig, 4);
	aead_release(s->rig->worker.aead_cache, &s->seal);
	tls_keys_free(s->seal_keys);
	tls_keys_free(s->peer);
}

/* What the service has got since, behind the bytes that it had. */
static void drain_service(struct scene *s)
{
	ssize_t n;

	while ((n = recv(s->service, got_bytes + s->got, BULK_BYTES - s->got, MSG_DONTWAIT)) > 0)
		s->got += (size_t)n;
}

/* A record of the peer's, under the key that it has now. Returns its length. */
static size_t peer_seals(struct scene *s, uint8_t type, const void *data, size_t len,
			 uint8_t record[FAKE_KTLS_RAW_BYTES_MAX])
{
	for (; s->seal_generation != s->send_generation; s->seal_generation++) {
		aead_release(s->rig->worker.aead_cache, &s->seal);
		assert_int_equal(tls13_update_key(TLS_CIPHER_AES_128_GCM_SHA256, &s->seal_keys->tx),
				 0);
		s->seal_keys->tx_sequence = 0;
	}
	memcpy(record + aead_prefix_bytes(&s->seal), data, len);
	assert_int_equal(aead_seal(s->rig->worker.aead_cache, &s->seal, type, record, len),
			 AEAD_OK);
	return aead_prefix_bytes(&s->seal) + len + aead_suffix_bytes(&s->seal);
}

static bool wire_sends_raw(struct scene *s, const uint8_t *record, size_t len)
{
	ssize_t n = send(s->wire, record, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	assert_true(n == (ssize_t)len || (n < 0 && errno == EAGAIN));
	return n > 0;
}

static void peer_sends(struct scene *s, uint8_t type, const void *data, size_t len)
{
	uint8_t record[FAKE_KTLS_RAW_BYTES_MAX];
	size_t sealed = sending_only ? peer_seals(s, type, data, len, record) : 0;

	while (sending_only ? !wire_sends_raw(s, record, sealed)
			    : !fake_ktls_wire_send(s->wire, type, s->send_generation, data, len)) {
		drain_service(s);
		rig_turns(s->rig, 1);
	}
}

/* At once, or the test fails. */
static void peer_sends_now(struct scene *s, uint8_t type, const void *data, size_t len)
{
	uint8_t record[FAKE_KTLS_RAW_BYTES_MAX];

	if (sending_only)
		assert_true(wire_sends_raw(s, record, peer_seals(s, type, data, len, record)));
	else
		assert_true(fake_ktls_wire_send(s->wire, type, s->send_generation, data, len));
}

static void peer_sends_forged(struct scene *s)
{
	uint8_t record[FAKE_KTLS_RAW_BYTES_MAX];
	size_t len;

	if (!sending_only) {
		assert_true(fake_ktls_wire_send_forged(s->wire));
		return;
	}
	len = peer_seals(s, TLS_APPLICATION_DATA, "forged", 6, record);
	record[len - 1] ^= 1;
	assert_true(wire_sends_raw(s, record, len));
}

/* How many keys for receiving have come after the first. */
static unsigned int rx_generation(const struct scene *s)
{
	return sending_only ? s->conn->accepted.keys->rx.generation
			    : fake_ktls_stats(s->ktls)->rx_generation;
}

/* Data in records of `size` bytes (0: any length), from `from` up to `to`. */
static void peer_sends_data(struct scene *s, size_t from, size_t to, size_t size)
{
	uint32_t x = 12345;

	while (from < to) {
		size_t n;

		x = x * 1664525u + 1013904223u;
		n = size ? size : 1 + x % FAKE_KTLS_RECORD_BYTES_MAX;
		n = MIN(n, to - from);
		peer_sends(s, TLS_APPLICATION_DATA, sent_bytes + from, n);
		from += n;
	}
}

static void expect_service_has(struct scene *s, size_t len)
{
	unsigned int tries = 0;

	while (s->got < len && rig_patience(&tries)) {
		drain_service(s);
		rig_turns(s->rig, 1);
	}
	assert_int_equal(s->got, len);
	assert_memory_equal(got_bytes, sent_bytes, len);
}

/* The next record for the peer; fails the test if there is none. */
static int peer_receives(struct scene *s, struct fake_ktls_record *ret)
{
	unsigned int tries = 0;

	while (rig_patience(&tries)) {
		int r = fake_ktls_wire_recv(s->wire, ret);

		if (r)
			return r;
		rig_turns(s->rig, 1);
	}
	fail_msg("nothing for the peer");
	return 0;
}

static void expect_peer_gets(struct scene *s, uint8_t type, const void *data, size_t len)
{
	struct fake_ktls_record record;

	assert_int_equal(peer_receives(s, &record), 1);
	assert_int_equal(record.type, type);
	assert_int_equal(record.len, len);
	assert_memory_equal(record.data, data, len);
}

static void expect_peer_end(struct scene *s)
{
	struct fake_ktls_record record;

	assert_int_equal(peer_receives(s, &record), -1);
}

static void expect_peer_alert(struct scene *s, uint8_t description)
{
	const uint8_t alert[] = { TLS_ALERT_FATAL, description };

	expect_peer_gets(s, TLS_ALERT, alert, sizeof(alert));
	expect_peer_end(s);
}

/* What the service writes from here on, while the peer reads: data in order, and where a KeyUpdate
 * is among it the key changes. Returns the number of KeyUpdates. */
static unsigned int peer_reads_data(struct scene *s, size_t from, size_t to)
{
	struct fake_ktls_record record;
	unsigned int updates = 0, generation = fake_ktls_stats(s->ktls)->tx_generation;
	bool first = true;

	while (from < to) {
		assert_int_equal(peer_receives(s, &record), 1);
		if (first)
			generation = record.generation;
		first = false;
		assert_int_equal(record.generation, generation);
		if (record.type == TLS_HANDSHAKE) {
			assert_int_equal(record.len, sizeof(key_update));
			assert_memory_equal(record.data, key_update, sizeof(key_update));
			generation++;
			updates++;
			continue;
		}
		assert_int_equal(record.type, TLS_APPLICATION_DATA);
		assert_true(record.len <= to - from);
		assert_memory_equal(record.data, sent_bytes + from, record.len);
		from += record.len;
	}
	return updates;
}

/* Writes what the socket takes at once. */
static size_t service_fills(struct scene *s, size_t from, size_t to)
{
	size_t start = from;

	for (int i = 0; i < 200 && from < to; i++) {
		ssize_t n = send(s->service, sent_bytes + from, to - from, MSG_DONTWAIT);

		if (n > 0)
			from += (size_t)n;
		rig_turns(s->rig, 1);
	}
	return from - start;
}

static void test_order_inbound(void **state)
{
	static const enum config_splice modes[] = { CONFIG_SPLICE_OFF, CONFIG_SPLICE_AUTO,
						    CONFIG_SPLICE_ON };
	static const size_t sizes[] = { 0, 1, 200, FAKE_KTLS_RECORD_BYTES_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		for (size_t j = 0; j < ARRAY_SIZE(sizes); j++) {
			size_t total = sizes[j] == 1 ? 2000 : sizes[j] == 200 ? 100000 : BULK_BYTES;
			struct scene s;

			scene_open(&s, *state, true, modes[i]);
			scene_start(&s);
			peer_sends_data(&s, 0, total, sizes[j]);
			expect_service_has(&s, total);
			if (!sending_only && modes[i] == CONFIG_SPLICE_ON && total == BULK_BYTES)
				assert_true(fake_ktls_stats(s.ktls)->splices_in > 8);
			else if (sending_only || modes[i] != CONFIG_SPLICE_ON)
				assert_int_equal(fake_ktls_stats(s.ktls)->splices_in, 0);
			assert_int_equal(fake_ktls_stats(s.ktls)->into_used_pipe, 0);
			assert_int_equal(fake_ktls_stats(s.ktls)->into_small_pipe, 0);
			assert_int_equal(s.rig->worker.pipes.lent_count, 0);
			scene_close(&s);
		}
}

static void test_order_outbound(void **state)
{
	static const enum config_splice modes[] = { CONFIG_SPLICE_OFF, CONFIG_SPLICE_AUTO,
						    CONFIG_SPLICE_ON };
	static const size_t limits[] = { 0, 1000, 16000 };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		for (size_t j = 0; j < ARRAY_SIZE(limits); j++) {
			struct scene s;
			size_t at = 0;

			scene_open(&s, *state, true, modes[i]);
			fake_ktls_limit_send(s.ktls, limits[j]);
			scene_start(&s);
			while (at < BULK_BYTES) {
				size_t n = service_fills(&s, at, BULK_BYTES);

				assert_int_equal(peer_reads_data(&s, at, at + n), 0);
				at += n;
			}
			if (modes[i] != CONFIG_SPLICE_OFF)
				assert_true(fake_ktls_stats(s.ktls)->splices_out > 0);
			assert_int_equal(fake_ktls_stats(s.ktls)->more, 0);
			assert_int_equal(s.rig->worker.pipes.lent_count, 0);
			scene_close(&s);
		}
}

/* The peer reads slowly through short sends: its close_notify still comes after the last byte. */
static void test_close_notify_comes_last(void **state)
{
	for (int splice = CONFIG_SPLICE_AUTO; splice <= CONFIG_SPLICE_OFF; splice++) {
		struct scene s;
		size_t n;

		scene_open(&s, *state, true, (enum config_splice)splice);
		fake_ktls_limit_send(s.ktls, 3000);
		scene_start(&s);
		n = service_fills(&s, 0, BULK_BYTES);
		shutdown(s.service, SHUT_WR);
		rig_turns(s.rig, 4);
		peer_reads_data(&s, 0, n);
		expect_peer_gets(&s, TLS_ALERT, close_notify, sizeof(close_notify));
		expect_peer_end(&s);
		/* The other half is still open. */
		peer_sends_data(&s, 0, 5000, 0);
		expect_service_has(&s, 5000);
		peer_sends(&s, TLS_ALERT, close_notify, sizeof(close_notify));
		rig_expect_end(s.rig, s.service);
		rig_until(s.rig, rig_is_empty, s.rig);
		rig_assert_closed(s.rig, CLOSE_UPSTREAM_CLOSED, (uint64_t)splice + 1);
		scene_close(&s);
	}
}

static void test_close_notify_from_the_peer(void **state)
{
	for (int splice = CONFIG_SPLICE_AUTO; splice <= CONFIG_SPLICE_OFF; splice++) {
		struct scene s;

		scene_open(&s, *state, true, (enum config_splice)splice);
		scene_start(&s);
		peer_sends_data(&s, 0, 200000, 0);
		peer_sends(&s, TLS_ALERT, close_notify, sizeof(close_notify));
		expect_service_has(&s, 200000);
		rig_expect_end(s.rig, s.service);
		/* Half-closed: the answer still goes out, and our close_notify after it. */
		rig_write(s.rig, s.service, sent_bytes, 10000);
		peer_reads_data(&s, 0, 10000);
		shutdown(s.service, SHUT_WR);
		expect_peer_gets(&s, TLS_ALERT, close_notify, sizeof(close_notify));
		expect_peer_end(&s);
		rig_until(s.rig, rig_is_empty, s.rig);
		rig_assert_closed(s.rig, CLOSE_CLIENT_CLOSED, (uint64_t)splice + 1);
		scene_close(&s);
	}
}

static void test_fin_without_close_notify(void **state)
{
	struct scene s;

	scene_open(&s, *state, true, CONFIG_SPLICE_ON);
	scene_start(&s);
	peer_sends_data(&s, 0, 100000, 0);
	shutdown(s.wire, SHUT_WR);
	expect_service_has(&s, 100000);
	rig_expect_end(s.rig, s.service);
	shutdown(s.service, SHUT_WR);
	rig_until(s.rig, rig_is_empty, s.rig);
	rig_assert_closed(s.rig, CLOSE_PEER_TRUNCATED, 1);
	scene_close(&s);
}

static void test_alert_in_mid_splice(void **state)
{
	static const uint8_t alert[] = { TLS_ALERT_FATAL, TLS_ALERT_DECODE_ERROR };
	struct scene s;

	if (sending_only) /* there is no splice */
		return;
	scene_open(&s, *state, true, CONFIG_SPLICE_ON);
	scene_start(&s);
	peer_sends_data(&s, 0, WHOLE_RECORDS(12), FAKE_KTLS_RECORD_BYTES_MAX);
	expect_service_has(&s, WHOLE_RECORDS(12));
	assert_true(s.conn->inbound.bulk_reads > 0);
	/* Queued together, so that the splice runs into it. */
	peer_sends_now(&s, TLS_APPLICATION_DATA, sent_bytes + WHOLE_RECORDS(12), WHOLE_RECORDS(1));
	peer_sends_now(&s, TLS_ALERT, alert, sizeof(alert));
	expect_service_has(&s, WHOLE_RECORDS(13));
	rig_until(s.rig, rig_is_empty, s.rig);
	rig_assert_closed(s.rig, CLOSE_PEER_ALERT, 1);
	scene_close(&s);
}

static void test_user_canceled_is_passed_over(void **state)
{
	static const uint8_t alert[] = { TLS_ALERT_WARNING, TLS_ALERT_USER_CANCELED };
	struct scene s;

	scene_open(&s, *state, true, CONFIG_SPLICE_ON);
	scene_start(&s);
	peer_sends_data(&s, 0, 100000, FAKE_KTLS_RECORD_BYTES_MAX);
	peer_sends(&s, TLS_ALERT, alert, sizeof(alert));
	peer_sends_data(&s, 100000, 200000, FAKE_KTLS_RECORD_BYTES_MAX);
	expect_service_has(&s, 200000);
	scene_close(&s);
}

/* The key of the next generation as the peer derives it is the one that the kernel was given. */
static void expect_next_key(struct scene *s, bool sending)
{
	struct traffic_keys *t = sending ? &s->peer->rx : &s->peer->tx;
	const uint8_t *ours = sending || !sending_only ? fake_ktls_key(s->ktls, sending)
						       : s->conn->accepted.keys->rx.key;

	assert_int_equal(tls13_update_key(TLS_CIPHER_AES_128_GCM_SHA256, t), 0);
	assert_memory_equal(ours, t->key, 16);
}

static void test_key_update_in_mid_splice(void **state)
{
	for (int splice = CONFIG_SPLICE_AUTO; splice <= CONFIG_SPLICE_OFF; splice++) {
		struct scene s;
		size_t at = 0;

		scene_open(&s, *state, true, (enum config_splice)splice);
		scene_start(&s);
		for (int i = 0; i < 4; i++) {
			bool request = i % 2;

			peer_sends_data(&s, at, at + WHOLE_RECORDS(8), FAKE_KTLS_RECORD_BYTES_MAX);
			at += WHOLE_RECORDS(8);
			peer_sends(&s, TLS_HANDSHAKE, request ? key_update_requested : key_update,
				   sizeof(key_update));
			s.send_generation++;
			peer_sends_data(&s, at, at + 50000, 0);
			at += 50000;
			expect_service_has(&s, at);
			expect_next_key(&s, false);
			if (request) {
				expect_peer_gets(&s, TLS_HANDSHAKE, key_update, sizeof(key_update));
				expect_next_key(&s, true);
			}
		}
		assert_int_equal(rx_generation(&s), 4);
		assert_int_equal(fake_ktls_stats(s.ktls)->tx_generation, 2);
		if (splice == CONFIG_SPLICE_ON && !sending_only)
			assert_true(fake_ktls_stats(s.ktls)->splices_refused > 0);
		assert_int_equal(s.rig->worker.conn_count, 1);
		scene_close(&s);
	}
}

static void test_empty_handshake_record(void **state)
{
	struct scene s;

	scene_open(&s, *state, true, CONFIG_SPLICE_ON);
	scene_start(&s);
	peer_sends_data(&s, 0, 100000, FAKE_KTLS_RECORD_BYTES_MAX);
	expect_service_has(&s, 100000);
	peer_sends(&s, TLS_HANDSHAKE, "", 0);
	expect_peer_alert(&s, TLS_ALERT_UNEXPECTED_MESSAGE);
	close(s.wire);
	s.wire = -1;
	rig_until(s.rig, rig_is_empty, s.rig);
	rig_assert_closed(s.rig, CLOSE_BAD_RECORD, 1);
	scene_close(&s);
}

static void test_key_update_without_rekey(void **state)
{
	struct scene s;

	if (sending_only) /* not used where the kernel can not */
		return;
	scene_open(&s, *state, false, CONFIG_SPLICE_ON);
	scene_start(&s);
	peer_sends_data(&s, 0, 200000, FAKE_KTLS_RECORD_BYTES_MAX);
	peer_sends(&s, TLS_HANDSHAKE, key_update_requested, sizeof(key_update));
	expect_service_has(&s, 200000);
	expect_peer_gets(&s, TLS_ALERT, close_notify, sizeof(close_notify));
	expect_peer_end(&s);
	rig_expect_end(s.rig, s.service);
	close(s.wire);
	s.wire = -1;
	rig_until(s.rig, rig_is_empty, s.rig);
	rig_assert_closed(s.rig, CLOSE_KEY_UPDATE_UNSUPPORTED, 1);
	scene_close(&s);
}

static void test_key_update_storm(void **state)
{
	struct scene s;

	scene_open(&s, *state, true, CONFIG_SPLICE_AUTO);
	scene_start(&s);
	for (int i = 0; i <= KEY_UPDATES_BURST; i++) {
		peer_sends(&s, TLS_HANDSHAKE, key_update, sizeof(key_update));
		s.send_generation++;
		rig_turns(s.rig, 1);
	}
	expect_peer_alert(&s, TLS_ALERT_UNEXPECTED_MESSAGE);
	/* Nothing can be read under the key that we did not take: time ends it. */
	rig_pass_ms(s.rig, 2001);
	rig_assert_closed(s.rig, CLOSE_KEY_UPDATE_STORM, 1);
	scene_close(&s);
}

/* The answer to a KeyUpdate finds a full socket: it waits its turn, and the key changes with it. */
static void test_control_waits_for_a_full_socket(void **state)
{
	for (int splice = CONFIG_SPLICE_AUTO; splice <= CONFIG_SPLICE_OFF; splice++) {
		struct scene s;
		size_t n;

		scene_open(&s, *state, true, (enum config_splice)splice);
		scene_start(&s);
		n = service_fills(&s, 0, BULK_BYTES);
		assert_true(n < BULK_BYTES);
		assert_true(fake_ktls_stats(s.ktls)->sends_refused > 0);
		peer_sends(&s, TLS_HANDSHAKE, key_update_requested, sizeof(key_update));
		s.send_generation++;
		peer_sends_data(&s, 0, 3000, 0);
		expect_service_has(&s, 3000);
		assert_int_equal(s.conn->accepted.control_bytes, sizeof(key_update));
		assert_int_equal(fake_ktls_stats(s.ktls)->tx_generation, 0);
		/* A second request meanwhile needs no second answer. */
		peer_sends(&s, TLS_HANDSHAKE, key_update_requested, sizeof(key_update));
		s.send_generation++;
		assert_int_equal(peer_reads_data(&s, 0, n), 1);
		n += service_fills(&s, n, n + 1000);
		peer_reads_data(&s, n - 1000, n);
		assert_int_equal(fake_ktls_stats(s.ktls)->tx_generation, 1);
		assert_int_equal(rx_generation(&s), 2);
		expect_service_has(&s, 3000);
		scene_close(&s);
	}
}

static void test_record_limit_renews_the_key(void **state)
{
	static const enum config_splice modes[] = { CONFIG_SPLICE_OFF, CONFIG_SPLICE_ON };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct scene s;
		size_t at = 0;
		unsigned int updates = 0;

		scene_open(&s, *state, true, modes[i]);
		s.conn->accepted.keys->tx_sequence = AES_GCM_RECORDS_MAX - 20;
		scene_start(&s);
		while (at < BULK_BYTES) {
			size_t n = service_fills(&s, at, BULK_BYTES);

			updates += peer_reads_data(&s, at, at + n);
			at += n;
		}
		assert_int_equal(updates, 1);
		assert_int_equal(fake_ktls_stats(s.ktls)->tx_generation, 1);
		expect_next_key(&s, true);
		assert_true(s.conn->accepted.keys->tx_sequence < 1000);
		assert_int_equal(s.rig->worker.stats.key_updates_sent, i + 1);
		scene_close(&s);
	}
}

static void test_record_limit_without_rekey(void **state)
{
	struct scene s;

	if (sending_only) /* likewise */
		return;
	scene_open(&s, *state, false, CONFIG_SPLICE_AUTO);
	s.conn->accepted.keys->tx_sequence = AES_GCM_RECORDS_MAX - 2;
	scene_start(&s);
	rig_write(s.rig, s.service, sent_bytes, 100);
	peer_reads_data(&s, 0, 100);
	rig_write(s.rig, s.service, sent_bytes, 100);
	/* Bytes are lost: no end in order. */
	expect_peer_gets(&s, TLS_ALERT, internal_error, sizeof(internal_error));
	expect_peer_end(&s);
	close(s.wire);
	s.wire = -1;
	rig_until(s.rig, rig_is_empty, s.rig);
	rig_assert_closed(s.rig, CLOSE_KEY_EXHAUSTED, 1);
	scene_close(&s);
}

/* The kernel leaves the error on the socket, and our alert has to get past it. */
static void test_bad_mac_is_told(void **state)
{
	static const enum config_splice modes[] = { CONFIG_SPLICE_OFF, CONFIG_SPLICE_ON };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct scene s;

		scene_open(&s, *state, true, modes[i]);
		scene_start(&s);
		peer_sends_data(&s, 0, 100000, FAKE_KTLS_RECORD_BYTES_MAX);
		expect_service_has(&s, 100000);
		peer_sends_forged(&s);
		expect_peer_alert(&s, TLS_ALERT_BAD_RECORD_MAC);
		/* More that can not be read: the socket is kept so that the alert is not overtaken
		 * by a reset, but not for ever. */
		peer_sends_forged(&s);
		rig_turns(s.rig, 5);
		assert_int_equal(s.rig->worker.conn_count, 1);
		rig_pass_ms(s.rig, 2001);
		assert_int_equal(s.rig->worker.conn_count, 0);
		rig_assert_closed(s.rig, CLOSE_BAD_RECORD_MAC, i + 1);
		scene_close(&s);
	}
}

static void test_unknown_record_type(void **state)
{
	struct scene s;

	scene_open(&s, *state, true, CONFIG_SPLICE_AUTO);
	scene_start(&s);
	peer_sends(&s, TLS_CHANGE_CIPHER_SPEC, "\1", 1);
	expect_peer_alert(&s, TLS_ALERT_UNEXPECTED_MESSAGE);
	close(s.wire);
	s.wire = -1;
	rig_until(s.rig, rig_is_empty, s.rig);
	rig_assert_closed(s.rig, CLOSE_BAD_RECORD, 1);
	scene_close(&s);
}

static void test_empty_records_between(void **state)
{
	for (int splice = CONFIG_SPLICE_AUTO; splice <= CONFIG_SPLICE_OFF; splice++) {
		struct scene s;

		scene_open(&s, *state, true, (enum config_splice)splice);
		scene_start(&s);
		for (size_t at = 0; at < 320000; at += 16000) {
			peer_sends(&s, TLS_APPLICATION_DATA, "", 0);
			peer_sends_data(&s, at, at + 16000, 0);
			peer_sends(&s, TLS_APPLICATION_DATA, "", 0);
		}
		/* An empty one before a control record: a read of nothing that is not the end. */
		peer_sends(&s, TLS_APPLICATION_DATA, "", 0);
		peer_sends(&s, TLS_HANDSHAKE, key_update, sizeof(key_update));
		s.send_generation++;
		peer_sends_data(&s, 320000, 330000, 0);
		expect_service_has(&s, 330000);
		peer_sends(&s, TLS_APPLICATION_DATA, "", 0);
		peer_sends(&s, TLS_ALERT, close_notify, sizeof(close_notify));
		rig_expect_end(s.rig, s.service);
		assert_false(s.conn->accepted.truncated);
		scene_close(&s);
	}
}

/* While our last record is on its way, what the peer still sends is read away, control records too:
 * unread, they would turn our end into a reset. */
static void test_linger_reads_control_records(void **state)
{
	struct scene s;

	scene_open(&s, *state, true, CONFIG_SPLICE_AUTO);
	scene_start(&s);
	conn_drain(s.conn);
	expect_peer_gets(&s, TLS_ALERT, close_notify, sizeof(close_notify));
	expect_peer_end(&s);
	peer_sends_data(&s, 0, 1000, 0);
	peer_sends(&s, TLS_ALERT, close_notify, sizeof(close_notify));
	rig_turns(s.rig, 5);
	assert_int_equal(s.rig->worker.conn_count, 1);
	shutdown(s.wire, SHUT_WR);
	rig_until(s.rig, rig_is_empty, s.rig);
	rig_assert_closed(s.rig, CLOSE_DRAIN, 1);
	scene_close(&s);
}

static void test_peer_vanishes_while_it_is_sent_to(void **state)
{
	for (int splice = CONFIG_SPLICE_AUTO; splice <= CONFIG_SPLICE_OFF; splice++) {
		struct scene s;

		scene_open(&s, *state, true, (enum config_splice)splice);
		scene_start(&s);
		assert_true(service_fills(&s, 0, BULK_BYTES) < BULK_BYTES);
		close(s.wire);
		s.wire = -1;
		rig_until(s.rig, rig_is_empty, s.rig);
		assert_int_equal(s.rig->worker.pipes.lent_count, 0);
		rig_assert_closed(s.rig, CLOSE_CLIENT_RESET, (uint64_t)splice + 1);
		scene_close(&s);
	}
}

/* Reading on behind what is in the pipe meets the error, which a socket gives once: it must be told
 * all the same, and after the data. */
static void test_service_resets_behind_its_data(void **state)
{
	const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	for (int splice = CONFIG_SPLICE_AUTO; splice <= CONFIG_SPLICE_OFF; splice++) {
		struct scene s;
		int plain[2];

		rig_tcp_pair(plain);
		scene_open_over(&s, *state, true, (enum config_splice)splice, plain);
		assert_int_equal(send(s.service, sent_bytes, 50000, 0), 50000);
		assert_int_equal(
			setsockopt(s.service, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
		close(s.service);
		s.service = -1;
		scene_start(&s);
		peer_reads_data(&s, 0, 50000);
		expect_peer_gets(&s, TLS_ALERT, internal_error, sizeof(internal_error));
		close(s.wire);
		s.wire = -1;
		rig_until(s.rig, rig_is_empty, s.rig);
		assert_int_equal(s.rig->worker.pipes.lent_count, 0);
		rig_assert_closed(s.rig, CLOSE_UPSTREAM_RESET, (uint64_t)splice + 1);
		scene_close(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_order_inbound),
		RIG_TEST(test_order_outbound),
		RIG_TEST(test_close_notify_comes_last),
		RIG_TEST(test_close_notify_from_the_peer),
		RIG_TEST(test_fin_without_close_notify),
		RIG_TEST(test_alert_in_mid_splice),
		RIG_TEST(test_user_canceled_is_passed_over),
		RIG_TEST(test_key_update_in_mid_splice),
		RIG_TEST(test_empty_handshake_record),
		RIG_TEST(test_key_update_without_rekey),
		RIG_TEST(test_key_update_storm),
		RIG_TEST(test_control_waits_for_a_full_socket),
		RIG_TEST(test_record_limit_renews_the_key),
		RIG_TEST(test_record_limit_without_rekey),
		RIG_TEST(test_bad_mac_is_told),
		RIG_TEST(test_unknown_record_type),
		RIG_TEST(test_empty_records_between),
		RIG_TEST(test_linger_reads_control_records),
		RIG_TEST(test_peer_vanishes_while_it_is_sent_to),
		RIG_TEST(test_service_resets_behind_its_data),
	};

	int failed = cmocka_run_group_tests_name("ktls", tests, NULL, NULL);

	sending_only = true;
	return failed + cmocka_run_group_tests_name("ktls_send", tests, NULL, NULL);
}
