/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (RFC 3720 appendix B.4), bit by bit: a header a connection does not ask for more. Pure.
 */
#include "proxy_protocol/wire.h"

#define POLYNOMIAL_REFLECTED 0x82f63b78u

uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t len)
{
	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL_REFLECTED : 0);
	}
	return ~crc;
}
