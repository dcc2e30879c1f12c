/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy of our TLS in one place: what is offered, what is demanded of a peer, what is never done.
 * A context is made by the control side from files, then only read, by any thread; the last
 * reference frees it. Whatever is wrong with the files is found here and not at the first
 * connection.
 */
#include "tls/context.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/util.h"
#include "tls/context_impl.h"
#include "tls/material.h"

#define SECURITY_LEVEL 2 /* RSA of 2048 bits at least, curves of 224, no SHA-1 signatures */

/* In order of preference; a hybrid group costs a fifth of a handshake more and is a later choice.
 */
static const char groups[] = "X25519:P-256:P-384";

/* PKCS#1 signs certificates in TLS 1.3, and in 1.2 everything. P-521 only verifies. */
static const char signature_algorithms[] =
	"ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ed25519:rsa_pss_rsae_sha256:"
	"rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:rsa_pss_pss_sha256:rsa_pss_pss_sha384:"
	"rsa_pss_pss_sha512:rsa_pkcs1_sha256:rsa_pkcs1_sha384:rsa_pkcs1_sha512:"
	"ecdsa_secp521r1_sha512";

static const char *const tls12_suites[TLS_CIPHER_COUNT] = {
	[TLS_CIPHER_AES_128_GCM_SHA256] = "ECDHE-ECDSA-AES128-GCM-SHA256:"
					  "ECDHE-RSA-AES128-GCM-SHA256",
	[TLS_CIPHER_AES_256_GCM_SHA384] = "ECDHE-ECDSA-AES256-GCM-SHA384:"
					  "ECDHE-RSA-AES256-GCM-SHA384",
	[TLS_CIPHER_CHACHA20_POLY1305_SHA256] = "ECDHE-ECDSA-CHACHA20-POLY1305:"
						"ECDHE-RSA-CHACHA20-POLY1305",
};

/* A setting that libssl refuses is our own mistake or a crippled libssl, not the user's. */
static int setting_failed(struct err_text *err, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	err_set(err, 0, "OpenSSL refuses %s: %s", what, reason ? reason : "unknown reason");
	ERR_clear_error();
	return TLS_CONTEXT_FAULT_OTHER;
}

static int set_versions_and_options(SSL_CTX *ctx, const struct tls_context_params *params,
				    struct err_text *err)
{
	uint64_t options = SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
			   SSL_OP_CIPHER_SERVER_PREFERENCE;

	/* From OpenSSL 3.2 on. Compression of certificates costs more than the bytes it saves. */
#ifdef SSL_OP_NO_TX_CERTIFICATE_COMPRESSION
	options |= SSL_OP_NO_TX_CERTIFICATE_COMPRESSION | SSL_OP_NO_RX_CERTIFICATE_COMPRESSION;
#endif
	if (params->min_version != TLS_VERSION_1_2 && params->min_version != TLS_VERSION_1_3)
		return err_set(err, TLS_CONTEXT_FAULT_OTHER, "min_version must be 1.2 or 1.3");
	SSL_CTX_set_options(ctx, options);
	/* Our own chain is given; libssl would build and verify it anew for every handshake. */
	SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
	SSL_CTX_set_max_cert_list(ctx, CERTIFICATE_LIST_BYTES_MAX);
	SSL_CTX_set_read_ahead(ctx, 0);
	if (!SSL_CTX_set_num_tickets(ctx, 0) ||
	    !SSL_CTX_set_min_proto_version(ctx, params->min_version) ||
	    !SSL_CTX_set_max_proto_version(ctx, TLS_VERSION_1_3))
		return setting_failed(err, "the versions");
	return 0;
}

/* Appends to a list with colons, as libssl likes them. */
static void add_word(char *list, size_t room, const char *word)
{
	size_t used = strlen(list);

	snprintf(list + used, room - used, "%s%s", used ? ":" : "", word);
}

static int set_algorithms(SSL_CTX *ctx, const struct tls_context_params *params,
			  struct err_text *err)
{
	static const enum tls_cipher all[] = { TLS_CIPHER_AES_128_GCM_SHA256,
					       TLS_CIPHER_AES_256_GCM_SHA384,
					       TLS_CIPHER_CHACHA20_POLY1305_SHA256 };
	const enum tls_cipher *ciphers = params->cipher_count ? params->ciphers : all;
	size_t count = params->cipher_count ? params->cipher_count : ARRAY_SIZE(all);
	char tls13[256] = "", tls12[512] = "";

	if (count > TLS_CIPHER_COUNT)
		return err_set(err, TLS_CONTEXT_FAULT_OTHER, "too many ciphers");
	for (size_t i = 0; i < count; i++) {
		if (ciphers[i] >= TLS_CIPHER_COUNT)
			return err_set(err, TLS_CONTEXT_FAULT_OTHER, "unknown cipher");
		add_word(tls13, sizeof(tls13), tls_cipher_name(ciphers[i]));
		add_word(tls12, sizeof(tls12), tls12_suites[ciphers[i]]);
	}
	if (!SSL_CTX_set_ciphersuites(ctx, tls13) || !SSL_CTX_set_cipher_list(ctx, tls12))
		return setting_failed(err, "the ciphers");
	if (!SSL_CTX_set1_groups_list(ctx, groups) ||
	    !SSL_CTX_set1_sigalgs_list(ctx, signature_algorithms))
		return setting_failed(err, "the groups or signature algorithms");
	return 0;
}

