/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates and keys out of PEM files or texts, with reasons a person can act on. For tls/ and
 * pki/.
 */
#ifndef SALLYPORT_TLS_PEM_H
#define SALLYPORT_TLS_PEM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/err.h"

/* A file that is wrong, as against -errno for a machine that is out of something. */
#define PEM_FAULT 1

struct pem_file {
	uint8_t *bytes;
	size_t len;
	mode_t mode;
};

/* All of a regular file that is neither empty nor larger than PEM_FILE_BYTES_MAX; `ret` is zeroes
 * before, and for pem_file_fini() whatever comes back: 0, PEM_FAULT or -ENOMEM. */
int pem_read_file(const char *file, struct pem_file *ret, struct err_text *err);
void pem_file_fini(struct pem_file *file); /* wipes the bytes */

void pem_certificates_free(STACK_OF(X509) * *certificates);
#define cleanup_certificates __attribute__((cleanup(pem_certificates_free)))

/* All certificates of the file in its order, at least one and at most `max`. Owned by the caller.
 * 0, PEM_FAULT or -ENOMEM. */
int pem_load_certificates(const char *file, size_t max, STACK_OF(X509) * *ret,
			  struct err_text *err);
/* The same of PEM text that is called `name` in messages. */
int pem_parse_certificates(const char *name, const char *pem, size_t bytes, size_t max,
			   STACK_OF(X509) * *ret, struct err_text *err);
/* The same, with what makes a certificate (a reference) of its DER; NULL: libcrypto's queue says
 * why not. */
int pem_parse_certificates_by(const char *name, const char *pem, size_t bytes, size_t max,
			      X509 *(*make)(const uint8_t *der, long der_bytes, void *arg),
			      void *arg, STACK_OF(X509) * *ret, struct err_text *err);
/* The first private key of a file that nobody but its owner may touch. Never asks for a password.
 */
int pem_load_key(const char *file, EVP_PKEY **ret, struct err_text *err);
int pem_parse_key(const char *name, const char *pem, size_t bytes, EVP_PKEY **ret,
		  struct err_text *err);

/* The oldest entry of libcrypto's queue of errors as text; the queue is empty afterwards. */
const char *pem_crypto_reason(void);

#endif
