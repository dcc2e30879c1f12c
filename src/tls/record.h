/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TLS record header (RFC 8446 5.1, RFC 5246 6.2.1) and the numbers of the wire that more than
 * one file needs.
 */
#ifndef SALLYPORT_TLS_RECORD_H
#define SALLYPORT_TLS_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define TLS_RECORD_HEADER_BYTES 5
#define TLS_PLAINTEXT_BYTES_MAX 16384
#define TLS_CIPHERTEXT_BYTES_MAX                                                                   \
	(TLS_PLAINTEXT_BYTES_MAX + 256) /* TLS 1.3; 1.2 allows more, no AEAD suite needs it */
#define TLS_RECORD_BYTES_MAX (TLS_RECORD_HEADER_BYTES + TLS_CIPHERTEXT_BYTES_MAX)

enum tls_content_type {
	TLS_CHANGE_CIPHER_SPEC = 20,
	TLS_ALERT = 21,
	TLS_HANDSHAKE = 22,
	TLS_APPLICATION_DATA = 23,
};

enum tls_alert_level { TLS_ALERT_WARNING = 1, TLS_ALERT_FATAL = 2 };

enum tls_alert_description { /* RFC 8446 6 */
			     TLS_ALERT_CLOSE_NOTIFY = 0,
			     TLS_ALERT_UNEXPECTED_MESSAGE = 10,
			     TLS_ALERT_BAD_RECORD_MAC = 20,
			     TLS_ALERT_RECORD_OVERFLOW = 22,
			     TLS_ALERT_HANDSHAKE_FAILURE = 40,
			     TLS_ALERT_ILLEGAL_PARAMETER = 47,
			     TLS_ALERT_ACCESS_DENIED = 49,
			     TLS_ALERT_DECODE_ERROR = 50,
			     TLS_ALERT_INTERNAL_ERROR = 80,
			     TLS_ALERT_USER_CANCELED = 90,
			     TLS_ALERT_NO_RENEGOTIATION = 100,
};

/* What the first bytes on a TLS port are when they are not TLS. */
enum tls_record_check {
	TLS_RECORD_OK = 0,
	TLS_RECORD_IS_HTTP = 1, /* an HTTP request in clear */
	TLS_RECORD_IS_KAFKA =
		2, /* a Kafka request in clear: 4 length bytes, then a known api key */
	TLS_RECORD_IS_SSLV2 = 3,
	TLS_RECORD_IS_GARBAGE = 4,
	TLS_RECORD_TOO_LONG = 5,
};

/* Checks a header of 5 bytes. `ret_type`, `ret_length` (of what follows the header) only for
 * TLS_RECORD_OK. Pure. */
enum tls_record_check tls_record_check_header(const uint8_t header[TLS_RECORD_HEADER_BYTES],
					      uint8_t *ret_type, size_t *ret_length);
/* "close_notify", "bad_record_mac", …; "unknown" for what no RFC names. */
const char *tls_alert_name(uint8_t description);

#endif
