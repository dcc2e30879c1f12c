/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a context remembers of verified certificates: that the same one is not verified again, and
 * everything that must not be taken for the same.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/util.h"
#include "limits/limits.h"
#include "pair.h"
#include "tls/handshake_impl.h"
#include "tls/peer_impl.h"
#include "tls/verified.h"

#define HOUR 3600
#define DAY  86400

static struct {
	struct pki_cert root, other_root, middle, short_middle, twin_middle, server;
	struct pki_cert direct, client, short_client;
	const char *roots, *other_roots, *server_cert, *server_key;
} pki;

static int setup(void **state)
{
	struct pki_spec middle = { .cn = "Middle", .is_ca = true };
	struct pki_spec client = { .cn = "svc", .usage = "clientAuth" };
	const struct pki_cert *one[1];

	pki_make(&pki.root, NULL,
		 &(struct pki_spec){ .cn = "Root",
				     .is_ca = true,
				     .starts_seconds = -2 * HOUR,
				     .ends_seconds = 30 * DAY });
	pki_make(&pki.other_root, NULL, &(struct pki_spec){ .cn = "Other root", .is_ca = true });
	pki_make(&pki.middle, &pki.root, &middle);
	pki_make(&pki.twin_middle, &pki.other_root, &middle);
	middle.cn = "Short";
	middle.ends_seconds = HOUR;
	pki_make(&pki.short_middle, &pki.root, &middle);
	pki_make(&pki.server, &pki.root,
		 &(struct pki_spec){ .cn = "broker", .san = "DNS:broker", .usage = "serverAuth" });
	pki_make(&pki.direct, &pki.root, &client);
	pki_make(&pki.client, &pki.middle, &client);
	pki_make(&pki.short_client, &pki.short_middle, &client);
	one[0] = &pki.root;
	pki.roots = pki_write_certs("roots.crt", one, 1);
	one[0] = &pki.other_root;
	pki.other_roots = pki_write_certs("other.crt", one, 1);
	one[0] = &pki.server;
	pki.server_cert = pki_write_certs("server.crt", one, 1);
	pki.server_key = pki_write_key("server.key", &pki.server);
	return 0;
}

static int teardown(void **state)
{
	struct pki_cert *all = &pki.root;

	for (size_t i = 0; i < offsetof(typeof(pki), roots) / sizeof(*all); i++)
		pki_cert_fini(&all[i]);
	return 0;
}

static struct tls_context *context_of(const struct tls_context_params *params)
{
	struct tls_context *context = NULL;
	struct err_text err = { "" };

	if (tls_context_new(params, &context, &err))
		fail_msg("%s", err.text);
	return context;
}

static struct tls_context *server_of(const char *roots)
{
	return context_of(&(struct tls_context_params){
		.is_server = true,
		.certificate_file = pki.server_cert,
		.key_file = pki.server_key,
		.root_files = &roots,
		.root_file_count = 1,
		.min_version = 0x0303,
	});
}

static struct tls_context *client_of(const char *name)
{
	return context_of(&(struct tls_context_params){
		.root_files = (const char *const *)&pki.roots,
		.root_file_count = 1,
		.min_version = 0x0303,
		.server_name = name,
	});
}

enum outcome { HIT, VERIFIED, NOT_KEPT, REFUSED };

/* One handshake with whoever has `cert` and sends `middle` (may be NULL) and `more` after it. */
static enum outcome meet_with(struct tls_context *context, const struct pki_cert *cert,
			      const struct pki_cert *middle, const struct pki_cert *more,
			      enum tls_refusal *ret_refusal)
{
	const struct pki_cert *chain[] = { middle, more };
	enum outcome outcome;
	struct pair pair;

	pair_init(&pair, context, !context->is_server, cert, chain, middle ? more ? 2 : 1 : 0);
	pair_run(&pair);
	*ret_refusal = tls_handshake_refusal(pair.hs, NULL);
	if (pair.status != TLS_HANDSHAKE_DONE)
		outcome = REFUSED;
	else if (pair.hs->peer->refs == 1)
		outcome = NOT_KEPT;
	else
		outcome = pair.hs->keeps_proof ? VERIFIED : HIT;
	if (outcome != REFUSED)
		assert_string_equal(tls_handshake_claimed_peer(pair.hs)->cn,
				    context->is_server ? "svc" : "broker");
	pair_fini(&pair);
	return outcome;
}

