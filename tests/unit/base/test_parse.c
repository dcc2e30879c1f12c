/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small values: what is taken, what is not, and which of the two errors it is.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/parse.h"
#include "base/util.h"

struct number_row {
	const char *text;
	int r;
	uint64_t value;
};

static void test_u64(void **state)
{
	static const struct number_row rows[] = {
		{ "5", 0, 5 },	       { "10", 0, 10 },
		{ "007", 0, 7 },       { "4", -ERANGE, 0 },
		{ "11", -ERANGE, 0 },  { "", -EINVAL, 0 },
		{ "-6", -EINVAL, 0 },  { "+6", -EINVAL, 0 },
		{ " 6", -EINVAL, 0 },  { "6 ", -EINVAL, 0 },
		{ "0x6", -EINVAL, 0 }, { "6.0", -EINVAL, 0 },
		{ "1e1", -EINVAL, 0 }, { "99999999999999999999", -ERANGE, 0 },
		{ "six", -EINVAL, 0 },
	};
	uint64_t value;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		value = 77;
		assert_int_equal(parse_u64(rows[i].text, 5, 10, &value), rows[i].r);
		assert_int_equal(value, rows[i].r ? 77 : rows[i].value);
	}
	assert_int_equal(parse_u64("18446744073709551615", 0, UINT64_MAX, &value), 0);
	assert_true(value == UINT64_MAX);
}

static void test_duration(void **state)
{
	static const struct number_row rows[] = {
		{ "250ms", 0, 250 },
		{ "10s", 0, 10000 },
		{ "5m", 0, 300000 },
		{ "2h", 0, 7200000 },
		{ "1d", 0, 86400000 },
		{ "off", 0, 0 },
		{ "0s", 0, 0 },
		{ "10", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "-1s", -EINVAL, 0 },
		{ "1.5s", -EINVAL, 0 },
		{ "1 s", -EINVAL, 0 },
		{ "1S", -EINVAL, 0 },
		{ "1min", -EINVAL, 0 },
		{ "1h30m", -EINVAL, 0 },
		{ "OFF", -EINVAL, 0 },
		{ "18446744073709551615d", -ERANGE, 0 },
		{ "99999999999999999999ms", -ERANGE, 0 },
	};
	uint64_t ms;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ms = 77;
		assert_int_equal(parse_duration_ms(rows[i].text, &ms), rows[i].r);
		assert_int_equal(ms, rows[i].r ? 77 : rows[i].value);
	}
}

static void test_bytes(void **state)
{
	static const struct number_row rows[] = {
		{ "512", 0, 512 },
		{ "512B", 0, 512 },
		{ "64KiB", 0, 65536 },
		{ "1MiB", 0, 1048576 },
		{ "2GiB", 0, 2147483648 },
		{ "10kB", 0, 10000 },
		{ "5MB", 0, 5000000 },
		{ "1GB", 0, 1000000000 },
		{ "1KB", -EINVAL, 0 },
		{ "1k", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "KiB", -EINVAL, 0 },
		{ "18446744073709551615GiB", -ERANGE, 0 },
	};
	uint64_t bytes;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bytes = 77;
		assert_int_equal(parse_bytes(rows[i].text, &bytes), rows[i].r);
		assert_int_equal(bytes, rows[i].r ? 77 : rows[i].value);
	}
}

static void test_rate(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t value;
	} rows[] = {
		{ "50MB/s", 0, 50000000 },
		{ "100kB/s", 0, 100000 },
		{ "1GiB/s", 0, 1ULL << 30 },
		{ "7B/s", 0, 7 },
		{ "50MB", -EINVAL, 0 },
		{ "50M/s", -EINVAL, 0 },
		{ "50/s", -EINVAL, 0 },
		{ "/s", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "B/s", -EINVAL, 0 },
		{ "-1MB/s", -EINVAL, 0 },
		{ "1.5MB/s", -EINVAL, 0 },
		{ "50MB/min", -EINVAL, 0 },
		{ "18446744073709551615GiB/s", -ERANGE, 0 },
		{ "000000000000000000000000000000000000001kB/s", -EINVAL, 0 },
	};
	uint64_t rate;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		rate = 77;
		assert_int_equal(parse_rate(rows[i].text, &rate), rows[i].r);
		assert_int_equal(rate, rows[i].r ? 77 : rows[i].value);
	}
}

