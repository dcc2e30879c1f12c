/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stranger's bytes, cut into records as the data plane does, against our server and our client.
 * Certificates are made at the first call.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "pki.h"
#include "tls/handshake.h"
#include "tls/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_context *server, *client;

static void must(int r, const struct err_text *err)
{
	if (!r)
		return;
	fprintf(stderr, "%s\n", err->text);
	abort();
}

static void free_contexts(void)
{
	tls_context_unref(server);
	tls_context_unref(client);
}

static void make_contexts(void)
{
	static const char *const alpn[] = { "kafka", "h2" };
	struct pki_cert root, leaf;
	const struct pki_cert *one[1] = { &root };
	struct tls_context_params params = { .min_version = 0x0303, .alpn = alpn, .alpn_count = 2 };
	struct err_text err = { "" };
	const char *roots;

	pki_make(&root, NULL, &(struct pki_spec){ .cn = "Root", .is_ca = true });
	pki_make(&leaf, &root, &(struct pki_spec){ .cn = "broker", .san = "DNS:broker" });
	roots = pki_write_certs("roots.crt", one, 1);
	one[0] = &leaf;
	params.certificate_file = pki_write_certs("leaf.crt", one, 1);
	params.key_file = pki_write_key("leaf.key", &leaf);
	params.root_files = &roots;
	params.root_file_count = 1;
	params.server_name = "broker";
	must(tls_context_new(&params, &client, &err), &err);
	params.is_server = true;
	must(tls_context_new(&params, &server, &err), &err);
	pki_cert_fini(&root);
	pki_cert_fini(&leaf);
	atexit(free_contexts);
}

static void check_refusal(struct tls_handshake *hs)
{
	const char *detail = NULL;
	enum tls_refusal refusal = tls_handshake_refusal(hs, &detail);

	if (refusal <= TLS_REFUSAL_NONE || refusal >= TLS_REFUSAL_COUNT || !detail || !*detail)
		abort();
	for (; *detail; detail++)
		if ((unsigned char)*detail < 0x20 || *detail == 0x7f)
			abort();
}

static void drain(struct tls_handshake *hs)
{
	const uint8_t *out;
	size_t n = tls_handshake_output(hs, &out);

	if (n > 64 * 1024)
		abort();
	tls_handshake_sent(hs, n);
}

/* Nobody gets in without a certificate of ours: DONE can not be. */
static void run(struct tls_handshake *hs, const uint8_t *data, size_t size)
{
	enum tls_handshake_status status = TLS_HANDSHAKE_WANT_RECORD;

	while (size >= TLS_RECORD_HEADER_BYTES && status == TLS_HANDSHAKE_WANT_RECORD) {
		uint8_t *record, type;
		size_t len;

		if (tls_record_check_header(data, &type, &len) != TLS_RECORD_OK)
			len = 0; /* libssl must cope with that as well */
		len += TLS_RECORD_HEADER_BYTES;
		if (len > size)
			break;
		record = malloc(len);
		memcpy(record, data, len);
		status = tls_handshake_step(hs, record, len);
		free(record);
		drain(hs);
		data += len;
		size -= len;
	}
	if (status == TLS_HANDSHAKE_DONE)
		abort();
	if (status == TLS_HANDSHAKE_FAILED)
		check_refusal(hs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_handshake *hs;
	bool as_client;

	if (!server)
		make_contexts();
	if (!size)
		return 0;
	as_client = data[0] & 1;
	if (tls_handshake_new(as_client ? client : server, &hs) < 0)
		abort();
	if (as_client) {
		tls_handshake_step(hs, NULL, 0);
		drain(hs);
	}
	run(hs, data + 1, size - 1);
	tls_handshake_free(hs);
	if (ERR_peek_error())
		abort();
	return 0;
}
