/* SPDX-License-Identifier: Apache-2.0 */
/* Private keys on OpenSSL's EVP (key.h). No state; any thread. */
#include "pki/key.h"

#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

static const char *const type_names[PKI_KEY_TYPE_COUNT + 1] = {
	[PKI_KEY_EC_P256] = "ec-p256",	 [PKI_KEY_EC_P384] = "ec-p384",
	[PKI_KEY_ED25519] = "ed25519",	 [PKI_KEY_RSA_2048] = "rsa-2048",
	[PKI_KEY_RSA_3072] = "rsa-3072", [PKI_KEY_RSA_4096] = "rsa-4096",
};

const char *const *pki_key_type_names(void)
{
	return type_names;
}

int pki_key_type_parse(const char *text, enum pki_key_type *ret)
{
	for (int i = 0; i < PKI_KEY_TYPE_COUNT; i++) {
		if (strcmp(type_names[i], text) != 0)
			continue;
		*ret = (enum pki_key_type)i;
		return 0;
	}
	return -EINVAL;
}

int pki_openssl_error(struct err_text *err, int code, const char *doing)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	err_set(err, code, "%s: %s", doing, reason ? reason : "OpenSSL gives no reason");
	ERR_clear_error();
	return code;
}

EVP_PKEY *pki_key_new(enum pki_key_type type, struct err_text *err)
{
	EVP_PKEY *key = NULL;

	switch (type) {
	case PKI_KEY_EC_P256:
		key = EVP_EC_gen("P-256");
		break;
	case PKI_KEY_EC_P384:
		key = EVP_EC_gen("P-384");
		break;
	case PKI_KEY_ED25519:
		key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
		break;
	case PKI_KEY_RSA_2048:
		key = EVP_RSA_gen(2048);
		break;
	case PKI_KEY_RSA_3072:
		key = EVP_RSA_gen(3072);
		break;
	case PKI_KEY_RSA_4096:
		key = EVP_RSA_gen(4096);
		break;
	case PKI_KEY_TYPE_COUNT:
		break;
	}
	if (!key)
		pki_openssl_error(err, -EIO, "making a private key");
	return key;
}

BIO *pki_key_pem(EVP_PKEY *key, struct err_text *err)
{
	BIO *bio = BIO_new(BIO_s_secmem());

	if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
		return bio;
	BIO_free(bio);
	pki_openssl_error(err, -EIO, "writing a private key as PEM");
	return NULL;
}

const EVP_MD *pki_key_digest(EVP_PKEY *key)
{
	int id = EVP_PKEY_get_base_id(key);

	if (id == EVP_PKEY_ED25519 || id == EVP_PKEY_ED448)
		return NULL;
	if (id == EVP_PKEY_EC && EVP_PKEY_get_bits(key) > 256)
		return EVP_sha384();
	return EVP_sha256();
}
