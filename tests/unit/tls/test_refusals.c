/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everybody who must not get in: the refusal that is counted, and the alert that the peer sees.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "base/util.h"
#include "limits/limits.h"
#include "pair.h"
#include "tls/record.h"

#define DAY 86400

static struct {
	struct pki_cert root, foreign_root, middle, server, client;
	const char *roots, *server_cert, *server_key, *client_cert, *client_key;
} pki;

static int setup(void **state)
{
	const struct pki_cert *one[1];

	pki_make(&pki.root, NULL, &(struct pki_spec){ .cn = "Root", .is_ca = true });
	pki_make(&pki.foreign_root, NULL, &(struct pki_spec){ .cn = "Foreign", .is_ca = true });
	pki_make(&pki.middle, &pki.root,
		 &(struct pki_spec){ .cn = "Middle", .is_ca = true, .path_length = PKI_PATH_ZERO });
	pki_make(&pki.server, &pki.root,
		 &(struct pki_spec){ .cn = "broker", .san = "DNS:broker", .usage = "serverAuth" });
	pki_make(&pki.client, &pki.root, &(struct pki_spec){ .cn = "svc", .usage = "clientAuth" });
	one[0] = &pki.root;
	pki.roots = pki_write_certs("roots.crt", one, 1);
	one[0] = &pki.server;
	pki.server_cert = pki_write_certs("server.crt", one, 1);
	pki.server_key = pki_write_key("server.key", &pki.server);
	one[0] = &pki.client;
	pki.client_cert = pki_write_certs("client.crt", one, 1);
	pki.client_key = pki_write_key("client.key", &pki.client);
	return 0;
}

static int teardown(void **state)
{
	pki_cert_fini(&pki.root);
	pki_cert_fini(&pki.foreign_root);
	pki_cert_fini(&pki.middle);
	pki_cert_fini(&pki.server);
	pki_cert_fini(&pki.client);
	return 0;
}

static struct tls_context *make_context(bool is_server, uint16_t min_version, const char *name)
{
	struct tls_context_params params = {
		.is_server = is_server,
		.certificate_file = is_server ? pki.server_cert : pki.client_cert,
		.key_file = is_server ? pki.server_key : pki.client_key,
		.root_files = (const char *const *)&pki.roots,
		.root_file_count = 1,
		.min_version = min_version,
		.server_name = name,
	};
	struct tls_context *context = NULL;
	struct err_text err = { "" };

	if (tls_context_new(&params, &context, &err))
		fail_msg("%s", err.text);
	return context;
}

static struct tls_context *server_context(uint16_t min_version)
{
	return make_context(true, min_version, NULL);
}

/* alert 0: none is expected to get through. */
static void expect(struct pair *pair, enum tls_refusal refusal, int alert, const char *what)
{
	const char *detail;
	enum tls_refusal got = tls_handshake_refusal(pair->hs, &detail);

	if (pair->status != TLS_HANDSHAKE_FAILED || got != refusal ||
	    pair->alert_to_peer != (alert ? alert : -1))
		fail_msg("%s: status %d, %s (%s), alert %s; expected %s, %s", what, pair->status,
			 tls_refusal_name(got), detail,
			 pair->alert_to_peer < 0 ? "none"
						 : tls_alert_name((uint8_t)pair->alert_to_peer),
			 tls_refusal_name(refusal), tls_alert_name((uint8_t)alert));
	assert_true(*detail);
	for (const char *c = detail; *c; c++)
		assert_true(*c >= 0x20);
	assert_int_equal(ERR_peek_error(), 0);
}

struct bad_client {
	const char *what;
	struct pki_spec spec;
	bool foreign, self_signed, through_middle;
	enum tls_refusal refusal;
	int alert;
};

