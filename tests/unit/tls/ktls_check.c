/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hand-off to a kernel that must have TLS: handshakes of ours against libssl, our socket given to
 * the kernel, data both ways checked byte by byte, KeyUpdates in both directions. Not in the
 * ordinary run, since a build machine's kernel may lack it; a virtual machine runs it.
 *
 *	ktls-check rekey | no-rekey	what this kernel is expected to do about new keys
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include <cmocka.h>
#include <linux/tls.h>
#include <openssl/err.h>

#include "base/util.h"
#include "lib/open_fds.h"
#include "pair.h"
#include "tcp_pair.h"
#include "tls/aead.h"
#include "tls/ktls.h"
#include "tls/ktls_calibrate.h"
#include "tls/post_handshake.h"
#include "tls/record.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

static bool rekey_expected;
static struct ktls_support support;
static struct pki_cert root, server, client;
static const char *roots, *server_cert, *server_key, *client_cert, *client_key;

struct session {
	struct pair pair;
	struct tls_keys *keys;
	struct peer *peer;
	struct tls_handshake_summary summary;
	int fds[2]; /* ours, the peer's */
	/* Where the kernel only sends: */
	struct aead_cache *cache; /* NULL: it receives, too */
	struct aead rx;
};

static int setup(void **state)
{
	const struct pki_cert *one[1] = { &root };

	ktls_probe(&support);
	printf("ulp %d, 1.3 %d%d%d, 1.2 %d%d%d, rekey %d, why: %s\n", support.ulp,
	       support.cipher13[0], support.cipher13[1], support.cipher13[2], support.cipher12[0],
	       support.cipher12[1], support.cipher12[2], support.rekey, support.why);
	pki_make(&root, NULL, &(struct pki_spec){ .cn = "Root", .is_ca = true });
	pki_make(&server, &root, &(struct pki_spec){ .cn = "broker", .san = "DNS:broker" });
	pki_make(&client, &root, &(struct pki_spec){ .cn = "svc" });
	roots = pki_write_certs("roots.crt", one, 1);
	one[0] = &server;
	server_cert = pki_write_certs("server.crt", one, 1);
	server_key = pki_write_key("server.key", &server);
	one[0] = &client;
	client_cert = pki_write_certs("client.crt", one, 1);
	client_key = pki_write_key("client.key", &client);
	return 0;
}

static int teardown(void **state)
{
	pki_cert_fini(&root);
	pki_cert_fini(&server);
	pki_cert_fini(&client);
	return 0;
}

static void test_probe(void **state)
{
	assert_true(support.ulp);
	for (int c = 0; c < TLS_CIPHER_COUNT; c++) {
		assert_true(support.cipher13[c]);
		assert_true(support.cipher12[c]);
	}
	assert_int_equal(support.rekey, rekey_expected);
	assert_int_equal(support.why[0] == 0, rekey_expected);
}

static void on_tick(int number)
{
}

/* What a signal without SA_RESTART does here, a ring does that was closed just before. */
static void test_probe_interrupted(void **state)
{
	struct sigaction tick = { .sa_handler = on_tick }, before;
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	struct ktls_support again;

	sigaction(SIGALRM, &tick, &before);
	for (int i = 0; i < 5; i++) {
		setitimer(ITIMER_REAL, &often, NULL);
		ktls_probe(&again);
		setitimer(ITIMER_REAL, &never, NULL);
		assert_string_equal(again.why, support.why);
		assert_int_equal(again.rekey, support.rekey);
	}
	sigaction(SIGALRM, &before, NULL);
}

static void flush_peer(struct session *s)
{
	uint8_t bytes[4096];
	int n;

	while ((n = BIO_read(SSL_get_wbio(s->pair.peer), bytes, sizeof(bytes))) > 0)
		assert_int_equal(send(s->fds[1], bytes, (size_t)n, 0), n);
}

static void session_start(struct session *s, bool we_serve, uint16_t version,
			  enum tls_cipher cipher)
{
	static const char *const tls13[] = { "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
					     "TLS_CHACHA20_POLY1305_SHA256" };
	static const char *const tls12[] = { "ECDHE-ECDSA-AES128-GCM-SHA256",
					     "ECDHE-ECDSA-AES256-GCM-SHA384",
					     "ECDHE-ECDSA-CHACHA20-POLY1305" };
	struct tls_context_params params = {
		.is_server = we_serve,
		.certificate_file = we_serve ? server_cert : client_cert,
		.key_file = we_serve ? server_key : client_key,
		.root_files = (const char *const *)&roots,
		.root_file_count = 1,
		.min_version = 0x0303,
		.server_name = we_serve ? NULL : "broker",
	};
	struct tls_context *context;
	struct err_text err = { "" };

