/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See pair.h. The peer's bytes are cut into records exactly as the data plane does: header, then
 * body, one at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "pair.h"
#include "tls/record.h"

static int accept_all(int ok, X509_STORE_CTX *store)
{
	return 1;
}

static void on_info(const SSL *ssl, int where, int value)
{
	struct pair *pair = SSL_get_app_data(ssl);

	if (!(where & SSL_CB_ALERT))
		return;
	if (where & SSL_CB_READ)
		pair->alert_to_peer = value & 0xff;
	else
		pair->alert_from_peer = value & 0xff;
}

void pair_init(struct pair *pair, struct tls_context *context, bool peer_is_server,
	       const struct pki_cert *cert, const struct pki_cert *const *chain, size_t chain_count)
{
	memset(pair, 0, sizeof(*pair));
	pair->alert_to_peer = pair->alert_from_peer = -1;
	assert_int_equal(tls_handshake_new(context, &pair->hs), 0);
	pair->status = TLS_HANDSHAKE_WANT_RECORD;
	pair->peer_ctx = SSL_CTX_new(peer_is_server ? TLS_server_method() : TLS_client_method());
	SSL_CTX_set_security_level(pair->peer_ctx, 0);
	SSL_CTX_set_verify(pair->peer_ctx, SSL_VERIFY_PEER, accept_all);
	SSL_CTX_set_verify_depth(pair->peer_ctx, 100);
	SSL_CTX_set_info_callback(pair->peer_ctx, on_info);
	if (!cert)
		return;
	assert_int_equal(SSL_CTX_use_certificate(pair->peer_ctx, cert->x509), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(pair->peer_ctx, cert->key), 1);
	for (size_t i = 0; i < chain_count; i++)
		SSL_CTX_add1_chain_cert(pair->peer_ctx, chain[i]->x509);
}

void pair_start(struct pair *pair)
{
	if (pair->peer)
		return;
	pair->peer = SSL_new(pair->peer_ctx);
	SSL_set_app_data(pair->peer, pair);
	SSL_set_bio(pair->peer, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	BIO_set_mem_eof_return(SSL_get_rbio(pair->peer), -1);
	BIO_set_mem_eof_return(SSL_get_wbio(pair->peer), -1);
	if (SSL_get_ssl_method(pair->peer) == TLS_server_method())
		SSL_set_accept_state(pair->peer);
	else
		SSL_set_connect_state(pair->peer);
}

void pair_return(struct pair *pair)
{
	const uint8_t *out;
	size_t n = tls_handshake_output(pair->hs, &out);

	/* In pieces, so that tls_handshake_sent() is used as sockets make us use it. */
	while (n) {
		size_t part = n > 700 ? 700 : n;

		assert_int_equal(BIO_write(SSL_get_rbio(pair->peer), out, (int)part), part);
		tls_handshake_sent(pair->hs, part);
		n = tls_handshake_output(pair->hs, &out);
	}
}

void pair_deliver(struct pair *pair, size_t max)
{
	BIO *from = SSL_get_wbio(pair->peer);

	while (max-- && BIO_ctrl_pending(from)) {
		uint8_t record[TLS_RECORD_BYTES_MAX], type;
		size_t len;

		assert_int_equal(BIO_read(from, record, TLS_RECORD_HEADER_BYTES),
				 TLS_RECORD_HEADER_BYTES);
		assert_int_equal(tls_record_check_header(record, &type, &len), TLS_RECORD_OK);
		if (len)
			assert_int_equal(BIO_read(from, record + TLS_RECORD_HEADER_BYTES, (int)len),
					 len);
		pair->status = tls_handshake_step(pair->hs, record, TLS_RECORD_HEADER_BYTES + len);
		memset(record, 0xee, sizeof(record)); /* it may not be kept */
		pair->records++;
		if (pair->status != TLS_HANDSHAKE_WANT_RECORD)
			break;
	}
	pair_return(pair);
}

static void peer_step(struct pair *pair)
{
	char byte;

	ERR_clear_error();
	if (!pair->peer_done)
		pair->peer_done = SSL_do_handshake(pair->peer) == 1;
	else
		SSL_peek(pair->peer, &byte, 1); /* takes in alerts */
	ERR_clear_error();
}

void pair_run(struct pair *pair)
{
	pair_start(pair);
	if (SSL_is_server(pair->peer)) {
		pair->status = tls_handshake_step(pair->hs, NULL, 0);
		pair_return(pair);
	}
	for (int turn = 0; turn < 10; turn++) {
		peer_step(pair);
		if (pair->status == TLS_HANDSHAKE_WANT_RECORD)
			pair_deliver(pair, SIZE_MAX);
	}
}

void pair_fini(struct pair *pair)
{
	tls_handshake_free(pair->hs);
	SSL_free(pair->peer);
	SSL_CTX_free(pair->peer_ctx);
}