static const struct bad_client bad_clients[] = {
	{ "wrong CA",
	  { .cn = "svc" },
	  .foreign = true,
	  .refusal = TLS_REFUSAL_UNKNOWN_CA,
	  .alert = SSL_AD_UNKNOWN_CA },
	{ "self-signed",
	  { .cn = "svc" },
	  .self_signed = true,
	  .refusal = TLS_REFUSAL_SELF_SIGNED,
	  .alert = SSL_AD_UNKNOWN_CA },
	{ "self-signed CA",
	  { .cn = "svc", .is_ca = true },
	  .self_signed = true,
	  .refusal = TLS_REFUSAL_SELF_SIGNED,
	  .alert = SSL_AD_UNKNOWN_CA },
	{ "expired",
	  { .cn = "svc", .starts_seconds = -2 * DAY, .ends_seconds = -60 },
	  .refusal = TLS_REFUSAL_EXPIRED,
	  .alert = SSL_AD_CERTIFICATE_EXPIRED },
	{ "not yet valid",
	  { .cn = "svc", .starts_seconds = DAY, .ends_seconds = 2 * DAY },
	  .refusal = TLS_REFUSAL_NOT_YET_VALID,
	  .alert = SSL_AD_BAD_CERTIFICATE },
	{ "a server's",
	  { .cn = "svc", .usage = "serverAuth" },
	  .refusal = TLS_REFUSAL_WRONG_PURPOSE,
	  .alert = SSL_AD_UNSUPPORTED_CERTIFICATE },
	{ "mail only",
	  { .cn = "svc", .usage = "emailProtection" },
	  .refusal = TLS_REFUSAL_WRONG_PURPOSE,
	  .alert = SSL_AD_UNSUPPORTED_CERTIFICATE },
	{ "weak key",
	  { .cn = "svc", .key = "RSA:1024" },
	  .refusal = TLS_REFUSAL_WEAK_KEY,
	  .alert = SSL_AD_BAD_CERTIFICATE },
	{ "control character in the CN",
	  { .cn = "svc\tadmin" },
	  .refusal = TLS_REFUSAL_BAD_CERTIFICATE,
	  .alert = SSL_AD_BAD_CERTIFICATE },
	{ "C1 control character in the CN",
	  { .cn = "svc\xc2\x85" },
	  .refusal = TLS_REFUSAL_BAD_CERTIFICATE,
	  .alert = SSL_AD_BAD_CERTIFICATE },
	{ "NUL in the CN",
	  { .raw_cn = (const uint8_t *)"svc\0evil", .raw_cn_bytes = 8 },
	  .refusal = TLS_REFUSAL_BAD_CERTIFICATE,
	  .alert = SSL_AD_BAD_CERTIFICATE },
	{ "NUL in a DNS name",
	  { .cn = "svc", .raw_dns = (const uint8_t *)"a\0b", .raw_dns_bytes = 3 },
	  .refusal = TLS_REFUSAL_BAD_CERTIFICATE,
	  .alert = SSL_AD_BAD_CERTIFICATE },
	{ "a blank in a DNS name",
	  { .cn = "svc", .raw_dns = (const uint8_t *)"a b", .raw_dns_bytes = 3 },
	  .refusal = TLS_REFUSAL_BAD_CERTIFICATE,
	  .alert = SSL_AD_BAD_CERTIFICATE },
	{ "a long serial number",
	  { .cn = "svc", .serial_hex = "112233445566778899aabbccddeeff112233445566" },
	  .refusal = TLS_REFUSAL_BAD_CERTIFICATE,
	  .alert = SSL_AD_BAD_CERTIFICATE },
};

static void test_bad_certificates(void **state)
{
	struct tls_context *context = server_context(0x0303);

	for (size_t i = 0; i < 2 * ARRAY_SIZE(bad_clients); i++) {
		const struct bad_client *bad = &bad_clients[i / 2];
		const struct pki_cert *issuer = bad->foreign ? &pki.foreign_root : &pki.root;
		const struct peer *claimed;
		struct pki_cert cert;
		struct pair pair;

		pki_make(&cert, bad->self_signed ? NULL : issuer, &bad->spec);
		pair_init(&pair, context, false, &cert, NULL, 0);
		SSL_CTX_set_max_proto_version(pair.peer_ctx, i & 1 ? 0x0303 : 0x0304);
		pair_run(&pair);
		expect(&pair, bad->refusal, bad->alert, bad->what);
		/* The log may say whom it was about, without what could forge a line. */
		claimed = tls_handshake_claimed_peer(pair.hs);
		assert_non_null(claimed);
		for (const char *c = claimed->cn; *c; c++)
			assert_true((unsigned char)*c >= 0x20);
		pair_fini(&pair);
		pki_cert_fini(&cert);
	}
	tls_context_unref(context);
}

