/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of a session (facts.h). On the thread of its handshake. */
#include "tls/facts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "tls/handshake_impl.h"

/* As HAProxy writes it: kind and bits. */
static void describe_key(X509 *certificate, char *ret, size_t size)
{
	EVP_PKEY *key = certificate ? X509_get0_pubkey(certificate) : NULL;
	const char *kind = "";

	if (!key)
		return;
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:
	case EVP_PKEY_RSA_PSS:
		kind = "RSA";
		break;
	case EVP_PKEY_EC:
		kind = "EC";
		break;
	case EVP_PKEY_ED25519:
		kind = "ED";
		break;
	}
	if (*kind)
		snprintf(ret, size, "%s%d", kind, EVP_PKEY_get_bits(key));
}

static int take_der(X509 *certificate, struct tls_facts *ret)
{
	int len = certificate ? i2d_X509(certificate, NULL) : 0;
	unsigned char *at;

	if (len <= 0)
		return -ENOMEM;
	at = ret->der = malloc((size_t)len);
	if (!at)
		return -ENOMEM;
	ret->der_bytes = (size_t)i2d_X509(certificate, &at);
	return 0;
}

int tls_facts_take(const struct tls_handshake *hs, bool with_der, struct tls_facts *ret)
{
	const char *server_name = SSL_get_servername(hs->ssl, TLSEXT_NAMETYPE_host_name);
	const unsigned char *alpn;
	unsigned int alpn_bytes;
	X509 *ours = SSL_get_certificate(hs->ssl);
	int r = 0;

	*ret = (struct tls_facts){ .version = SSL_get_version(hs->ssl),
				   .cipher = SSL_get_cipher_name(hs->ssl) };
	SSL_get0_alpn_selected(hs->ssl, &alpn, &alpn_bytes);
	if (alpn_bytes && alpn_bytes < sizeof(ret->alpn))
		memcpy(ret->alpn, alpn, alpn_bytes);
	if (server_name)
		snprintf(ret->server_name, sizeof(ret->server_name), "%s", server_name);
	if (ours)
		snprintf(ret->sig_alg, sizeof(ret->sig_alg), "%s",
			 OBJ_nid2sn(X509_get_signature_nid(ours)));
	describe_key(ours, ret->key_alg, sizeof(ret->key_alg));
	if (with_der)
		r = take_der(SSL_get0_peer_certificate(hs->ssl), ret);
	ERR_clear_error();
	return r;
}

void tls_facts_fini(struct tls_facts *facts)
{
	free(facts->der);
}
