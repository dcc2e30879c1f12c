/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A header that has come (proxy_protocol.h). It is of a balancer that is trusted, and still every
 * length is checked: it may pass on what a client had it say. Pure.
 */
#include <string.h>

#include "base/util.h"
#include "proxy_protocol/proxy_protocol.h"
#include "proxy_protocol/wire.h"

const char *proxy_protocol_fault_text(enum proxy_protocol_fault fault)
{
	static const char *const texts[PROXY_PROTOCOL_FAULT_COUNT] = {
		[PROXY_PROTOCOL_OK] = "no fault",
		[PROXY_PROTOCOL_ABSENT] = "no PROXY protocol v2 header from an address in "
					  "proxy_protocol.accept_from",
		[PROXY_PROTOCOL_V1] =
			"a PROXY protocol header of version 1 (text): only version 2 is accepted "
			"(HAProxy: send-proxy-v2)",
		[PROXY_PROTOCOL_VERSION] = "a PROXY protocol header of an unknown version",
		[PROXY_PROTOCOL_COMMAND] = "a PROXY protocol header with an unknown command",
		[PROXY_PROTOCOL_FAMILY] =
			"a PROXY protocol header with an unknown address family or transport",
		[PROXY_PROTOCOL_TOO_LONG] = "a PROXY protocol header longer than 16 KiB",
		[PROXY_PROTOCOL_ADDRESS] =
			"a PROXY protocol header that is shorter than its addresses",
		[PROXY_PROTOCOL_TLV] = "a PROXY protocol header with a field that does not fit in",
		[PROXY_PROTOCOL_CHECKSUM] = "a PROXY protocol header with a wrong checksum",
	};

	return fault < PROXY_PROTOCOL_FAULT_COUNT ? texts[fault] : "unknown";
}

enum proxy_protocol_fault proxy_protocol_check_start(const uint8_t *bytes, size_t len,
						     size_t *ret_rest)
{
	static const char v1[] = "PROXY ";

	if (len && memcmp(bytes, v1, MIN(len, sizeof(v1) - 1)) == 0)
		return len < sizeof(v1) - 1 ? PROXY_PROTOCOL_OK : PROXY_PROTOCOL_V1;
	if (memcmp(bytes, SIGNATURE, MIN(len, (size_t)SIGNATURE_BYTES)) != 0)
		return PROXY_PROTOCOL_ABSENT;
	if (len < PROXY_PROTOCOL_START_BYTES)
		return PROXY_PROTOCOL_OK;
	if ((bytes[12] & 0xf0) != VERSION_2)
		return PROXY_PROTOCOL_VERSION;
	if (PROXY_PROTOCOL_START_BYTES + wire_u16(&bytes[14]) > PROXY_HEADER_BYTES_MAX)
		return PROXY_PROTOCOL_TOO_LONG;
	*ret_rest = wire_u16(&bytes[14]);
	return PROXY_PROTOCOL_OK;
}

/* Bytes of addresses in this family; -1: there is no such family. */
static int addresses_bytes(uint8_t family)
{
	switch (family) {
	case FAMILY_UNSPEC:
		return 0;
	case FAMILY_TCP4:
	case FAMILY_UDP4:
		return ADDRESSES_IPV4_BYTES;
	case FAMILY_TCP6:
	case FAMILY_UDP6:
		return ADDRESSES_IPV6_BYTES;
	case FAMILY_UNIX_STREAM:
	case FAMILY_UNIX_DATAGRAM:
		return ADDRESSES_UNIX_BYTES;
	default:
		return -1;
	}
}

static void take_ipv4(struct in6_addr *ret, const uint8_t *bytes)
{
	*ret = (struct in6_addr){ 0 };
	ret->s6_addr[10] = ret->s6_addr[11] = 0xff;
	memcpy(&ret->s6_addr[12], bytes, 4);
}

static void take_addresses(const uint8_t *at, bool ipv4, struct proxy_protocol_addresses *ret)
{
	if (ipv4) {
		take_ipv4(&ret->client, at);
		take_ipv4(&ret->server, at + 4);
		at += 8;
	} else {
		memcpy(&ret->client, at, 16);
		memcpy(&ret->server, at + 16, 16);
		at += 32;
	}
	ret->client_port = wire_u16(at);
	ret->server_port = wire_u16(at + 2);
}

/* The checksum is of the header as it was before it was put in. */
static bool checksum_is_right(const uint8_t *header, size_t len, const uint8_t *field)
{
	static const uint8_t zero[CRC32C_BYTES];
	size_t before = (size_t)(field - header);
	uint32_t crc = crc32c(0, header, before);

	crc = crc32c(crc, zero, sizeof(zero));
	crc = crc32c(crc, field + CRC32C_BYTES, len - before - CRC32C_BYTES);
	return crc == wire_u32(field);
}

static enum proxy_protocol_fault check_fields(const uint8_t *header, size_t len, size_t from)
{
	while (from < len) {
		const uint8_t *at = header + from;
		size_t bytes;

		if (len - from < TLV_HEADER_BYTES)
			return PROXY_PROTOCOL_TLV;
		bytes = wire_u16(at + 1);
		from += TLV_HEADER_BYTES;
		if (bytes > len - from)
			return PROXY_PROTOCOL_TLV;
		if (at[0] == TLV_CRC32C && (bytes != CRC32C_BYTES ||
					    !checksum_is_right(header, len, at + TLV_HEADER_BYTES)))
			return PROXY_PROTOCOL_CHECKSUM;
		from += bytes;
	}
	return PROXY_PROTOCOL_OK;
}

enum proxy_protocol_fault proxy_protocol_decode(const uint8_t *header, size_t len, bool *ret_known,
						struct proxy_protocol_addresses *ret)
{
	enum proxy_protocol_fault fault;
	uint8_t command, family;
	int address_bytes;
	size_t rest = 0;

	if (len < PROXY_PROTOCOL_START_BYTES)
		return PROXY_PROTOCOL_ABSENT;
	fault = proxy_protocol_check_start(header, PROXY_PROTOCOL_START_BYTES, &rest);
	if (fault != PROXY_PROTOCOL_OK)
		return fault;
	if (rest != len - PROXY_PROTOCOL_START_BYTES)
		return PROXY_PROTOCOL_ADDRESS;
	command = header[12] & 0xf;
	family = header[13];
	if (command > COMMAND_PROXY)
		return PROXY_PROTOCOL_COMMAND;
	if (command == COMMAND_LOCAL) {
		/* Whatever else it says is not for us; it has been read, and that is all. */
		*ret_known = false;
		return PROXY_PROTOCOL_OK;
	}
	address_bytes = addresses_bytes(family);
	if (address_bytes < 0)
		return PROXY_PROTOCOL_FAMILY;
	if ((size_t)address_bytes > rest)
		return PROXY_PROTOCOL_ADDRESS;
	fault = check_fields(header, len, PROXY_PROTOCOL_START_BYTES + (size_t)address_bytes);
	if (fault != PROXY_PROTOCOL_OK)
		return fault;
	/* Families that no client of ours can have: the specification wants them taken for
	 * unknown. */
	*ret_known = family == FAMILY_TCP4 || family == FAMILY_TCP6;
	if (*ret_known)
		take_addresses(header + PROXY_PROTOCOL_START_BYTES, family == FAMILY_TCP4, ret);
	return PROXY_PROTOCOL_OK;
}