	if (tls_context_new(&params, &context, &err))
		fail_msg("%s", err.text);
	pair_init(&s->pair, context, !we_serve, we_serve ? &client : &server, NULL, 0);
	tls_context_unref(context);
	SSL_CTX_set_num_tickets(s->pair.peer_ctx, 0);
	SSL_CTX_set_max_proto_version(s->pair.peer_ctx, version);
	SSL_CTX_set_ciphersuites(s->pair.peer_ctx, tls13[cipher]);
	SSL_CTX_set_cipher_list(s->pair.peer_ctx, tls12[cipher]);
	pair_run(&s->pair);
	assert_int_equal(tls_handshake_finish(s->pair.hs, &s->keys, &s->peer, &s->summary), 0);
	assert_int_equal(s->summary.version, version);
	assert_int_equal(s->summary.cipher, cipher);
	tcp_pair(s->fds);
	s->cache = NULL;
}

static void session_install(struct session *s)
{
	struct err_text err = { "" };

	if (ktls_install(s->fds[0], s->keys, &support, &err))
		fail_msg("ktls_install: %s", err.text);
}

static void session_fini(struct session *s)
{
	close(s->fds[0]);
	close(s->fds[1]);
	tls_keys_free(s->keys);
	peer_free(s->peer);
	pair_fini(&s->pair);
}

/* The peer reads whatever is on its socket until it has `len` bytes of plaintext. */
static void peer_read(struct session *s, uint8_t *ret, size_t len)
{
	uint8_t bytes[4096];
	size_t got = 0;

	while (got < len) {
		int n = SSL_read(s->pair.peer, ret + got, (int)(len - got));

		if (n > 0) {
			got += (size_t)n;
			continue;
		}
		assert_int_equal(SSL_get_error(s->pair.peer, n), SSL_ERROR_WANT_READ);
		n = (int)recv(s->fds[1], bytes, sizeof(bytes), 0);
		assert_true(n > 0);
		BIO_write(SSL_get_rbio(s->pair.peer), bytes, n);
	}
}

static void read_exactly(int fd, uint8_t *ret, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = recv(fd, ret + got, len - got, 0);

		if (n <= 0)
			fail_msg("recv: %s", n ? strerror(errno) : "end");
		got += (size_t)n;
	}
}

/* One record, opened by ourselves. */
static size_t open_one(struct session *s, uint8_t *ret_type, uint8_t *ret)
{
	static uint8_t record[TLS_RECORD_BYTES_MAX];
	uint8_t type, *payload;
	size_t body, len;

	read_exactly(s->fds[0], record, TLS_RECORD_HEADER_BYTES);
	assert_int_equal(tls_record_check_header(record, &type, &body), TLS_RECORD_OK);
	read_exactly(s->fds[0], record + TLS_RECORD_HEADER_BYTES, body);
	assert_int_equal(aead_open(s->cache, &s->rx, record, TLS_RECORD_HEADER_BYTES + body,
				   ret_type, &payload, &len),
			 AEAD_OK);
	memcpy(ret, payload, len);
	return len;
}

static void we_read(struct session *s, uint8_t *ret, size_t len)
{
	uint8_t type;

	if (!s->cache) {
		read_exactly(s->fds[0], ret, len);
		return;
	}
	for (size_t got = 0; got < len;) {
		got += open_one(s, &type, ret + got);
		assert_int_equal(type, TLS_APPLICATION_DATA);
		assert_true(got <= len);
	}
}

static void exchange(struct session *s)
{
	static const size_t sizes[] = { 1, 200, 16384, 16385, 40000, 3 };
	static uint8_t plain[40000], got[40000];

	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * 131 + i / 251);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t len = sizes[i];

		assert_int_equal(send(s->fds[0], plain, len, 0), len);
		memset(got, 0, len);
		peer_read(s, got, len);
		assert_memory_equal(got, plain, len);

		assert_int_equal(SSL_write(s->pair.peer, plain, (int)len), len);
		flush_peer(s);
		memset(got, 0, len);
		we_read(s, got, len);
		assert_memory_equal(got, plain, len);
	}
}

static void send_control(int fd, uint8_t type, const void *data, size_t len)
{
	char control[CMSG_SPACE(1)] = { 0 };
	struct iovec iov = { (void *)data, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_TLS;
	cmsg->cmsg_type = TLS_SET_RECORD_TYPE;
	cmsg->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(cmsg) = type;
	assert_int_equal(sendmsg(fd, &msg, 0), len);
}

static size_t recv_control(int fd, uint8_t *ret_type, uint8_t *ret, size_t room)
{
	char control[CMSG_SPACE(1)] = { 0 };
	struct iovec iov = { ret, room };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &msg, 0);
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	if (n < 0)
		fail_msg("recvmsg: %s", strerror(errno));
	*ret_type = TLS_APPLICATION_DATA;
	if (cmsg && cmsg->cmsg_level == SOL_TLS && cmsg->cmsg_type == TLS_GET_RECORD_TYPE)
		*ret_type = *CMSG_DATA(cmsg);
	return (size_t)n;
}

