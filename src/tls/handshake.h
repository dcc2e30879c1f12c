/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TLS handshake as a state machine without I/O: whole records in, bytes out. When it is done
 * the keys, the peer and a summary are taken and the SSL object is freed.
 */
#ifndef SALLYPORT_TLS_HANDSHAKE_H
#define SALLYPORT_TLS_HANDSHAKE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tls/context.h"
#include "tls/peer.h"
#include "tls/traffic_keys.h"

struct tls_handshake;

enum tls_handshake_status {
	TLS_HANDSHAKE_WANT_RECORD = 1,
	TLS_HANDSHAKE_DONE = 2,
	TLS_HANDSHAKE_FAILED = 3, /* output may hold an alert that should still be sent */
};

/* Why a handshake failed: one counter each (tls_refusal_name). */
enum tls_refusal {
	TLS_REFUSAL_NONE,
	TLS_REFUSAL_NO_CERTIFICATE,
	TLS_REFUSAL_UNKNOWN_CA,
	TLS_REFUSAL_SELF_SIGNED,
	TLS_REFUSAL_EXPIRED,
	TLS_REFUSAL_NOT_YET_VALID,
	TLS_REFUSAL_WRONG_PURPOSE,
	TLS_REFUSAL_WEAK_KEY,
	TLS_REFUSAL_NAME_CONSTRAINT,
	TLS_REFUSAL_PATH_LENGTH,
	TLS_REFUSAL_CHAIN_TOO_LONG,
	TLS_REFUSAL_BAD_CERTIFICATE, /* anything else wrong with a certificate, names with control
					characters too */
	TLS_REFUSAL_BAD_SIGNATURE,
	TLS_REFUSAL_REVOKED,
	TLS_REFUSAL_NAME_MISMATCH, /* egress: certificate is not the upstream's */
	TLS_REFUSAL_VERSION,
	TLS_REFUSAL_NO_SHARED_CIPHER,
	TLS_REFUSAL_NO_SHARED_GROUP,
	TLS_REFUSAL_ALPN,
	TLS_REFUSAL_SNI,
	TLS_REFUSAL_TOO_LARGE,
	TLS_REFUSAL_PEER_ALERT, /* the peer ended it: detail names its alert */
	TLS_REFUSAL_PROTOCOL,	/* anything else that is not TLS as the RFC has it */
	TLS_REFUSAL_NO_MEMORY,
	TLS_REFUSAL_COUNT,
};

struct tls_handshake_summary {
	uint16_t version;
	enum tls_cipher cipher;
	const char *group; /* static: "X25519", …, or NULL */
	char alpn[32];	   /* "" if none */
};

int tls_handshake_new(struct tls_context *context, struct tls_handshake **ret);
void tls_handshake_free(struct tls_handshake *hs); /* NULL is fine */

/* Takes one whole record (header and body); as a client the first call has len 0. Never keeps
 * `record`. */
enum tls_handshake_status tls_handshake_step(struct tls_handshake *hs, const uint8_t *record,
					     size_t len);
/* Bytes waiting to be sent to the peer, valid until the next call on `hs`. */
size_t tls_handshake_output(struct tls_handshake *hs, const uint8_t **ret);
void tls_handshake_sent(struct tls_handshake *hs, size_t len);

/* After TLS_HANDSHAKE_FAILED. `ret_detail` (may be NULL) is one line for the log, without
 * peer-controlled control characters. */
enum tls_refusal tls_handshake_refusal(const struct tls_handshake *hs, const char **ret_detail);
/* "no_certificate", … : stable, used in logs and metrics. */
const char *tls_refusal_name(enum tls_refusal refusal);
/* Of a peer that failed or passed verification: what its leaf claims, for the log only. NULL if
 * none was sent. Owned by `hs`. */
const struct peer *tls_handshake_claimed_peer(const struct tls_handshake *hs);

/* After TLS_HANDSHAKE_DONE, once: keys and peer become the caller's. 0 or -errno. The output must
 * still be sent. */
int tls_handshake_finish(struct tls_handshake *hs, struct tls_keys **ret_keys,
			 struct peer **ret_peer, struct tls_handshake_summary *ret_summary);

#endif
