/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a PROXY protocol header, and as what is to be said in one: what is read and sent on
 * says the same, and what we send can be read.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy_protocol/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t out[PROXY_HEADER_BYTES_MAX];

static void must_read(const struct proxy_protocol_info *info)
{
	struct proxy_protocol_addresses again;
	size_t len = proxy_protocol_encode(info, out);
	bool known = false;

	if (len > sizeof(out))
		abort();
	if (!len)
		return;
	if (proxy_protocol_decode(out, len, &known, &again) != PROXY_PROTOCOL_OK ||
	    known != !!info->addresses)
		abort();
	if (known && memcmp(&again, info->addresses, sizeof(again)) != 0)
		abort();
}

static void read_header(const uint8_t *data, size_t size)
{
	struct proxy_protocol_addresses addresses;
	enum proxy_protocol_fault fault;
	size_t rest = SIZE_MAX;
	bool known = false;

	for (size_t len = 0; len <= size && len <= PROXY_PROTOCOL_START_BYTES; len++) {
		fault = proxy_protocol_check_start(data, len, &rest);
		if (fault >= PROXY_PROTOCOL_FAULT_COUNT || !*proxy_protocol_fault_text(fault))
			abort();
		if ((rest != SIZE_MAX) !=
		    (fault == PROXY_PROTOCOL_OK && len == PROXY_PROTOCOL_START_BYTES))
			abort();
	}
	fault = proxy_protocol_decode(data, size, &known, &addresses);
	if (fault >= PROXY_PROTOCOL_FAULT_COUNT || (known && fault != PROXY_PROTOCOL_OK))
		abort();
	if (known)
		must_read(&(struct proxy_protocol_info){ .addresses = &addresses });
}

/* The bytes once more, cut into texts. */
static void write_header(const uint8_t *data, size_t size)
{
	char texts[3][256] = { 0 };
	struct proxy_protocol_addresses addresses = { 0 };
	struct proxy_protocol_tls tls = {
		.version = texts[0], .cn = texts[1], .cipher = texts[2], .sig_alg = texts[0]
	};
	struct proxy_protocol_info info = { .alpn = texts[1], .authority = texts[2], .tls = &tls };

	if (size < sizeof(addresses))
		return;
	memcpy(&addresses, data, sizeof(addresses));
	for (int i = 0; i < 3 && size; i++) {
		size_t len = size < 255 ? size : 255;

		memcpy(texts[i], data, len);
		data += len;
		size -= len;
	}
	tls.der = data;
	tls.der_bytes = size;
	if (!(IN6_IS_ADDR_V4MAPPED(&addresses.client) ^ IN6_IS_ADDR_V4MAPPED(&addresses.server)))
		info.addresses = &addresses;
	must_read(&info);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_header(data, size);
	write_header(data, size);
	return 0;
}
