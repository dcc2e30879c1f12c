/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handshakes in memory, ours against libssl's client, for a profiler that counts instructions
 * (bench/handshake runs this under callgrind). Whatever our side does is done inside of counted(),
 * and what the client does is not, so that a toggle on that one name leaves the client out. No
 * sockets: the kernel's part is not in it.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ssl.h>

#include "tls/context.h"
#include "tls/handshake.h"
#include "tls/record.h"

#define CLIENTS_MAX 256

enum part { PART_NEW, PART_STEP, PART_FINISH, PART_FREE };

struct shake {
	struct tls_context *context;
	struct tls_handshake *hs;
	enum tls_handshake_status status;
	uint8_t record[TLS_RECORD_BYTES_MAX];
	size_t len;
};

static void die(const char *what)
{
	fprintf(stderr, "handshakes: %s\n", what);
	exit(1);
}

static void finish(struct shake *s)
{
	struct tls_handshake_summary summary;
	struct tls_keys *keys;
	struct peer *peer;

	if (s->status != TLS_HANDSHAKE_DONE) {
		const char *detail;

		tls_handshake_refusal(s->hs, &detail);
		die(detail);
	}
	if (tls_handshake_finish(s->hs, &keys, &peer, &summary) < 0)
		die("a handshake has no end");
	tls_keys_free(keys);
	peer_free(peer);
}

static void act(struct shake *s, enum part part)
{
	if (part == PART_NEW && tls_handshake_new(s->context, &s->hs) < 0)
		die("out of memory");
	if (part == PART_STEP)
		s->status = tls_handshake_step(s->hs, s->record, s->len);
	if (part == PART_FINISH)
		finish(s);
	if (part == PART_FREE)
		tls_handshake_free(s->hs);
}

/* The name that the profiler is told. */
__attribute__((noinline)) void counted(struct shake *s, enum part part);
__attribute__((noinline)) void counted(struct shake *s, enum part part)
{
	act(s, part);
}

static void uncounted(struct shake *s, enum part part)
{
	act(s, part);
}

static bool take_record(struct shake *s, BIO *from)
{
	uint8_t type;

	if (!BIO_ctrl_pending(from))
		return false;
	if (BIO_read(from, s->record, TLS_RECORD_HEADER_BYTES) != TLS_RECORD_HEADER_BYTES ||
	    tls_record_check_header(s->record, &type, &s->len) != TLS_RECORD_OK ||
	    BIO_read(from, s->record + TLS_RECORD_HEADER_BYTES, (int)s->len) != (int)s->len)
		die("not a record");
	s->len += TLS_RECORD_HEADER_BYTES;
	return true;
}

static void one(struct tls_context *context, SSL_CTX *client,
		void (*our)(struct shake *, enum part))
{
	struct shake s = { .context = context, .status = TLS_HANDSHAKE_WANT_RECORD };
	SSL *ssl = SSL_new(client);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

	SSL_set_bio(ssl, in, out);
	SSL_set_connect_state(ssl);
	our(&s, PART_NEW);
	while (s.status == TLS_HANDSHAKE_WANT_RECORD) {
		const uint8_t *bytes;
		size_t n;

		SSL_do_handshake(ssl);
		while (s.status == TLS_HANDSHAKE_WANT_RECORD && take_record(&s, out))
			our(&s, PART_STEP);
		n = tls_handshake_output(s.hs, &bytes);
		if (s.status == TLS_HANDSHAKE_WANT_RECORD && !n)
			die("a handshake is stuck");
		BIO_write(in, bytes, (int)n);
		tls_handshake_sent(s.hs, n);
	}
	our(&s, PART_FINISH);
	our(&s, PART_FREE);
	SSL_free(ssl);
}

static SSL_CTX *client_of(const char *certificate, const char *key)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (!ctx || SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		die(certificate);
	return ctx;
}

int main(int argc, char **argv)
{
	struct tls_context_params params = { .is_server = true, .min_version = 0x0304 };
	struct tls_context *context;
	SSL_CTX *clients[CLIENTS_MAX];
	struct err_text err;
	int count = 0;
	bool again;

	if (argc < 9 || argc % 2 == 0 || argc > 5 + 2 * CLIENTS_MAX)
		die("usage: first|again CA CERTIFICATE KEY (CLIENT-CERTIFICATE KEY)...; the first "
		    "client warms up");
	again = !strcmp(argv[1], "again");
	params.root_files = (const char *const *)&argv[2];
	params.root_file_count = 1;
	params.certificate_file = argv[3];
	params.key_file = argv[4];
	if (tls_context_new(&params, &context, &err))
		die(err.text);
	for (int i = 5; i < argc; i += 2)
		clients[count++] = client_of(argv[i], argv[i + 1]);
	for (int i = 0; i < 3; i++)
		one(context, clients[0], uncounted);
	for (int i = 1; again && i < count; i++)
		one(context, clients[i], uncounted);
	for (int i = 1; i < count; i++)
		one(context, clients[i], counted);
	for (int i = 0; i < count; i++)
		SSL_CTX_free(clients[i]);
	tls_context_unref(context);
	printf("%d\n", count - 1);
	return 0;
}
