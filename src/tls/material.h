/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of tls/ only: certificate, chain and key of a context, from files that are checked as far
 * as they can be without a peer.
 */
#ifndef SALLYPORT_TLS_MATERIAL_H
#define SALLYPORT_TLS_MATERIAL_H

#include <openssl/ssl.h>

#include "tls/context.h"

/* 0, a positive enum tls_context_fault with the reason in `err`, or -errno. */
int material_load_own(SSL_CTX *ctx, const struct tls_context_params *params, struct err_text *err);

#endif
