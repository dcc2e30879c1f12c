/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PKCS#12 for Java (pkcs12.h). Java's own reader wants more than the standard: a certificate in a
 * truststore counts only if its bag carries Oracle's attribute trustedKeyUsage. Everything is
 * encrypted with PBES2 (AES-256-CBC, PBKDF2 with HMAC-SHA256) and its MAC is SHA-256, which Java 11
 * and later read; the older ciphers of PKCS#12 are not made. No state, no files; any thread.
 */
#include "pki/pkcs12.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "base/util.h"
#include "limits/limits.h"
#include "pki/key.h"

/* As Java's own. */
#define ITERATIONS 10000
/* Oracle's trustedKeyUsage: which uses a certificate is trusted for; here any. */
#define TRUSTED_KEY_USAGE "2.16.840.1.113894.746875.1.1"

void pki_bytes_fini(struct pki_bytes *bytes)
{
	if (bytes->bytes)
		secret_wipe(bytes->bytes, bytes->len);
	free(bytes->bytes);
	*bytes = (struct pki_bytes){ 0 };
}

static int copy_bytes(const void *bytes, size_t len, struct pki_bytes *ret, struct err_text *err)
{
	char *copy = malloc(len + 1);

	if (!copy)
		return err_set(err, -ENOMEM, "no memory");
	if (len)
		memcpy(copy, bytes, len);
	copy[len] = 0;
	*ret = (struct pki_bytes){ copy, len };
	return 0;
}

/* --- from PEM --- */

/* A pass phrase is never asked for. */
static int no_pass_phrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

static bool at_end_of_pem(void)
{
	unsigned long last = ERR_peek_last_error();

	return ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
}

static void certificates_free(STACK_OF(X509) * certificates)
{
	sk_X509_pop_free(certificates, X509_free);
}

/* All certificates of a text, at least one; NULL with `err`. */
static STACK_OF(X509) * read_certificates(const char *pem, struct err_text *err)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	STACK_OF(X509) *certificates = sk_X509_new_null();
	X509 *certificate = NULL;
	bool whole = false;

	while (bio && certificates && sk_X509_num(certificates) < ROOTS_MAX) {
		certificate = PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL);
		whole = !certificate && at_end_of_pem();
		if (!certificate || !sk_X509_push(certificates, certificate))
			break;
		certificate = NULL;
	}
	X509_free(certificate);
	BIO_free(bio);
	if (whole && sk_X509_num(certificates) > 0) {
		ERR_clear_error();
		return certificates;
	}
	certificates_free(certificates);
	pki_openssl_error(err, -EINVAL, "reading certificates");
	return NULL;
}

static EVP_PKEY *read_key(const char *pem, struct err_text *err)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL) : NULL;

	BIO_free(bio);
	if (!key)
		pki_openssl_error(err, -EINVAL, "reading a private key");
	return key;
}

/* --- making --- */

/* Takes `p12`, which may be NULL. */
static int encode(PKCS12 *p12, struct pki_bytes *ret, struct err_text *err)
{
	unsigned char *der = NULL;
	int len = p12 ? i2d_PKCS12(p12, &der) : -1, r;

	PKCS12_free(p12);
	if (len <= 0)
		return pki_openssl_error(err, -EIO, "making a PKCS#12 store");
	r = copy_bytes(der, (size_t)len, ret, err);
	OPENSSL_free(der);
	return r;
}

int pkcs12_keystore(const char *certificates_pem, const char *key_pem, const char *alias,
		    const char *password, struct pki_bytes *ret, struct err_text *err)
{
	STACK_OF(X509) *chain = read_certificates(certificates_pem, err);
	EVP_PKEY *key = chain ? read_key(key_pem, err) : NULL;
	X509 *leaf = key ? sk_X509_shift(chain) : NULL;
	int r = -EINVAL;

	if (leaf)
		r = encode(PKCS12_create(password, alias, key, leaf, chain, NID_aes_256_cbc,
					 NID_aes_256_cbc, ITERATIONS, ITERATIONS, 0),
			   ret, err);
	X509_free(leaf);
	EVP_PKEY_free(key);
	certificates_free(chain);
	return r;
}

