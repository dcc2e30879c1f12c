/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The symmetric keys of a connection after its handshake: derived by ourselves from the traffic
 * secrets (RFC 8446 7.1, 7.3) or from the TLS 1.2 master secret (RFC 5246 6.3), so that they can go
 * to the kernel or to our own record layer whatever libssl offers.
 */
#ifndef SALLYPORT_TLS_TRAFFIC_KEYS_H
#define SALLYPORT_TLS_TRAFFIC_KEYS_H

#include <stddef.h>
#include <stdint.h>

/* As on the wire (RFC 8446 4.2.1). */
#define TLS_VERSION_1_2 0x0303
#define TLS_VERSION_1_3 0x0304

#define TRAFFIC_SECRET_BYTES_MAX 48 /* SHA-384 */
#define TRAFFIC_KEY_BYTES_MAX	 32
#define TRAFFIC_IV_BYTES	 12

enum tls_cipher {
	TLS_CIPHER_AES_128_GCM_SHA256,
	TLS_CIPHER_AES_256_GCM_SHA384,
	TLS_CIPHER_CHACHA20_POLY1305_SHA256,
	TLS_CIPHER_COUNT
};

/* One direction. */
struct traffic_keys {
	uint8_t secret[TRAFFIC_SECRET_BYTES_MAX]; /* TLS 1.3: what the next generation is derived
						     from */
	uint8_t key[TRAFFIC_KEY_BYTES_MAX];
	uint8_t iv[TRAFFIC_IV_BYTES]; /* TLS 1.3 and ChaCha: whole; TLS 1.2 GCM: the 4 bytes of
					 salt, then zeros */
	uint32_t generation;	      /* of the key: 0 at hand-off, +1 each KeyUpdate */
};

/* Both directions; lives in secret memory (secret_alloc), one a TLS leg. */
struct tls_keys {
	struct traffic_keys rx, tx;
	uint64_t rx_sequence,
		tx_sequence; /* of the next record: 0 at hand-off for 1.3, 1 for 1.2 */
	uint16_t version;    /* TLS_VERSION_… */
	uint8_t cipher;	     /* enum tls_cipher */
};

const char *tls_cipher_name(enum tls_cipher cipher); /* IANA name of the TLS 1.3 suite */
size_t tls_cipher_key_bytes(enum tls_cipher cipher);
size_t tls_cipher_secret_bytes(enum tls_cipher cipher); /* of its hash */

struct tls_keys *tls_keys_new(void);	   /* zeroed; NULL without memory */
void tls_keys_free(struct tls_keys *keys); /* wiped; NULL is fine */

/* HKDF-Expand-Label of RFC 8446 7.1 with an empty context. 0 or -errno. */
int tls13_expand_label(enum tls_cipher cipher, const uint8_t *secret, const char *label,
		       uint8_t *ret, size_t len);
/* Fills key and iv of `t` from t->secret (TLS 1.3). */
int tls13_derive_key(enum tls_cipher cipher, struct traffic_keys *t);
/* RFC 8446 7.2: next generation's secret, key and iv. All or nothing. */
int tls13_update_key(enum tls_cipher cipher, struct traffic_keys *t);
/* RFC 5246 6.3: key block from the master secret; `is_server` says which half is tx. Sequences
 * become 1. */
int tls12_derive_keys(struct tls_keys *keys, enum tls_cipher cipher, const uint8_t master[48],
		      const uint8_t client_random[32], const uint8_t server_random[32],
		      int is_server);

#endif
