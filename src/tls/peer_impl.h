/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of tls/ only: from an X.509 certificate to a struct peer.
 */
#ifndef SALLYPORT_TLS_PEER_IMPL_H
#define SALLYPORT_TLS_PEER_IMPL_H

#include <stdbool.h>

#include <openssl/x509.h>

#include "tls/peer.h"

enum peer_fault {
	PEER_OK = 0,
	PEER_BAD_NAMES = 1, /* *ret_why says what: control characters, too long, too many, … */
};

/* `strict`: for identity; whatever can not be taken exactly as it stands is a fault. Otherwise (for
 * the log of a refused peer) doubtful bytes become '?' and what does not fit is left out. 0,
 * PEER_BAD_NAMES (strict only) or -ENOMEM. `ret_why` is static text. */
int peer_from_certificate(X509 *certificate, bool strict, struct peer **ret, const char **ret_why);

#endif
