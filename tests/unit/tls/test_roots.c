/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which contexts share their roots: those whose roots are of the same bytes, and no others; and
 * that they share nothing else.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/util.h"
#include "pki.h"
#include "tls/roots.h"

static struct pki_cert one, two, middle;

static int setup(void **state)
{
	pki_make(&one, NULL, &(struct pki_spec){ .cn = "One", .is_ca = true });
	pki_make(&two, NULL, &(struct pki_spec){ .cn = "Two", .is_ca = true });
	pki_make(&middle, &one, &(struct pki_spec){ .cn = "Middle", .is_ca = true });
	return 0;
}

static int teardown(void **state)
{
	pki_cert_fini(&one);
	pki_cert_fini(&two);
	pki_cert_fini(&middle);
	return 0;
}

static const char *file_of(const char *name, const struct pki_cert *first,
			   const struct pki_cert *second)
{
	return pki_write_certs(name, (const struct pki_cert *[]){ first, second }, second ? 2 : 1);
}

/* `second` may be NULL. */
static int try_get(const char *file, const char *second, const char *pem, struct roots **ret,
		   struct err_text *err)
{
	const char *files[] = { file, second };
	struct tls_context_params params = {
		.root_files = files,
		.root_file_count = (file != NULL) + (second != NULL),
		.roots_pem = pem,
	};

	return roots_get(&params, ret, err);
}

static struct roots *get(const char *file, const char *second, const char *pem)
{
	struct roots *roots = NULL;
	struct err_text err = { "" };

	if (try_get(file, second, pem, &roots, &err))
		fail_msg("%s", err.text);
	return roots;
}

static char *text_of(const struct pki_cert *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes, *text;
	long len;

	PEM_write_bio_X509(bio, cert->x509);
	len = BIO_get_mem_data(bio, &bytes);
	text = strndup(bytes, (size_t)len);
	BIO_free(bio);
	return text;
}

static size_t certificates_in(const struct roots *roots)
{
	STACK_OF(X509) *all = X509_STORE_get1_all_certs(roots_store(roots));
	size_t count = (size_t)sk_X509_num(all);

	sk_X509_pop_free(all, X509_free);
	return count;
}

static bool trusts(const struct roots *roots, const struct pki_cert *cert)
{
	X509_STORE_CTX *store = X509_STORE_CTX_new();
	bool yes;

	X509_STORE_CTX_init(store, roots_store(roots), cert->x509, NULL);
	yes = X509_verify_cert(store) == 1;
	X509_STORE_CTX_free(store);
	return yes;
}

/* Whatever the file is called, and wherever the bytes come from. */
static void test_same_bytes(void **state)
{
	cleanup_free char *text = text_of(&one);
	struct roots *first = get(file_of("a.crt", &one, NULL), NULL, NULL);
	struct roots *again = get(file_of("b.crt", &one, NULL), NULL, NULL);
	struct roots *by_text = get(NULL, NULL, text);

	assert_ptr_equal(first, again);
	assert_ptr_equal(first, by_text);
	roots_unref(first);
	assert_true(trusts(again, &middle));
	roots_unref(again);
	assert_true(trusts(by_text, &middle));
	roots_unref(by_text);
	roots_unref(NULL);
}