static void test_good_ones_pass(void **state)
{
	static const struct pki_spec specs[] = {
		{ .cn = NULL },
		{ .cn = "svc", .usage = "clientAuth,serverAuth" },
		{ .cn = "Zürich ✓" },
		{ .cn = "svc", .serial_hex = "112233445566778899aabbccddeeff1122334455" },
	};
	struct tls_context *context = server_context(0x0303);

	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		struct tls_handshake_summary summary;
		struct tls_keys *keys;
		struct pki_cert cert;
		struct peer *peer;
		struct pair pair;

		pki_make(&cert, &pki.root, &specs[i]);
		pair_init(&pair, context, false, &cert, NULL, 0);
		pair_run(&pair);
		assert_int_equal(pair.status, TLS_HANDSHAKE_DONE);
		assert_int_equal(tls_handshake_finish(pair.hs, &keys, &peer, &summary), 0);
		assert_string_equal(peer->cn, specs[i].cn ? specs[i].cn : "");
		tls_keys_free(keys);
		peer_free(peer);
		pair_fini(&pair);
		pki_cert_fini(&cert);
	}
	tls_context_unref(context);
}

static void test_no_certificate(void **state)
{
	struct tls_context *context = server_context(0x0303);
	struct pair pair;

	pair_init(&pair, context, false, NULL, NULL, 0);
	pair_run(&pair);
	expect(&pair, TLS_REFUSAL_NO_CERTIFICATE, SSL_AD_CERTIFICATE_REQUIRED, "1.3");
	assert_null(tls_handshake_claimed_peer(pair.hs));
	pair_fini(&pair);
	pair_init(&pair, context, false, NULL, NULL, 0);
	SSL_CTX_set_max_proto_version(pair.peer_ctx, 0x0303);
	pair_run(&pair);
	expect(&pair, TLS_REFUSAL_NO_CERTIFICATE, SSL_AD_HANDSHAKE_FAILURE, "1.2");
	pair_fini(&pair);
	tls_context_unref(context);
}

/* A chain of `count` certificates above the leaf, made by `specs`, the first under the root. */
static void run_chain(struct pair *pair, struct tls_context *context, const struct pki_spec *specs,
		      size_t count, const struct pki_spec *leaf_spec)
{
	struct pki_cert *cas = calloc(count, sizeof(*cas)), leaf;
	const struct pki_cert **chain = calloc(count, sizeof(*chain));

	for (size_t i = 0; i < count; i++) {
		pki_make(&cas[i], i ? &cas[i - 1] : &pki.root, &specs[i]);
		chain[count - 1 - i] = &cas[i];
	}
	pki_make(&leaf, &cas[count - 1], leaf_spec);
	pair_init(pair, context, false, &leaf, chain, count);
	pair_run(pair);
	for (size_t i = 0; i < count; i++)
		pki_cert_fini(&cas[i]);
	pki_cert_fini(&leaf);
	free(cas);
	free(chain);
}

static void test_chains(void **state)
{
	struct tls_context *context = server_context(0x0304);
	struct pki_spec cas[50], leaf = { .cn = "svc", .san = "DNS:svc.bad.test" };
	char names[50][8];
	struct pair pair;

	for (size_t i = 0; i < ARRAY_SIZE(cas); i++) {
		snprintf(names[i], sizeof(names[i]), "CA %zu", i);
		cas[i] = (struct pki_spec){ .cn = names[i], .is_ca = true };
	}
	run_chain(&pair, context, cas, CERTIFICATE_DEPTH_MAX, &leaf);
	assert_int_equal(pair.status, TLS_HANDSHAKE_DONE);
	pair_fini(&pair);
	run_chain(&pair, context, cas, CERTIFICATE_DEPTH_MAX + 1, &leaf);
	expect(&pair, TLS_REFUSAL_CHAIN_TOO_LONG, SSL_AD_UNKNOWN_CA, "one too many");
	pair_fini(&pair);
	run_chain(&pair, context, cas, 50, &leaf);
	expect(&pair, TLS_REFUSAL_CHAIN_TOO_LONG, SSL_AD_UNKNOWN_CA, "chain of 50");
	pair_fini(&pair);

	cas[0].path_length = PKI_PATH_ZERO;
	run_chain(&pair, context, cas, 2, &leaf);
	expect(&pair, TLS_REFUSAL_PATH_LENGTH, SSL_AD_UNKNOWN_CA, "path length");
	pair_fini(&pair);
	cas[0].path_length = 0;

	cas[0].constraints = "permitted;DNS:good.test";
	run_chain(&pair, context, cas, 1, &leaf);
	expect(&pair, TLS_REFUSAL_NAME_CONSTRAINT, SSL_AD_CERTIFICATE_UNKNOWN, "constraint");
	pair_fini(&pair);
	leaf.san = "DNS:svc.good.test";
	run_chain(&pair, context, cas, 1, &leaf);
	assert_int_equal(pair.status, TLS_HANDSHAKE_DONE);
	pair_fini(&pair);

	cas[0] = (struct pki_spec){ .cn = "no CA" };
	run_chain(&pair, context, cas, 1, &leaf);
	expect(&pair, TLS_REFUSAL_BAD_CERTIFICATE, SSL_AD_UNKNOWN_CA, "issuer is no CA");
	pair_fini(&pair);

	cas[0] = (struct pki_spec){ .cn = "weak CA", .is_ca = true, .key = "RSA:1024" };
	run_chain(&pair, context, cas, 1, &leaf);
	expect(&pair, TLS_REFUSAL_WEAK_KEY, SSL_AD_BAD_CERTIFICATE, "weak CA");
	pair_fini(&pair);
	tls_context_unref(context);
}