/* A client checks the name, or the address, of whom it reached. */
static int set_expected_name(SSL_CTX *ctx, const char *name, struct err_text *err)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
	uint8_t address[16];

	if (!name || !*name)
		return err_set(err, TLS_CONTEXT_FAULT_OTHER,
			       "a client needs the name that its peer's certificate must carry");
	if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1) {
		if (X509_VERIFY_PARAM_set1_ip_asc(param, name))
			return 0;
		return setting_failed(err, "server_name");
	}
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (!X509_VERIFY_PARAM_set1_host(param, name, 0))
		return setting_failed(err, "server_name");
	return 0;
}

static int set_verification(SSL_CTX *ctx, const struct tls_context_params *params,
			    struct err_text *err)
{
	SSL_CTX_set_verify_depth(ctx, CERTIFICATE_DEPTH_MAX);
	if (!SSL_CTX_set_purpose(ctx, params->is_server ? X509_PURPOSE_SSL_CLIENT
							: X509_PURPOSE_SSL_SERVER))
		return setting_failed(err, "the purpose");
	return params->is_server ? 0 : set_expected_name(ctx, params->server_name, err);
}

static int set_alpn(struct tls_context *context, const struct tls_context_params *params,
		    struct err_text *err)
{
	uint8_t *at = context->alpn_wire;

	if (params->alpn_count > ALPN_PROTOCOLS_MAX)
		return err_set(err, TLS_CONTEXT_FAULT_OTHER, "alpn: more than %d protocols",
			       ALPN_PROTOCOLS_MAX);
	for (size_t i = 0; i < params->alpn_count; i++) {
		size_t len = strlen(params->alpn[i]);

		if (!len || len > ALPN_NAME_BYTES_MAX)
			return err_set(err, TLS_CONTEXT_FAULT_OTHER,
				       "alpn: a protocol's name has 1 to %d characters",
				       ALPN_NAME_BYTES_MAX);
		*at++ = (uint8_t)len;
		memcpy(at, params->alpn[i], len);
		at += len;
	}
	context->alpn_wire_bytes = (size_t)(at - context->alpn_wire);
	/* 0 is success here, against the habit of its house. */
	if (!context->is_server && context->alpn_wire_bytes &&
	    SSL_CTX_set_alpn_protos(context->ssl_ctx, context->alpn_wire,
				    (unsigned int)context->alpn_wire_bytes))
		return setting_failed(err, "alpn");
	return 0;
}

/* The roots come first: they say which library context can verify what ends at them. */
static int make_ssl_ctx(struct tls_context *context, const struct tls_context_params *params,
			struct err_text *err)
{
	int r = roots_get(params, &context->roots, err);

	if (r)
		return r;
	context->ssl_ctx =
		SSL_CTX_new_ex(roots_library(context->roots), NULL,
			       params->is_server ? TLS_server_method() : TLS_client_method());
	if (!context->ssl_ctx)
		return -ENOMEM;
	SSL_CTX_set1_cert_store(context->ssl_ctx, roots_store(context->roots));
	return 0;
}

static int fill(struct tls_context *context, const struct tls_context_params *params,
		struct err_text *err)
{
	int r = make_ssl_ctx(context, params, err);

	if (!r)
		r = verified_new(&context->verified);
	if (r)
		return r;
	if (params->server_name) {
		context->server_name = strdup(params->server_name);
		if (!context->server_name)
			return -ENOMEM;
	}
	r = set_versions_and_options(context->ssl_ctx, params, err);
	if (!r)
		r = set_algorithms(context->ssl_ctx, params, err);
	if (!r)
		r = material_load_own(context->ssl_ctx, params, err);
	if (!r)
		r = set_verification(context->ssl_ctx, params, err);
	if (!r)
		r = set_alpn(context, params, err);
	if (!r)
		handshake_set_callbacks(context);
	return r;
}

int tls_context_new(const struct tls_context_params *params, struct tls_context **ret,
		    struct err_text *err)
{
	struct tls_context *context = calloc(1, sizeof(*context));
	int r;

	if (!context)
		return -ENOMEM;
	context->refs = 1;
	context->is_server = params->is_server;
	ERR_clear_error();
	r = fill(context, params, err);
	ERR_clear_error();
	if (r) {
		if (r < 0)
			err_set(err, 0, "out of memory");
		tls_context_unref(context);
		return r;
	}
	*ret = context;
	return 0;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
	__atomic_add_fetch(&context->refs, 1, __ATOMIC_RELAXED);
	return context;
}

void tls_context_unref(struct tls_context *context)
{
	if (!context || __atomic_sub_fetch(&context->refs, 1, __ATOMIC_ACQ_REL))
		return;
	SSL_CTX_free(context->ssl_ctx);
	roots_unref(context->roots);
	verified_free(context->verified);
	free(context->server_name);
	free(context);
}
