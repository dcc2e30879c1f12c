/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every way in which the files of a context can be wrong: which setting is blamed, and words that
 * say what to do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/util.h"
#include "limits/limits.h"
#include "pki.h"
#include "tls/context.h"

#define DAY 86400

static struct pki_cert root, middle, leaf;
static struct {
	const char *roots, *cert, *key;
} good;

static const char *one_cert(const char *name, const struct pki_cert *cert)
{
	return pki_write_certs(name, &cert, 1);
}

static int setup(void **state)
{
	pki_make(&root, NULL, &(struct pki_spec){ .cn = "Root", .is_ca = true });
	pki_make(&middle, &root, &(struct pki_spec){ .cn = "Middle", .is_ca = true });
	pki_make(&leaf, &middle,
		 &(struct pki_spec){ .cn = "leaf", .san = "DNS:leaf", .usage = "serverAuth" });
	good.roots = one_cert("roots.crt", &root);
	good.cert = pki_write_certs("leaf.crt",
				    (const struct pki_cert *[]){ &leaf, &middle, &root }, 3);
	good.key = pki_write_key("leaf.key", &leaf);
	return 0;
}

static int teardown(void **state)
{
	pki_cert_fini(&root);
	pki_cert_fini(&middle);
	pki_cert_fini(&leaf);
	return 0;
}

static struct tls_context_params params_of(const char *cert, const char *key,
					   const char *const *roots)
{
	return (struct tls_context_params){
		.is_server = true,
		.certificate_file = cert,
		.key_file = key,
		.root_files = roots,
		.root_file_count = 1,
		.min_version = 0x0304,
	};
}

/* fault 0: it must work. `words` must be in the text. */
static void expect_params(const struct tls_context_params *params, int fault, const char *words)
{
	struct tls_context *context = NULL;
	struct err_text err = { "" };
	int r = tls_context_new(params, &context, &err);

	if (r != fault || (fault && !strstr(err.text, words)))
		fail_msg("got %d, \"%s\"; expected %d, \"%s\"", r, err.text, fault, words);
	if (!r)
		tls_context_unref(tls_context_ref(context));
	else
		assert_null(context);
	tls_context_unref(context);
	assert_int_equal(ERR_peek_error(), 0);
}

static void expect(const char *cert, const char *key, const char *roots, int fault,
		   const char *words)
{
	struct tls_context_params params = params_of(cert, key, &roots);

	expect_params(&params, fault, words);
}

static void test_good(void **state)
{
	expect(good.cert, good.key, good.roots, 0, "");
	/* Intermediates beside the root, and anything around the PEM blocks, are welcome. */
	expect(good.cert, good.key,
	       pki_write_certs("both.crt", (const struct pki_cert *[]){ &middle, &root }, 2), 0,
	       "");
	tls_context_unref(NULL);
}

static void test_files(void **state)
{
	const char *missing = "/nonexistent/file.pem";
	const char *empty = pki_write_text("empty.pem", "", 0, 0600);
	const char *text = pki_write_text("text.pem", "hello\n", 6, 0600);
	static char huge[PEM_FILE_BYTES_MAX + 1];
	const char *too_large = pki_write_text("huge.pem", huge, sizeof(huge), 0600);

	expect(missing, good.key, good.roots, TLS_CONTEXT_FAULT_CERTIFICATE, "No such file");
	expect(good.cert, missing, good.roots, TLS_CONTEXT_FAULT_KEY, "No such file");
	expect(good.cert, good.key, missing, TLS_CONTEXT_FAULT_ROOTS, "No such file");
	expect(empty, good.key, good.roots, TLS_CONTEXT_FAULT_CERTIFICATE, "empty");
	expect(good.cert, empty, good.roots, TLS_CONTEXT_FAULT_KEY, "empty");
	expect(good.cert, good.key, empty, TLS_CONTEXT_FAULT_ROOTS, "empty");
	expect(text, good.key, good.roots, TLS_CONTEXT_FAULT_CERTIFICATE, "no PEM certificate");
	expect(good.cert, text, good.roots, TLS_CONTEXT_FAULT_KEY, "no PEM private key");
	expect(good.cert, good.key, text, TLS_CONTEXT_FAULT_ROOTS, "no PEM certificate");
	expect(good.cert, good.key, too_large, TLS_CONTEXT_FAULT_ROOTS, "larger than 16 MiB");
	expect(pki_folder(), good.key, good.roots, TLS_CONTEXT_FAULT_CERTIFICATE,
	       "not a regular file");
	expect("/dev/zero", good.key, good.roots, TLS_CONTEXT_FAULT_CERTIFICATE,
	       "not a regular file");
	/* swapped by mistake */
	expect(good.key, good.key, good.roots, TLS_CONTEXT_FAULT_CERTIFICATE, "no PEM certificate");
	expect(good.cert, good.cert, good.roots, TLS_CONTEXT_FAULT_KEY, "others than its owner");
}

