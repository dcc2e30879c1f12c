/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key derivation after the handshake. A struct tls_keys is one leg's, in secret memory; whoever
 * holds the pointer owns it. Everything else is pure: HMAC is done by hand on digests that are
 * fetched once for the process, because libcrypto's own HKDF looks its algorithms up by name on
 * every call, which costs more than the hashing. Any thread.
 */
#include "tls/traffic_keys.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base/secret.h"
#include "base/util.h"

#define HASH_BYTES_MAX	     48
#define HASH_BLOCK_BYTES_MAX 128
#define LABEL_PREFIX	     "tls13 "
#define LABEL_BYTES_MAX	     (255 - (sizeof(LABEL_PREFIX) - 1))
/* length, prefixed label, empty context (RFC 8446 7.1), then HKDF's counter */
#define INFO_BYTES_MAX (2 + 1 + 255 + 1 + 1)

#define TLS12_MASTER_BYTES	  48
#define TLS12_RANDOM_BYTES	  32
#define TLS12_KEY_BLOCK_BYTES_MAX (2 * (TRAFFIC_KEY_BYTES_MAX + TRAFFIC_IV_BYTES))

static_assert(sizeof(struct tls_keys) <= SECRET_BYTES_MAX, "one slot of secret memory");

struct cipher_row {
	const char *name;
	const char *hash;
	uint8_t key_bytes, hash_bytes, hash_block_bytes, tls12_iv_bytes;
};

static const struct cipher_row ciphers[TLS_CIPHER_COUNT] = {
	[TLS_CIPHER_AES_128_GCM_SHA256] = { "TLS_AES_128_GCM_SHA256", "SHA2-256", 16, 32, 64, 4 },
	[TLS_CIPHER_AES_256_GCM_SHA384] = { "TLS_AES_256_GCM_SHA384", "SHA2-384", 32, 48, 128, 4 },
	[TLS_CIPHER_CHACHA20_POLY1305_SHA256] = { "TLS_CHACHA20_POLY1305_SHA256", "SHA2-256", 32,
						  32, 64, 12 },
};

static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;
static EVP_MD *digests[TLS_CIPHER_COUNT]; /* NULL where libcrypto has none (no provider) */
static EVP_KDF *tls1_prf;

static void fetch_all(void)
{
	for (size_t i = 0; i < TLS_CIPHER_COUNT; i++)
		digests[i] = EVP_MD_fetch(NULL, ciphers[i].hash, NULL);
	tls1_prf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
}

const char *tls_cipher_name(enum tls_cipher cipher)
{
	return ciphers[cipher].name;
}

size_t tls_cipher_key_bytes(enum tls_cipher cipher)
{
	return ciphers[cipher].key_bytes;
}

size_t tls_cipher_secret_bytes(enum tls_cipher cipher)
{
	return ciphers[cipher].hash_bytes;
}

struct tls_keys *tls_keys_new(void)
{
	return secret_alloc(sizeof(struct tls_keys));
}

void tls_keys_free(struct tls_keys *keys)
{
	secret_free(keys, sizeof(*keys));
}

static bool hash_block(EVP_MD_CTX *ctx, const EVP_MD *md, const struct cipher_row *row,
		       const uint8_t *secret, uint8_t pad, const uint8_t *data, size_t len,
		       uint8_t *ret)
{
	uint8_t block[HASH_BLOCK_BYTES_MAX];
	bool ok;

	memset(block, pad, row->hash_block_bytes);
	for (size_t i = 0; i < row->hash_bytes; i++)
		block[i] ^= secret[i];
	ok = EVP_DigestInit_ex2(ctx, md, NULL) &&
	     EVP_DigestUpdate(ctx, block, row->hash_block_bytes) &&
	     EVP_DigestUpdate(ctx, data, len) && EVP_DigestFinal_ex(ctx, ret, NULL);
	secret_wipe(block, sizeof(block));
	return ok;
}

/* RFC 2104 with a key of the hash's own length. */
static int hmac(enum tls_cipher cipher, const uint8_t *secret, const uint8_t *data, size_t len,
		uint8_t ret[HASH_BYTES_MAX])
{
	const struct cipher_row *row = &ciphers[cipher];
	const EVP_MD *md = digests[cipher];
	uint8_t inner[HASH_BYTES_MAX];
	EVP_MD_CTX *ctx;
	bool ok;

	if (!md)
		return -ENOTSUP;
	ctx = EVP_MD_CTX_new();
	if (!ctx)
		return -ENOMEM;
	ok = hash_block(ctx, md, row, secret, 0x36, data, len, inner) &&
	     hash_block(ctx, md, row, secret, 0x5c, inner, row->hash_bytes, ret);
	EVP_MD_CTX_free(ctx); /* wipes its state */
	secret_wipe(inner, sizeof(inner));
	return ok ? 0 : -ENOMEM;
}