static enum outcome meet(struct tls_context *context, const struct pki_cert *cert,
			 const struct pki_cert *middle)
{
	enum tls_refusal refusal;

	return meet_with(context, cert, middle, NULL, &refusal);
}

static void assert_refused(struct tls_context *context, const struct pki_cert *cert,
			   const struct pki_cert *middle, enum tls_refusal expected)
{
	enum tls_refusal refusal;

	assert_int_equal(meet_with(context, cert, middle, NULL, &refusal), REFUSED);
	assert_string_equal(tls_refusal_name(refusal), tls_refusal_name(expected));
}

static void verify_at(struct tls_context *context, time_t when)
{
	X509_VERIFY_PARAM_set_time(SSL_CTX_get0_param(context->ssl_ctx), when);
}

static void test_seen_before(void **state)
{
	struct tls_context *context = server_of(pki.roots);

	assert_int_equal(meet(context, &pki.direct, NULL), VERIFIED);
	assert_int_equal(meet(context, &pki.direct, NULL), HIT);
	assert_int_equal(meet(context, &pki.client, &pki.middle), VERIFIED);
	assert_int_equal(meet(context, &pki.client, &pki.middle), HIT);
	assert_int_equal(meet(context, &pki.direct, NULL), HIT);
	tls_context_unref(context);
}

static void test_every_version_and_role(void **state)
{
	for (int version = 0x0303; version <= 0x0304; version++) {
		struct tls_context *server = server_of(pki.roots), *client = client_of("broker");

		SSL_CTX_set_max_proto_version(server->ssl_ctx, version);
		SSL_CTX_set_max_proto_version(client->ssl_ctx, version);
		assert_int_equal(meet(server, &pki.direct, NULL), VERIFIED);
		assert_int_equal(meet(server, &pki.direct, NULL), HIT);
		assert_int_equal(meet(client, &pki.server, NULL), VERIFIED);
		assert_int_equal(meet(client, &pki.server, NULL), HIT);
		tls_context_unref(server);
		tls_context_unref(client);
	}
}

/* Other roots are another context, and one knows nothing of the other. */
static void test_other_roots(void **state)
{
	struct tls_context *context = server_of(pki.roots), *same = server_of(pki.roots);
	struct tls_context *other = server_of(pki.other_roots);

	assert_int_equal(meet(context, &pki.client, &pki.middle), VERIFIED);
	assert_refused(other, &pki.client, &pki.middle, TLS_REFUSAL_UNKNOWN_CA);
	assert_int_equal(meet(same, &pki.client, &pki.middle), VERIFIED);
	assert_int_equal(meet(context, &pki.client, &pki.middle), HIT);
	tls_context_unref(context);
	tls_context_unref(same);
	tls_context_unref(other);
}

static void test_time_passes(void **state)
{
	struct tls_context *context = server_of(pki.roots);
	time_t now = time(NULL);

	verify_at(context, now);
	assert_int_equal(meet(context, &pki.direct, NULL), VERIFIED);
	assert_int_equal(meet(context, &pki.direct, NULL), HIT);
	verify_at(context, now + 2 * DAY);
	assert_refused(context, &pki.direct, NULL, TLS_REFUSAL_EXPIRED);
	verify_at(context, now - 2 * DAY);
	assert_refused(context, &pki.direct, NULL, TLS_REFUSAL_NOT_YET_VALID);
	verify_at(context, now);
	assert_int_equal(meet(context, &pki.direct, NULL), HIT);
	tls_context_unref(context);
}

