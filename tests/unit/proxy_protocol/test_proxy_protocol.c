/* SPDX-License-Identifier: Apache-2.0 */
/* Headers written byte by byte from the specification, read and made. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cidr.h"
#include "base/util.h"
#include "proxy_protocol/proxy_protocol.h"
#include "proxy_protocol/wire.h"

#define START	 "\r\n\r\n\0\r\nQUIT\n"
#define TCP4	 START "\x21\x11\0\x0c\xc0\0\x02\x07\xcb\0\x71\x09\x30\x39\x23\x85"
#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1

static enum proxy_protocol_fault decode(const uint8_t *bytes, size_t len, bool *known,
					struct proxy_protocol_addresses *ret)
{
	/* Of its exact size, for the sanitizer. */
	uint8_t *copy = malloc(len ? len : 1);
	enum proxy_protocol_fault fault;

	memcpy(copy, bytes, len);
	fault = proxy_protocol_decode(copy, len, known, ret);
	free(copy);
	return fault;
}

static void assert_address(const struct in6_addr *address, uint16_t port, const char *expected)
{
	char text[ADDRESS_TEXT_BYTES];

	address_text(address, port, text);
	assert_string_equal(text, expected);
}

static void test_tcp4(void **state)
{
	struct proxy_protocol_addresses a;
	bool known = false;

	assert_int_equal(decode(BYTES(TCP4), &known, &a), PROXY_PROTOCOL_OK);
	assert_true(known);
	assert_address(&a.client, a.client_port, "192.0.2.7:12345");
	assert_address(&a.server, a.server_port, "203.0.113.9:9093");
}

static void test_tcp6(void **state)
{
	static const char header[] = START "\x21\x21\0\x24"
					   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
					   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
					   "\xff\xff\x01\xbb";
	struct proxy_protocol_addresses a;
	bool known = false;

	assert_int_equal(decode(BYTES(header), &known, &a), PROXY_PROTOCOL_OK);
	assert_true(known);
	assert_address(&a.client, a.client_port, "[2001:db8::1]:65535");
	assert_address(&a.server, a.server_port, "[2001:db8::2]:443");
}

/* What is valid and names no address for us. */
static void test_unknown(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {
#define ROW(s) { s, sizeof(s) - 1 }
		ROW(START "\x20\0\0\0"),	       /* LOCAL, as of a health check */
		ROW(START "\x20\x11\0\x03xyz"),	       /* what is in a LOCAL one is not looked at */
		ROW(START "\x20\xff\0\0"),	       /* nor is its family */
		ROW(START "\x21\0\0\0"),	       /* PROXY, unspecified */
		ROW(START "\x21\0\0\x05\xee\0\x02xy"), /* … with an unknown field */
		ROW(START
		    "\x21\x12\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c"), /* UDP */
#undef ROW
	};
	struct proxy_protocol_addresses a;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool known = true;

		assert_int_equal(decode((const uint8_t *)rows[i].bytes, rows[i].len, &known, &a),
				 PROXY_PROTOCOL_OK);
		assert_false(known);
	}
}

static void test_faults(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum proxy_protocol_fault fault;
	} rows[] = {
#define ROW(fault, s) { s, sizeof(s) - 1, PROXY_PROTOCOL_##fault }
		ROW(ABSENT, ""),
		ROW(ABSENT, "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\0\0\0\0\0\0"),
		ROW(ABSENT, "\r\n\r\n\0\r\nQUIT\r\x21\x11\0\0"),
		ROW(V1, "PROXY TCP4 192.0.2.7 203.0.113.9 12345 9093\r\n"),
		ROW(VERSION, START "\x11\x11\0\x0c\xc0\0\x02\x07\xcb\0\x71\x09\x30\x39\x23\x85"),
		ROW(VERSION, START "\x31\x11\0\x0c\xc0\0\x02\x07\xcb\0\x71\x09\x30\x39\x23\x85"),
		ROW(COMMAND, START "\x22\x11\0\x0c\xc0\0\x02\x07\xcb\0\x71\x09\x30\x39\x23\x85"),
		ROW(FAMILY, START "\x21\x13\0\0"),
		ROW(FAMILY, START "\x21\x41\0\0"),
		ROW(FAMILY, START "\x21\x10\0\0"),
		ROW(ADDRESS, START "\x21\x11\0\x0b\xc0\0\x02\x07\xcb\0\x71\x09\x30\x39\x23"),
		ROW(ADDRESS, START "\x21\x21\0\x0c\xc0\0\x02\x07\xcb\0\x71\x09\x30\x39\x23\x85"),
		ROW(ADDRESS, START "\x21\x31\0\x02xy"),
		ROW(TLV, START "\x21\0\0\x01\x04"),
		ROW(TLV, START "\x21\0\0\x02\x04\0"),
		ROW(TLV, START "\x21\0\0\x03\x04\0\x01"),
		ROW(TLV, START "\x21\0\0\x05\x04\xff\xff\x01\x02"),
		ROW(CHECKSUM, START "\x21\0\0\x07\x03\0\x04\0\0\0\0"),
		ROW(CHECKSUM, START "\x21\0\0\x06\x03\0\x03\0\0\0"),
#undef ROW
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct proxy_protocol_addresses a = { .client_port = 7 };
		bool known = false;

		if (decode((const uint8_t *)rows[i].bytes, rows[i].len, &known, &a) !=
		    rows[i].fault)
			fail_msg("row %zu", i);
		assert_int_equal(a.client_port, 7);
		assert_false(known);
		assert_true(*proxy_protocol_fault_text(rows[i].fault));
	}
}