int tls13_expand_label(enum tls_cipher cipher, const uint8_t *secret, const char *label,
		       uint8_t *ret, size_t len)
{
	uint8_t info[INFO_BYTES_MAX], block[HASH_BYTES_MAX];
	size_t label_bytes = strlen(label), at = 0;
	int r;

	/* Keys, ivs and secrets all fit in HKDF's first block; nothing else is derived here. */
	if (cipher >= TLS_CIPHER_COUNT || label_bytes > LABEL_BYTES_MAX ||
	    len > ciphers[cipher].hash_bytes)
		return -EINVAL;
	pthread_once(&fetch_once, fetch_all);
	info[at++] = 0;
	info[at++] = (uint8_t)len;
	info[at++] = (uint8_t)(sizeof(LABEL_PREFIX) - 1 + label_bytes);
	memcpy(info + at, LABEL_PREFIX, sizeof(LABEL_PREFIX) - 1);
	at += sizeof(LABEL_PREFIX) - 1;
	memcpy(info + at, label, label_bytes);
	at += label_bytes;
	info[at++] = 0; /* no context */
	info[at++] = 1; /* HKDF-Expand's counter */
	r = hmac(cipher, secret, info, at, block);
	if (!r)
		memcpy(ret, block, len);
	secret_wipe(block, sizeof(block));
	return r;
}

int tls13_derive_key(enum tls_cipher cipher, struct traffic_keys *t)
{
	uint8_t key[TRAFFIC_KEY_BYTES_MAX] = { 0 }, iv[TRAFFIC_IV_BYTES];
	int r;

	if (cipher >= TLS_CIPHER_COUNT)
		return -EINVAL;
	r = tls13_expand_label(cipher, t->secret, "key", key, ciphers[cipher].key_bytes);
	if (!r)
		r = tls13_expand_label(cipher, t->secret, "iv", iv, sizeof(iv));
	if (!r) {
		memcpy(t->key, key, sizeof(key));
		memcpy(t->iv, iv, sizeof(iv));
	}
	secret_wipe(key, sizeof(key));
	secret_wipe(iv, sizeof(iv));
	return r;
}

int tls13_update_key(enum tls_cipher cipher, struct traffic_keys *t)
{
	struct traffic_keys next = { .generation = t->generation + 1 };
	int r;

	if (cipher >= TLS_CIPHER_COUNT)
		return -EINVAL;
	r = tls13_expand_label(cipher, t->secret, "traffic upd", next.secret,
			       ciphers[cipher].hash_bytes);
	if (!r)
		r = tls13_derive_key(cipher, &next);
	if (!r)
		*t = next;
	secret_wipe(&next, sizeof(next));
	return r;
}

/* RFC 5246 5: PRF(master, "key expansion", server random + client random). */
static int key_block(enum tls_cipher cipher, const uint8_t *master, const uint8_t *client_random,
		     const uint8_t *server_random, uint8_t *ret, size_t len)
{
	static const char label[] = "key expansion";
	uint8_t seed[sizeof(label) - 1 + 2 * TLS12_RANDOM_BYTES];
	OSSL_PARAM params[4];
	EVP_KDF_CTX *ctx;
	int ok;

	if (!tls1_prf)
		return -ENOTSUP;
	ctx = EVP_KDF_CTX_new(tls1_prf);
	if (!ctx)
		return -ENOMEM;
	memcpy(seed, label, sizeof(label) - 1);
	memcpy(seed + sizeof(label) - 1, server_random, TLS12_RANDOM_BYTES);
	memcpy(seed + sizeof(label) - 1 + TLS12_RANDOM_BYTES, client_random, TLS12_RANDOM_BYTES);
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
						     (char *)ciphers[cipher].hash, 0);
	params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, (void *)master,
						      TLS12_MASTER_BYTES);
	params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed, sizeof(seed));
	params[3] = OSSL_PARAM_construct_end();
	ok = EVP_KDF_derive(ctx, ret, len, params);
	EVP_KDF_CTX_free(ctx);
	return ok == 1 ? 0 : -ENOMEM;
}

static void set_direction(struct traffic_keys *t, const struct cipher_row *row, const uint8_t *key,
			  const uint8_t *iv)
{
	memset(t, 0, sizeof(*t));
	memcpy(t->key, key, row->key_bytes);
	memcpy(t->iv, iv, row->tls12_iv_bytes);
}

int tls12_derive_keys(struct tls_keys *keys, enum tls_cipher cipher, const uint8_t master[48],
		      const uint8_t client_random[32], const uint8_t server_random[32],
		      int is_server)
{
	uint8_t block[TLS12_KEY_BLOCK_BYTES_MAX];
	const struct cipher_row *row;
	const uint8_t *ivs;
	int r;

	if (cipher >= TLS_CIPHER_COUNT)
		return -EINVAL;
	pthread_once(&fetch_once, fetch_all);
	row = &ciphers[cipher];
	r = key_block(cipher, master, client_random, server_random, block,
		      2 * ((size_t)row->key_bytes + row->tls12_iv_bytes));
	if (r)
		return r;
	/* client key, server key, client iv, server iv (AEAD suites have no MAC keys) */
	ivs = block + 2 * row->key_bytes;
	set_direction(is_server ? &keys->rx : &keys->tx, row, block, ivs);
	set_direction(is_server ? &keys->tx : &keys->rx, row, block + row->key_bytes,
		      ivs + row->tls12_iv_bytes);
	secret_wipe(block, sizeof(block));
	keys->rx_sequence = keys->tx_sequence = 1;
	keys->version = TLS_VERSION_1_2;
	keys->cipher = (uint8_t)cipher;
	return 0;
}
