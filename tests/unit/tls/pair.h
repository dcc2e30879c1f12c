/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One of our handshakes against libssl in memory, record by record, without a socket.
 */
#ifndef SALLYPORT_TESTS_TLS_PAIR_H
#define SALLYPORT_TESTS_TLS_PAIR_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "pki.h"
#include "tls/handshake.h"

struct pair {
	struct tls_handshake *hs;
	enum tls_handshake_status status;
	SSL_CTX *peer_ctx;
	SSL *peer;
	bool peer_done;
	int alert_to_peer;   /* description of the last alert that the peer got from us, -1 none */
	int alert_from_peer; /* likewise, that it made */
	size_t records;	     /* that we took */
};

/* The peer is a server or a client of its own with `cert` (NULL: none) and `chain` after it; it
 * trusts everybody. Settings can then be changed on pair->peer_ctx before pair_start(). */
void pair_init(struct pair *pair, struct tls_context *context, bool peer_is_server,
	       const struct pki_cert *cert, const struct pki_cert *const *chain,
	       size_t chain_count);
void pair_start(struct pair *pair); /* makes pair->peer; optional: pair_run does it */
/* Runs until both are done or stuck. */
void pair_run(struct pair *pair);
/* Moves what the peer has written, at most `max` records. */
void pair_deliver(struct pair *pair, size_t max);
/* Hands our output to the peer. */
void pair_return(struct pair *pair);
void pair_fini(struct pair *pair);

#endif
