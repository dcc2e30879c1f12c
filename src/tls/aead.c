/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user-space record layer: one record sealed or opened in place by one pass of the cipher.
 *
 * A cipher context (key schedule and GHASH table) belongs to a slot of the worker's cache. An aead
 * that uses a slot and the slot point at each other; the slot that was used longest ago is taken
 * from its owner when another one needs it. A key is thus scheduled only when it comes back after
 * others, and a record pays for nonce, header, payload and tag alone. Owned and used by one thread.
 */
#include "tls/aead.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/list.h"
#include "base/secret.h"
#include "base/util.h"

#define TLS12_EXPLICIT_BYTES	  8
#define TLS12_AAD_BYTES		  13
#define SLOT_CIPHER_NONE	  TLS_CIPHER_COUNT
#define INNER_PLAINTEXT_BYTES_MAX (TLS_PLAINTEXT_BYTES_MAX + 1) /* with type and padding */

struct aead_slot {
	struct list_node node;
	struct aead *owner; /* NULL: no key inside */
	EVP_CIPHER_CTX *ctx;
	uint8_t cipher; /* that ctx was last set up for */
};

struct aead_cache {
	EVP_CIPHER *ciphers[TLS_CIPHER_COUNT];
	struct list_node lru; /* longest unused first */
	size_t slot_count;
	struct aead_slot slots[];
};

static const char *const cipher_names[TLS_CIPHER_COUNT] = {
	[TLS_CIPHER_AES_128_GCM_SHA256] = "AES-128-GCM",
	[TLS_CIPHER_AES_256_GCM_SHA384] = "AES-256-GCM",
	[TLS_CIPHER_CHACHA20_POLY1305_SHA256] = "ChaCha20-Poly1305",
};

static void put_be16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put_be64(uint8_t *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof(v));
}

int aead_cache_new(size_t slots, struct aead_cache **ret)
{
	struct aead_cache *cache;

	if (slots < 2)
		return -EINVAL;
	cache = calloc(1, sizeof(*cache) + slots * sizeof(cache->slots[0]));
	if (!cache)
		return -ENOMEM;
	list_init(&cache->lru);
	cache->slot_count = slots;
	for (size_t i = 0; i < slots; i++) {
		cache->slots[i].cipher = SLOT_CIPHER_NONE;
		list_append(&cache->lru, &cache->slots[i].node);
	}
	/* A provider may lack one (FIPS has no ChaCha20): noticed when a connection needs it. */
	for (size_t i = 0; i < TLS_CIPHER_COUNT; i++)
		cache->ciphers[i] = EVP_CIPHER_fetch(NULL, cipher_names[i], NULL);
	ERR_clear_error();
	*ret = cache;
	return 0;
}

void aead_cache_free(struct aead_cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < cache->slot_count; i++) {
		if (cache->slots[i].owner)
			cache->slots[i].owner->slot = NULL;
		EVP_CIPHER_CTX_free(cache->slots[i].ctx); /* wipes the key schedule */
	}
	for (size_t i = 0; i < TLS_CIPHER_COUNT; i++)
		EVP_CIPHER_free(cache->ciphers[i]);
	free(cache);
}

void aead_init(struct aead *aead, struct tls_keys *keys, bool sealing)
{
	*aead = (struct aead){
		.keys = sealing ? &keys->tx : &keys->rx,
		.sequence = sealing ? &keys->tx_sequence : &keys->rx_sequence,
		.cipher = keys->cipher,
		.sealing = sealing,
		.version = keys->version,
	};
}

static void slot_wipe(struct aead_slot *slot)
{
	if (slot->owner)
		slot->owner->slot = NULL;
	slot->owner = NULL;
	slot->cipher = SLOT_CIPHER_NONE;
	if (slot->ctx)
		EVP_CIPHER_CTX_reset(slot->ctx);
}

void aead_release(struct aead_cache *cache, struct aead *aead)
{
	struct aead_slot *slot = aead->slot;

	if (!slot)
		return;
	slot_wipe(slot);
	list_remove(&slot->node);
	/* An empty slot is the first to be lent again. */
	list_append(cache->lru.next, &slot->node);
}

/* Takes the longest-unused slot. Where it last served the same cipher the new key simply overwrites
 * the old one, so nothing is allocated and nothing of the old key is left. */
static int slot_lend(struct aead_cache *cache, struct aead *aead)
{
	struct aead_slot *slot = container_of(cache->lru.next, struct aead_slot, node);
	const EVP_CIPHER *cipher = cache->ciphers[aead->cipher];

	if (!cipher)
		return -ENOTSUP;
	if (!slot->ctx)
		slot->ctx = EVP_CIPHER_CTX_new();
	if (!slot->ctx)
		return -ENOMEM;
	if (slot->cipher == aead->cipher)
		cipher = NULL;
	else
		slot_wipe(slot);
	if (EVP_CipherInit_ex2(slot->ctx, cipher, aead->keys->key, NULL, aead->sealing, NULL) !=
	    1) {
		slot_wipe(slot);
		ERR_clear_error();
		return -ENOMEM;
	}
	if (slot->owner)
		slot->owner->slot = NULL;
	slot->owner = aead;
	slot->cipher = aead->cipher;
	aead->slot = slot;
	return 0;
}