static void close_both(struct session *s)
{
	uint8_t bytes[64], type;
	ssize_t n;

	send_control(s->fds[0], TLS_ALERT, "\x01\x00", 2);
	n = recv(s->fds[1], bytes, sizeof(bytes), 0);
	assert_true(n > 0);
	BIO_write(SSL_get_rbio(s->pair.peer), bytes, (int)n);
	assert_int_equal(SSL_read(s->pair.peer, bytes, 1), 0);
	assert_true(SSL_get_shutdown(s->pair.peer) & SSL_RECEIVED_SHUTDOWN);
	SSL_shutdown(s->pair.peer);
	flush_peer(s);
	assert_int_equal(recv_control(s->fds[0], &type, bytes, sizeof(bytes)), 2);
	assert_int_equal(type, TLS_ALERT);
	assert_memory_equal(bytes, "\x01\x00", 2);
}

static void test_every_suite(void **state)
{
	for (int c = 0; c < 4 * TLS_CIPHER_COUNT; c++) {
		struct session s;

		session_start(&s, c & 1, c & 2 ? 0x0303 : 0x0304, c / 4);
		session_install(&s);
		exchange(&s);
		close_both(&s);
		session_fini(&s);
	}
}

/* Data that came with the client's last flight waits in the socket while the keys go in. */
static void test_early_bird(void **state)
{
	struct session s;
	uint8_t got[64];

	session_start(&s, true, 0x0304, TLS_CIPHER_AES_128_GCM_SHA256);
	assert_int_equal(SSL_write(s.pair.peer, "early bird", 10), 10);
	flush_peer(&s);
	assert_int_equal(recv(s.fds[0], got, sizeof(got), MSG_PEEK), 5 + 10 + 17);
	session_install(&s);
	read_exactly(s.fds[0], got, 10);
	assert_memory_equal(got, "early bird", 10);
	exchange(&s);
	session_fini(&s);
}

static void peer_updates(struct session *s)
{
	struct post_handshake ph = { 0 };
	uint8_t bytes[64], type, alert;
	size_t n;

	assert_int_equal(SSL_key_update(s->pair.peer, SSL_KEY_UPDATE_REQUESTED), 1);
	assert_int_equal(SSL_do_handshake(s->pair.peer), 1);
	flush_peer(s);
	n = recv_control(s->fds[0], &type, bytes, sizeof(bytes));
	assert_int_equal(post_handshake_record(&ph, 0x0304, false, type, bytes, n, &alert),
			 POST_HANDSHAKE_KEY_UPDATE_REQUESTED);
	assert_int_equal(tls13_update_key(s->keys->cipher, &s->keys->rx), 0);
}

static void we_update(struct session *s)
{
	uint8_t message[KEY_UPDATE_MESSAGE_BYTES];

	key_update_message(message, false);
	send_control(s->fds[0], TLS_HANDSHAKE, message, sizeof(message));
	assert_int_equal(tls13_update_key(s->keys->cipher, &s->keys->tx), 0);
}

static void test_rekey(void **state)
{
	for (int c = 0; c < TLS_CIPHER_COUNT; c++) {
		struct session s;

		session_start(&s, true, 0x0304, c);
		session_install(&s);
		exchange(&s);
		for (int turn = 0; turn < 3; turn++) {
			int r;

			peer_updates(&s);
			r = ktls_rekey(s.fds[0], s.keys, false);
			if (!rekey_expected) {
				assert_int_equal(r, -EBUSY);
				assert_int_equal(ktls_rekey(s.fds[0], s.keys, true), -EBUSY);
				break;
			}
			assert_int_equal(r, 0);
			we_update(&s);
			assert_int_equal(ktls_rekey(s.fds[0], s.keys, true), 0);
			exchange(&s);
		}
		session_fini(&s);
	}
}

/* Nobody is to pad; who does, and what is no data at all, comes through as ever. */
static void test_expect_unpadded(void **state)
{
	assert_true(support.unpadded);
	for (int c = 0; c < TLS_CIPHER_COUNT; c++) {
		struct session s;

		session_start(&s, true, 0x0304, c);
		session_install(&s);
		assert_int_equal(ktls_expect_unpadded(s.fds[0]), 0);
		exchange(&s);
		SSL_set_block_padding(s.pair.peer, 1024);
		exchange(&s);
		SSL_set_block_padding(s.pair.peer, 0);
		exchange(&s);
		if (rekey_expected) {
			peer_updates(&s);
			assert_int_equal(ktls_rekey(s.fds[0], s.keys, false), 0);
			exchange(&s);
		}
		session_fini(&s);
	}
}