/* An intermediate that was not sent: the chain has no end. */
static void test_missing_intermediate(void **state)
{
	struct tls_context *context = server_context(0x0304);
	struct pki_cert leaf;
	struct pair pair;

	pki_make(&leaf, &pki.middle, &(struct pki_spec){ .cn = "svc" });
	pair_init(&pair, context, false, &leaf, NULL, 0);
	pair_run(&pair);
	expect(&pair, TLS_REFUSAL_UNKNOWN_CA, SSL_AD_UNKNOWN_CA, "missing intermediate");
	pair_fini(&pair);
	pki_cert_fini(&leaf);
	tls_context_unref(context);
}

static void test_forged_signature(void **state)
{
	struct tls_context *context = server_context(0x0304);
	struct pki_cert leaf;
	uint8_t *der = NULL;
	const uint8_t *at;
	struct pair pair;
	int n;

	pki_make(&leaf, &pki.root, &(struct pki_spec){ .cn = "svc" });
	n = i2d_X509(leaf.x509, &der);
	der[n - 1] ^= 1; /* the end of the CA's signature */
	at = der;
	X509_free(leaf.x509);
	leaf.x509 = d2i_X509(NULL, &at, n);
	assert_non_null(leaf.x509);
	pair_init(&pair, context, false, &leaf, NULL, 0);
	pair_run(&pair);
	expect(&pair, TLS_REFUSAL_BAD_SIGNATURE, SSL_AD_DECRYPT_ERROR, "forged");
	pair_fini(&pair);
	pki_cert_fini(&leaf);
	OPENSSL_free(der);
	tls_context_unref(context);
}

static void test_too_many_names(void **state)
{
	struct tls_context *context = server_context(0x0304);
	char san[8192];

	for (size_t count = PEER_NAMES_MAX; count <= PEER_NAMES_MAX + 1; count++) {
		struct pki_cert leaf;
		struct pair pair;
		size_t at = 0;

		for (size_t i = 0; i < count; i++)
			at += (size_t)snprintf(san + at, sizeof(san) - at, "%sDNS:n%zu.test",
					       i ? "," : "", i);
		pki_make(&leaf, &pki.root, &(struct pki_spec){ .cn = "svc", .san = san });
		pair_init(&pair, context, false, &leaf, NULL, 0);
		pair_run(&pair);
		if (count == PEER_NAMES_MAX)
			assert_int_equal(pair.status, TLS_HANDSHAKE_DONE);
		else
			expect(&pair, TLS_REFUSAL_BAD_CERTIFICATE, SSL_AD_BAD_CERTIFICATE,
			       "too many names");
		pair_fini(&pair);
		pki_cert_fini(&leaf);
	}
	tls_context_unref(context);
}