static int context_of(struct aead_cache *cache, struct aead *aead, EVP_CIPHER_CTX **ret)
{
	struct aead_slot *slot;

	if (!aead->slot) {
		int r = slot_lend(cache, aead);

		if (r)
			return r;
	}
	slot = aead->slot;
	if (cache->lru.prev != &slot->node) {
		list_remove(&slot->node);
		list_append(&cache->lru, &slot->node);
	}
	*ret = slot->ctx;
	return 0;
}

static bool is_tls12_gcm(const struct aead *aead)
{
	return aead->version == TLS_VERSION_1_2 &&
	       aead->cipher != TLS_CIPHER_CHACHA20_POLY1305_SHA256;
}

size_t aead_prefix_bytes(const struct aead *aead)
{
	return TLS_RECORD_HEADER_BYTES + (is_tls12_gcm(aead) ? TLS12_EXPLICIT_BYTES : 0);
}

size_t aead_suffix_bytes(const struct aead *aead)
{
	return AEAD_TAG_BYTES + (aead->version == TLS_VERSION_1_3 ? 1 : 0);
}

/* RFC 8446 5.3, RFC 7905 2: the iv, its last eight bytes mixed with the sequence number. */
static void mixed_nonce(const struct aead *aead, uint8_t nonce[TRAFFIC_IV_BYTES])
{
	uint64_t tail;

	memcpy(nonce, aead->keys->iv, TRAFFIC_IV_BYTES);
	memcpy(&tail, nonce + TRAFFIC_IV_BYTES - 8, sizeof(tail));
	tail ^= __builtin_bswap64(*aead->sequence);
	memcpy(nonce + TRAFFIC_IV_BYTES - 8, &tail, sizeof(tail));
}

/* RFC 5246 6.2.3.3 */
static void tls12_aad(const struct aead *aead, uint8_t type, size_t len, uint8_t *aad)
{
	put_be64(aad, *aead->sequence);
	aad[8] = type;
	put_be16(aad + 9, TLS_VERSION_1_2);
	put_be16(aad + 11, len);
}

struct piece {
	const uint8_t *nonce, *aad;
	size_t aad_bytes;
	uint8_t *data; /* in place; the tag stands right after it */
	size_t len;
};

static int seal(EVP_CIPHER_CTX *ctx, const struct piece *p)
{
	OSSL_PARAM tag[2] = {
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, p->data + p->len,
					AEAD_TAG_BYTES),
		OSSL_PARAM_END,
	};
	int n;

	if (EVP_CipherInit_ex2(ctx, NULL, NULL, p->nonce, -1, NULL) != 1 ||
	    EVP_CipherUpdate(ctx, NULL, &n, p->aad, (int)p->aad_bytes) != 1 ||
	    EVP_CipherUpdate(ctx, p->data, &n, p->data, (int)p->len) != 1 ||
	    EVP_CipherFinal_ex(ctx, p->data + p->len, &n) != 1 ||
	    EVP_CIPHER_CTX_get_params(ctx, tag) != 1) {
		ERR_clear_error();
		return -EIO;
	}
	return 0;
}

static int open_piece(EVP_CIPHER_CTX *ctx, const struct piece *p)
{
	OSSL_PARAM tag[2] = {
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, p->data + p->len,
					AEAD_TAG_BYTES),
		OSSL_PARAM_END,
	};
	int n;

	if (EVP_CipherInit_ex2(ctx, NULL, NULL, p->nonce, -1, tag) != 1 ||
	    EVP_CipherUpdate(ctx, NULL, &n, p->aad, (int)p->aad_bytes) != 1 ||
	    EVP_CipherUpdate(ctx, p->data, &n, p->data, (int)p->len) != 1 ||
	    EVP_CipherFinal_ex(ctx, p->data + p->len, &n) != 1) {
		ERR_clear_error();
		return AEAD_BAD_RECORD_MAC;
	}
	return AEAD_OK;
}

int aead_seal(struct aead_cache *cache, struct aead *aead, uint8_t type, uint8_t *record,
	      size_t len)
{
	size_t prefix = aead_prefix_bytes(aead);
	uint8_t nonce[TRAFFIC_IV_BYTES], aad[TLS12_AAD_BYTES];
	struct piece p = { .nonce = nonce, .data = record + prefix, .len = len };
	EVP_CIPHER_CTX *ctx;
	int r;

	if (len > TLS_PLAINTEXT_BYTES_MAX)
		return -EMSGSIZE;
	if (*aead->sequence == UINT64_MAX)
		return AEAD_EXHAUSTED;
	r = context_of(cache, aead, &ctx);
	if (r)
		return r;
	mixed_nonce(aead, nonce);
	put_be16(record + 1, TLS_VERSION_1_2);
	if (aead->version == TLS_VERSION_1_3) {
		p.data[p.len++] = type;
		record[0] = TLS_APPLICATION_DATA;
		p.aad = record;
		p.aad_bytes = TLS_RECORD_HEADER_BYTES;
	} else {
		tls12_aad(aead, type, len, aad);
		record[0] = type;
		p.aad = aad;
		p.aad_bytes = TLS12_AAD_BYTES;
		/* Salt and zeros, mixed with the sequence, is salt and explicit nonce. */
		if (is_tls12_gcm(aead))
			put_be64(record + TLS_RECORD_HEADER_BYTES, *aead->sequence);
	}
	put_be16(record + 3, prefix - TLS_RECORD_HEADER_BYTES + p.len + AEAD_TAG_BYTES);
	r = seal(ctx, &p);
	if (!r)
		++*aead->sequence;
	return r;
}