/* To the second, as libcrypto has it: the last one that is good, and the first that is not. */
static void test_the_last_second(void **state)
{
	struct tls_context *context = server_of(pki.roots);
	struct peer *peer;
	const char *why;

	assert_int_equal(peer_from_certificate(pki.direct.x509, NULL, true, &peer, &why), 0);
	verify_at(context, peer->not_after - 1);
	assert_int_equal(meet(context, &pki.direct, NULL), VERIFIED);
	assert_int_equal(meet(context, &pki.direct, NULL), HIT);
	verify_at(context, peer->not_after);
	assert_refused(context, &pki.direct, NULL, TLS_REFUSAL_EXPIRED);
	verify_at(context, peer->not_before);
	assert_int_equal(meet(context, &pki.direct, NULL), HIT);
	verify_at(context, peer->not_before - 1);
	assert_refused(context, &pki.direct, NULL, TLS_REFUSAL_NOT_YET_VALID);
	peer_free(peer);
	tls_context_unref(context);
}

/* The leaf is still good, but not who signed it. */
static void test_an_intermediate_expires(void **state)
{
	struct tls_context *context = server_of(pki.roots);
	time_t now = time(NULL);

	verify_at(context, now);
	assert_int_equal(meet(context, &pki.short_client, &pki.short_middle), VERIFIED);
	assert_int_equal(meet(context, &pki.short_client, &pki.short_middle), HIT);
	verify_at(context, now + 2 * HOUR);
	assert_refused(context, &pki.short_client, &pki.short_middle, TLS_REFUSAL_EXPIRED);
	tls_context_unref(context);
}

static void test_altered_byte(void **state)
{
	struct tls_context *context = server_of(pki.roots);
	struct pki_cert altered = { .key = pki.direct.key };
	unsigned char *der = NULL;
	const unsigned char *at;
	int len = i2d_X509(pki.direct.x509, &der);

	assert_int_equal(meet(context, &pki.direct, NULL), VERIFIED);
	der[len - 1] ^= 1; /* of the signature */
	at = der;
	altered.x509 = d2i_X509(NULL, &at, len);
	assert_non_null(altered.x509);
	assert_refused(context, &altered, NULL, TLS_REFUSAL_BAD_SIGNATURE);
	assert_int_equal(meet(context, &pki.direct, NULL), HIT);
	X509_free(altered.x509);
	OPENSSL_free(der);
	tls_context_unref(context);
}

static void test_other_intermediates(void **state)
{
	struct tls_context *context = server_of(pki.roots);

	assert_int_equal(meet(context, &pki.client, &pki.middle), VERIFIED);
	assert_refused(context, &pki.client, NULL, TLS_REFUSAL_UNKNOWN_CA);
	assert_refused(context, &pki.client, &pki.twin_middle, TLS_REFUSAL_UNKNOWN_CA);
	assert_int_equal(meet(context, &pki.client, &pki.middle), HIT);
	tls_context_unref(context);
}

/* One certificate is not to fill the table with lists that begin with it. */
static void test_more_than_the_chain(void **state)
{
	struct tls_context *context = server_of(pki.roots);
	enum tls_refusal refusal;

	for (int i = 0; i < 2; i++)
		assert_int_equal(
			meet_with(context, &pki.client, &pki.middle, &pki.twin_middle, &refusal),
			NOT_KEPT);
	assert_int_equal(meet(context, &pki.client, &pki.middle), VERIFIED);
	assert_int_equal(meet_with(context, &pki.client, &pki.middle, &pki.root, &refusal),
			 VERIFIED);
	assert_int_equal(meet_with(context, &pki.client, &pki.middle, &pki.root, &refusal), HIT);
	tls_context_unref(context);
}

/* A certificate is no secret: who shows it and stops there has proved nothing. */
static void test_only_who_has_the_key(void **state)
{
	struct tls_context *context = server_of(pki.roots);
	struct pair pair;

	pair_init(&pair, context, false, &pki.direct, NULL, 0);
	pair_start(&pair);
	SSL_do_handshake(pair.peer);
	pair_deliver(&pair, 1);
	SSL_do_handshake(pair.peer);
	for (int i = 0; i < 3 && !pair.hs->peer; i++)
		pair_deliver(&pair, 1); /* up to the certificate */
	assert_true(pair.hs->keeps_proof);
	assert_int_equal(pair.status, TLS_HANDSHAKE_WANT_RECORD);
	pair_fini(&pair);
	assert_int_equal(meet(context, &pki.direct, NULL), VERIFIED);
	tls_context_unref(context);
}

