/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handshakes that succeed, both roles, every version, cipher and kind of key; and proof that the
 * keys we derive are libssl's: what our record layer seals the peer's SSL reads, and the other way
 * round.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "base/util.h"
#include "pair.h"
#include "tls/aead.h"

static struct {
	struct pki_cert root, other_root, middle, server, client;
	const char *roots, *other_roots, *server_cert, *server_key, *client_cert, *client_key;
} pki;

static int setup(void **state)
{
	const struct pki_cert *chain[2], *one[1];

	pki_make(&pki.root, NULL, &(struct pki_spec){ .cn = "Root A", .is_ca = true });
	pki_make(&pki.other_root, NULL, &(struct pki_spec){ .cn = "Root B", .is_ca = true });
	pki_make(&pki.middle, &pki.root,
		 &(struct pki_spec){
			 .cn = "Middle A", .is_ca = true, .path_length = PKI_PATH_ZERO });
	pki_make(&pki.server, &pki.middle,
		 &(struct pki_spec){ .cn = "broker-1",
				     .san = "DNS:broker-1,DNS:*.brokers.test,IP:127.0.0.1,IP:::1",
				     .usage = "serverAuth" });
	pki_make(&pki.client, &pki.root,
		 &(struct pki_spec){ .cn = "svc-orders",
				     .san = "DNS:orders.test,URI:spiffe://test/ns/shop/sa/orders,"
					    "email:nobody@test,DNS:orders-2.test",
				     .usage = "clientAuth",
				     .serial_hex = "0fA1b2c3D4" });
	one[0] = &pki.root;
	pki.roots = pki_write_certs("roots.crt", one, 1);
	one[0] = &pki.other_root;
	pki.other_roots = pki_write_certs("other.crt", one, 1);
	chain[0] = &pki.server;
	chain[1] = &pki.middle;
	pki.server_cert = pki_write_certs("server.crt", chain, 2);
	pki.server_key = pki_write_key("server.key", &pki.server);
	one[0] = &pki.client;
	pki.client_cert = pki_write_certs("client.crt", one, 1);
	pki.client_key = pki_write_key("client.key", &pki.client);
	return 0;
}

static int teardown(void **state)
{
	pki_cert_fini(&pki.root);
	pki_cert_fini(&pki.other_root);
	pki_cert_fini(&pki.middle);
	pki_cert_fini(&pki.server);
	pki_cert_fini(&pki.client);
	return 0;
}

static struct tls_context_params server_params(const char *const *roots, size_t count)
{
	return (struct tls_context_params){
		.is_server = true,
		.certificate_file = pki.server_cert,
		.key_file = pki.server_key,
		.root_files = roots,
		.root_file_count = count,
		.min_version = 0x0303,
	};
}

static struct tls_context_params client_params(const char *name)
{
	return (struct tls_context_params){
		.certificate_file = pki.client_cert,
		.key_file = pki.client_key,
		.root_files = &pki.roots,
		.root_file_count = 1,
		.min_version = 0x0303,
		.server_name = name,
	};
}

static struct tls_context *context_of(const struct tls_context_params *params)
{
	struct tls_context *context = NULL;
	struct err_text err = { "" };

	if (tls_context_new(params, &context, &err))
		fail_msg("%s", err.text);
	return context;
}