/* Whoever sends something else is found out at its first byte that is wrong, and a header that
 * comes in pieces is waited for. */
static void test_start(void **state)
{
	static const char v1[] = "PROXY TCP4";
	size_t rest = 4711;

	for (size_t i = 0; i < PROXY_PROTOCOL_START_BYTES; i++) {
		uint8_t wrong[PROXY_PROTOCOL_START_BYTES];

		assert_int_equal(proxy_protocol_check_start((const uint8_t *)TCP4, i, &rest),
				 PROXY_PROTOCOL_OK);
		assert_int_equal(rest, 4711);
		memcpy(wrong, TCP4, sizeof(wrong));
		wrong[i] ^= 0x80;
		if (i < SIGNATURE_BYTES)
			assert_int_equal(proxy_protocol_check_start(wrong, i + 1, &rest),
					 PROXY_PROTOCOL_ABSENT);
	}
	assert_int_equal(proxy_protocol_check_start((const uint8_t *)TCP4, 16, &rest),
			 PROXY_PROTOCOL_OK);
	assert_int_equal(rest, 12);
	for (size_t i = 1; i < 6; i++)
		assert_int_equal(proxy_protocol_check_start((const uint8_t *)v1, i, &rest),
				 PROXY_PROTOCOL_OK);
	assert_int_equal(proxy_protocol_check_start((const uint8_t *)v1, 6, &rest),
			 PROXY_PROTOCOL_V1);
	assert_int_equal(
		proxy_protocol_check_start((const uint8_t *)START "\x21\x11\x3f\xf0", 16, &rest),
		PROXY_PROTOCOL_OK);
	assert_int_equal(rest, PROXY_HEADER_BYTES_MAX - PROXY_PROTOCOL_START_BYTES);
	assert_int_equal(
		proxy_protocol_check_start((const uint8_t *)START "\x21\x11\x3f\xf1", 16, &rest),
		PROXY_PROTOCOL_TOO_LONG);
}

static void test_crc32c(void **state)
{
	uint8_t bytes[32];

	/* RFC 3720 appendix B.4 */
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43);
	for (uint8_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i;
	assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x46dd794e);
	assert_int_equal(crc32c(crc32c(0, bytes, 5), bytes + 5, 27), 0x46dd794e);
}

static struct proxy_protocol_addresses addresses(const char *client, const char *server)
{
	struct proxy_protocol_addresses a = { .client_port = 12345, .server_port = 9093 };
	struct cidr cidr;

	assert_int_equal(cidr_parse(client, &cidr), 0);
	a.client = cidr.address;
	assert_int_equal(cidr_parse(server, &cidr), 0);
	a.server = cidr.address;
	return a;
}

