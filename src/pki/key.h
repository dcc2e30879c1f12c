/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private keys: the types we make, and their PEM form.
 */
#ifndef SALLYPORT_PKI_KEY_H
#define SALLYPORT_PKI_KEY_H

#include <openssl/bio.h>
#include <openssl/evp.h>

#include "base/err.h"

enum pki_key_type {
	PKI_KEY_EC_P256,
	PKI_KEY_EC_P384,
	PKI_KEY_ED25519,
	PKI_KEY_RSA_2048,
	PKI_KEY_RSA_3072,
	PKI_KEY_RSA_4096,
	PKI_KEY_TYPE_COUNT
};

/* "ec-p256", …; the list is NULL-ended. */
const char *const *pki_key_type_names(void);
/* 0 or -EINVAL. */
int pki_key_type_parse(const char *text, enum pki_key_type *ret);

/* NULL if OpenSSL fails (`err` says why). RSA takes up to seconds. Caller frees with
 * EVP_PKEY_free(). */
EVP_PKEY *pki_key_new(enum pki_key_type type, struct err_text *err);
/* PKCS#8 PEM without pass phrase in a memory BIO that is wiped when freed; NULL if OpenSSL fails.
 */
BIO *pki_key_pem(EVP_PKEY *key, struct err_text *err);
/* Digest that goes with the key for signing; NULL where the signature scheme brings its own. */
const EVP_MD *pki_key_digest(EVP_PKEY *key);

/* Fills `err` with `doing` and OpenSSL's last reason; clears OpenSSL's queue. Returns `code`. */
int pki_openssl_error(struct err_text *err, int code, const char *doing);

#endif