static void test_endpoint(void **state)
{
	static const struct {
		const char *text, *host;
		int port; /* 0: unix */
	} good[] = {
		{ "127.0.0.1:9092", "127.0.0.1", 9092 },
		{ "broker-1.example:1", "broker-1.example", 1 },
		{ "[::1]:65535", "::1", 65535 },
		{ "*:9093", "*", 9093 },
		{ "unix:/run/kafka.sock", "/run/kafka.sock", 0 },
	};
	static const struct {
		const char *text;
		int r;
	} bad[] = {
		{ "", -EINVAL },	 { "9092", -EINVAL },	    { ":9092", -EINVAL },
		{ "host", -EINVAL },	 { "host:", -EINVAL },	    { "host:http", -EINVAL },
		{ "host:0", -ERANGE },	 { "host:65536", -ERANGE }, { "host:-1", -EINVAL },
		{ "::1:9092", -EINVAL }, { "[::1]", -EINVAL },	    { "[]:1", -EINVAL },
		{ "[::1:1", -EINVAL },	 { "unix:", -EINVAL },	    { "unix:run", -EINVAL },
	};
	struct endpoint ep;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(parse_endpoint(good[i].text, &ep), 0);
		assert_string_equal(ep.host, good[i].host);
		assert_int_equal(ep.port, good[i].port);
		assert_int_equal(ep.is_unix, good[i].port == 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		memset(&ep, 7, sizeof(ep));
		assert_int_equal(parse_endpoint(bad[i].text, &ep), bad[i].r);
		assert_int_equal(ep.host[0], 7);
	}
}

static void test_endpoint_lengths(void **state)
{
	char text[600];
	struct endpoint ep;
	size_t path_max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	memset(text, 'a', sizeof(text));
	memcpy(text + 255, ":1", 3);
	assert_int_equal(parse_endpoint(text, &ep), 0);
	memset(text, 'a', sizeof(text));
	memcpy(text + 256, ":1", 3);
	assert_int_equal(parse_endpoint(text, &ep), -EINVAL);
	memset(text, 'a', sizeof(text));
	memcpy(text, "unix:/", 6);
	text[5 + path_max] = 0;
	assert_int_equal(parse_endpoint(text, &ep), 0);
	text[5 + path_max] = 'a';
	text[6 + path_max] = 0;
	assert_int_equal(parse_endpoint(text, &ep), -ERANGE);
}

static void test_sockaddr(void **state)
{
	struct sockaddr_storage address;
	struct endpoint ep;
	socklen_t len;

	assert_int_equal(parse_endpoint("*:9093", &ep), 0);
	assert_int_equal(endpoint_sockaddr(&ep, &address, &len), 0);
	assert_int_equal(address.ss_family, AF_INET);
	assert_int_equal(((struct sockaddr_in *)&address)->sin_port, htons(9093));
	assert_int_equal(((struct sockaddr_in *)&address)->sin_addr.s_addr, INADDR_ANY);
	assert_int_equal(parse_endpoint("[2001:db8::1]:1", &ep), 0);
	assert_int_equal(endpoint_sockaddr(&ep, &address, &len), 0);
	assert_int_equal(address.ss_family, AF_INET6);
	assert_int_equal(len, sizeof(struct sockaddr_in6));
	assert_int_equal(parse_endpoint("unix:/x", &ep), 0);
	assert_int_equal(endpoint_sockaddr(&ep, &address, &len), 0);
	assert_int_equal(address.ss_family, AF_UNIX);
	assert_int_equal(parse_endpoint("name:1", &ep), 0);
	assert_int_equal(endpoint_sockaddr(&ep, &address, &len), -EINVAL);
}

static void test_hex(void **state)
{
	static const char *const good[] = { "00ff1A", "00:fF:1a", "00ff:1a" };
	static const char *const bad[] = { "",	      "00ff1",	  "00ff1a00", "00ff1a:", ":00ff1a",
					   "0:0ff1a", "00::ff1a", "00ff1g",   "00 ff1a" };
	uint8_t bytes[3];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		memset(bytes, 0x55, sizeof(bytes));
		assert_int_equal(parse_hex(good[i], bytes, sizeof(bytes)), 0);
		assert_memory_equal(bytes, "\x00\xff\x1a", 3);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_hex(bad[i], bytes, sizeof(bytes)), -EINVAL);
}

static void test_nearest_word(void **state)
{
	static const char *const words[] = { "listen", "upstream", "tls", "limits", NULL };
	char endless[200];

	assert_string_equal(parse_nearest_word("lisen", words), "listen");
	assert_string_equal(parse_nearest_word("listne", words), "listen");
	assert_string_equal(parse_nearest_word("upstraem", words), "upstream");
	assert_string_equal(parse_nearest_word("tsl", words), "tls");
	assert_null(parse_nearest_word("certificate", words));
	assert_null(parse_nearest_word("x", words));
	assert_null(parse_nearest_word("listen", (const char *const[]){ NULL }));
	memset(endless, 'l', sizeof(endless));
	endless[sizeof(endless) - 1] = 0;
	assert_null(parse_nearest_word(endless, words));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_u64),	     cmocka_unit_test(test_duration),
		cmocka_unit_test(test_bytes),	     cmocka_unit_test(test_rate),
		cmocka_unit_test(test_endpoint),     cmocka_unit_test(test_endpoint_lengths),
		cmocka_unit_test(test_hex),	     cmocka_unit_test(test_sockaddr),
		cmocka_unit_test(test_nearest_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
