/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a peer is: taken from its verified certificate only, immutable, one allocation,
 * shared by all connections of the same peer.
 */
#ifndef SALLYPORT_TLS_PEER_H
#define SALLYPORT_TLS_PEER_H

#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

#define PEER_SERIAL_TEXT_BYTES 42 /* 20 bytes (RFC 5280 4.1.2.2) as hex, and a little */

/* SHA-256 of a certificate's SubjectPublicKeyInfo. */
struct peer_key {
	uint8_t sha256[SHA256_BYTES];
};

/* Strings are UTF-8, without control characters or NUL, none longer than PEER_NAME_BYTES_MAX
 * (but dn), and no more than PEER_NAMES_MAX of dns and uris: a certificate with other names is
 * refused in verification, since a rule could be dodged by what is cut off. */
struct peer {
	const char *cn;	       /* last CN of the subject, or "" */
	const char *subject;   /* all of it (RFC 2253), for people: may be cut */
	const char *issuer_cn; /* of the certificate that signed it, or its whole DN */
	/* All of the subject as Java prints it, of at most PEER_DN_BYTES_MAX; NULL if that would
	 * not be what the certificate says: then dn_why, static text, tells why. */
	const char *dn, *dn_why;
	/* Of the verified chain; "" and none where there is no such chain: what the root is called
	 * (as issuer_cn), and the public keys of all certificates above the peer's own. */
	const char *root_cn;
	const struct peer_key *ca_keys;
	size_t ca_key_count;
	const char *const *dns;		     /* NULL-ended */
	const char *const *uris;	     /* NULL-ended; SPIFFE IDs are here */
	char serial[PEER_SERIAL_TEXT_BYTES]; /* lower-case hex, no separators */
	int64_t not_before, not_after;	     /* seconds since the epoch */
	size_t bytes;			     /* all of this allocation */
	unsigned int refs;		     /* atomic */
};

struct peer *peer_ref(struct peer *peer); /* any thread */
/* Gives one reference up, NULL is fine. The last one frees it. */
void peer_free(struct peer *peer);

struct peer_pattern { /* NULL matches everything; fnmatch(3) globs */
	const char *cn, *dns, *uri, *issuer_cn;
};
/* All patterns that are present match; an empty name matches no pattern. */
int peer_matches(const struct peer *peer, const struct peer_pattern *pattern);

#endif
