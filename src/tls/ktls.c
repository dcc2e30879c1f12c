/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hand-off to the kernel's record layer. First the upper-layer protocol is attached, which by
 * itself changes nothing that matters and fails for every socket that is not fit; then the two
 * keys. Receiving goes first, as the direction that kernels learnt last: until it has succeeded
 * there is a way back, afterwards there is none. The keys stay the caller's; our copies in the
 * kernel's layout are wiped.
 */
#include "tls/ktls.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/tls.h>

#include "base/secret.h"
#include "base/util.h"
#include "tls/ktls_impl.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif
#ifndef TLS_RX_EXPECT_NO_PAD
#define TLS_RX_EXPECT_NO_PAD 4
#endif
#ifndef TCP_ULP
#define TCP_ULP 31
#endif

static_assert(TLS_1_2_VERSION == TLS_VERSION_1_2 && TLS_1_3_VERSION == TLS_VERSION_1_3,
	      "the wire's numbers");
static_assert(sizeof(struct tls_crypto_info) == 4, "kernel layout");
static_assert(sizeof(struct tls12_crypto_info_aes_gcm_128) == 40, "kernel layout");
static_assert(sizeof(struct tls12_crypto_info_aes_gcm_256) == 56, "kernel layout");
static_assert(sizeof(struct tls12_crypto_info_chacha20_poly1305) == 56, "kernel layout");

union crypto_info {
	struct tls_crypto_info info;
	struct tls12_crypto_info_aes_gcm_128 gcm128;
	struct tls12_crypto_info_aes_gcm_256 gcm256;
	struct tls12_crypto_info_chacha20_poly1305 chacha;
};

static void be64(uint8_t *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof(v));
}

/* In TLS 1.3 the iv is one whole that the kernel mixes with the sequence; in 1.2 it is the explicit
 * nonce of the next record, which we count like the sequence. */
static void gcm_iv(uint8_t *ret, const struct ktls_key *key)
{
	if (key->version == TLS_VERSION_1_3)
		memcpy(ret, key->keys->iv + GCM_SALT_BYTES, TLS_CIPHER_AES_GCM_128_IV_SIZE);
	else
		be64(ret, key->sequence);
}

/* Fills `u`; returns how many bytes of it count. */
static socklen_t fill(union crypto_info *u, const struct ktls_key *key)
{
	const struct traffic_keys *t = key->keys;

	memset(u, 0, sizeof(*u));
	u->info.version = key->version;
	switch (key->cipher) {
	case TLS_CIPHER_AES_128_GCM_SHA256:
		u->info.cipher_type = TLS_CIPHER_AES_GCM_128;
		gcm_iv(u->gcm128.iv, key);
		memcpy(u->gcm128.key, t->key, sizeof(u->gcm128.key));
		memcpy(u->gcm128.salt, t->iv, sizeof(u->gcm128.salt));
		be64(u->gcm128.rec_seq, key->sequence);
		return sizeof(u->gcm128);
	case TLS_CIPHER_AES_256_GCM_SHA384:
		u->info.cipher_type = TLS_CIPHER_AES_GCM_256;
		gcm_iv(u->gcm256.iv, key);
		memcpy(u->gcm256.key, t->key, sizeof(u->gcm256.key));
		memcpy(u->gcm256.salt, t->iv, sizeof(u->gcm256.salt));
		be64(u->gcm256.rec_seq, key->sequence);
		return sizeof(u->gcm256);
	default:
		u->info.cipher_type = TLS_CIPHER_CHACHA20_POLY1305;
		memcpy(u->chacha.iv, t->iv, sizeof(u->chacha.iv));
		memcpy(u->chacha.key, t->key, sizeof(u->chacha.key));
		be64(u->chacha.rec_seq, key->sequence);
		return sizeof(u->chacha);
	}
}

int ktls_attach(int fd)
{
	return setsockopt(fd, SOL_TCP, TCP_ULP, "tls", sizeof("tls")) < 0 ? -errno : 0;
}

