/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libssl as a machine that eats records and gives bytes. Its two ends are one BIO of our own: it
 * reads straight out of the caller's record and writes into the handshake's output, and it never
 * has more than one record in it, so that nothing that comes after the handshake can get lost in
 * libssl. A struct tls_handshake belongs to one connection and its thread; the SSL inside is made
 * when the first record is there, because most of a flood never sends one.
 */
#include "tls/handshake.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>

#include "base/util.h"
#include "limits/limits.h"
#include "tls/handshake_impl.h"
#include "tls/record.h"

#define OUT_BYTES_FIRST 4096 /* a usual flight fits */
#define OUT_BYTES_MAX	(256 * 1024)

static pthread_once_t bio_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *bio_method;

static int bio_read(BIO *bio, char *buf, int len)
{
	struct tls_handshake *hs = BIO_get_data(bio);
	size_t n = MIN((size_t)len, hs->in_bytes);

	BIO_clear_retry_flags(bio);
	if (!n) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(buf, hs->in, n);
	hs->in += n;
	hs->in_bytes -= n;
	return (int)n;
}

static bool out_reserve(struct tls_handshake *hs, size_t len)
{
	size_t room = hs->out_room ? hs->out_room : OUT_BYTES_FIRST;
	uint8_t *out;

	if (len > OUT_BYTES_MAX - hs->out_bytes)
		return false;
	while (room < hs->out_bytes + len)
		room *= 2;
	if (room == hs->out_room)
		return true;
	out = realloc(hs->out, room);
	if (!out)
		return false;
	hs->out = out;
	hs->out_room = room;
	return true;
}

static int bio_write(BIO *bio, const char *buf, int len)
{
	struct tls_handshake *hs = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (len <= 0)
		return 0;
	if (!out_reserve(hs, (size_t)len)) {
		handshake_refuse(hs, TLS_REFUSAL_NO_MEMORY, "no memory for the output");
		return -1;
	}
	memcpy(hs->out + hs->out_bytes, buf, (size_t)len);
	hs->out_bytes += (size_t)len;
	return len;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	return cmd == BIO_CTRL_FLUSH;
}

static void make_bio_method(void)
{
	BIO_METHOD *method =
		BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sallyport record");

	if (!method)
		return;
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_ctrl(method, bio_ctrl);
	bio_method = method;
}

int tls_handshake_new(struct tls_context *context, struct tls_handshake **ret)
{
	struct tls_handshake *hs = calloc(1, sizeof(*hs));

	if (!hs)
		return -ENOMEM;
	hs->context = tls_context_ref(context);
	hs->status = TLS_HANDSHAKE_WANT_RECORD;
	*ret = hs;
	return 0;
}

void tls_handshake_free(struct tls_handshake *hs)
{
	if (!hs)
		return;
	SSL_free(hs->ssl);
	tls_keys_free(hs->keys);
	peer_free(hs->peer);
	peer_free(hs->claimed);
	free(hs->out);
	tls_context_unref(hs->context);
	free(hs);
}

/* A client says whom it wants to reach, unless that is an address (RFC 6066 3). */
static bool set_server_name(SSL *ssl, const struct tls_context *context)
{
	uint8_t address[16];

	if (context->is_server || !context->server_name ||
	    inet_pton(AF_INET, context->server_name, address) == 1 ||
	    inet_pton(AF_INET6, context->server_name, address) == 1)
		return true;
	return SSL_set_tlsext_host_name(ssl, context->server_name) == 1;
}

static bool ssl_start(struct tls_handshake *hs)
{
	BIO *bio;

	pthread_once(&bio_once, make_bio_method);
	if (!bio_method)
		return false;
	hs->ssl = SSL_new(hs->context->ssl_ctx);
	if (!hs->ssl)
		return false;
	bio = BIO_new(bio_method);
	if (!bio)
		return false;
	BIO_set_data(bio, hs);
	BIO_set_init(bio, 1);
	SSL_set_bio(hs->ssl, bio, bio);
	SSL_set_app_data(hs->ssl, hs);
	if (!set_server_name(hs->ssl, hs->context))
		return false;
	if (hs->context->is_server)
		SSL_set_accept_state(hs->ssl);
	else
		SSL_set_connect_state(hs->ssl);
	return true;
}

