/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first look at what a peer sends: is it a TLS record at all, and if not, what is it? A person
 * who points a plaintext client at a TLS port should read that in the log, not "garbage". Pure
 * functions on five bytes; any thread.
 */
#include "tls/record.h"

#include <stdbool.h>
#include <string.h>

#include "base/util.h"

#define KAFKA_REQUEST_BYTES_MIN 10 /* api key, api version, correlation id, client id length */

static bool is_http(const uint8_t *header)
{
	static const char starts[][TLS_RECORD_HEADER_BYTES + 1] = {
		"GET /", "POST ", "PUT /", "HEAD ", "OPTIO", "DELET",
		"PATCH", "CONNE", "TRACE", "PRI *", "HTTP/",
	};

	for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
		if (!memcmp(header, starts[i], TLS_RECORD_HEADER_BYTES))
			return true;
	return false;
}

/* Size of the request in four bytes, then the api key, of which only the high byte is here: zero
 * for every key there is. A first request is far below 16 MiB. */
static bool is_kafka(const uint8_t *header)
{
	uint32_t size = (uint32_t)header[1] << 16 | (uint32_t)header[2] << 8 | header[3];

	return header[0] == 0 && header[4] == 0 && size >= KAFKA_REQUEST_BYTES_MIN;
}

/* A version 2 ClientHello: two bytes of length with the top bit set, type 1, version. */
static bool is_sslv2(const uint8_t *header)
{
	return (header[0] & 0x80) && header[2] == 1 &&
	       (header[3] == 3 || (header[3] == 0 && header[4] == 2));
}

static bool is_tls(const uint8_t *header)
{
	return header[0] >= TLS_CHANGE_CIPHER_SPEC && header[0] <= TLS_APPLICATION_DATA &&
	       header[1] == 3 && header[2] <= 4;
}

enum tls_record_check tls_record_check_header(const uint8_t header[TLS_RECORD_HEADER_BYTES],
					      uint8_t *ret_type, size_t *ret_length)
{
	size_t length = (size_t)header[3] << 8 | header[4];

	if (is_tls(header)) {
		if (length > TLS_CIPHERTEXT_BYTES_MAX)
			return TLS_RECORD_TOO_LONG;
		*ret_type = header[0];
		*ret_length = length;
		return TLS_RECORD_OK;
	}
	if (is_http(header))
		return TLS_RECORD_IS_HTTP;
	if (is_kafka(header))
		return TLS_RECORD_IS_KAFKA;
	if (is_sslv2(header))
		return TLS_RECORD_IS_SSLV2;
	return TLS_RECORD_IS_GARBAGE;
}

const char *tls_alert_name(uint8_t description)
{
	static const char *const names[] = {
		[TLS_ALERT_CLOSE_NOTIFY] = "close_notify",
		[TLS_ALERT_UNEXPECTED_MESSAGE] = "unexpected_message",
		[TLS_ALERT_BAD_RECORD_MAC] = "bad_record_mac",
		[21] = "decryption_failed",
		[TLS_ALERT_RECORD_OVERFLOW] = "record_overflow",
		[30] = "decompression_failure",
		[TLS_ALERT_HANDSHAKE_FAILURE] = "handshake_failure",
		[41] = "no_certificate",
		[42] = "bad_certificate",
		[43] = "unsupported_certificate",
		[44] = "certificate_revoked",
		[45] = "certificate_expired",
		[46] = "certificate_unknown",
		[TLS_ALERT_ILLEGAL_PARAMETER] = "illegal_parameter",
		[48] = "unknown_ca",
		[TLS_ALERT_ACCESS_DENIED] = "access_denied",
		[TLS_ALERT_DECODE_ERROR] = "decode_error",
		[51] = "decrypt_error",
		[60] = "export_restriction",
		[70] = "protocol_version",
		[71] = "insufficient_security",
		[TLS_ALERT_INTERNAL_ERROR] = "internal_error",
		[86] = "inappropriate_fallback",
		[TLS_ALERT_USER_CANCELED] = "user_canceled",
		[TLS_ALERT_NO_RENEGOTIATION] = "no_renegotiation",
		[109] = "missing_extension",
		[110] = "unsupported_extension",
		[111] = "certificate_unobtainable",
		[112] = "unrecognized_name",
		[113] = "bad_certificate_status_response",
		[114] = "bad_certificate_hash_value",
		[115] = "unknown_psk_identity",
		[116] = "certificate_required",
		[120] = "no_application_protocol",
		[121] = "ech_required",
	};

	if (description >= ARRAY_SIZE(names) || !names[description])
		return "unknown";
	return names[description];
}
