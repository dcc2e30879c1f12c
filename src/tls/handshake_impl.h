/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of tls/ only: a handshake's state, shared by the state machine (handshake.c), the
 * callbacks that libssl makes while it runs (handshake_callbacks.c), the naming of failures
 * (refusal.c) and what is taken at the end (handshake_finish.c).
 */
#ifndef SALLYPORT_TLS_HANDSHAKE_IMPL_H
#define SALLYPORT_TLS_HANDSHAKE_IMPL_H

#include <stdbool.h>

#include <openssl/ssl.h>

#include "tls/context_impl.h"
#include "tls/handshake.h"

#define HANDSHAKE_DETAIL_BYTES 160

struct tls_handshake {
	struct tls_context *context; /* one reference */
	SSL *ssl;		     /* NULL before the first step and after the finish */
	const uint8_t *in;	     /* what is left of the caller's record during a step */
	size_t in_bytes;
	uint8_t *out; /* out_sent <= out_bytes <= out_room */
	size_t out_sent, out_bytes, out_room;
	size_t record_bytes, records; /* all that the peer has sent */
	enum tls_handshake_status status;
	enum tls_refusal refusal;
	struct tls_keys *keys;	     /* once a TLS 1.3 secret is known */
	bool has_client, has_server; /* which secrets */
	struct peer *peer;	     /* of the verified leaf */
	struct peer *claimed;	     /* of a leaf that was refused */
	struct verified_proof proof; /* of the verification */
	bool keeps_proof;	     /* new, and worth it */
	char detail[HANDSHAKE_DETAIL_BYTES];
};

/* First reason wins. */
void handshake_refuse(struct tls_handshake *hs, enum tls_refusal refusal, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Names the failure from an X509_V_ERR_… at `depth` of the chain. */
void handshake_refuse_certificate(struct tls_handshake *hs, int verify_error, int depth);
/* Names the failure from libssl's error queue (emptied) where no callback has named it. */
void handshake_refuse_from_queue(struct tls_handshake *hs);

#endif
