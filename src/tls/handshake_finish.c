/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is carried away from a finished handshake: keys of our own derivation, the peer, a summary.
 * Afterwards nothing needs the SSL, and it is freed here already.
 */
#include <errno.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/obj_mac.h>

#include "base/secret.h"
#include "base/util.h"
#include "tls/handshake_impl.h"

#define GROUP_X25519MLKEM768 0x11ec

static int cipher_of(const SSL *ssl, enum tls_cipher *ret)
{
	static const struct {
		uint16_t id;
		enum tls_cipher cipher;
	} rows[] = {
		{ 0x1301, TLS_CIPHER_AES_128_GCM_SHA256 },
		{ 0x1302, TLS_CIPHER_AES_256_GCM_SHA384 },
		{ 0x1303, TLS_CIPHER_CHACHA20_POLY1305_SHA256 },
		{ 0xc02b, TLS_CIPHER_AES_128_GCM_SHA256 }, /* ECDHE-ECDSA, ECDHE-RSA */
		{ 0xc02f, TLS_CIPHER_AES_128_GCM_SHA256 },
		{ 0xc02c, TLS_CIPHER_AES_256_GCM_SHA384 },
		{ 0xc030, TLS_CIPHER_AES_256_GCM_SHA384 },
		{ 0xcca9, TLS_CIPHER_CHACHA20_POLY1305_SHA256 },
		{ 0xcca8, TLS_CIPHER_CHACHA20_POLY1305_SHA256 },
	};
	const SSL_CIPHER *suite = SSL_get_current_cipher(ssl);
	uint16_t id = suite ? SSL_CIPHER_get_protocol_id(suite) : 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].id == id) {
			*ret = rows[i].cipher;
			return 0;
		}
	}
	return -EPROTO;
}

static const char *group_of(SSL *ssl)
{
	switch (SSL_get_negotiated_group(ssl)) {
	case NID_X25519:
		return "X25519";
	case NID_X9_62_prime256v1:
		return "P-256";
	case NID_secp384r1:
		return "P-384";
	case TLSEXT_nid_unknown | GROUP_X25519MLKEM768:
		return "X25519MLKEM768";
	default:
		return NULL;
	}
}

static int derive_tls13(struct tls_handshake *hs, enum tls_cipher cipher)
{
	struct tls_keys *keys = hs->keys;
	int r;

	if (!hs->has_client || !hs->has_server)
		return -ENOMEM; /* the only reason why a secret can be missing */
	keys->version = TLS_VERSION_1_3;
	keys->cipher = (uint8_t)cipher;
	r = tls13_derive_key(cipher, &keys->rx);
	return r ? r : tls13_derive_key(cipher, &keys->tx);
}

static int derive_tls12(struct tls_handshake *hs, enum tls_cipher cipher)
{
	uint8_t master[48], client_random[32], server_random[32];
	int r = -EPROTO;

	if (!hs->keys)
		hs->keys = tls_keys_new();
	if (!hs->keys)
		return -ENOMEM;
	SSL_get_client_random(hs->ssl, client_random, sizeof(client_random));
	SSL_get_server_random(hs->ssl, server_random, sizeof(server_random));
	if (SSL_SESSION_get_master_key(SSL_get_session(hs->ssl), master, sizeof(master)) ==
	    sizeof(master))
		r = tls12_derive_keys(hs->keys, cipher, master, client_random, server_random,
				      hs->context->is_server);
	secret_wipe(master, sizeof(master));
	return r;
}

static void summarize(struct tls_handshake *hs, enum tls_cipher cipher,
		      struct tls_handshake_summary *ret)
{
	const unsigned char *alpn;
	unsigned int alpn_bytes;

	*ret = (struct tls_handshake_summary){
		.version = hs->keys->version,
		.cipher = cipher,
		.group = group_of(hs->ssl),
	};
	SSL_get0_alpn_selected(hs->ssl, &alpn, &alpn_bytes);
	if (alpn_bytes && alpn_bytes < sizeof(ret->alpn))
		memcpy(ret->alpn, alpn, alpn_bytes);
}

int tls_handshake_finish(struct tls_handshake *hs, struct tls_keys **ret_keys,
			 struct peer **ret_peer, struct tls_handshake_summary *ret_summary)
{
	enum tls_cipher cipher;
	int r;

	if (hs->status != TLS_HANDSHAKE_DONE || !hs->ssl || !hs->peer)
		return -EINVAL;
	r = cipher_of(hs->ssl, &cipher);
	if (!r)
		r = SSL_version(hs->ssl) == TLS_VERSION_1_3 ? derive_tls13(hs, cipher)
							    : derive_tls12(hs, cipher);
	ERR_clear_error();
	if (r)
		return r;
	summarize(hs, cipher, ret_summary);
	SSL_free(hs->ssl);
	hs->ssl = NULL;
	*ret_keys = TAKE_PTR(hs->keys);
	*ret_peer = TAKE_PTR(hs->peer);
	return 0;
}
