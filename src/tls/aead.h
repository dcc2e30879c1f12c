/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our own record layer on EVP AEAD: seals and opens whole records in place, many a call, no I/O.
 *
 * Cipher contexts (about 1 KiB each) are not the connection's: they are lent by the worker's cache
 * and given back to the longest-unused, so that an idle connection costs only its keys. One cache a
 * worker; nothing here is shared by threads.
 */
#ifndef SALLYPORT_TLS_AEAD_H
#define SALLYPORT_TLS_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls/record.h"
#include "tls/traffic_keys.h"

#define AEAD_TAG_BYTES 16
/* Room that a sealed record may need before and after its payload, for every version and cipher. */
#define AEAD_PREFIX_BYTES_MAX 13 /* header and, in TLS 1.2 GCM, the explicit nonce */
#define AEAD_SUFFIX_BYTES_MAX                                                                      \
	(1 + AEAD_TAG_BYTES) /* TLS 1.3: the inner content type, then the tag */

struct aead_cache;
struct aead_slot;

/* One direction of one connection. */
struct aead {
	struct traffic_keys *keys; /* borrowed from the leg's tls_keys */
	uint64_t *sequence;	   /* likewise */
	struct aead_slot *slot;	   /* context lent by the cache, or NULL */
	uint8_t cipher;		   /* enum tls_cipher */
	bool sealing;
	uint16_t version;
};

enum aead_result {
	AEAD_OK = 0,
	AEAD_BAD_RECORD_MAC = 1,
	AEAD_RECORD_OVERFLOW = 2, /* more plaintext than allowed */
	AEAD_UNEXPECTED = 3, /* bad header, or TLS 1.3 record that is not application data outside,
				or no inner type */
	AEAD_EXHAUSTED = 4,  /* the sequence number is used up */
};

/* `slots`: contexts that may exist at once (at least 2). */
int aead_cache_new(size_t slots, struct aead_cache **ret);
void aead_cache_free(struct aead_cache *cache);

void aead_init(struct aead *aead, struct tls_keys *keys, bool sealing);
/* Gives the context back; must be called before the keys change or go. */
void aead_release(struct aead_cache *cache, struct aead *aead);

/* Bytes before (header, explicit nonce) and after (type, tag) the payload of a sealed record. */
size_t aead_prefix_bytes(const struct aead *aead);
size_t aead_suffix_bytes(const struct aead *aead);

/* Seals `len` (0..16384) bytes that stand at record + aead_prefix_bytes() in place; the record then
 * fills exactly prefix + len + suffix bytes at `record`. 0, AEAD_EXHAUSTED, or -errno. */
int aead_seal(struct aead_cache *cache, struct aead *aead, uint8_t type, uint8_t *record,
	      size_t len);

/* Opens the whole record (header and all, `len` bytes as its header says) in place. On AEAD_OK:
 * type, and where its payload lies. */
int aead_open(struct aead_cache *cache, struct aead *aead, uint8_t *record, size_t len,
	      uint8_t *ret_type, uint8_t **ret_payload, size_t *ret_len);

#endif