/* No name that is asked for is answered by a verification for another. */
static void test_the_name_counts(void **state)
{
	struct tls_context *context = client_of("broker");
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(context->ssl_ctx);

	assert_int_equal(meet(context, &pki.server, NULL), VERIFIED);
	assert_int_equal(meet(context, &pki.server, NULL), HIT);
	X509_VERIFY_PARAM_set1_host(param, "stranger", 0);
	assert_refused(context, &pki.server, NULL, TLS_REFUSAL_NAME_MISMATCH);
	X509_VERIFY_PARAM_set1_host(param, "broker", 0);
	assert_int_equal(meet(context, &pki.server, NULL), HIT);
	X509_VERIFY_PARAM_set1_ip_asc(param, "127.0.0.1");
	assert_refused(context, &pki.server, NULL, TLS_REFUSAL_NAME_MISMATCH);
	tls_context_unref(context);
}

static struct peer *some_peer(void)
{
	struct peer *peer;
	const char *why;

	assert_int_equal(peer_from_certificate(pki.direct.x509, NULL, true, &peer, &why), 0);
	return peer;
}

static void test_bound(void **state)
{
	struct verified_proof proof = { .not_after = INT64_MAX };
	struct peer *peer = some_peer();
	struct verified *verified;

	assert_int_equal(verified_new(&verified), 0);
	for (int i = 0; i < 4 * VERIFIED_PEERS_MAX; i++) {
		RAND_bytes(proof.key, sizeof(proof.key));
		verified_keep(verified, &proof, peer);
		verified_keep(verified, &proof, peer);
		assert_in_range(peer->refs, 2, 1 + VERIFIED_PEERS_MAX);
	}
	assert_in_range(peer->refs, VERIFIED_PEERS_MAX / 2, 1 + VERIFIED_PEERS_MAX);
	verified_free(verified);
	assert_int_equal(peer->refs, 1);

	assert_int_equal(verified_new(&verified), 0);
	peer->bytes = VERIFIED_PEER_BYTES_MAX + 1;
	verified_keep(verified, &proof, peer);
	assert_int_equal(peer->refs, 1);
	verified_free(verified);
	peer_free(peer);
}

struct crowd {
	struct verified *verified;
	struct peer *peer;
};

static void *come_and_go(void *arg)
{
	struct crowd *crowd = arg;
	X509_STORE_CTX *store = X509_STORE_CTX_new();
	struct verified_proof proof = { .not_after = INT64_MAX };

	X509_STORE_CTX_init(store, NULL, NULL, NULL);
	for (int i = 0; i < 20000; i++) {
		struct peer *found;

		proof.key[0] = (uint8_t)(i % 7);
		proof.key[3] = (uint8_t)(i % 37); /* more than a set has places */
		found = verified_find(crowd->verified, &proof, store);
		if (found && found != crowd->peer)
			abort();
		if (!found)
			verified_keep(crowd->verified, &proof, crowd->peer);
		peer_free(found);
	}
	X509_STORE_CTX_free(store);
	return NULL;
}

static void test_many_threads(void **state)
{
	struct crowd crowd = { .peer = some_peer() };
	pthread_t threads[4];

	assert_int_equal(verified_new(&crowd.verified), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &crowd), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	verified_free(crowd.verified);
	assert_int_equal(crowd.peer->refs, 1);
	peer_free(crowd.peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seen_before),
		cmocka_unit_test(test_every_version_and_role),
		cmocka_unit_test(test_other_roots),
		cmocka_unit_test(test_time_passes),
		cmocka_unit_test(test_the_last_second),
		cmocka_unit_test(test_an_intermediate_expires),
		cmocka_unit_test(test_altered_byte),
		cmocka_unit_test(test_other_intermediates),
		cmocka_unit_test(test_more_than_the_chain),
		cmocka_unit_test(test_only_who_has_the_key),
		cmocka_unit_test(test_the_name_counts),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_many_threads),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