static void test_other_bytes(void **state)
{
	cleanup_free char *text = text_of(&two);
	const char *file = file_of("a.crt", &one, NULL);
	struct roots *sets[] = {
		get(file, NULL, NULL),
		get(file, NULL, text),
		get(file, file, NULL),
		get(file_of("b.crt", &two, NULL), NULL, NULL),
		get(file_of("c.crt", &one, &two), NULL, NULL),
		get(file_of("d.crt", &two, &one), NULL, NULL),
	};
	static const size_t counts[] = { 1, 2, 1, 1, 2, 2 };

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		assert_int_equal(certificates_in(sets[i]), counts[i]);
		assert_int_equal(trusts(sets[i], &middle), i != 3);
		for (size_t j = 0; j < i; j++)
			assert_ptr_not_equal(sets[i], sets[j]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		roots_unref(sets[i]);
}

static X509 *certificate_of(const struct roots *roots, const struct pki_cert *cert)
{
	STACK_OF(X509) *all = X509_STORE_get1_all_certs(roots_store(roots));
	X509 *found = NULL;

	for (int i = 0; i < sk_X509_num(all); i++)
		if (!X509_cmp(sk_X509_value(all, i), cert->x509))
			found = sk_X509_value(all, i);
	sk_X509_pop_free(all, X509_free);
	return found;
}

/* One that is in both is parsed once, and outlives the set that it came with. */
static void test_sets_have_certificates_in_common(void **state)
{
	struct roots *first = get(file_of("a.crt", &one, &middle), NULL, NULL);
	struct roots *other = get(file_of("b.crt", &two, NULL), NULL, NULL);
	struct roots *both = get(file_of("c.crt", &two, &one), NULL, NULL);

	assert_non_null(certificate_of(both, &one));
	assert_ptr_equal(certificate_of(both, &one), certificate_of(first, &one));
	assert_ptr_equal(certificate_of(both, &two), certificate_of(other, &two));
	assert_null(certificate_of(both, &middle));
	roots_unref(first);
	roots_unref(other);
	assert_true(trusts(both, &middle));
	assert_true(trusts(both, &two));
	roots_unref(both);
}

/* What a file said before counts for nothing, not even while somebody has it. */
static void test_a_file_changes(void **state)
{
	struct roots *before = get(file_of("a.crt", &one, NULL), NULL, NULL);
	struct roots *after = get(file_of("a.crt", &two, NULL), NULL, NULL);

	assert_true(trusts(before, &middle));
	assert_false(trusts(after, &middle));
	assert_true(trusts(after, &two));
	roots_unref(before);
	roots_unref(after);
}

/* A fault is found anew each time, and is nobody's roots. */
static void test_faults(void **state)
{
	const char *good = file_of("a.crt", &one, NULL), *bad = file_of("m.crt", &middle, NULL);
	struct roots *roots = NULL;

	for (int i = 0; i < 2; i++) {
		struct err_text err = { "" };

		assert_int_equal(try_get(bad, NULL, NULL, &roots, &err), TLS_CONTEXT_FAULT_ROOTS);
		assert_non_null(strstr(err.text, "holds no root"));
		assert_int_equal(try_get(good, "/nonexistent", NULL, &roots, &err),
				 TLS_CONTEXT_FAULT_ROOTS);
		assert_non_null(strstr(err.text, "No such file"));
		assert_int_equal(try_get(good, NULL, "hello", &roots, &err),
				 TLS_CONTEXT_FAULT_ROOTS);
		assert_non_null(strstr(err.text, "the issuers' roots: holds no PEM certificate"));
		assert_int_equal(try_get(NULL, NULL, NULL, &roots, &err), TLS_CONTEXT_FAULT_ROOTS);
		assert_non_null(strstr(err.text, "no file of trusted roots"));
		assert_null(roots);
		ERR_clear_error();
	}
}

static void *come_and_go(void *arg)
{
	const char *const *files = arg;

	for (int i = 0; i < 300; i++) {
		struct roots *roots = get(files[i % 2], NULL, NULL);

		if (trusts(roots, &middle) != (i % 2 == 0))
			abort();
		roots_unref(roots);
	}
	return NULL;
}

static void test_many_threads(void **state)
{
	const char *files[] = { file_of("a.crt", &one, NULL), file_of("b.crt", &two, NULL) };
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, files), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_bytes),
		cmocka_unit_test(test_other_bytes),
		cmocka_unit_test(test_sets_have_certificates_in_common),
		cmocka_unit_test(test_a_file_changes),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_many_threads),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