static int add_root(STACK_OF(PKCS12_SAFEBAG) * *bags, X509 *root, int number)
{
	const ASN1_OBJECT *any = OBJ_nid2obj(NID_anyExtendedKeyUsage);
	PKCS12_SAFEBAG *bag = PKCS12_add_cert(bags, root);
	char alias[32];

	snprintf(alias, sizeof(alias), "root-%d", number);
	/* A length of -1: the value is an object, not its bytes. */
	return bag && PKCS12_add_friendlyname_utf8(bag, alias, -1) &&
	       PKCS12_add1_attr_by_txt(bag, TRUSTED_KEY_USAGE, V_ASN1_OBJECT,
				       (const unsigned char *)any, -1);
}

static PKCS12 *make_truststore(const STACK_OF(X509) * roots, const char *password)
{
	STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
	STACK_OF(PKCS7) *safes = NULL;
	PKCS12 *p12 = NULL;
	int ok = 1;

	for (int i = 0; ok && i < sk_X509_num(roots); i++)
		ok = add_root(&bags, sk_X509_value(roots, i), i + 1);
	if (ok && PKCS12_add_safe(&safes, bags, NID_aes_256_cbc, ITERATIONS, password) == 1)
		p12 = PKCS12_add_safes(safes, 0);
	if (p12 && PKCS12_set_mac(p12, password, -1, NULL, 0, ITERATIONS, EVP_sha256()) != 1) {
		PKCS12_free(p12);
		p12 = NULL;
	}
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	sk_PKCS7_pop_free(safes, PKCS7_free);
	return p12;
}

int pkcs12_truststore(const char *roots_pem, const char *password, struct pki_bytes *ret,
		      struct err_text *err)
{
	STACK_OF(X509) *roots = read_certificates(roots_pem, err);
	int r = roots ? encode(make_truststore(roots, password), ret, err) : -EINVAL;

	certificates_free(roots);
	return r;
}

/* --- reading --- */

/* Takes `bio`. */
static int take_bio(BIO *bio, struct pki_bytes *ret, struct err_text *err)
{
	char *data = NULL;
	long len = bio ? BIO_get_mem_data(bio, &data) : -1;
	int r = len < 0 ? -ENOMEM : copy_bytes(data, (size_t)len, ret, err);

	BIO_free(bio);
	return r;
}

static int write_certificates(X509 *leaf, const STACK_OF(X509) * others, struct pki_bytes *ret,
			      struct err_text *err)
{
	BIO *out = BIO_new(BIO_s_mem());
	int ok = out && (!leaf || PEM_write_bio_X509(out, leaf));

	for (int i = 0; ok && i < sk_X509_num(others); i++)
		ok = PEM_write_bio_X509(out, sk_X509_value(others, i));
	if (ok)
		return take_bio(out, ret, err);
	BIO_free(out);
	return pki_openssl_error(err, -ENOMEM, "writing certificates");
}

int pkcs12_read(const struct pki_bytes *store, const char *password,
		struct pki_bytes *ret_certificates, struct pki_bytes *ret_key, struct err_text *err)
{
	const unsigned char *at = (const unsigned char *)store->bytes;
	PKCS12 *p12 = d2i_PKCS12(NULL, &at, (long)store->len);
	struct pki_bytes certificates = { 0 }, key_pem = { 0 };
	STACK_OF(X509) *others = NULL;
	EVP_PKEY *key = NULL;
	X509 *leaf = NULL;
	int r = 0;

	if (!p12 || !PKCS12_parse(p12, password, &key, &leaf, &others))
		r = pki_openssl_error(err, -EINVAL, "reading a PKCS#12 store");
	if (r == 0)
		r = write_certificates(leaf, others, &certificates, err);
	if (r == 0 && key)
		r = take_bio(pki_key_pem(key, err), &key_pem, err);
	if (r == 0) {
		*ret_certificates = certificates;
		*ret_key = key_pem;
	} else {
		pki_bytes_fini(&certificates);
	}
	PKCS12_free(p12);
	certificates_free(others);
	EVP_PKEY_free(key);
	X509_free(leaf);
	return r;
}
