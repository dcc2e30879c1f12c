/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libssl asks while it runs a handshake: may this certificate pass, which protocol, is this
 * server name ours; and what it tells: the traffic secrets. Called inside of tls_handshake_step()
 * on its thread; each finds its handshake as the app data of the SSL.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/util.h"
#include "tls/handshake_impl.h"
#include "tls/peer_impl.h"

#define RANDOM_HEX_DIGITS 64

static struct tls_handshake *handshake_of(const SSL *ssl)
{
	return SSL_get_app_data(ssl);
}

/* Names of the leaf go to rules, logs and brokers: only what is plain text may pass. */
static int accept_leaf(struct tls_handshake *hs, X509_STORE_CTX *store)
{
	X509 *leaf = X509_STORE_CTX_get0_cert(store);
	const char *why;
	int r;

	if (hs->peer)
		return 1;
	r = peer_from_certificate(leaf, X509_STORE_CTX_get0_chain(store), true, &hs->peer, &why);
	if (!r)
		return 1;
	if (r == PEER_BAD_NAMES)
		handshake_refuse(hs, TLS_REFUSAL_BAD_CERTIFICATE, "%s", why);
	else
		handshake_refuse(hs, TLS_REFUSAL_NO_MEMORY, "out of memory");
	/* The alert is libssl's translation of this: bad_certificate. */
	X509_STORE_CTX_set_error(store, r < 0 ? X509_V_ERR_OUT_OF_MEM : X509_V_ERR_CERT_REJECTED);
	return 0;
}

/* Called with ok = 1 for each certificate that passed, the leaf last, or with ok = 0 at the first
 * fault, which is final. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_handshake *hs = handshake_of(ssl);
	int depth = X509_STORE_CTX_get_error_depth(store);
	X509 *leaf = X509_STORE_CTX_get0_cert(store);
	const char *why;

	if (ok && depth == 0)
		ok = accept_leaf(hs, store);
	if (ok)
		return 1;
	handshake_refuse_certificate(hs, X509_STORE_CTX_get_error(store), depth);
	if (leaf && !hs->claimed)
		peer_from_certificate(leaf, NULL, false, &hs->claimed, &why);
	return 0;
}

/* All that is said of certificates in a handshake is said here, or by on_verify(). 1 or 0. */
static int verify_certificates(X509_STORE_CTX *store, void *arg)
{
	struct tls_context *context = arg;
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_handshake *hs = handshake_of(ssl);
	bool has_key;

	if (hs->peer) { /* libssl does not ask twice; who is verified is not exchanged */
		handshake_refuse(hs, TLS_REFUSAL_PROTOCOL, "a second certificate");
		return 0;
	}
	has_key = verified_key(context->verified, store, &hs->proof);
	if (has_key)
		hs->peer = verified_find(context->verified, &hs->proof, store);
	if (hs->peer) {
		X509_STORE_CTX_set_error(store, X509_V_OK);
		return 1;
	}
	if (X509_verify_cert(store) != 1 || X509_STORE_CTX_get_error(store) != X509_V_OK)
		return 0;
	hs->keeps_proof = has_key && verified_times(store, &hs->proof);
	return 1;
}

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
	const struct tls_context *context = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	if (!name || !strcasecmp(name, context->server_name))
		return SSL_TLSEXT_ERR_OK;
	/* The name is the peer's; only the log's own escaping may show it. */
	handshake_refuse(handshake_of(ssl), TLS_REFUSAL_SNI,
			 "the client asks for another server name than %.64s",
			 context->server_name);
	*alert = SSL_AD_UNRECOGNIZED_NAME;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Our order counts. libssl has checked the form of `in`. */
static int on_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
		   const unsigned char *in, unsigned int in_bytes, void *arg)
{
	const struct tls_context *context = arg;
	const uint8_t *ours_end = context->alpn_wire + context->alpn_wire_bytes;

	for (const uint8_t *ours = context->alpn_wire; ours < ours_end; ours += 1 + *ours) {
		const uint8_t *in_end = in + in_bytes;

		for (const uint8_t *theirs = in; theirs < in_end; theirs += 1 + *theirs) {
			if (*theirs != *ours || (size_t)(in_end - theirs) < 1U + *theirs ||
			    memcmp(theirs + 1, ours + 1, *ours))
				continue;
			*ret = theirs + 1;
			*ret_len = *theirs;
			return SSL_TLSEXT_ERR_OK;
		}
	}
	handshake_refuse(handshake_of(ssl), TLS_REFUSAL_ALPN,
			 "the client offers none of our application protocols");
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* `hex` up to its end into secret[]; false if that is not 1..TRAFFIC_SECRET_BYTES_MAX bytes. */
static bool take_secret(const char *hex, uint8_t *secret)
{
	size_t n = 0;

	for (; hex[0] && hex[1]; hex += 2) {
		int high = hex_digit(hex[0]), low = hex_digit(hex[1]);

		if (high < 0 || low < 0 || n == TRAFFIC_SECRET_BYTES_MAX)
			return false;
		secret[n++] = (uint8_t)(high << 4 | low);
	}
	return n && !hex[0];
}

/* "LABEL <client random> <secret>" in hex: the only way by which libssl gives its traffic secrets
 * to an application. */
static void on_secret(const SSL *ssl, const char *line)
{
	static const char client[] = "CLIENT_TRAFFIC_SECRET_0 ";
	static const char server[] = "SERVER_TRAFFIC_SECRET_0 ";
	struct tls_handshake *hs = handshake_of(ssl);
	bool is_client = !strncmp(line, client, sizeof(client) - 1);
	bool is_rx = is_client == hs->context->is_server;

	if (!is_client && strncmp(line, server, sizeof(server) - 1))
		return;
	line += sizeof(client) - 1;
	if (strnlen(line, RANDOM_HEX_DIGITS + 1) <= RANDOM_HEX_DIGITS)
		return;
	if (!hs->keys)
		hs->keys = tls_keys_new();
	if (!hs->keys || !take_secret(line + RANDOM_HEX_DIGITS + 1,
				      is_rx ? hs->keys->rx.secret : hs->keys->tx.secret))
		return; /* missed at the finish */
	if (is_client)
		hs->has_client = true;
	else
		hs->has_server = true;
}

void handshake_set_callbacks(struct tls_context *context)
{
	SSL_CTX *ctx = context->ssl_ctx;

	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verify);
	SSL_CTX_set_cert_verify_callback(ctx, verify_certificates, context);
	SSL_CTX_set_keylog_callback(ctx, on_secret);
	if (!context->is_server)
		return;
	if (context->server_name) {
		SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
		SSL_CTX_set_tlsext_servername_arg(ctx, context);
	}
	if (context->alpn_wire_bytes)
		SSL_CTX_set_alpn_select_cb(ctx, on_alpn, context);
}
