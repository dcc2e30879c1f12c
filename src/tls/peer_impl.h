/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of tls/ only: from an X.509 certificate to a struct peer.
 */
#ifndef SALLYPORT_TLS_PEER_IMPL_H
#define SALLYPORT_TLS_PEER_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/x509.h>

#include "limits/limits.h"
#include "tls/peer.h"

enum peer_fault {
	PEER_OK = 0,
	PEER_BAD_NAMES = 1, /* *ret_why says what: control characters, too long, too many, … */
};

/* `strict`: for identity; whatever can not be taken exactly as it stands is a fault. Otherwise (for
 * the log of a refused peer) doubtful bytes become '?' and what does not fit is left out. `chain`:
 * the verified one, the peer's own certificate first; NULL if there is none. 0, PEER_BAD_NAMES
 * (strict only) or -ENOMEM. `ret_why` is static text. */
int peer_from_certificate(X509 *certificate, STACK_OF(X509) * chain, bool strict, struct peer **ret,
			  const char **ret_why);

/* Whether a control character (of C0 or C1, or DEL) begins at `at`. */
bool peer_is_control(const uint8_t *at, size_t len);

struct peer_dn {
	char bytes[PEER_DN_BYTES_MAX];
	size_t len;
};

enum peer_dn_result {
	PEER_DN_OK = 0,
	PEER_DN_TOO_LONG = 1,
	PEER_DN_DOUBTFUL = 2, /* *ret_why, static text, says what of */
};

/* As Java's X500Principal.getName() has it. A peer_dn_result or -ENOMEM. */
int peer_print_dn(const X509_NAME *name, struct peer_dn *ret, const char **ret_why);

#endif