/* Length of TLSInnerPlaintext without its padding; 0 if there is nothing but zeros. A hostile peer
 * may pad every record to the full: eight bytes at a time. */
static size_t unpadded_bytes(const uint8_t *data, size_t len)
{
	uint64_t word;

	while (len >= sizeof(word)) {
		memcpy(&word, data + len - sizeof(word), sizeof(word));
		if (word)
			break;
		len -= sizeof(word);
	}
	while (len && !data[len - 1])
		len--;
	return len;
}

static int open_tls13(EVP_CIPHER_CTX *ctx, struct aead *aead, struct piece *p,
		      const uint8_t *record, uint8_t *ret_type, size_t *ret_len)
{
	uint8_t type;
	size_t len;
	int r;

	if (p->len > INNER_PLAINTEXT_BYTES_MAX)
		return AEAD_RECORD_OVERFLOW;
	p->aad = record;
	p->aad_bytes = TLS_RECORD_HEADER_BYTES;
	r = open_piece(ctx, p);
	if (r)
		return r;
	len = p->len && p->data[p->len - 1] ? p->len : unpadded_bytes(p->data, p->len);
	if (!len)
		return AEAD_UNEXPECTED;
	type = p->data[len - 1];
	if (type < TLS_ALERT || type > TLS_APPLICATION_DATA)
		return AEAD_UNEXPECTED;
	++*aead->sequence;
	*ret_type = type;
	*ret_len = len - 1;
	return AEAD_OK;
}

static int open_tls12(EVP_CIPHER_CTX *ctx, struct aead *aead, struct piece *p,
		      const uint8_t *record, uint8_t *ret_type, size_t *ret_len)
{
	uint8_t aad[TLS12_AAD_BYTES];
	int r;

	if (p->len > TLS_PLAINTEXT_BYTES_MAX)
		return AEAD_RECORD_OVERFLOW;
	tls12_aad(aead, record[0], p->len, aad);
	p->aad = aad;
	p->aad_bytes = sizeof(aad);
	r = open_piece(ctx, p);
	if (r)
		return r;
	++*aead->sequence;
	*ret_type = record[0];
	*ret_len = p->len;
	return AEAD_OK;
}

/* Outside a TLS 1.3 record is always application data; a 1.2 one may be an alert or a handshake
 * message too. Nobody may send ChangeCipherSpec any more. */
static bool header_fits(const struct aead *aead, const uint8_t *record, size_t len)
{
	size_t length = (size_t)record[3] << 8 | record[4];
	uint8_t type_min = aead->version == TLS_VERSION_1_3 ? TLS_APPLICATION_DATA : TLS_ALERT;

	return record[0] >= type_min && record[0] <= TLS_APPLICATION_DATA && record[1] == 3 &&
	       record[2] == 3 && len == TLS_RECORD_HEADER_BYTES + length;
}

int aead_open(struct aead_cache *cache, struct aead *aead, uint8_t *record, size_t len,
	      uint8_t *ret_type, uint8_t **ret_payload, size_t *ret_len)
{
	size_t prefix = aead_prefix_bytes(aead);
	uint8_t nonce[TRAFFIC_IV_BYTES];
	struct piece p = { .nonce = nonce, .data = record + prefix };
	EVP_CIPHER_CTX *ctx;
	int r;

	if (len < TLS_RECORD_HEADER_BYTES || !header_fits(aead, record, len))
		return AEAD_UNEXPECTED;
	if (len > TLS_RECORD_BYTES_MAX)
		return AEAD_RECORD_OVERFLOW;
	if (len < prefix + AEAD_TAG_BYTES)
		return AEAD_BAD_RECORD_MAC;
	if (*aead->sequence == UINT64_MAX)
		return AEAD_EXHAUSTED;
	r = context_of(cache, aead, &ctx);
	if (r)
		return r;
	p.len = len - prefix - AEAD_TAG_BYTES;
	mixed_nonce(aead, nonce);
	if (is_tls12_gcm(aead)) /* the sender may count as it likes */
		memcpy(nonce + 4, record + TLS_RECORD_HEADER_BYTES, TLS12_EXPLICIT_BYTES);
	r = aead->version == TLS_VERSION_1_3 ? open_tls13(ctx, aead, &p, record, ret_type, ret_len)
					     : open_tls12(ctx, aead, &p, record, ret_type, ret_len);
	if (!r)
		*ret_payload = p.data;
	return r;
}
