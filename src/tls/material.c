/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a context is made of. A certificate of our own that no peer would accept (out of its time,
 * of the wrong purpose, with a foreign key, with a chain in the wrong order) is refused here, with
 * words; a peer would only say "handshake failure". Called where contexts are made.
 */
#include "tls/material.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/util.h"
#include "limits/limits.h"
#include "tls/pem.h"

#define DATE_BYTES 32

static void free_key(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

#define cleanup_key __attribute__((cleanup(free_key)))

static int as_fault(int r, enum tls_context_fault fault)
{
	return r == PEM_FAULT ? (int)fault : r;
}

static const char *date_of(const ASN1_TIME *time, char ret[DATE_BYTES])
{
	struct tm tm;

	if (ASN1_TIME_to_tm(time, &tm) != 1 ||
	    !strftime(ret, DATE_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm))
		return "an unreadable date";
	return ret;
}

static int check_time(const char *file, int number, const X509 *certificate, struct err_text *err)
{
	char date[DATE_BYTES];

	if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
		return err_set(err, TLS_CONTEXT_FAULT_CERTIFICATE,
			       "%s: certificate number %d is not valid before %s", file, number,
			       date_of(X509_get0_notBefore(certificate), date));
	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0)
		return err_set(err, TLS_CONTEXT_FAULT_CERTIFICATE,
			       "%s: certificate number %d expired at %s", file, number,
			       date_of(X509_get0_notAfter(certificate), date));
	return 0;
}

/* Leaf first, then who signed it, and so on. */
static int check_chain(const char *file, STACK_OF(X509) * chain, struct err_text *err)
{
	for (int i = 0; i < sk_X509_num(chain); i++) {
		int r = check_time(file, i + 1, sk_X509_value(chain, i), err);

		if (r)
			return r;
		if (i && X509_check_issued(sk_X509_value(chain, i), sk_X509_value(chain, i - 1)) !=
				 X509_V_OK)
			return err_set(err, TLS_CONTEXT_FAULT_CERTIFICATE,
				       "%s: certificate number %d did not sign number %d; the "
				       "order is leaf, then its issuer, and so on",
				       file, i + 1, i);
	}
	return 0;
}

static bool is_self_signed(X509 *certificate)
{
	return X509_self_signed(certificate, 0) == 1;
}

static int use_leaf(SSL_CTX *ctx, const struct tls_context_params *params, X509 *leaf,
		    struct err_text *err)
{
	if (X509_check_purpose(
		    leaf, params->is_server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT,
		    0) != 1)
		return err_set(err, TLS_CONTEXT_FAULT_CERTIFICATE,
			       "%s: this certificate may not be used by a TLS %s (key usage)",
			       params->certificate_file, params->is_server ? "server" : "client");
	if (SSL_CTX_use_certificate(ctx, leaf) != 1)
		return err_set(err, TLS_CONTEXT_FAULT_CERTIFICATE, "%s: %s",
			       params->certificate_file, pem_crypto_reason());
	return 0;
}

static int use_chain(SSL_CTX *ctx, const struct tls_context_params *params, STACK_OF(X509) * chain,
		     struct err_text *err)
{
	for (int i = 1; i < sk_X509_num(chain); i++) {
		X509 *certificate = sk_X509_value(chain, i);

		/* A peer has the root, or does not trust it: no need to send it. */
		if (is_self_signed(certificate))
			continue;
		if (!SSL_CTX_add1_chain_cert(ctx, certificate))
			return err_set(err, TLS_CONTEXT_FAULT_CERTIFICATE,
				       "%s: certificate number %d: %s", params->certificate_file,
				       i + 1, pem_crypto_reason());
	}
	return 0;
}

static int use_key(SSL_CTX *ctx, const struct tls_context_params *params, const X509 *leaf,
		   struct err_text *err)
{
	cleanup_key EVP_PKEY *key = NULL;
	int r = params->key_pem ? pem_parse_key(params->key_file, params->key_pem,
						strlen(params->key_pem), &key, err)
				: pem_load_key(params->key_file, &key, err);

	if (r)
		return as_fault(r, TLS_CONTEXT_FAULT_KEY);
	if (X509_check_private_key(leaf, key) != 1) {
		ERR_clear_error();
		return err_set(err, TLS_CONTEXT_FAULT_KEY, "%s: not the key of the certificate %s",
			       params->key_file, params->certificate_file);
	}
	if (!EVP_PKEY_is_a(key, "RSA") && !EVP_PKEY_is_a(key, "RSA-PSS") &&
	    !EVP_PKEY_is_a(key, "EC") && !EVP_PKEY_is_a(key, "ED25519"))
		return err_set(err, TLS_CONTEXT_FAULT_KEY,
			       "%s: a key of this type can not be used; ECDSA, Ed25519 or RSA can",
			       params->key_file);
	if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
		return err_set(err, TLS_CONTEXT_FAULT_KEY, "%s: %s", params->key_file,
			       pem_crypto_reason());
	return 0;
}

/* Leaf, intermediates, and perhaps the root. */
static int load_chain(const struct tls_context_params *params, STACK_OF(X509) * *ret,
		      struct err_text *err)
{
	const size_t max = CERTIFICATE_DEPTH_MAX + 2;

	if (!params->certificate_pem)
		return pem_load_certificates(params->certificate_file, max, ret, err);
	return pem_parse_certificates(params->certificate_file, params->certificate_pem,
				      strlen(params->certificate_pem), max, ret, err);
}

int material_load_own(SSL_CTX *ctx, const struct tls_context_params *params, struct err_text *err)
{
	cleanup_certificates STACK_OF(X509) *chain = NULL;
	int r;

	if (!params->certificate_file)
		return params->is_server ? err_set(err, TLS_CONTEXT_FAULT_CERTIFICATE,
						   "a server needs a certificate")
					 : 0;
	if (!params->key_file)
		return err_set(err, TLS_CONTEXT_FAULT_KEY, "a certificate needs its key");
	r = as_fault(load_chain(params, &chain, err), TLS_CONTEXT_FAULT_CERTIFICATE);
	if (!r)
		r = check_chain(params->certificate_file, chain, err);
	if (!r)
		r = use_leaf(ctx, params, sk_X509_value(chain, 0), err);
	if (!r)
		r = use_chain(ctx, params, chain, err);
	if (!r)
		r = use_key(ctx, params, sk_X509_value(chain, 0), err);
	return r;
}
