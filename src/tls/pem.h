/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates and keys out of PEM files or texts, with reasons a person can act on. For tls/ and
 * pki/.
 */
#ifndef SALLYPORT_TLS_PEM_H
#define SALLYPORT_TLS_PEM_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/err.h"

/* A file that is wrong, as against -errno for a machine that is out of something. */
#define PEM_FAULT 1

/* All certificates of the file in its order, at least one and at most `max`. Owned by the caller.
 * 0, PEM_FAULT or -ENOMEM. */
int pem_load_certificates(const char *file, size_t max, STACK_OF(X509) * *ret,
			  struct err_text *err);
/* The same of PEM text that is called `name` in messages. */
int pem_parse_certificates(const char *name, const char *pem, size_t bytes, size_t max,
			   STACK_OF(X509) * *ret, struct err_text *err);
/* The first private key of a file that nobody but its owner may touch. Never asks for a password.
 */
int pem_load_key(const char *file, EVP_PKEY **ret, struct err_text *err);
int pem_parse_key(const char *name, const char *pem, size_t bytes, EVP_PKEY **ret,
		  struct err_text *err);

#endif