/* Data of many sizes in both directions, then close_notify in both. */
static void exchange(struct pair *pair, struct tls_keys *keys)
{
	static const size_t sizes[] = { 1, 200, 16384, 5, 1000 };
	static uint8_t record[TLS_RECORD_BYTES_MAX], plain[16384], got[16384];
	uint8_t type, *payload, alert[64];
	struct aead_cache *cache;
	struct aead tx, rx;
	size_t n;

	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * 7 + 3);
	assert_int_equal(aead_cache_new(2, &cache), 0);
	aead_init(&tx, keys, true);
	aead_init(&rx, keys, false);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t prefix = aead_prefix_bytes(&tx), pending;

		memcpy(record + prefix, plain, sizes[i]);
		assert_int_equal(aead_seal(cache, &tx, TLS_APPLICATION_DATA, record, sizes[i]), 0);
		n = prefix + sizes[i] + aead_suffix_bytes(&tx);
		BIO_write(SSL_get_rbio(pair->peer), record, (int)n);
		assert_int_equal(SSL_read(pair->peer, got, sizeof(got)), sizes[i]);
		assert_memory_equal(got, plain, sizes[i]);

		assert_int_equal(SSL_write(pair->peer, plain, (int)sizes[i]), sizes[i]);
		pending = BIO_ctrl_pending(SSL_get_wbio(pair->peer));
		assert_in_range(pending, 1, sizeof(record));
		BIO_read(SSL_get_wbio(pair->peer), record, (int)pending);
		assert_int_equal(aead_open(cache, &rx, record, pending, &type, &payload, &n),
				 AEAD_OK);
		assert_int_equal(type, TLS_APPLICATION_DATA);
		assert_int_equal(n, sizes[i]);
		assert_memory_equal(payload, plain, n);
	}
	memcpy(alert + aead_prefix_bytes(&tx), "\x01\x00", 2);
	assert_int_equal(aead_seal(cache, &tx, TLS_ALERT, alert, 2), 0);
	BIO_write(SSL_get_rbio(pair->peer), alert,
		  (int)(aead_prefix_bytes(&tx) + 2 + aead_suffix_bytes(&tx)));
	assert_int_equal(SSL_read(pair->peer, got, 1), 0);
	assert_true(SSL_get_shutdown(pair->peer) & SSL_RECEIVED_SHUTDOWN);
	SSL_shutdown(pair->peer);
	n = (size_t)BIO_read(SSL_get_wbio(pair->peer), record, sizeof(record));
	assert_int_equal(aead_open(cache, &rx, record, n, &type, &payload, &n), AEAD_OK);
	assert_int_equal(type, TLS_ALERT);
	assert_memory_equal(payload, "\x01\x00", 2);
	aead_release(cache, &tx);
	aead_release(cache, &rx);
	aead_cache_free(cache);
}

static const char *const tls13_names[] = { "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
					   "TLS_CHACHA20_POLY1305_SHA256" };
static const char *const tls12_names[] = { "ECDHE-ECDSA-AES128-GCM-SHA256",
					   "ECDHE-ECDSA-AES256-GCM-SHA384",
					   "ECDHE-ECDSA-CHACHA20-POLY1305" };

static void check_finish(struct pair *pair, uint16_t version, enum tls_cipher cipher)
{
	struct tls_handshake_summary summary;
	struct tls_keys *keys = NULL;
	struct peer *peer = NULL;

	if (pair->status != TLS_HANDSHAKE_DONE) {
		const char *detail;
		enum tls_refusal refusal = tls_handshake_refusal(pair->hs, &detail);

		fail_msg("status %d, %s: %s", pair->status, tls_refusal_name(refusal), detail);
	}
	assert_true(pair->peer_done);
	assert_non_null(tls_handshake_claimed_peer(pair->hs));
	assert_int_equal(tls_handshake_finish(pair->hs, &keys, &peer, &summary), 0);
	assert_int_equal(tls_handshake_finish(pair->hs, &keys, &peer, &summary), -EINVAL);
	assert_int_equal(summary.version, version);
	assert_int_equal(summary.cipher, cipher);
	assert_string_equal(summary.group, "X25519");
	assert_string_equal(summary.alpn, "");
	assert_int_equal(keys->version, version);
	assert_int_equal(keys->cipher, cipher);
	assert_int_equal(keys->rx_sequence, version == 0x0303);
	assert_int_equal(keys->tx_sequence, version == 0x0303);
	exchange(pair, keys);
	tls_keys_free(keys);
	peer_free(peer);
}

static void test_every_suite(void **state)
{
	struct tls_context_params server = server_params(&pki.roots, 1);
	struct tls_context_params client = client_params("broker-1");
	const struct pki_cert *chain[] = { &pki.middle };

	for (int c = 0; c < 4 * TLS_CIPHER_COUNT; c++) {
		bool we_serve = c & 1;
		uint16_t version = c & 2 ? 0x0303 : 0x0304;
		enum tls_cipher cipher = c / 4;
		struct tls_context *context = context_of(we_serve ? &server : &client);
		struct pair pair;

		if (we_serve)
			pair_init(&pair, context, false, &pki.client, NULL, 0);
		else
			pair_init(&pair, context, true, &pki.server, chain, 1);
		tls_context_unref(context); /* the handshake holds it */
		SSL_CTX_set_num_tickets(pair.peer_ctx, 0);
		SSL_CTX_set_max_proto_version(pair.peer_ctx, version);
		assert_int_equal(SSL_CTX_set_ciphersuites(pair.peer_ctx, tls13_names[cipher]), 1);
		assert_int_equal(SSL_CTX_set_cipher_list(pair.peer_ctx, tls12_names[cipher]), 1);
		pair_run(&pair);
		check_finish(&pair, version, cipher);
		pair_fini(&pair);
	}
}

