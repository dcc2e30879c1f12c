/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of tls/ only: sets of trusted roots, each of which is in memory once, however many
 * contexts trust it. Immutable and counted.
 */
#ifndef SALLYPORT_TLS_ROOTS_H
#define SALLYPORT_TLS_ROOTS_H

#include <openssl/x509_vfy.h>

#include "tls/context.h"

struct roots;

/* The roots that `params` names: those that somebody has already, if they are of the same bytes.
 * 0, TLS_CONTEXT_FAULT_ROOTS with the reason in `err`, or -errno. Any thread. */
int roots_get(const struct tls_context_params *params, struct roots **ret, struct err_text *err);
void roots_unref(struct roots *roots); /* any thread; NULL is fine */
/* Lives as long as `roots`; nobody may change it. */
X509_STORE *roots_store(const struct roots *roots);
/* That of sessions whose peers' chains end at these roots; NULL: OpenSSL's default one. */
OSSL_LIB_CTX *roots_library(const struct roots *roots);

#endif
