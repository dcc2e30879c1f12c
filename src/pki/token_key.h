/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key that signs tokens: immutable, shared by counting, used by any thread at once.
 */
#ifndef SALLYPORT_PKI_TOKEN_KEY_H
#define SALLYPORT_PKI_TOKEN_KEY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "base/err.h"
#include "kafka/jwt.h"

struct token_key {
	atomic_uint refs;
	EVP_PKEY *pkey;
	struct jwk jwk; /* the public half, with its name */
	/* Seconds since the epoch: made; signs from here on. */
	int64_t created, use_from;
};

/* Makes one, with one reference. 0, or -errno with `err`. RSA takes up to seconds. */
int token_key_new(enum jwt_algorithm algorithm, struct token_key **ret, struct err_text *err);
/* Of a private key that is there; takes it if it succeeds. -EINVAL: not of a kind that is used. */
int token_key_of(EVP_PKEY *pkey, struct token_key **ret, struct err_text *err);
struct token_key *token_key_ref(struct token_key *key);
void token_key_unref(struct token_key *key); /* NULL is fine */

/* A whole token. Returns its length; 0: it does not fit, or OpenSSL fails. */
size_t token_key_sign(const struct token_key *key, const struct jwt_claims *claims,
		      char ret[TOKEN_BYTES_MAX]);

#endif
