/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts around a signed token (JWT, RFC 7519) and its public keys (JWKS, RFC 7517). The
 * cryptography is elsewhere: pki/token_key.h.
 */
#ifndef SALLYPORT_KAFKA_JWT_H
#define SALLYPORT_KAFKA_JWT_H

#include <stddef.h>
#include <stdint.h>

#include "limits/limits.h"

enum jwt_algorithm { JWT_EDDSA, JWT_ES256, JWT_RS256, JWT_ALGORITHM_COUNT };

/* "EdDSA", "ES256", "RS256". */
const char *jwt_algorithm_name(enum jwt_algorithm algorithm);

#define BASE64URL_BYTES(n) (((n) * 4 + 2) / 3 + 1) /* with its NUL */
/* RFC 4648 5, without padding. Returns the length, NUL not counted. */
size_t base64url(const void *bytes, size_t len, char *ret);

#define JWT_DIGEST_BYTES 32 /* SHA-256 */
#define JWT_KID_BYTES	 BASE64URL_BYTES(JWT_DIGEST_BYTES)

/* A public key. Ed25519: x; P-256: x, y; RSA: n, e (big endian, no leading zeros). */
struct jwk {
	enum jwt_algorithm algorithm;
	char kid[JWT_KID_BYTES];
	size_t a_bytes, b_bytes;
	uint8_t a[512], b[64];
};

#define JWK_TEXT_BYTES 1024

/* What RFC 7638 makes the digest of, which in base64url is the key's name. */
size_t jwk_thumbprint_text(const struct jwk *jwk, char ret[JWK_TEXT_BYTES]);
/* The whole set, for a file; NULL without memory. The caller frees. */
char *jwks_text(const struct jwk *keys, size_t count);

struct jwt_claims {
	const char *issuer, *audience, *subject;
	int64_t issued_at, expires_at; /* seconds since the epoch */
};

/* Header and claims as they are signed; the caller appends '.' and the signature. Returns the
 * length; 0 if it does not fit into JWT_TEXT_BYTES_MAX, or without memory. */
#define JWT_TEXT_BYTES_MAX (TOKEN_BYTES_MAX - 1024) /* the signature comes behind it */
size_t jwt_text(enum jwt_algorithm algorithm, const char *kid, const struct jwt_claims *claims,
		char ret[JWT_TEXT_BYTES_MAX]);

/* NULL if a broker will see this very text as the subject, or why it would be somebody else to it:
 * Kafka trims blanks, and ANONYMOUS is its name for who has none. Static. */
const char *jwt_subject_fault(const char *subject);

#endif
