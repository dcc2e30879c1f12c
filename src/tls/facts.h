/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What others may want to be told of a session whose handshake is done, in the words that other
 * proxies use. Taken before the handshake is finished and its SSL gone.
 */
#ifndef SALLYPORT_TLS_FACTS_H
#define SALLYPORT_TLS_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_handshake;

struct tls_facts {
	const char *version, *cipher; /* static: "TLSv1.3", "TLS_AES_128_GCM_SHA256" */
	char alpn[32];		      /* "" if none */
	char server_name[256];	      /* that the client asked for, "" if none */
	char sig_alg[40];	      /* our certificate's signature: "ecdsa-with-SHA256" */
	char key_alg[16];	      /* … and key: "EC256", "RSA2048" */
	uint8_t *der;		      /* the peer's certificate; NULL: not asked for */
	size_t der_bytes;
};

/* After TLS_HANDSHAKE_DONE, before tls_handshake_finish(). 0 or -ENOMEM; tls_facts_fini() frees. */
int tls_facts_take(const struct tls_handshake *hs, bool with_der, struct tls_facts *ret);
void tls_facts_fini(struct tls_facts *facts);

#endif
