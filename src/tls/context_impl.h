/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of tls/ only: what a handshake needs of its context, and what the callbacks of the
 * context's SSL_CTX need of the handshake.
 */
#ifndef SALLYPORT_TLS_CONTEXT_IMPL_H
#define SALLYPORT_TLS_CONTEXT_IMPL_H

#include <openssl/ssl.h>

#include "limits/limits.h"
#include "tls/context.h"
#include "tls/roots.h"
#include "tls/verified.h"

#define ALPN_NAME_BYTES_MAX 31 /* so that it fits in struct tls_handshake_summary */
#define ALPN_WIRE_BYTES_MAX (ALPN_PROTOCOLS_MAX * (1 + ALPN_NAME_BYTES_MAX))

struct tls_context {
	unsigned int refs; /* atomic */
	bool is_server;
	SSL_CTX *ssl_ctx;
	char *server_name;			/* NULL: none */
	uint8_t alpn_wire[ALPN_WIRE_BYTES_MAX]; /* RFC 7301 ProtocolNameList, no outer length */
	size_t alpn_wire_bytes;
	struct roots *roots;
	struct verified *verified;
};

/* Callbacks of every SSL of a context; handshake_callbacks.c. The SSL's app data is its struct
 * tls_handshake, and SSL_CTX's is its struct tls_context. */
void handshake_set_callbacks(struct tls_context *context);

#endif
