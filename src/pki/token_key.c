/* SPDX-License-Identifier: Apache-2.0 */
/* Keys for tokens on OpenSSL's EVP (token_key.h). */
#include "pki/token_key.h"

#include <assert.h>
#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "pki/key.h"

#define ED25519_BYTES	32
#define P256_BYTES	32
#define SIGNATURE_BYTES 512 /* of the largest, RSA with 4096 bits */

static int take_number(const EVP_PKEY *pkey, const char *name, size_t bytes, uint8_t *ret,
		       size_t room, size_t *ret_bytes)
{
	BIGNUM *number = NULL;
	int n = -1;

	if (EVP_PKEY_get_bn_param(pkey, name, &number) == 1) {
		*ret_bytes = bytes ? bytes : (size_t)BN_num_bytes(number);
		n = *ret_bytes <= room ? BN_bn2binpad(number, ret, (int)*ret_bytes) : -1;
	}
	BN_free(number);
	return n < 0 ? -EINVAL : 0;
}

/* The public half. -EINVAL: OpenSSL can not give it. */
static int describe(const EVP_PKEY *pkey, struct jwk *jwk)
{
	int r;

	switch (jwk->algorithm) {
	case JWT_EDDSA:
		jwk->a_bytes = sizeof(jwk->a);
		return EVP_PKEY_get_raw_public_key(pkey, jwk->a, &jwk->a_bytes) == 1 &&
				       jwk->a_bytes == ED25519_BYTES
			       ? 0
			       : -EINVAL;
	case JWT_ES256:
		r = take_number(pkey, OSSL_PKEY_PARAM_EC_PUB_X, P256_BYTES, jwk->a, sizeof(jwk->a),
				&jwk->a_bytes);
		return r < 0 ? r
			     : take_number(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, P256_BYTES, jwk->b,
					   sizeof(jwk->b), &jwk->b_bytes);
	case JWT_RS256:
		r = take_number(pkey, OSSL_PKEY_PARAM_RSA_N, 0, jwk->a, sizeof(jwk->a),
				&jwk->a_bytes);
		return r < 0 ? r
			     : take_number(pkey, OSSL_PKEY_PARAM_RSA_E, 0, jwk->b, sizeof(jwk->b),
					   &jwk->b_bytes);
	case JWT_ALGORITHM_COUNT:
		break;
	}
	return -EINVAL;
}

static int name_it(struct jwk *jwk)
{
	char text[JWK_TEXT_BYTES];
	uint8_t digest[JWT_DIGEST_BYTES];
	size_t len = jwk_thumbprint_text(jwk, text);

	if (EVP_Digest(text, len, digest, NULL, EVP_sha256(), NULL) != 1)
		return -EIO;
	base64url(digest, sizeof(digest), jwk->kid);
	return 0;
}

static int algorithm_of(const EVP_PKEY *pkey, enum jwt_algorithm *ret)
{
	switch (EVP_PKEY_get_base_id(pkey)) {
	case EVP_PKEY_ED25519:
		*ret = JWT_EDDSA;
		return 0;
	case EVP_PKEY_EC:
		*ret = JWT_ES256;
		return EVP_PKEY_get_bits(pkey) == P256_BYTES * 8 ? 0 : -EINVAL;
	case EVP_PKEY_RSA:
		*ret = JWT_RS256;
		return 0;
	default:
		return -EINVAL;
	}
}

int token_key_of(EVP_PKEY *pkey, struct token_key **ret, struct err_text *err)
{
	struct token_key *key = calloc(1, sizeof(*key));
	int r;

	if (!key)
		return err_set(err, -ENOMEM, "out of memory");
	atomic_init(&key->refs, 1);
	r = algorithm_of(pkey, &key->jwk.algorithm);
	if (r == 0)
		r = describe(pkey, &key->jwk);
	if (r == 0)
		r = name_it(&key->jwk);
	if (r < 0) {
		free(key);
		return pki_openssl_error(
			err, r, "a key for tokens must be Ed25519, EC P-256, or RSA up to 4096");
	}
	key->pkey = pkey;
	*ret = key;
	return 0;
}

int token_key_new(enum jwt_algorithm algorithm, struct token_key **ret, struct err_text *err)
{
	static const enum pki_key_type types[JWT_ALGORITHM_COUNT] = {
		[JWT_EDDSA] = PKI_KEY_ED25519,
		[JWT_ES256] = PKI_KEY_EC_P256,
		[JWT_RS256] = PKI_KEY_RSA_2048,
	};
	EVP_PKEY *pkey = pki_key_new(types[algorithm], err);
	int r;

	if (!pkey)
		return -EIO;
	r = token_key_of(pkey, ret, err);
	if (r < 0)
		EVP_PKEY_free(pkey);
	return r;
}

struct token_key *token_key_ref(struct token_key *key)
{
	atomic_fetch_add(&key->refs, 1);
	return key;
}

void token_key_unref(struct token_key *key)
{
	if (!key || atomic_fetch_sub(&key->refs, 1) != 1)
		return;
	EVP_PKEY_free(key->pkey);
	free(key);
}

/* OpenSSL gives DER, a token has the two numbers side by side (RFC 7518 3.4). */
static bool put_numbers(uint8_t *signature, size_t *len)
{
	const unsigned char *at = signature;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)*len);
	bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, P256_BYTES) > 0 &&
		  BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + P256_BYTES, P256_BYTES) > 0;

	ECDSA_SIG_free(sig);
	*len = (size_t)2 * P256_BYTES;
	return ok;
}

static bool sign(const struct token_key *key, const char *text, size_t text_len,
		 uint8_t ret[SIGNATURE_BYTES], size_t *ret_len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok;

	*ret_len = SIGNATURE_BYTES;
	ok = ctx &&
	     EVP_DigestSignInit(ctx, NULL, pki_key_digest(key->pkey), NULL, key->pkey) == 1 &&
	     EVP_DigestSign(ctx, ret, ret_len, (const uint8_t *)text, text_len) == 1 &&
	     (key->jwk.algorithm != JWT_ES256 || put_numbers(ret, ret_len));
	EVP_MD_CTX_free(ctx);
	if (!ok)
		ERR_clear_error();
	return ok;
}

size_t token_key_sign(const struct token_key *key, const struct jwt_claims *claims,
		      char ret[TOKEN_BYTES_MAX])
{
	static_assert(JWT_TEXT_BYTES_MAX + 1 + BASE64URL_BYTES(SIGNATURE_BYTES) <= TOKEN_BYTES_MAX,
		      "a text that fits leaves room for any signature");
	uint8_t signature[SIGNATURE_BYTES];
	size_t used = jwt_text(key->jwk.algorithm, key->jwk.kid, claims, ret), len;

	if (!used || !sign(key, ret, used, signature, &len))
		return 0;
	ret[used++] = '.';
	return used + base64url(signature, len, ret + used);
}