static void test_our_order_counts(void **state)
{
	struct tls_context_params params = server_params(&pki.roots, 1);
	struct tls_context *context;
	struct pair pair;

	params.ciphers[0] = TLS_CIPHER_CHACHA20_POLY1305_SHA256;
	params.ciphers[1] = TLS_CIPHER_AES_128_GCM_SHA256;
	params.cipher_count = 2;
	context = context_of(&params);
	for (int version = 0x0303; version <= 0x0304; version++) {
		pair_init(&pair, context, false, &pki.client, NULL, 0);
		SSL_CTX_set_max_proto_version(pair.peer_ctx, version);
		pair_run(&pair);
		check_finish(&pair, (uint16_t)version, TLS_CIPHER_CHACHA20_POLY1305_SHA256);
		pair_fini(&pair);
	}
	tls_context_unref(context);
}

static void test_key_types(void **state)
{
	static const char *const kinds[] = { "P-256",	"P-384",    "P-521",
					     "ED25519", "RSA:2048", "RSA:3072" };
	struct tls_context_params params = server_params(&pki.roots, 1);

	for (size_t i = 0; i < ARRAY_SIZE(kinds) * 2; i++) {
		struct pki_cert leaf, server;
		const struct pki_cert *one[1] = { &server };
		struct tls_context *context;
		struct pair pair;
		bool old = i % 2;

		/* TLS 1.2 ties certificates to the groups, and P-521 is not among them. */
		if (old && !strcmp(kinds[i / 2], "P-521"))
			continue;

		pki_make(&leaf, &pki.root, &(struct pki_spec){ .cn = "x", .key = kinds[i / 2] });
		pki_make(&server, &pki.root, &(struct pki_spec){ .cn = "y", .key = kinds[i / 2] });
		params.certificate_file = pki_write_certs("any.crt", one, 1);
		params.key_file = pki_write_key("any.key", &server);
		context = context_of(&params);
		pair_init(&pair, context, false, &leaf, NULL, 0);
		if (old)
			SSL_CTX_set_max_proto_version(pair.peer_ctx, 0x0303);
		pair_run(&pair);
		check_finish(&pair, old ? 0x0303 : 0x0304, TLS_CIPHER_AES_128_GCM_SHA256);
		pair_fini(&pair);
		tls_context_unref(context);
		pki_cert_fini(&leaf);
		pki_cert_fini(&server);
	}
}

static void test_peer_identity(void **state)
{
	struct tls_context_params params = server_params(&pki.roots, 1);
	struct tls_context *context = context_of(&params);
	struct tls_handshake_summary summary;
	struct tls_keys *keys;
	struct peer *peer;
	struct pair pair;

	pair_init(&pair, context, false, &pki.client, NULL, 0);
	pair_run(&pair);
	assert_int_equal(tls_handshake_finish(pair.hs, &keys, &peer, &summary), 0);
	assert_string_equal(peer->cn, "svc-orders");
	assert_string_equal(peer->issuer_cn, "Root A");
	assert_string_equal(peer->serial, "0fa1b2c3d4");
	assert_string_equal(peer->dns[0], "orders.test");
	assert_string_equal(peer->dns[1], "orders-2.test");
	assert_null(peer->dns[2]);
	assert_string_equal(peer->uris[0], "spiffe://test/ns/shop/sa/orders");
	assert_null(peer->uris[1]);
	assert_in_range(peer->not_after, time(NULL) + 86000, time(NULL) + 86500);
	peer_free(peer);
	tls_keys_free(keys);
	pair_fini(&pair);
	tls_context_unref(context);
}

static void test_several_roots(void **state)
{
	const char *roots[] = { pki.other_roots, pki.roots };
	struct tls_context_params params = server_params(roots, 2);
	struct tls_context *context = context_of(&params);
	struct pki_cert other;
	const struct pki_cert *clients[] = { &pki.client, &other };

	pki_make(&other, &pki.other_root, &(struct pki_spec){ .cn = "svc-b" });
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
		struct pair pair;

		pair_init(&pair, context, false, clients[i], NULL, 0);
		pair_run(&pair);
		check_finish(&pair, 0x0304, TLS_CIPHER_AES_128_GCM_SHA256);
		pair_fini(&pair);
	}
	tls_context_unref(context);
	pki_cert_fini(&other);
}