static void test_encode_small(void **state)
{
	struct proxy_protocol_addresses a = addresses("192.0.2.7", "203.0.113.9"), b;
	uint8_t out[PROXY_HEADER_BYTES_MAX], expected[] = TCP4;
	bool known = false;

	assert_int_equal(proxy_protocol_encode(
				 &(struct proxy_protocol_info){ .addresses = &a, .alpn = "" }, out),
			 28 + 7);
	expected[15] = 12 + 7;
	assert_memory_equal(out, expected, 28);
	assert_memory_equal(out + 28, "\x03\0\x04", 3);
	assert_int_equal(decode(out, 35, &known, &b), PROXY_PROTOCOL_OK);
	assert_true(known);
	assert_memory_equal(&a, &b, sizeof(a));
	out[20] ^= 1;
	assert_int_equal(decode(out, 35, &known, &b), PROXY_PROTOCOL_CHECKSUM);
}

static void test_encode_families(void **state)
{
	static const struct {
		const char *client, *server;
		uint8_t family;
	} rows[] = {
		{ "192.0.2.7", "203.0.113.9", 0x11 },
		{ "2001:db8::1", "2001:db8::2", 0x21 },
		{ "2001:db8::1", "203.0.113.9", 0x21 },
	};
	uint8_t out[PROXY_HEADER_BYTES_MAX];
	struct proxy_protocol_addresses b;
	bool known = false;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct proxy_protocol_addresses a = addresses(rows[i].client, rows[i].server);
		size_t len = proxy_protocol_encode(&(struct proxy_protocol_info){ .addresses = &a },
						   out);

		assert_int_equal(out[13], rows[i].family);
		assert_int_equal(decode(out, len, &known, &b), PROXY_PROTOCOL_OK);
		assert_true(known);
		assert_memory_equal(&a, &b, sizeof(a));
	}
	assert_int_equal(proxy_protocol_encode(&(struct proxy_protocol_info){ 0 }, out), 23);
	assert_int_equal(out[13], 0);
	assert_int_equal(decode(out, 23, &known, &b), PROXY_PROTOCOL_OK);
	assert_false(known);
}

static void test_encode_everything(void **state)
{
	static const uint8_t der[] = { 0x30, 0x03, 1, 2, 3 };
	static const char fields[] = "\x01\0\x02h2"
				     "\x02\0\x04name"
				     "\x20\0\x36\x07\0\0\0\0"
				     "\x21\0\x07TLSv1.3"
				     "\x22\0\x05svc-a"
				     "\x23\0\x06"
				     "CIPHER"
				     "\x24\0\x03SIG"
				     "\x25\0\x05"
				     "EC256"
				     "\x28\0\x05\x30\x03\x01\x02\x03"
				     "\x03\0\x04";
	struct proxy_protocol_tls tls = { .version = "TLSv1.3",
					  .cn = "svc-a",
					  .cipher = "CIPHER",
					  .sig_alg = "SIG",
					  .key_alg = "EC256",
					  .der = der,
					  .der_bytes = sizeof(der) };
	struct proxy_protocol_info info = { .alpn = "h2", .authority = "name", .tls = &tls };
	uint8_t out[PROXY_HEADER_BYTES_MAX];
	struct proxy_protocol_addresses a;
	bool known;
	size_t len = proxy_protocol_encode(&info, out);

	assert_int_equal(len, 16 + sizeof(fields) - 1 + 4);
	assert_memory_equal(out + 16, fields, sizeof(fields) - 1);
	assert_int_equal(decode(out, len, &known, &a), PROXY_PROTOCOL_OK);
}

/* A certificate that just fits, and one that does not: no header is cut. */
static void test_encode_too_long(void **state)
{
	uint8_t *der = calloc(1, 65536);
	struct proxy_protocol_tls tls = { .der = der };
	struct proxy_protocol_info info = { .tls = &tls };
	uint8_t *out = malloc(PROXY_HEADER_BYTES_MAX);

	tls.der_bytes = PROXY_HEADER_BYTES_MAX - 16 - 8 - 3 - 7;
	assert_int_equal(proxy_protocol_encode(&info, out), PROXY_HEADER_BYTES_MAX);
	for (size_t more = 1; more < 9; more++) {
		tls.der_bytes++;
		assert_int_equal(proxy_protocol_encode(&info, out), 0);
	}
	tls.der_bytes = 65536;
	assert_int_equal(proxy_protocol_encode(&info, out), 0);
	free(der);
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp4),
		cmocka_unit_test(test_tcp6),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_crc32c),
		cmocka_unit_test(test_encode_small),
		cmocka_unit_test(test_encode_families),
		cmocka_unit_test(test_encode_everything),
		cmocka_unit_test(test_encode_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
