/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds and signs X.509 certificates: pure functions on material, no files.
 */
#ifndef SALLYPORT_PKI_CERTIFICATE_H
#define SALLYPORT_PKI_CERTIFICATE_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define PKI_CN_CHARACTERS_MAX 64 /* RFC 5280 ub-common-name */
#define PKI_SANS_MAX	      64
#define PKI_SERIAL_TEXT_BYTES 42

enum pki_san_kind { PKI_SAN_DNS, PKI_SAN_IP, PKI_SAN_URI };

struct pki_san {
	enum pki_san_kind kind;
	const char *value; /* borrowed, checked by pki_san_parse() */
};

/* Points `ret` into `text` ("dns:NAME", "ip:ADDR" or "uri:URI"). 0 or -EINVAL with `err`. */
int pki_san_parse(const char *text, struct pki_san *ret, struct err_text *err);
/* 0, or -EINVAL with `err`: 1 to 64 characters of UTF-8 without control characters. */
int pki_cn_check(const char *cn, struct err_text *err);

enum pki_usage { PKI_USAGE_CLIENT = 1, PKI_USAGE_SERVER = 2, PKI_USAGE_BOTH = 3 };

struct pki_subject {
	const char *cn;
	const struct pki_san *sans;
	size_t san_count;
	enum pki_usage usage; /* of a leaf */
	unsigned int days;
	uint64_t seconds; /* instead of days; 0: days count */
};

/* Parts of certificates and requests, owned by the caller; NULL if OpenSSL fails. */
X509_NAME *pki_name_new(const char *cn);
GENERAL_NAMES *pki_sans_new(const struct pki_san *sans, size_t count);

/* A root that signs itself. NULL if OpenSSL fails. Caller frees with X509_free(). */
X509 *pki_root_new(const struct pki_subject *subject, EVP_PKEY *key, struct err_text *err);
/* A leaf for `key`, signed by issuer; its end is cut to the issuer's. */
X509 *pki_leaf_new(const struct pki_subject *subject, EVP_PKEY *key, X509 *issuer,
		   EVP_PKEY *issuer_key, struct err_text *err);

/* Lower-case hex of the serial number. */
int pki_serial_text(const X509 *certificate, char ret[PKI_SERIAL_TEXT_BYTES]);
/* Seconds since the epoch; INT64_MIN if it can not be told. */
int64_t pki_time_seconds(const ASN1_TIME *time);
/* "2027-01-31T12:00:00Z" */
#define PKI_TIME_TEXT_BYTES 32
void pki_time_text(int64_t seconds, char ret[PKI_TIME_TEXT_BYTES]);

#endif