static void test_client_names(void **state)
{
	static const char *const names[] = { "broker-1", "BROKER-1", "b7.brokers.test", "127.0.0.1",
					     "::1" };
	const struct pki_cert *chain[] = { &pki.middle };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct tls_context_params params = client_params(names[i]);
		struct tls_context *context = context_of(&params);
		const char *sni;
		struct pair pair;

		pair_init(&pair, context, true, &pki.server, chain, 1);
		SSL_CTX_set_num_tickets(pair.peer_ctx, 0);
		pair_run(&pair);
		sni = SSL_get_servername(pair.peer, TLSEXT_NAMETYPE_host_name);
		if (i < 3)
			assert_string_equal(sni, names[i]);
		else
			assert_null(sni);
		assert_non_null(SSL_get0_peer_certificate(pair.peer));
		check_finish(&pair, 0x0304, TLS_CIPHER_AES_128_GCM_SHA256);
		pair_fini(&pair);
		tls_context_unref(context);
	}
}

static int choose_second(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
			 const unsigned char *in, unsigned int in_bytes, void *arg)
{
	*ret = in + 1 + in[0] + 1;
	*ret_len = in[1 + in[0]];
	return SSL_TLSEXT_ERR_OK;
}

static void test_alpn(void **state)
{
	static const char *const ours[] = { "kafka", "h2" };
	static const struct {
		const char *offer; /* wire form */
		bool we_have_a_list;
		const char *expected; /* NULL: refused */
	} rows[] = {
		{ "\x02h2\x05kafka", true, "kafka" }, { "\x02h2", true, "h2" }, { "", true, "" },
		{ "\x04spdy", true, NULL },	      { "\x02h2", false, "" },	{ "", false, "" },
	};
	struct tls_context_params client = client_params("broker-1");
	struct tls_context *context;
	struct pair pair;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct tls_context_params params = server_params(&pki.roots, 1);
		struct tls_handshake_summary summary;
		struct tls_keys *keys;
		struct peer *peer;

		params.alpn = ours;
		params.alpn_count = rows[i].we_have_a_list ? 2 : 0;
		context = context_of(&params);
		pair_init(&pair, context, false, &pki.client, NULL, 0);
		SSL_CTX_set_alpn_protos(pair.peer_ctx, (const uint8_t *)rows[i].offer,
					(unsigned int)strlen(rows[i].offer));
		pair_run(&pair);
		if (rows[i].expected) {
			assert_int_equal(pair.status, TLS_HANDSHAKE_DONE);
			assert_int_equal(tls_handshake_finish(pair.hs, &keys, &peer, &summary), 0);
			assert_string_equal(summary.alpn, rows[i].expected);
			tls_keys_free(keys);
			peer_free(peer);
		} else {
			assert_int_equal(pair.status, TLS_HANDSHAKE_FAILED);
			assert_int_equal(tls_handshake_refusal(pair.hs, NULL), TLS_REFUSAL_ALPN);
			assert_int_equal(pair.alert_to_peer, SSL_AD_NO_APPLICATION_PROTOCOL);
		}
		pair_fini(&pair);
		tls_context_unref(context);
	}
	client.alpn = ours;
	client.alpn_count = 2;
	context = context_of(&client);
	pair_init(&pair, context, true, &pki.server, (const struct pki_cert *[]){ &pki.middle }, 1);
	SSL_CTX_set_alpn_select_cb(pair.peer_ctx, choose_second, NULL);
	pair_run(&pair);
	{
		struct tls_handshake_summary summary;
		struct tls_keys *keys;
		struct peer *peer;

		assert_int_equal(tls_handshake_finish(pair.hs, &keys, &peer, &summary), 0);
		assert_string_equal(summary.alpn, "h2");
		tls_keys_free(keys);
		peer_free(peer);
	}
	pair_fini(&pair);
	tls_context_unref(context);
}

