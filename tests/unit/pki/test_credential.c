/* SPDX-License-Identifier: Apache-2.0 */
/* From a signing request to a credential, and everything for which an answer is refused. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/pem.h>

#include "base/clock.h"
#include "base/util.h"
#include "pki/credential.h"

static struct {
	EVP_PKEY *key;
	X509 *certificate;
	char *pem;
} root, other;

static char *pem_of(X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes, *text;
	long len;

	assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
	len = BIO_get_mem_data(bio, &bytes);
	text = strndup(bytes, (size_t)len);
	BIO_free(bio);
	return text;
}

static int make_roots(void **state)
{
	struct pki_subject subject = { .cn = "Root", .days = 10 };

	(void)state;
	root.key = pki_key_new(PKI_KEY_EC_P256, NULL);
	root.certificate = pki_root_new(&subject, root.key, NULL);
	root.pem = pem_of(root.certificate);
	subject.cn = "Other";
	other.key = pki_key_new(PKI_KEY_EC_P256, NULL);
	other.certificate = pki_root_new(&subject, other.key, NULL);
	other.pem = pem_of(other.certificate);
	return 0;
}

static int free_roots(void **state)
{
	(void)state;
	EVP_PKEY_free(root.key);
	EVP_PKEY_free(other.key);
	X509_free(root.certificate);
	X509_free(other.certificate);
	free(root.pem);
	free(other.pem);
	return 0;
}

static const struct pki_san sans[] = { { PKI_SAN_DNS, "a.example" }, { PKI_SAN_IP, "127.0.0.1" } };
static const struct pki_subject subject = { .cn = "leaf",
					    .sans = sans,
					    .san_count = ARRAY_SIZE(sans),
					    .usage = PKI_USAGE_BOTH,
					    .days = 1 };

static struct pki_request *request_new(void)
{
	struct pki_request *request;
	struct err_text err;

	assert_int_equal(pki_request_new(PKI_KEY_EC_P256, &subject, &request, &err), 0);
	return request;
}

static char *sign(struct pki_request *request)
{
	X509 *leaf =
		pki_leaf_new(&subject, pki_request_key(request), root.certificate, root.key, NULL);
	char *pem = pem_of(leaf);

	X509_free(leaf);
	return pem;
}

static void test_request(void **state)
{
	struct pki_request *request = request_new();
	BIO *bio = BIO_new_mem_buf(pki_request_csr(request), -1);
	X509_REQ *csr = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
	STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(csr);

	(void)state;
	assert_int_equal(X509_REQ_verify(csr, X509_REQ_get0_pubkey(csr)), 1);
	assert_int_equal(X509v3_get_ext_by_NID(extensions, NID_subject_alt_name, -1), 0);
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
	X509_REQ_free(csr);
	BIO_free(bio);
	pki_request_free(request);
}

static void test_good(void **state)
{
	struct pki_request *request = request_new();
	struct pki_credential *credential, *again;
	char *pem = sign(request);
	struct err_text err;

	(void)state;
	assert_int_equal(pki_credential_new(request, pem, root.pem, root.pem, &credential, &err),
			 0);
	assert_string_equal(credential->cn, "leaf");
	assert_string_equal(credential->issuer_cn, "Root");
	assert_string_equal(credential->certificate_pem, pem);
	assert_string_equal(credential->chain_pem, ""); /* the root is nobody's to send */
	assert_non_null(strstr(credential->key_pem, "BEGIN PRIVATE KEY"));
	assert_true(credential->serial[0] != 0);
	assert_int_equal(pki_credential_parse(pem, credential->key_pem, root.pem, &again, &err), 0);
	assert_string_equal(again->serial, credential->serial);
	assert_int_equal(pki_credential_check(again, root.pem, &err), 0);
	assert_int_equal(pki_credential_check(again, other.pem, &err), PKI_FAULT_UNTRUSTED);
	assert_ptr_equal(pki_credential_ref(again), again);
	pki_credential_unref(again);
	pki_credential_unref(again);
	pki_credential_unref(credential);
	pki_credential_unref(NULL);
	pki_request_free(request);
	free(pem);
}