static void test_damaged_certificate(void **state)
{
	char text[8192];
	FILE *f = fopen(good.cert, "r");
	size_t n = fread(text, 1, sizeof(text), f);
	char *second = strstr(strstr(text, "BEGIN") + 5, "BEGIN");

	fclose(f);
	memset(second + 40, 'A', 8);
	expect(pki_write_text("damaged.crt", text, n, 0644), good.key, good.roots,
	       TLS_CONTEXT_FAULT_CERTIFICATE, "certificate number 2");
}

static void test_key_modes(void **state)
{
	static const mode_t bad[] = { 0640, 0644, 0604, 0660, 0620, 0666 };
	const char *key = pki_write_key("modes.key", &leaf);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char words[256];

		assert_int_equal(chmod(key, bad[i]), 0);
		snprintf(words, sizeof(words), "chmod 600 %s", key);
		expect(good.cert, key, good.roots, TLS_CONTEXT_FAULT_KEY, words);
	}
	assert_int_equal(chmod(key, 0400), 0);
	expect(good.cert, key, good.roots, 0, "");
}

static void test_keys(void **state)
{
	char *text;
	BIO *bio = BIO_new(BIO_s_mem());

	long n;

	expect(good.cert, pki_write_key("other.key", &root), good.roots, TLS_CONTEXT_FAULT_KEY,
	       "not the key of the certificate");
	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, leaf.key, EVP_aes_128_cbc(), "secret",
						       6, NULL, NULL),
			 1);
	n = BIO_get_mem_data(bio, &text);
	expect(good.cert, pki_write_text("locked.key", text, (size_t)n, 0600), good.roots,
	       TLS_CONTEXT_FAULT_KEY, "encrypted with a password");
	BIO_free(bio);
	expect(good.cert, NULL, good.roots, TLS_CONTEXT_FAULT_KEY, "needs its key");
	expect(NULL, NULL, good.roots, TLS_CONTEXT_FAULT_CERTIFICATE, "needs a certificate");
}

static void test_own_certificate(void **state)
{
	static const struct {
		struct pki_spec spec;
		const char *words;
	} rows[] = {
		{ { .cn = "x", .starts_seconds = -2 * DAY, .ends_seconds = -60 }, "expired at" },
		{ { .cn = "x", .starts_seconds = DAY, .ends_seconds = 2 * DAY },
		  "not valid before" },
		{ { .cn = "x", .usage = "clientAuth" }, "may not be used by a TLS server" },
		{ { .cn = "x", .key = "RSA:1024" }, "too small" },
	};
	const struct pki_cert *wrong_order[] = { &leaf, &root, &middle };
	struct pki_cert cert;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		pki_make(&cert, &root, &rows[i].spec);
		expect(one_cert("own.crt", &cert), pki_write_key("own.key", &cert), good.roots,
		       TLS_CONTEXT_FAULT_CERTIFICATE, rows[i].words);
		pki_cert_fini(&cert);
	}
	expect(pki_write_certs("order.crt", wrong_order, 3), good.key, good.roots,
	       TLS_CONTEXT_FAULT_CERTIFICATE, "number 2 did not sign number 1");
	pki_make(&cert, &root,
		 &(struct pki_spec){ .cn = "soon", .starts_seconds = -DAY, .ends_seconds = 300 });
	expect(one_cert("soon.crt", &cert), pki_write_key("soon.key", &cert), good.roots, 0, "");
	pki_cert_fini(&cert);
}