static void test_huge_certificate(void **state)
{
	struct tls_context *context = server_context(0x0304);
	static char san[100 * 1024];
	struct pki_cert leaf;
	struct pair pair;
	size_t at = 0;

	while (at < sizeof(san) - 64)
		at += (size_t)snprintf(san + at, sizeof(san) - at, "%sDNS:name-%zu.test",
				       at ? "," : "", at);
	pki_make(&leaf, &pki.root, &(struct pki_spec){ .cn = "svc", .san = san });
	pair_init(&pair, context, false, &leaf, NULL, 0);
	pair_run(&pair);
	expect(&pair, TLS_REFUSAL_TOO_LARGE, SSL_AD_ILLEGAL_PARAMETER, "huge certificate");
	assert_in_range(pair.records, 1, HANDSHAKE_RECORDS_MAX);
	pair_fini(&pair);
	pki_cert_fini(&leaf);
	tls_context_unref(context);
}

static void test_parameters(void **state)
{
	struct tls_context *new_only = server_context(0x0304), *both = server_context(0x0303);
	struct pair pair;

	pair_init(&pair, new_only, false, &pki.client, NULL, 0);
	SSL_CTX_set_max_proto_version(pair.peer_ctx, 0x0303);
	pair_run(&pair);
	expect(&pair, TLS_REFUSAL_VERSION, SSL_AD_PROTOCOL_VERSION, "1.2 against 1.3");
	pair_fini(&pair);

	pair_init(&pair, both, false, &pki.client, NULL, 0);
	SSL_CTX_set_max_proto_version(pair.peer_ctx, 0x0302);
	SSL_CTX_set_cipher_list(pair.peer_ctx, "ALL:@SECLEVEL=0");
	pair_run(&pair);
	expect(&pair, TLS_REFUSAL_VERSION, SSL_AD_PROTOCOL_VERSION, "1.1");
	pair_fini(&pair);

	pair_init(&pair, new_only, false, &pki.client, NULL, 0);
	SSL_CTX_set_ciphersuites(pair.peer_ctx, "TLS_AES_128_CCM_SHA256");
	SSL_CTX_set_min_proto_version(pair.peer_ctx, 0x0304);
	pair_run(&pair);
	expect(&pair, TLS_REFUSAL_NO_SHARED_CIPHER, SSL_AD_HANDSHAKE_FAILURE, "suite");
	pair_fini(&pair);

	pair_init(&pair, both, false, &pki.client, NULL, 0);
	SSL_CTX_set_max_proto_version(pair.peer_ctx, 0x0303);
	SSL_CTX_set_cipher_list(pair.peer_ctx, "ECDHE-ECDSA-AES128-SHA256:AES128-GCM-SHA256");
	pair_run(&pair);
	expect(&pair, TLS_REFUSAL_NO_SHARED_CIPHER, SSL_AD_HANDSHAKE_FAILURE, "1.2 CBC or RSA");
	pair_fini(&pair);

	pair_init(&pair, new_only, false, &pki.client, NULL, 0);
	SSL_CTX_set1_groups_list(pair.peer_ctx, "P-521:X448");
	pair_run(&pair);
	expect(&pair, TLS_REFUSAL_NO_SHARED_GROUP, SSL_AD_HANDSHAKE_FAILURE, "group");
	pair_fini(&pair);
	tls_context_unref(new_only);
	tls_context_unref(both);
}

static int refuse_all(int ok, X509_STORE_CTX *store)
{
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REVOKED);
	return 0;
}

static void test_the_peer_says_no(void **state)
{
	struct tls_context *server = server_context(0x0303);
	struct tls_context *client = make_context(false, 0x0303, "broker");
	const char *detail;
	struct pair pair;

	pair_init(&pair, server, false, &pki.client, NULL, 0);
	SSL_CTX_set_verify(pair.peer_ctx, SSL_VERIFY_PEER, refuse_all);
	pair_run(&pair);
	assert_int_equal(pair.status, TLS_HANDSHAKE_FAILED);
	assert_int_equal(tls_handshake_refusal(pair.hs, &detail), TLS_REFUSAL_PEER_ALERT);
	assert_non_null(strstr(detail, "certificate_revoked"));
	pair_fini(&pair);

	/* In TLS 1.2 a client hears it during the handshake; in 1.3 it is done before. */
	pair_init(&pair, client, true, &pki.server, NULL, 0);
	SSL_CTX_set_max_proto_version(pair.peer_ctx, 0x0303);
	SSL_CTX_set_verify(pair.peer_ctx, SSL_VERIFY_PEER, refuse_all);
	pair_run(&pair);
	assert_int_equal(pair.status, TLS_HANDSHAKE_FAILED);
	assert_int_equal(tls_handshake_refusal(pair.hs, &detail), TLS_REFUSAL_PEER_ALERT);
	pair_fini(&pair);
	pair_init(&pair, client, true, &pki.server, NULL, 0);
	SSL_CTX_set_verify(pair.peer_ctx, SSL_VERIFY_PEER, refuse_all);
	pair_run(&pair);
	assert_int_equal(pair.status, TLS_HANDSHAKE_DONE);
	pair_fini(&pair);
	tls_context_unref(server);
	tls_context_unref(client);
}

