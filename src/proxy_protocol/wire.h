/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of the wire that both directions share (section 2.2 of the specification). */
#ifndef SALLYPORT_PROXY_PROTOCOL_WIRE_H
#define SALLYPORT_PROXY_PROTOCOL_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

enum {
	SIGNATURE_BYTES = 12,
	VERSION_2 = 0x20,
	COMMAND_LOCAL = 0x0,
	COMMAND_PROXY = 0x1,
	FAMILY_UNSPEC = 0x00,
	FAMILY_TCP4 = 0x11,
	FAMILY_UDP4 = 0x12,
	FAMILY_TCP6 = 0x21,
	FAMILY_UDP6 = 0x22,
	FAMILY_UNIX_STREAM = 0x31,
	FAMILY_UNIX_DATAGRAM = 0x32,
	ADDRESSES_IPV4_BYTES = 12,
	ADDRESSES_IPV6_BYTES = 36,
	ADDRESSES_UNIX_BYTES = 216,

	TLV_HEADER_BYTES = 3,
	TLV_ALPN = 0x01,
	TLV_AUTHORITY = 0x02,
	TLV_CRC32C = 0x03,
	CRC32C_BYTES = 4,
	TLV_SSL = 0x20,
	TLV_SSL_VERSION = 0x21,
	TLV_SSL_CN = 0x22,
	TLV_SSL_CIPHER = 0x23,
	TLV_SSL_SIG_ALG = 0x24,
	TLV_SSL_KEY_ALG = 0x25,
	TLV_SSL_CLIENT_CERT = 0x28,
	CLIENT_SSL = 0x01,
	CLIENT_CERT_CONN = 0x02,
	CLIENT_CERT_SESS = 0x04,
};

static inline uint16_t wire_u16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint32_t wire_u32(const uint8_t *bytes)
{
	return (uint32_t)wire_u16(bytes) << 16 | wire_u16(bytes + 2);
}

static inline void wire_put_u16(uint8_t *bytes, size_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

static inline void wire_put_u32(uint8_t *bytes, uint32_t value)
{
	wire_put_u16(bytes, value >> 16);
	wire_put_u16(bytes + 2, value & 0xffff);
}

/* CRC-32C of `len` bytes more; begins with `crc` 0. */
uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t len);

#endif