int ktls_set_key(int fd, bool sending, const struct ktls_key *key)
{
	union crypto_info u;
	socklen_t len = fill(&u, key);
	int r = setsockopt(fd, SOL_TLS, sending ? TLS_TX : TLS_RX, &u, len) < 0 ? -errno : 0;

	secret_wipe(&u, sizeof(u));
	return r;
}

static int check(const struct tls_keys *keys, const struct ktls_support *support,
		 struct err_text *err)
{
	const bool *ciphers =
		keys->version == TLS_VERSION_1_3 ? support->cipher13 : support->cipher12;

	if (keys->version != TLS_VERSION_1_2 && keys->version != TLS_VERSION_1_3)
		return err_set(err, KTLS_NOT_POSSIBLE, "unknown version 0x%04x", keys->version);
	if (keys->cipher >= TLS_CIPHER_COUNT)
		return err_set(err, KTLS_NOT_POSSIBLE, "unknown cipher %u", keys->cipher);
	if (!support->ulp)
		return err_set(err, KTLS_NOT_POSSIBLE, "%s", support->why);
	if (!ciphers[keys->cipher])
		return err_set(err, KTLS_NOT_POSSIBLE, "this kernel has no %s for TLS 1.%d",
			       tls_cipher_name(keys->cipher), keys->version - TLS_VERSION_1_3 + 3);
	return KTLS_OK;
}

static int attach(int fd, struct err_text *err)
{
	int r = ktls_attach(fd);

	switch (r) {
	case 0:
		return KTLS_OK;
	case -ENOTCONN:
		return err_set(err, KTLS_NOT_POSSIBLE, "the peer has already ended its side");
	case -EOPNOTSUPP:
	case -ENOPROTOOPT:
		return err_set(err, KTLS_NOT_POSSIBLE, "not a TCP socket");
	case -EEXIST:
		return err_set(err, KTLS_NOT_POSSIBLE, "the socket has an upper-layer protocol");
	default:
		return err_set(err, KTLS_NOT_POSSIBLE, "TCP_ULP: %s", strerror(-r));
	}
}

/* All that comes before the first key. */
static int prepare(int fd, const struct tls_keys *keys, const struct ktls_support *support,
		   struct err_text *err)
{
	int r = check(keys, support, err);

	return r ? r : attach(fd, err);
}

int ktls_install(int fd, const struct tls_keys *keys, const struct ktls_support *support,
		 struct err_text *err)
{
	struct ktls_key rx = { keys->version, keys->cipher, &keys->rx, keys->rx_sequence };
	struct ktls_key tx = { keys->version, keys->cipher, &keys->tx, keys->tx_sequence };
	int r = prepare(fd, keys, support, err);

	if (r)
		return r;
	r = ktls_set_key(fd, false, &rx);
	if (r)
		return err_set(err, KTLS_NOT_POSSIBLE, "TLS_RX: %s", strerror(-r));
	r = ktls_set_key(fd, true, &tx);
	if (r)
		return err_set(err, r, "TLS_TX after TLS_RX: %s", strerror(-r));
	return KTLS_OK;
}

int ktls_install_sending(int fd, const struct tls_keys *keys, const struct ktls_support *support,
			 struct err_text *err)
{
	struct ktls_key tx = { keys->version, keys->cipher, &keys->tx, keys->tx_sequence };
	int r = prepare(fd, keys, support, err);

	if (r)
		return r;
	r = ktls_set_key(fd, true, &tx);
	return r ? err_set(err, KTLS_NOT_POSSIBLE, "TLS_TX: %s", strerror(-r)) : KTLS_OK;
}

int ktls_expect_unpadded(int fd)
{
	int on = 1;

	return setsockopt(fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &on, sizeof(on)) < 0 ? -errno : 0;
}

int ktls_rekey(int fd, const struct tls_keys *keys, bool sending)
{
	struct ktls_key key = { keys->version, keys->cipher, sending ? &keys->tx : &keys->rx, 0 };

	return ktls_set_key(fd, sending, &key);
}