static enum tls_handshake_status fail(struct tls_handshake *hs)
{
	hs->status = TLS_HANDSHAKE_FAILED;
	return hs->status;
}

/* libssl says that it is done; believe it only where nothing contradicts. */
static enum tls_handshake_status conclude(struct tls_handshake *hs)
{
	if (hs->in_bytes || SSL_has_pending(hs->ssl))
		handshake_refuse(hs, TLS_REFUSAL_PROTOCOL, "more in the record after the end");
	else if (!hs->peer || SSL_get_verify_result(hs->ssl) != X509_V_OK)
		handshake_refuse(hs, TLS_REFUSAL_NO_CERTIFICATE, "no verified certificate");
	if (hs->refusal != TLS_REFUSAL_NONE)
		return fail(hs);
	if (hs->keeps_proof)
		verified_keep(hs->context->verified, &hs->proof, hs->peer);
	hs->status = TLS_HANDSHAKE_DONE;
	return hs->status;
}

static enum tls_handshake_status run(struct tls_handshake *hs, const uint8_t *record, size_t len)
{
	int r;

	hs->in = record;
	hs->in_bytes = len;
	ERR_clear_error();
	r = SSL_do_handshake(hs->ssl);
	if (r == 1)
		conclude(hs);
	else if (SSL_get_error(hs->ssl, r) != SSL_ERROR_WANT_READ || hs->in_bytes) {
		handshake_refuse_from_queue(hs); /* empties it */
		fail(hs);
	}
	hs->in = NULL;
	hs->in_bytes = 0;
	return hs->status;
}

/* The alert of a limit that libssl does not know: it makes one itself, under the keys of the
 * moment, when it meets a record that is longer than any may be. */
static enum tls_handshake_status refuse_too_large(struct tls_handshake *hs)
{
	static const uint8_t too_long[TLS_RECORD_HEADER_BYTES] = { TLS_APPLICATION_DATA, 3, 3, 0xff,
								   0xff };

	handshake_refuse(hs, TLS_REFUSAL_TOO_LARGE, "more than %d records or %d bytes",
			 HANDSHAKE_RECORDS_MAX, HANDSHAKE_BYTES_MAX);
	run(hs, too_long, sizeof(too_long));
	return fail(hs);
}

enum tls_handshake_status tls_handshake_step(struct tls_handshake *hs, const uint8_t *record,
					     size_t len)
{
	if (hs->status != TLS_HANDSHAKE_WANT_RECORD)
		return hs->status;
	if (!hs->ssl && !ssl_start(hs)) {
		ERR_clear_error();
		handshake_refuse(hs, TLS_REFUSAL_NO_MEMORY, "out of memory");
		return fail(hs);
	}
	if (len && (++hs->records > HANDSHAKE_RECORDS_MAX ||
		    (hs->record_bytes += len) > HANDSHAKE_BYTES_MAX))
		return refuse_too_large(hs);
	return run(hs, record, len);
}

size_t tls_handshake_output(struct tls_handshake *hs, const uint8_t **ret)
{
	*ret = hs->out + hs->out_sent;
	return hs->out_bytes - hs->out_sent;
}

void tls_handshake_sent(struct tls_handshake *hs, size_t len)
{
	hs->out_sent += MIN(len, hs->out_bytes - hs->out_sent);
	if (hs->out_sent == hs->out_bytes)
		hs->out_sent = hs->out_bytes = 0;
}

enum tls_refusal tls_handshake_refusal(const struct tls_handshake *hs, const char **ret_detail)
{
	if (ret_detail)
		*ret_detail = hs->detail;
	return hs->refusal;
}

const struct peer *tls_handshake_claimed_peer(const struct tls_handshake *hs)
{
	return hs->peer ? hs->peer : hs->claimed;
}
