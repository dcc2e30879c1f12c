/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library context of sessions: what it can do, what it can not, and who does not get it. With
 * OpenSSL 3.2 and later nobody does, and the same handshakes work.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include "base/util.h"
#include "pair.h"
#include "tls/library.h"

static bool is_made(void)
{
	return OpenSSL_version_num() < 0x30200000UL;
}

static OSSL_LIB_CTX *library_of(const struct pki_cert *root)
{
	X509_STORE *roots = X509_STORE_new();
	OSSL_LIB_CTX *library;

	assert_true(X509_STORE_add_cert(roots, root->x509));
	library = tls_library(roots);
	X509_STORE_free(roots);
	return library;
}

/* A handshake whose root, server and client have keys of these kinds. */
static void expect_handshake(const char *root_kind, const char *kind, uint16_t version)
{
	struct pki_cert root, server, client;
	struct tls_context *context = NULL;
	struct err_text err = { "" };
	const struct pki_cert *one[1];
	const char *roots;
	struct pair pair;

	pki_make(&root, NULL, &(struct pki_spec){ .cn = "Root", .key = root_kind, .is_ca = true });
	pki_make(&server, &root,
		 &(struct pki_spec){ .cn = "broker", .key = kind, .usage = "serverAuth" });
	pki_make(&client, &root,
		 &(struct pki_spec){ .cn = "svc", .key = kind, .usage = "clientAuth" });
	one[0] = &root;
	roots = pki_write_certs("roots.crt", one, 1);
	one[0] = &server;
	if (tls_context_new(
		    &(struct tls_context_params){
			    .is_server = true,
			    .certificate_file = pki_write_certs("server.crt", one, 1),
			    .key_file = pki_write_key("server.key", &server),
			    .root_files = &roots,
			    .root_file_count = 1,
			    .min_version = 0x0303,
		    },
		    &context, &err))
		fail_msg("%s, %s: %s", root_kind, kind, err.text);
	pair_init(&pair, context, false, &client, NULL, 0);
	assert_true(SSL_CTX_set_max_proto_version(pair.peer_ctx, version));
	pair_run(&pair);
	if (pair.status != TLS_HANDSHAKE_DONE || !pair.peer_done)
		fail_msg("%s, %s, 0x%x: refused", root_kind, kind, version);
	pair_fini(&pair);
	tls_context_unref(context);
	pki_cert_fini(&root);
	pki_cert_fini(&server);
	pki_cert_fini(&client);
}

/* In a process of its own, because it is decided once. */
static void test_not_beside_other_providers(void **state)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child) {
		struct pki_cert root;

		pki_make(&root, NULL, &(struct pki_spec){ .cn = "Root", .is_ca = true });
		if (!OSSL_PROVIDER_try_load(NULL, "base", 1))
			_exit(2);
		_exit(library_of(&root) ? 1 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_usual_keys(void **state)
{
	static const char *const kinds[] = { "P-256", "P-384", "ED25519", "RSA:2048" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		expect_handshake(kinds[i], kinds[i], 0x0304);
		expect_handshake(kinds[i], kinds[i], 0x0303);
	}
}

static void test_unusual_roots_get_the_default(void **state)
{
	static const char *const kinds[] = { "P-256", "P-521", "ED25519", "RSA:2048", "ED448" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct pki_cert root;
		bool is_usual = strcmp(kinds[i], "ED448");

		pki_make(&root, NULL,
			 &(struct pki_spec){ .cn = "Root", .key = kinds[i], .is_ca = true });
		assert_int_equal(library_of(&root) != NULL, is_usual && is_made());
		pki_cert_fini(&root);
	}
	expect_handshake("ED448", "P-256", 0x0304);
}

static bool has_cipher(OSSL_LIB_CTX *library, const char *name)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(library, name, NULL);

	EVP_CIPHER_free(cipher);
	return cipher;
}

static bool has_keys(OSSL_LIB_CTX *library, const char *name)
{
	EVP_KEYMGMT *keys = EVP_KEYMGMT_fetch(library, name, NULL);

	EVP_KEYMGMT_free(keys);
	return keys;
}

static bool has_digest(OSSL_LIB_CTX *library, const char *name)
{
	EVP_MD *digest = EVP_MD_fetch(library, name, NULL);

	EVP_MD_free(digest);
	return digest;
}

/* That a certificate is verified by the same methods, and that the rest is not there. */
static void test_what_is_left(void **state)
{
	struct pki_cert root;
	OSSL_LIB_CTX *library;

	if (!is_made())
		skip();
	pki_make(&root, NULL, &(struct pki_spec){ .cn = "Root", .is_ca = true });
	library = library_of(&root);
	assert_non_null(library);
	assert_true(has_cipher(library, "AES-256-GCM"));
	assert_false(has_cipher(library, "AES-256-CBC"));
	assert_true(has_keys(library, "EC"));
	assert_false(has_keys(library, "DSA"));
	assert_true(has_digest(library, "SHA3-512"));
	pki_cert_fini(&root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_beside_other_providers), /* first: none was made yet */
		cmocka_unit_test(test_usual_keys),
		cmocka_unit_test(test_unusual_roots_get_the_default),
		cmocka_unit_test(test_what_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
