/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded CA: a directory that holds a root and its key, signs certificates and keeps an index
 * of what it has signed. For laptops, tests and first contact: the key lies on disk in clear.
 *
 *	DIR/ca.crt  DIR/ca.key  DIR/index.jsonl  DIR/<name>.crt  DIR/<name>.key
 */
#ifndef SALLYPORT_PKI_EMBEDDED_CA_H
#define SALLYPORT_PKI_EMBEDDED_CA_H

#include <stdbool.h>

#include "base/err.h"
#include "pki/certificate.h"
#include "pki/key.h"

#define EMBEDDED_CA_DAYS_MAX 36500
#define EMBEDDED_CA_NAME_MAX 200 /* bytes of a file's base name */
#define EMBEDDED_CA_PATH_MAX 4400

struct embedded_ca_request {
	const char *dir;
	const char *name; /* file base; NULL: from the CN (unused for a CA) */
	enum pki_key_type key_type;
	bool replace; /* files that are there already */
	struct pki_subject subject;
};

/* What was written. */
struct embedded_ca_result {
	char certificate_file[EMBEDDED_CA_PATH_MAX], key_file[EMBEDDED_CA_PATH_MAX];
	char serial[PKI_SERIAL_TEXT_BYTES];
	int64_t not_before, not_after; /* seconds since the epoch */
	bool cut;		       /* the end is the issuer's, not what was asked for */
};

/* Makes DIR/ca.crt and DIR/ca.key; DIR too if need be. 0 or -errno with `err` (-EEXIST: there is
 * one already). */
int embedded_ca_create(const struct embedded_ca_request *request, struct embedded_ca_result *ret,
		       struct err_text *err);
/* Makes a certificate and its key. 0 or -errno with `err` (-ENOENT: no CA in the directory). */
int embedded_ca_issue(const struct embedded_ca_request *request, struct embedded_ca_result *ret,
		      struct err_text *err);
/* Signs for a key that the caller holds: the certificate and the CA's own, as PEM, to be freed.
 * Nothing is written but the index. */
int embedded_ca_sign(const char *dir, const struct pki_subject *subject, EVP_PKEY *key,
		     char **ret_certificate, char **ret_root, struct err_text *err);
/* A file base for a CN: what could leave the directory or hide the file is replaced by '_'. */
void embedded_ca_file_name(const char *cn, char *ret, size_t size);

#endif