/* The kernel seals, we open; new keys for both directions. */
static void test_sending_only(void **state)
{
	for (int c = 0; c < 4 * TLS_CIPHER_COUNT; c++) {
		struct session s;
		struct err_text err = { "" };
		uint8_t got[16384], type;

		session_start(&s, c & 1, c & 2 ? 0x0303 : 0x0304, c / 4);
		assert_int_equal(aead_cache_new(2, &s.cache), 0);
		aead_init(&s.rx, s.keys, false);
		if (ktls_install_sending(s.fds[0], s.keys, &support, &err) != KTLS_OK)
			fail_msg("%s", err.text);
		exchange(&s);
		if (rekey_expected && !(c & 2)) {
			assert_int_equal(SSL_key_update(s.pair.peer, SSL_KEY_UPDATE_REQUESTED), 1);
			assert_int_equal(SSL_do_handshake(s.pair.peer), 1);
			flush_peer(&s);
			assert_int_equal(open_one(&s, &type, got), 5);
			assert_int_equal(type, TLS_HANDSHAKE);
			aead_release(s.cache, &s.rx);
			assert_int_equal(tls13_update_key(s.keys->cipher, &s.keys->rx), 0);
			s.keys->rx_sequence = 0;
			we_update(&s);
			assert_int_equal(ktls_rekey(s.fds[0], s.keys, true), 0);
			exchange(&s);
		}
		aead_release(s.cache, &s.rx);
		aead_cache_free(s.cache);
		session_fini(&s);
	}
}

/* Every way brings every byte, and leaves nothing behind; how dear it is nobody asks here. */
static void test_calibrate(void **state)
{
	static const struct ktls_ways usual = { KTLS_WAY_SPLICE, KTLS_WAY_COPY };
	static struct ktls_calibration calibration;
	const unsigned int all = (1U << TLS_CIPHER_COUNT) - 1;
	struct ktls_suites wanted = { { all, all } };
	size_t before = open_fds();

	ktls_calibrate(&calibration, &support, &wanted, 600000);
	assert_int_equal(open_fds(), before);
	for (int i = 0; i < KTLS_VERSION_COUNT * TLS_CIPHER_COUNT; i++) {
		const struct ktls_costs *costs = &calibration.costs[i % 2][i / 2];
		struct err_text why;

		if (!costs->measured)
			fail_msg("suite %d: %s", i, costs->why.text);
		for (int d = 0; d < KTLS_DIRECTION_COUNT; d++)
			for (int way = 0; way < KTLS_WAY_COUNT; way++) {
				bool exists =
					way != KTLS_WAY_UNPADDED || (i % 2 && d == KTLS_RECEIVING);

				assert_int_equal(ktls_cost(costs, d, KTLS_LARGE, way) > 0, exists);
				assert_int_equal(ktls_cost(costs, d, KTLS_SMALL, way) > 0,
						 exists && way != KTLS_WAY_SPLICE);
			}
		printf("suite %d: %s", i, ktls_use_name(ktls_choose(costs, &usual, &why)));
		printf(": %s\n", why.text);
	}
}

static void test_not_fit(void **state)
{
	struct session s;
	struct err_text err = { "" };
	uint8_t byte;

	session_start(&s, true, 0x0304, TLS_CIPHER_AES_128_GCM_SHA256);
	shutdown(s.fds[1], SHUT_WR);
	assert_int_equal(recv(s.fds[0], &byte, 1, 0), 0);
	assert_int_equal(ktls_install(s.fds[0], s.keys, &support, &err), KTLS_NOT_POSSIBLE);
	assert_non_null(strstr(err.text, "ended its side"));
	session_fini(&s);
	session_start(&s, true, 0x0304, TLS_CIPHER_AES_128_GCM_SHA256);
	session_install(&s);
	assert_int_equal(ktls_install(s.fds[0], s.keys, &support, &err), KTLS_NOT_POSSIBLE);
	session_fini(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probe),	     cmocka_unit_test(test_probe_interrupted),
		cmocka_unit_test(test_every_suite),  cmocka_unit_test(test_early_bird),
		cmocka_unit_test(test_rekey),	     cmocka_unit_test(test_expect_unpadded),
		cmocka_unit_test(test_sending_only), cmocka_unit_test(test_calibrate),
		cmocka_unit_test(test_not_fit),
	};

	if (argc != 2 || (strcmp(argv[1], "rekey") && strcmp(argv[1], "no-rekey"))) {
		fprintf(stderr, "usage: ktls-check rekey | no-rekey\n");
		return 2;
	}
	rekey_expected = !strcmp(argv[1], "rekey");
	return cmocka_run_group_tests(tests, setup, teardown);
}
