/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PKCS#12 stores as Java and Kafka read them, made of PEM and read back into PEM.
 */
#ifndef SALLYPORT_PKI_PKCS12_H
#define SALLYPORT_PKI_PKCS12_H

#include <stddef.h>

#include "base/err.h"

/* Bytes that may hold a key: wiped when they are freed. */
struct pki_bytes {
	char *bytes; /* a NUL follows them */
	size_t len;
};

void pki_bytes_fini(struct pki_bytes *bytes);

/* A keystore: key, certificate and chain (the leaf is the first) under one alias. 0; -EINVAL (a
 * text can not be read) or another -errno with `err`. */
int pkcs12_keystore(const char *certificates_pem, const char *key_pem, const char *alias,
		    const char *password, struct pki_bytes *ret, struct err_text *err);
/* A truststore: roots that Java takes for trusted. 0 or -errno with `err`, as above. */
int pkcs12_truststore(const char *roots_pem, const char *password, struct pki_bytes *ret,
		      struct err_text *err);
/* The certificates of a store, the leaf first, and its key, as PEM. A truststore has no key:
 * *ret_key is then empty. 0; -EINVAL with `err`: no PKCS#12, or another password; -ENOMEM. */
int pkcs12_read(const struct pki_bytes *store, const char *password,
		struct pki_bytes *ret_certificates, struct pki_bytes *ret_key,
		struct err_text *err);

#endif
