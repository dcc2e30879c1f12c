/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PROXY protocol version 2: the header by which one proxy tells the next who the client is. Bytes
 * in, struct out, and the other way; no I/O. Version 1 (text) is recognized, to say so, and never
 * accepted. Pure; any thread.
 */
#ifndef SALLYPORT_PROXY_PROTOCOL_PROXY_PROTOCOL_H
#define SALLYPORT_PROXY_PROTOCOL_PROXY_PROTOCOL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "limits/limits.h"

#define PROXY_PROTOCOL_START_BYTES 16 /* what tells how long the rest is */

enum proxy_protocol_fault {
	PROXY_PROTOCOL_OK,
	PROXY_PROTOCOL_ABSENT, /* something else comes first */
	PROXY_PROTOCOL_V1,
	PROXY_PROTOCOL_VERSION,
	PROXY_PROTOCOL_COMMAND,
	PROXY_PROTOCOL_FAMILY,
	PROXY_PROTOCOL_TOO_LONG, /* more than PROXY_HEADER_BYTES_MAX */
	PROXY_PROTOCOL_ADDRESS,	 /* shorter than its addresses */
	PROXY_PROTOCOL_TLV,	 /* a field that is longer than what holds it */
	PROXY_PROTOCOL_CHECKSUM,
	PROXY_PROTOCOL_FAULT_COUNT,
};

/* One line for people. */
const char *proxy_protocol_fault_text(enum proxy_protocol_fault fault);

struct proxy_protocol_addresses {
	struct in6_addr client, server; /* IPv4 mapped */
	uint16_t client_port, server_port;
};

/* What has come of the first PROXY_PROTOCOL_START_BYTES (`len` of them): can a header begin so?
 * `ret_rest`: how much follows them; set once all are there. */
enum proxy_protocol_fault proxy_protocol_check_start(const uint8_t *bytes, size_t len,
						     size_t *ret_rest);
/* A whole header of exactly `len` bytes. `ret_known` false: it names no address that we can use (a
 * LOCAL one, such as a health check's, or an unknown family), and the socket's own count. */
enum proxy_protocol_fault proxy_protocol_decode(const uint8_t *header, size_t len, bool *ret_known,
						struct proxy_protocol_addresses *ret);

/* What is said of the client's verified TLS session; NULL: not said. */
struct proxy_protocol_tls {
	const char *version, *cn, *cipher, *sig_alg, *key_alg;
	const uint8_t *der;
	size_t der_bytes;
};

struct proxy_protocol_info {
	const struct proxy_protocol_addresses *addresses; /* NULL: unknown (a unix socket) */
	const char *alpn, *authority;			  /* NULL or "": none */
	const struct proxy_protocol_tls *tls;		  /* NULL: none */
};

/* Writes a header of at most PROXY_HEADER_BYTES_MAX bytes; returns its length, or 0 if it would be
 * longer. */
size_t proxy_protocol_encode(const struct proxy_protocol_info *info,
			     uint8_t ret[PROXY_HEADER_BYTES_MAX]);

#endif
