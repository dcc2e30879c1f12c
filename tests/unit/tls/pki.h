/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates for tests, good and bad ones, made in memory by libcrypto. Every failure is an
 * abort: the tests are about something else.
 */
#ifndef SALLYPORT_TESTS_TLS_PKI_H
#define SALLYPORT_TESTS_TLS_PKI_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

struct pki_cert {
	X509 *x509;
	EVP_PKEY *key;
};

struct pki_spec {
	const char *cn;	 /* NULL: no CN */
	const char *key; /* "P-256" (default), "P-384", "P-224", "P-521", "ED25519", "ED448",
			    "RSA:<bits>" */
	bool is_ca;
	int path_length;	 /* of a CA: -1 none; 0 here means none too, so use PKI_PATH_ZERO */
	const char *san;	 /* OpenSSL's config form: "DNS:a,URI:spiffe://x" */
	const char *usage;	 /* extendedKeyUsage, e.g. "clientAuth" */
	const char *constraints; /* nameConstraints */
	long starts_seconds, ends_seconds; /* from now; both 0: valid from an hour ago for a day */
	const unsigned char *raw_cn;	   /* bytes as they are, as UTF8String */
	int raw_cn_bytes;
	const unsigned char *raw_dns; /* one dNSName, bytes as they are */
	int raw_dns_bytes;
	const char *serial_hex;
};

#define PKI_PATH_ZERO (-2)

/* `issuer` NULL: self-signed. `ret` is the caller's (pki_cert_fini). */
void pki_make(struct pki_cert *ret, const struct pki_cert *issuer, const struct pki_spec *spec);
void pki_cert_fini(struct pki_cert *cert);

/* Files in a temporary folder; returned paths live as long as the process. */
const char *pki_folder(void); /* made at the first call, removed at exit */
const char *pki_write_certs(const char *name, const struct pki_cert *const *certs, size_t count);
const char *pki_write_key(const char *name, const struct pki_cert *cert);
const char *pki_write_text(const char *name, const char *text, size_t len, int mode);

#endif
