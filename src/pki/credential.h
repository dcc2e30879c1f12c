/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A certificate of our own with its key, as it came from whoever issued it, and the request that it
 * began as. The key is made here and goes nowhere but into the credential.
 */
#ifndef SALLYPORT_PKI_CREDENTIAL_H
#define SALLYPORT_PKI_CREDENTIAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "pki/certificate.h"
#include "pki/key.h"

#define PKI_AHEAD_SECONDS 300 /* how far an issuer's clock may be before ours */

struct pki_request;

/* Makes a key and a signing request for it (`subject`'s usage and days are not asked for). 0, or
 * -errno with `err`. */
int pki_request_new(enum pki_key_type type, const struct pki_subject *subject,
		    struct pki_request **ret, struct err_text *err);
void pki_request_free(struct pki_request *request); /* wipes the key; NULL is fine */
/* PEM, with '\n' at line ends. */
const char *pki_request_csr(const struct pki_request *request);
EVP_PKEY *pki_request_key(const struct pki_request *request); /* borrowed */

/* Immutable and counted. */
struct pki_credential {
	unsigned int refs;
	char *certificate_pem; /* the leaf */
	char *chain_pem;       /* its issuer and so on, without the root; "": the root signed it */
	char *key_pem;	       /* PKCS#8, wiped at the end */
	char cn[256], issuer_cn[256];
	char serial[PKI_SERIAL_TEXT_BYTES];
	int64_t not_before, not_after; /* seconds since the epoch; cut to the first end above it
					*/
};

/* What is wrong with a certificate that was issued. */
enum pki_fault {
	PKI_FAULT_UNREADABLE = 1,
	PKI_FAULT_KEY = 2,	 /* not for the key of the request */
	PKI_FAULT_TIME = 3,	 /* expired, or not valid yet */
	PKI_FAULT_UNTRUSTED = 4, /* chains to none of the roots */
};

/* Looks at the answer to a request. `chain_pem`: the issuer's chain in any order, perhaps with the
 * root; NULL or "": none. `roots_pem` NULL: not checked against roots. Clocks of issuers may be
 * ahead of ours by some minutes. 0; a pki_fault or -ENOMEM with `err`. */
int pki_credential_new(const struct pki_request *request, const char *certificate_pem,
		       const char *chain_pem, const char *roots_pem, struct pki_credential **ret,
		       struct err_text *err);
/* Of a certificate with its chain, and its key, in one text or two. */
int pki_credential_parse(const char *certificates_pem, const char *key_pem, const char *roots_pem,
			 struct pki_credential **ret, struct err_text *err);
/* The same of files; others than its owner may not touch the key's. */
int pki_credential_load(const char *certificate_file, const char *key_file,
			struct pki_credential **ret, struct err_text *err);
/* Whether it chains to one of the roots, and is within its time: 0, or a pki_fault with `err`. */
int pki_credential_check(const struct pki_credential *credential, const char *roots_pem,
			 struct err_text *err);

struct pki_credential *pki_credential_ref(struct pki_credential *credential); /* any thread */
void pki_credential_unref(struct pki_credential *credential); /* any thread; NULL is fine */

/* The certificates of `pems` each once, as PEM; those that sign themselves are counted. The caller
 * frees *ret. 0; PKI_FAULT_UNREADABLE with `err`; -ENOMEM. */
int pki_merge_certificates(const char *const *pems, size_t count, char **ret, size_t *ret_roots,
			   struct err_text *err);

#endif
