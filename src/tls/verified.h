/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of tls/ only: which certificate lists have passed verification in one context, so that a
 * peer that comes back is not verified from the beginning (building of the chain, signatures of
 * its CAs, purpose, names).
 */
#ifndef SALLYPORT_TLS_VERIFIED_H
#define SALLYPORT_TLS_VERIFIED_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/x509_vfy.h>

#include "tls/peer.h"

#define VERIFIED_KEY_BYTES 32

struct verified;

/* What can be said of one verification, and found again. */
struct verified_proof {
	/* SHA-256 of all that decides and is not the context's: each certificate that the peer
	 * sent, in its order, the name that it has to have, and how to verify. */
	uint8_t key[VERIFIED_KEY_BYTES];
	/* Of all certificates of the chain, its root too: seconds since the epoch, the second one
	 * is the first that is too late. */
	int64_t not_before, not_after;
};

int verified_new(struct verified **ret);       /* 0 or -ENOMEM */
void verified_free(struct verified *verified); /* NULL is fine */

/* The key of what `store` is about to verify; false: there is none. Any thread, like all below. */
bool verified_key(const struct verified *verified, X509_STORE_CTX *store,
		  struct verified_proof *proof);
/* The peer of proof->key (a reference) if that passed before and is within its time at the moment
 * that `store` verifies for. NULL: has to be verified. Never waits. */
struct peer *verified_find(struct verified *verified, const struct verified_proof *proof,
			   X509_STORE_CTX *store);
/* After success only: fills the times in; false where this is not to be kept. */
bool verified_times(X509_STORE_CTX *store, struct verified_proof *proof);
/* Once the peer has proved that it has the key as well. May do nothing. Never waits. */
void verified_keep(struct verified *verified, const struct verified_proof *proof,
		   struct peer *peer);

#endif