static void test_roots(void **state)
{
	struct tls_context_params params = params_of(good.cert, good.key, NULL);

	params.root_file_count = 0;
	expect_params(&params, TLS_CONTEXT_FAULT_ROOTS, "no file of trusted roots");
	expect(good.cert, good.key, one_cert("middle.crt", &middle), TLS_CONTEXT_FAULT_ROOTS,
	       "holds no root");
}

static void test_other_settings(void **state)
{
	static const char long_name[] = "a-protocol-name-that-is-longer-than-31";
	const char *alpn[ALPN_PROTOCOLS_MAX + 1] = { long_name };
	struct tls_context_params params = params_of(good.cert, good.key, &good.roots);

	params.min_version = 0x0302;
	expect_params(&params, TLS_CONTEXT_FAULT_OTHER, "min_version");
	params.min_version = 0x0304;
	params.cipher_count = 1;
	params.ciphers[0] = TLS_CIPHER_COUNT;
	expect_params(&params, TLS_CONTEXT_FAULT_OTHER, "unknown cipher");
	params.cipher_count = TLS_CIPHER_COUNT + 1;
	expect_params(&params, TLS_CONTEXT_FAULT_OTHER, "too many ciphers");
	params.cipher_count = 0;
	params.alpn = alpn;
	params.alpn_count = 1;
	expect_params(&params, TLS_CONTEXT_FAULT_OTHER, "1 to 31");
	alpn[0] = "";
	expect_params(&params, TLS_CONTEXT_FAULT_OTHER, "1 to 31");
	for (size_t i = 0; i < ARRAY_SIZE(alpn); i++)
		alpn[i] = "p";
	params.alpn_count = ARRAY_SIZE(alpn);
	expect_params(&params, TLS_CONTEXT_FAULT_OTHER, "more than 16");
	params.alpn_count = ALPN_PROTOCOLS_MAX;
	expect_params(&params, 0, "");

	params = params_of(NULL, NULL, &good.roots);
	params.is_server = false;
	expect_params(&params, TLS_CONTEXT_FAULT_OTHER, "a client needs the name");
	params.server_name = "leaf";
	expect_params(&params, 0, ""); /* a client may come without a certificate */
}

/* What a walk through a context's certificates saw. */
struct seen {
	size_t own, intermediates, roots;
};

static void see(enum tls_certificate_role role, const struct peer *names, void *arg)
{
	struct seen *seen = arg;

	seen->own += role == TLS_CERTIFICATE_OWN && !strcmp(names->cn, "leaf");
	seen->intermediates += role == TLS_CERTIFICATE_INTERMEDIATE && !strcmp(names->cn, "Middle");
	seen->roots += role == TLS_CERTIFICATE_ROOT && !strcmp(names->cn, "Root");
	assert_true(names->not_before < names->not_after);
	assert_true(names->serial[0]);
}

static void test_certificates_are_told_of(void **state)
{
	struct tls_context_params params = params_of(good.cert, good.key, &good.roots);
	struct tls_context *context = NULL;
	struct seen seen = { 0 };
	struct err_text err;

	(void)state;
	assert_int_equal(tls_context_new(&params, &context, &err), 0);
	assert_int_equal(tls_context_visit_certificates(context, see, &seen), 0);
	tls_context_unref(context);
	assert_int_equal(seen.own, 1);
	assert_int_equal(seen.intermediates, 1);
	assert_int_equal(seen.roots, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_damaged_certificate),
		cmocka_unit_test(test_key_modes),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_own_certificate),
		cmocka_unit_test(test_roots),
		cmocka_unit_test(test_other_settings),
		cmocka_unit_test(test_certificates_are_told_of),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
