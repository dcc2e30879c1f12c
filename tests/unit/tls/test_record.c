/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the first five bytes say, for TLS and for the things that people send by mistake.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "tls/record.h"

static void test_check_header(void **state)
{
	static const struct {
		const char *header;
		enum tls_record_check expected;
		uint8_t type;
		size_t length;
	} rows[] = {
		{ "\x16\x03\x01\x02\x00", TLS_RECORD_OK, TLS_HANDSHAKE, 512 },
		{ "\x16\x03\x03\x00\x00", TLS_RECORD_OK, TLS_HANDSHAKE, 0 },
		{ "\x17\x03\x03\x41\x00", TLS_RECORD_OK, TLS_APPLICATION_DATA,
		  TLS_CIPHERTEXT_BYTES_MAX },
		{ "\x17\x03\x03\x41\x01", TLS_RECORD_TOO_LONG, 0, 0 },
		{ "\x15\x03\x03\x00\x02", TLS_RECORD_OK, TLS_ALERT, 2 },
		{ "\x14\x03\x03\x00\x01", TLS_RECORD_OK, TLS_CHANGE_CIPHER_SPEC, 1 },
		{ "\x13\x03\x03\x00\x01", TLS_RECORD_IS_GARBAGE, 0, 0 },
		{ "\x18\x03\x03\x00\x01", TLS_RECORD_IS_GARBAGE, 0, 0 },
		{ "\x16\x02\x00\x00\x01", TLS_RECORD_IS_GARBAGE, 0, 0 },
		{ "\x16\x03\x05\x00\x01", TLS_RECORD_IS_GARBAGE, 0, 0 },
		{ "GET /", TLS_RECORD_IS_HTTP, 0, 0 },
		{ "POST ", TLS_RECORD_IS_HTTP, 0, 0 },
		{ "CONNECT", TLS_RECORD_IS_HTTP, 0, 0 },
		{ "HTTP/", TLS_RECORD_IS_HTTP, 0, 0 },
		{ "PRI * HTTP/2.0", TLS_RECORD_IS_HTTP, 0, 0 },
		/* ApiVersions (key 18) with 35 bytes, as every Kafka client begins */
		{ "\x00\x00\x00\x23\x00", TLS_RECORD_IS_KAFKA, 0, 0 },
		{ "\x00\x00\x00\x09\x00", TLS_RECORD_IS_GARBAGE, 0, 0 },
		{ "\x00\x00\x00\x00\x00", TLS_RECORD_IS_GARBAGE, 0, 0 },
		{ "\x80\x2e\x01\x03\x01", TLS_RECORD_IS_SSLV2, 0, 0 },
		{ "\x80\x2e\x01\x00\x02", TLS_RECORD_IS_SSLV2, 0, 0 },
		{ "SSH-2", TLS_RECORD_IS_GARBAGE, 0, 0 },
		{ "\xff\xff\xff\xff\xff", TLS_RECORD_IS_GARBAGE, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t type = 0;
		size_t length = 0;

		assert_int_equal(
			tls_record_check_header((const uint8_t *)rows[i].header, &type, &length),
			rows[i].expected);
		assert_int_equal(type, rows[i].type);
		assert_int_equal(length, rows[i].length);
	}
}

static void test_alert_names(void **state)
{
	assert_string_equal(tls_alert_name(0), "close_notify");
	assert_string_equal(tls_alert_name(20), "bad_record_mac");
	assert_string_equal(tls_alert_name(44), "certificate_revoked");
	assert_string_equal(tls_alert_name(116), "certificate_required");
	assert_string_equal(tls_alert_name(1), "unknown");
	assert_string_equal(tls_alert_name(122), "unknown");
	assert_string_equal(tls_alert_name(255), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check_header),
		cmocka_unit_test(test_alert_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
