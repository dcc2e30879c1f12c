/* SPDX-License-Identifier: Apache-2.0 */
/* The library context of sessions: what OpenSSL 3.0 needs to read certificates at a fair price. */
#ifndef SALLYPORT_TLS_LIBRARY_H
#define SALLYPORT_TLS_LIBRARY_H

#include <openssl/x509.h>

/* For an SSL_CTX whose peers' chains end at `roots`; NULL: OpenSSL's default one. Lives as long as
 * the process. Any thread. */
OSSL_LIB_CTX *tls_library(X509_STORE *roots);

#endif
