/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A header to be sent (proxy_protocol.h): addresses, then ALPN, authority, TLS fields, and the
 * checksum last, when everything before it is known. Writing beyond the end only sets a flag, so
 * that the steps need no checks of their own. Pure.
 */
#include <string.h>

#include "base/util.h"
#include "proxy_protocol/proxy_protocol.h"
#include "proxy_protocol/wire.h"

struct writer {
	uint8_t *bytes;
	size_t used;
	bool full;
};

static void put(struct writer *w, const void *bytes, size_t len)
{
	if (w->full || len > PROXY_HEADER_BYTES_MAX - w->used) {
		w->full = true;
		return;
	}
	memcpy(w->bytes + w->used, bytes, len);
	w->used += len;
}

static void put_u8(struct writer *w, uint8_t value)
{
	put(w, &value, 1);
}

static void put_u16(struct writer *w, size_t value)
{
	uint8_t bytes[2];

	wire_put_u16(bytes, value);
	put(w, bytes, sizeof(bytes));
}

static void put_field(struct writer *w, uint8_t type, const void *bytes, size_t len)
{
	put_u8(w, type);
	put_u16(w, len);
	put(w, bytes, len);
}

static void put_text(struct writer *w, uint8_t type, const char *text)
{
	if (text && *text)
		put_field(w, type, text, strlen(text));
}

static void put_addresses(struct writer *w, const struct proxy_protocol_addresses *a)
{
	bool ipv4;

	if (!a) {
		put_u8(w, FAMILY_UNSPEC);
		put_u16(w, 0);
		return;
	}
	ipv4 = IN6_IS_ADDR_V4MAPPED(&a->client) && IN6_IS_ADDR_V4MAPPED(&a->server);
	put_u8(w, ipv4 ? FAMILY_TCP4 : FAMILY_TCP6);
	put_u16(w, 0); /* the length, once it is known */
	put(w, &a->client.s6_addr[ipv4 ? 12 : 0], ipv4 ? 4 : 16);
	put(w, &a->server.s6_addr[ipv4 ? 12 : 0], ipv4 ? 4 : 16);
	put_u16(w, a->client_port);
	put_u16(w, a->server_port);
}

static void put_tls(struct writer *w, const struct proxy_protocol_tls *tls)
{
	static const uint8_t verified[4];
	size_t start = w->used;

	put_u8(w, TLV_SSL);
	put_u16(w, 0);
	put_u8(w, CLIENT_SSL | CLIENT_CERT_CONN | CLIENT_CERT_SESS);
	put(w, verified, sizeof(verified));
	put_text(w, TLV_SSL_VERSION, tls->version);
	put_text(w, TLV_SSL_CN, tls->cn);
	put_text(w, TLV_SSL_CIPHER, tls->cipher);
	put_text(w, TLV_SSL_SIG_ALG, tls->sig_alg);
	put_text(w, TLV_SSL_KEY_ALG, tls->key_alg);
	if (tls->der)
		put_field(w, TLV_SSL_CLIENT_CERT, tls->der, tls->der_bytes);
	if (!w->full)
		wire_put_u16(w->bytes + start + 1, w->used - start - TLV_HEADER_BYTES);
}

size_t proxy_protocol_encode(const struct proxy_protocol_info *info,
			     uint8_t ret[PROXY_HEADER_BYTES_MAX])
{
	static const uint8_t zero[CRC32C_BYTES];
	struct writer w = { .bytes = ret };

	put(&w, SIGNATURE, SIGNATURE_BYTES);
	put_u8(&w, VERSION_2 | COMMAND_PROXY);
	put_addresses(&w, info->addresses);
	put_text(&w, TLV_ALPN, info->alpn);
	put_text(&w, TLV_AUTHORITY, info->authority);
	if (info->tls)
		put_tls(&w, info->tls);
	put_field(&w, TLV_CRC32C, zero, sizeof(zero));
	if (w.full)
		return 0;
	wire_put_u16(ret + 14, w.used - PROXY_PROTOCOL_START_BYTES);
	wire_put_u32(ret + w.used - CRC32C_BYTES, crc32c(0, ret, w.used));
	return w.used;
}
