/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Test vectors are written as hex text, the way the RFCs print them.
 */
#ifndef SALLYPORT_TESTS_TLS_BYTES_H
#define SALLYPORT_TESTS_TLS_BYTES_H

#include <ctype.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Bytes of `hex` (blanks are skipped) into `ret`; returns how many. */
static inline size_t from_hex(const char *hex, uint8_t *ret)
{
	size_t n = 0;
	unsigned int byte;

	while (*hex) {
		if (isspace((unsigned char)*hex)) {
			hex++;
			continue;
		}
		if (sscanf(hex, "%2x", &byte) != 1)
			break;
		ret[n++] = (uint8_t)byte;
		hex += 2;
	}
	return n;
}

#endif
