/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PKCS#12 stores: what goes in comes out again, roots carry the attribute that Java wants, and
 * nothing older than AES is used. (A real JVM reads them in tests/kafka.)
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#include "base/util.h"
#include "pki/certificate.h"
#include "pki/key.h"
#include "pki/pkcs12.h"

#define PASSWORD "a password"

static char root_pem[4096], leaf_pem[4096], chain_pem[8192], key_pem[4096];
static struct err_text err;

static void to_text(BIO *bio, char ret[4096])
{
	int n = BIO_read(bio, ret, 4095);

	assert_true(n > 0);
	ret[n] = 0;
	BIO_free(bio);
}

static void certificate_text(X509 *certificate, char ret[4096])
{
	BIO *bio = BIO_new(BIO_s_mem());

	assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
	to_text(bio, ret);
}

static int set_up(void **state)
{
	static const struct pki_subject ca = { .cn = "root", .days = 30 };
	static const struct pki_subject subject = { .cn = "leaf",
						    .days = 1,
						    .usage = PKI_USAGE_BOTH };
	EVP_PKEY *ca_key = pki_key_new(PKI_KEY_EC_P256, &err);
	EVP_PKEY *key = pki_key_new(PKI_KEY_EC_P256, &err);
	X509 *root = pki_root_new(&ca, ca_key, &err);
	X509 *leaf = pki_leaf_new(&subject, key, root, ca_key, &err);

	certificate_text(root, root_pem);
	certificate_text(leaf, leaf_pem);
	snprintf(chain_pem, sizeof(chain_pem), "%s%s", leaf_pem, root_pem);
	to_text(pki_key_pem(key, &err), key_pem);
	X509_free(root);
	X509_free(leaf);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
	return 0;
}

static void test_keystore(void **state)
{
	struct pki_bytes store, certificates, key;

	assert_int_equal(pkcs12_keystore(chain_pem, key_pem, "alias", PASSWORD, &store, &err), 0);
	assert_int_equal(pkcs12_read(&store, PASSWORD, &certificates, &key, &err), 0);
	assert_string_equal(certificates.bytes, chain_pem);
	assert_string_equal(key.bytes, key_pem);
	pki_bytes_fini(&certificates);
	pki_bytes_fini(&key);
	assert_int_equal(pkcs12_read(&store, "another", &certificates, &key, &err), -EINVAL);
	store.len /= 2;
	assert_int_equal(pkcs12_read(&store, PASSWORD, &certificates, &key, &err), -EINVAL);
	pki_bytes_fini(&store);
}

static void test_truststore(void **state)
{
	struct pki_bytes store, certificates, key;

	/* Two, one of them a leaf: a truststore holds what it is given. */
	assert_int_equal(pkcs12_truststore(chain_pem, PASSWORD, &store, &err), 0);
	assert_int_equal(pkcs12_read(&store, PASSWORD, &certificates, &key, &err), 0);
	assert_non_null(strstr(certificates.bytes, root_pem));
	assert_non_null(strstr(certificates.bytes, leaf_pem));
	assert_null(key.bytes);
	pki_bytes_fini(&certificates);
	pki_bytes_fini(&store);
}

/* The bags of a truststore, decrypted. */
static STACK_OF(PKCS12_SAFEBAG) * bags_of(const struct pki_bytes *store)
{
	const unsigned char *at = (const unsigned char *)store->bytes;
	PKCS12 *p12 = d2i_PKCS12(NULL, &at, (long)store->len);
	STACK_OF(PKCS7) *safes = PKCS12_unpack_authsafes(p12);
	PKCS7 *safe = sk_PKCS7_value(safes, 0);
	const X509_ALGOR *algorithm = safe->d.encrypted->enc_data->algorithm;
	STACK_OF(PKCS12_SAFEBAG) *bags = PKCS12_unpack_p7encdata(safe, PASSWORD, -1);

	assert_int_equal(OBJ_obj2nid(algorithm->algorithm), NID_pbes2);
	sk_PKCS7_pop_free(safes, PKCS7_free);
	PKCS12_free(p12);
	assert_non_null(bags);
	return bags;
}

static void test_java_trusts_it(void **state)
{
	STACK_OF(PKCS12_SAFEBAG) * bags;
	const ASN1_TYPE *value;
	struct pki_bytes store;
	PKCS12_SAFEBAG *bag;
	ASN1_OBJECT *wanted = OBJ_txt2obj("2.16.840.1.113894.746875.1.1", 1);
	bool found = false;

	assert_int_equal(pkcs12_truststore(root_pem, PASSWORD, &store, &err), 0);
	bags = bags_of(&store);
	assert_int_equal(sk_PKCS12_SAFEBAG_num(bags), 1);
	bag = sk_PKCS12_SAFEBAG_value(bags, 0);
	for (int i = 0; i < X509at_get_attr_count(PKCS12_SAFEBAG_get0_attrs(bag)); i++) {
		X509_ATTRIBUTE *attribute = X509at_get_attr(PKCS12_SAFEBAG_get0_attrs(bag), i);

		if (OBJ_cmp(X509_ATTRIBUTE_get0_object(attribute), wanted) != 0)
			continue;
		value = X509_ATTRIBUTE_get0_type(attribute, 0);
		assert_int_equal(value->type, V_ASN1_OBJECT);
		assert_int_equal(OBJ_obj2nid(value->value.object), NID_anyExtendedKeyUsage);
		found = true;
	}
	assert_true(found);
	ASN1_OBJECT_free(wanted);
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	pki_bytes_fini(&store);
}

static void test_refuses(void **state)
{
	struct pki_bytes store;

	assert_int_equal(pkcs12_truststore("no PEM", PASSWORD, &store, &err), -EINVAL);
	assert_int_equal(pkcs12_truststore("", PASSWORD, &store, &err), -EINVAL);
	assert_int_equal(pkcs12_keystore(leaf_pem, "no key", "a", PASSWORD, &store, &err), -EINVAL);
	chain_pem[strlen(chain_pem) - 60] = '!';
	assert_int_equal(pkcs12_truststore(chain_pem, PASSWORD, &store, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keystore),
		cmocka_unit_test(test_truststore),
		cmocka_unit_test(test_java_trusts_it),
		cmocka_unit_test(test_refuses),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