static void test_server_names(void **state)
{
	static const struct {
		const char *ours, *sni;
		bool good;
	} rows[] = {
		{ NULL, "anything", true },	   { "broker-1", NULL, true },
		{ "broker-1", "broker-1", true },  { "broker-1", "Broker-1", true },
		{ "broker-1", "broker-2", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct tls_context_params params = server_params(&pki.roots, 1);
		struct tls_context *context;
		struct pair pair;

		params.server_name = rows[i].ours;
		context = context_of(&params);
		pair_init(&pair, context, false, &pki.client, NULL, 0);
		pair_start(&pair);
		if (rows[i].sni)
			SSL_set_tlsext_host_name(pair.peer, rows[i].sni);
		pair_run(&pair);
		if (rows[i].good) {
			assert_int_equal(pair.status, TLS_HANDSHAKE_DONE);
		} else {
			assert_int_equal(pair.status, TLS_HANDSHAKE_FAILED);
			assert_int_equal(tls_handshake_refusal(pair.hs, NULL), TLS_REFUSAL_SNI);
			assert_int_equal(pair.alert_to_peer, SSL_AD_UNRECOGNIZED_NAME);
		}
		pair_fini(&pair);
		tls_context_unref(context);
	}
}

/* What a client sends right behind its Finished is never fed to us: the step says DONE at the very
 * record that ends the handshake. */
static void test_done_at_the_last_record(void **state)
{
	struct tls_context_params params = server_params(&pki.roots, 1);
	struct tls_context *context = context_of(&params);
	struct tls_handshake_summary summary;
	uint8_t record[256], type, *payload;
	struct aead_cache *cache;
	struct tls_keys *keys;
	struct peer *peer;
	struct aead rx;
	struct pair pair;
	size_t n;

	pair_init(&pair, context, false, &pki.client, NULL, 0);
	pair_start(&pair);
	SSL_do_handshake(pair.peer);
	pair_deliver(&pair, SIZE_MAX);
	assert_int_equal(SSL_do_handshake(pair.peer), 1);
	assert_int_equal(SSL_write(pair.peer, "early bird", 10), 10);
	pair_deliver(&pair, SIZE_MAX); /* stops at DONE */
	assert_int_equal(pair.status, TLS_HANDSHAKE_DONE);
	assert_int_equal(tls_handshake_step(pair.hs, (const uint8_t *)"x", 1), TLS_HANDSHAKE_DONE);
	n = (size_t)BIO_read(SSL_get_wbio(pair.peer), record, sizeof(record));
	assert_int_equal(tls_handshake_finish(pair.hs, &keys, &peer, &summary), 0);
	assert_int_equal(aead_cache_new(2, &cache), 0);
	aead_init(&rx, keys, false);
	assert_int_equal(aead_open(cache, &rx, record, n, &type, &payload, &n), AEAD_OK);
	assert_memory_equal(payload, "early bird", 10);
	aead_release(cache, &rx);
	aead_cache_free(cache);
	tls_keys_free(keys);
	peer_free(peer);
	pair_fini(&pair);
	tls_context_unref(context);
}

/* KeyUpdate: the next generation is libssl's next generation. */
static void test_key_update(void **state)
{
	struct tls_context_params params = server_params(&pki.roots, 1);
	struct tls_context *context = context_of(&params);
	struct tls_handshake_summary summary;
	uint8_t record[256], type, *payload;
	struct aead_cache *cache;
	struct tls_keys *keys;
	struct peer *peer;
	struct aead rx;
	struct pair pair;
	size_t n;

	pair_init(&pair, context, false, &pki.client, NULL, 0);
	pair_run(&pair);
	assert_int_equal(tls_handshake_finish(pair.hs, &keys, &peer, &summary), 0);
	assert_int_equal(aead_cache_new(2, &cache), 0);
	aead_init(&rx, keys, false);
	assert_int_equal(SSL_key_update(pair.peer, SSL_KEY_UPDATE_REQUESTED), 1);
	assert_int_equal(SSL_do_handshake(pair.peer), 1);
	n = (size_t)BIO_read(SSL_get_wbio(pair.peer), record, sizeof(record));
	assert_int_equal(aead_open(cache, &rx, record, n, &type, &payload, &n), AEAD_OK);
	assert_int_equal(type, TLS_HANDSHAKE);
	aead_release(cache, &rx);
	assert_int_equal(tls13_update_key(summary.cipher, &keys->rx), 0);
	keys->rx_sequence = 0;
	assert_int_equal(SSL_write(pair.peer, "after", 5), 5);
	n = (size_t)BIO_read(SSL_get_wbio(pair.peer), record, sizeof(record));
	assert_int_equal(aead_open(cache, &rx, record, n, &type, &payload, &n), AEAD_OK);
	assert_memory_equal(payload, "after", 5);
	aead_release(cache, &rx);
	aead_cache_free(cache);
	tls_keys_free(keys);
	peer_free(peer);
	pair_fini(&pair);
	tls_context_unref(context);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_suite),
		cmocka_unit_test(test_our_order_counts),
		cmocka_unit_test(test_key_types),
		cmocka_unit_test(test_peer_identity),
		cmocka_unit_test(test_several_roots),
		cmocka_unit_test(test_client_names),
		cmocka_unit_test(test_alpn),
		cmocka_unit_test(test_server_names),
		cmocka_unit_test(test_done_at_the_last_record),
		cmocka_unit_test(test_key_update),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