/* The end is the root's where that comes first. */
static void test_end(void **state)
{
	struct pki_request *request = request_new();
	X509 *leaf =
		pki_leaf_new(&subject, pki_request_key(request), root.certificate, root.key, NULL);
	time_t later = (time_t)(clock_realtime_ns() / NSEC_PER_SEC) + 100 * 86400;
	struct pki_credential *credential;
	struct err_text err;
	char *pem;

	(void)state;
	assert_non_null(ASN1_TIME_set(X509_getm_notAfter(leaf), later));
	assert_true(X509_sign(leaf, root.key, EVP_sha256()) > 0);
	pem = pem_of(leaf);
	assert_int_equal(pki_credential_new(request, pem, root.pem, root.pem, &credential, &err),
			 0);
	assert_int_equal(credential->not_after,
			 pki_time_seconds(X509_get0_notAfter(root.certificate)));
	pki_credential_unref(credential);
	pki_request_free(request);
	X509_free(leaf);
	free(pem);
}

static void test_refused(void **state)
{
	struct pki_request *request = request_new(), *foreign = request_new();
	struct clock_fake later = { .realtime_ns = clock_realtime_ns() + 2 * 86400 * NSEC_PER_SEC },
			  earlier = { .realtime_ns = clock_realtime_ns() - 3600 * NSEC_PER_SEC };
	struct pki_credential *credential = NULL;
	char *pem = sign(request);
	struct err_text err;

	(void)state;
	assert_int_equal(pki_credential_new(foreign, pem, NULL, NULL, &credential, &err),
			 PKI_FAULT_KEY);
	assert_int_equal(pki_credential_new(request, pem, NULL, other.pem, &credential, &err),
			 PKI_FAULT_UNTRUSTED);
	assert_int_equal(pki_credential_new(request, "x", NULL, NULL, &credential, &err),
			 PKI_FAULT_UNREADABLE);
	assert_int_equal(pki_credential_new(request, pem, "x", NULL, &credential, &err),
			 PKI_FAULT_UNREADABLE);
	clock_set_fake(&later);
	assert_int_equal(pki_credential_new(request, pem, NULL, NULL, &credential, &err),
			 PKI_FAULT_TIME);
	clock_set_fake(&earlier);
	assert_int_equal(pki_credential_new(request, pem, NULL, NULL, &credential, &err),
			 PKI_FAULT_TIME);
	clock_set_fake(NULL);
	assert_null(credential);
	pki_request_free(request);
	pki_request_free(foreign);
	free(pem);
}

static void test_merge(void **state)
{
	const char *const twice[] = { root.pem, other.pem, root.pem };
	struct pki_request *request = request_new();
	char *leaf = sign(request), *merged;
	const char *const no_root[] = { leaf };
	struct err_text err;
	size_t roots;

	(void)state;
	assert_int_equal(pki_merge_certificates(twice, 3, &merged, &roots, &err), 0);
	assert_int_equal(roots, 2);
	assert_int_equal(strlen(merged), strlen(root.pem) + strlen(other.pem));
	free(merged);
	assert_int_equal(pki_merge_certificates(no_root, 1, &merged, &roots, &err), 0);
	assert_int_equal(roots, 0);
	free(merged);
	assert_int_equal(
		pki_merge_certificates((const char *const[]){ "" }, 1, &merged, &roots, &err),
		PKI_FAULT_UNREADABLE);
	pki_request_free(request);
	free(leaf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request), cmocka_unit_test(test_good),
		cmocka_unit_test(test_end),	cmocka_unit_test(test_refused),
		cmocka_unit_test(test_merge),
	};

	return cmocka_run_group_tests(tests, make_roots, free_roots);
}