static void test_bad_servers(void **state)
{
	static const struct {
		const char *name;
		struct pki_spec spec;
		bool foreign;
		enum tls_refusal refusal;
		int alert;
	} rows[] = {
		{ "broker",
		  { .cn = "x", .san = "DNS:other" },
		  false,
		  TLS_REFUSAL_NAME_MISMATCH,
		  SSL_AD_BAD_CERTIFICATE },
		{ "127.0.0.1",
		  { .cn = "127.0.0.1", .san = "DNS:127.0.0.1" },
		  false,
		  TLS_REFUSAL_NAME_MISMATCH,
		  SSL_AD_BAD_CERTIFICATE },
		{ "abc.test",
		  { .cn = "x", .san = "DNS:a*.test" },
		  false,
		  TLS_REFUSAL_NAME_MISMATCH,
		  SSL_AD_BAD_CERTIFICATE },
		{ "broker",
		  { .cn = "broker", .san = "DNS:broker", .usage = "clientAuth" },
		  false,
		  TLS_REFUSAL_WRONG_PURPOSE,
		  SSL_AD_UNSUPPORTED_CERTIFICATE },
		{ "broker",
		  { .cn = "broker", .san = "DNS:broker" },
		  true,
		  TLS_REFUSAL_UNKNOWN_CA,
		  SSL_AD_UNKNOWN_CA },
		{ "broker",
		  { .cn = "broker",
		    .san = "DNS:broker",
		    .starts_seconds = -DAY,
		    .ends_seconds = -1 },
		  false,
		  TLS_REFUSAL_EXPIRED,
		  SSL_AD_CERTIFICATE_EXPIRED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct tls_context *context = make_context(false, 0x0304, rows[i].name);
		struct pki_cert cert;
		struct pair pair;

		pki_make(&cert, rows[i].foreign ? &pki.foreign_root : &pki.root, &rows[i].spec);
		pair_init(&pair, context, true, &cert, NULL, 0);
		pair_run(&pair);
		expect(&pair, rows[i].refusal, rows[i].alert, "server");
		pair_fini(&pair);
		pki_cert_fini(&cert);
		tls_context_unref(context);
	}
}

/* Takes the client's bytes away and puts changed ones in their place. */
static void corrupt_second_flight(struct pair *pair, size_t at, uint8_t flip)
{
	static uint8_t bytes[64 * 1024];
	int n;

	pair_start(pair);
	SSL_do_handshake(pair->peer);
	pair_deliver(pair, SIZE_MAX);
	SSL_do_handshake(pair->peer);
	pair->peer_done = true;
	n = BIO_read(SSL_get_wbio(pair->peer), bytes, sizeof(bytes));
	assert_in_range(at, 0, n - 1);
	bytes[at] ^= flip;
	BIO_write(SSL_get_wbio(pair->peer), bytes, n);
	pair_run(pair);
}

static void test_broken_records(void **state)
{
	struct tls_context *context = server_context(0x0304);
	static const uint8_t short_hello[] = { 22, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3 };
	static const uint8_t not_a_hello[] = { 22, 3, 1, 0, 4, 99, 0, 0, 0 };
	static const uint8_t data_first[] = { 23, 3, 3, 0, 1, 'x' };
	static const uint8_t http[] = "GET / HTTP/1.1\r\n\r\n";
	static const struct {
		const uint8_t *bytes;
		size_t len;
	} firsts[] = { { short_hello, sizeof(short_hello) },
		       { not_a_hello, sizeof(not_a_hello) },
		       { data_first, sizeof(data_first) },
		       { http, sizeof(http) - 1 } };
	struct pair pair;

	for (size_t i = 0; i < ARRAY_SIZE(firsts); i++) {
		pair_init(&pair, context, false, NULL, NULL, 0);
		pair.status = tls_handshake_step(pair.hs, firsts[i].bytes, firsts[i].len);
		assert_int_equal(pair.status, TLS_HANDSHAKE_FAILED);
		assert_int_equal(tls_handshake_refusal(pair.hs, NULL), TLS_REFUSAL_PROTOCOL);
		pair_fini(&pair);
	}
	pair_init(&pair, context, false, &pki.client, NULL, 0);
	corrupt_second_flight(&pair, 200, 1); /* inside the first encrypted record */
	expect(&pair, TLS_REFUSAL_PROTOCOL, SSL_AD_BAD_RECORD_MAC, "flipped bit");
	pair_fini(&pair);
	tls_context_unref(context);
}

/* A certificate list in pieces of 512 bytes: dropped with an alert under the right keys, long
 * before its end. libssl has its own, lower, limit for ChangeCipherSpec. */
static void test_too_many_records(void **state)
{
	static const uint8_t ccs[] = { 20, 3, 3, 0, 1, 1 };
	struct tls_context *context = server_context(0x0304);
	static char san[40 * 1024];
	struct pki_cert leaf;
	struct pair pair;
	size_t at = 0;

	while (at < sizeof(san) - 64)
		at += (size_t)snprintf(san + at, sizeof(san) - at, "%sDNS:name-%zu.test",
				       at ? "," : "", at);
	pki_make(&leaf, &pki.root, &(struct pki_spec){ .cn = "svc", .san = san });
	pair_init(&pair, context, false, &leaf, NULL, 0);
	SSL_CTX_set_max_send_fragment(pair.peer_ctx, 512);
	pair_run(&pair);
	expect(&pair, TLS_REFUSAL_TOO_LARGE, SSL_AD_RECORD_OVERFLOW, "records");
	assert_int_equal(pair.records, HANDSHAKE_RECORDS_MAX + 1);
	pair_fini(&pair);
	pki_cert_fini(&leaf);

	pair_init(&pair, context, false, NULL, NULL, 0);
	pair_start(&pair);
	SSL_do_handshake(pair.peer);
	pair_deliver(&pair, SIZE_MAX);
	for (int i = 0; i < HANDSHAKE_RECORDS_MAX && pair.status == TLS_HANDSHAKE_WANT_RECORD; i++)
		pair.status = tls_handshake_step(pair.hs, ccs, sizeof(ccs));
	assert_int_equal(pair.status, TLS_HANDSHAKE_FAILED);
	pair_fini(&pair);
	tls_context_unref(context);
}

/* Nobody gets further with a session of before, or with early data. */
static void test_no_resumption(void **state)
{
	struct tls_context *context = server_context(0x0303);

	for (int version = 0x0303; version <= 0x0304; version++) {
		SSL_SESSION *session = NULL;

		for (int turn = 0; turn < 2; turn++) {
			struct pair pair;

			pair_init(&pair, context, false, &pki.client, NULL, 0);
			SSL_CTX_set_max_proto_version(pair.peer_ctx, version);
			pair_start(&pair);
			if (session)
				SSL_set_session(pair.peer, session);
			pair_run(&pair);
			assert_int_equal(pair.status, TLS_HANDSHAKE_DONE);
			assert_false(SSL_session_reused(pair.peer));
			SSL_SESSION_free(session);
			session = SSL_get1_session(pair.peer);
			assert_false(SSL_SESSION_has_ticket(session));
			pair_fini(&pair);
		}
		SSL_SESSION_free(session);
	}
	tls_context_unref(context);
}

static void test_names(void **state)
{
	for (int i = 0; i < TLS_REFUSAL_COUNT; i++) {
		assert_non_null(tls_refusal_name(i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(tls_refusal_name(i), tls_refusal_name(j));
	}
	assert_string_equal(tls_refusal_name(TLS_REFUSAL_COUNT), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_certificates),
		cmocka_unit_test(test_good_ones_pass),
		cmocka_unit_test(test_no_certificate),
		cmocka_unit_test(test_chains),
		cmocka_unit_test(test_missing_intermediate),
		cmocka_unit_test(test_forged_signature),
		cmocka_unit_test(test_too_many_names),
		cmocka_unit_test(test_huge_certificate),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_the_peer_says_no),
		cmocka_unit_test(test_bad_servers),
		cmocka_unit_test(test_broken_records),
		cmocka_unit_test(test_too_many_records),
		cmocka_unit_test(test_no_resumption),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
