/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any five bytes: outputs are touched only for a TLS record, and then they are in range.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tls/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (; size >= TLS_RECORD_HEADER_BYTES; data++, size--) {
		size_t length = SIZE_MAX;
		uint8_t type = 0;
		enum tls_record_check check = tls_record_check_header(data, &type, &length);

		if (check > TLS_RECORD_TOO_LONG)
			abort();
		if (check != TLS_RECORD_OK && (type || length != SIZE_MAX))
			abort();
		if (check == TLS_RECORD_OK &&
		    (type < TLS_CHANGE_CIPHER_SPEC || type > TLS_APPLICATION_DATA ||
		     length > TLS_CIPHERTEXT_BYTES_MAX))
			abort();
	}
	if (size && !*tls_alert_name(data[0]))
		abort();
	return 0;
}
