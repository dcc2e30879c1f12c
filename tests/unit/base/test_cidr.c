/* SPDX-License-Identifier: Apache-2.0 */
/* Networks: what is one, what is in it. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cidr.h"
#include "base/util.h"

static struct in6_addr address(const char *text)
{
	struct cidr cidr;

	assert_int_equal(cidr_parse(text, &cidr), 0);
	assert_int_equal(cidr.bits, 128);
	return cidr.address;
}

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		int r;
		unsigned int bits;
	} rows[] = {
		{ "10.0.0.0/8", 0, 104 },
		{ "0.0.0.0/0", 0, 96 },
		{ "192.0.2.1", 0, 128 },
		{ "192.0.2.1/32", 0, 128 },
		{ "::/0", 0, 0 },
		{ "2001:db8::/32", 0, 32 },
		{ "::1", 0, 128 },
		{ "::ffff:10.0.0.0/104", 0, 104 },
		{ "10.0.0.1/8", -EDOM, 0 },
		{ "2001:db8::1/64", -EDOM, 0 },
		{ "10.0.0.0/33", -ERANGE, 0 },
		{ "::/129", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "/8", -EINVAL, 0 },
		{ "10.0.0.0/", -EINVAL, 0 },
		{ "10.0.0.0/8x", -EINVAL, 0 },
		{ "10.0.0.0/-1", -EINVAL, 0 },
		{ "10.0.0/8", -EINVAL, 0 },
		{ "kafka.example/8", -EINVAL, 0 },
		{ "[::1]/128", -EINVAL, 0 },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa/64", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct cidr cidr = { .bits = 7 };

		if (cidr_parse(rows[i].text, &cidr) != rows[i].r)
			fail_msg("'%s'", rows[i].text);
		assert_int_equal(cidr.bits, rows[i].r ? 7 : rows[i].bits);
	}
}

static void test_contains(void **state)
{
	static const struct {
		const char *cidr, *inside, *outside;
	} rows[] = {
		{ "10.0.0.0/8", "10.255.255.255", "11.0.0.0" },
		{ "192.0.2.128/25", "192.0.2.128", "192.0.2.127" },
		{ "192.0.2.7", "192.0.2.7", "192.0.2.6" },
		{ "0.0.0.0/0", "255.1.2.3", "::1" },
		{ "2001:db8:8000::/33", "2001:db8:ffff::1", "2001:db8:7fff::1" },
		{ "::1", "::1", "127.0.0.1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct in6_addr inside = address(rows[i].inside),
				outside = address(rows[i].outside);
		struct cidr both[2];
		struct cidr_list list = { both, 2 };

		assert_int_equal(cidr_parse("203.0.113.9", &both[0]), 0);
		assert_int_equal(cidr_parse(rows[i].cidr, &both[1]), 0);
		assert_true(cidr_contains(&both[1], &inside));
		assert_false(cidr_contains(&both[1], &outside));
		assert_true(cidr_list_contains(&list, &inside));
		assert_false(cidr_list_contains(&list, &outside));
		list.count = 0;
		assert_false(cidr_list_contains(&list, &inside));
	}
}

static void test_mask(void **state)
{
	struct in6_addr all, expected;

	for (unsigned int bits = 0; bits <= 128; bits++) {
		unsigned int ones = 0;

		memset(&all, 0xff, sizeof(all));
		address_mask(&all, bits);
		for (; ones < 128 && (all.s6_addr[ones / 8] >> (7 - ones % 8) & 1); ones++)
			;
		assert_int_equal(ones, bits);
		for (unsigned int i = ones; i < 128; i++)
			assert_false(all.s6_addr[i / 8] >> (7 - i % 8) & 1);
	}
	all = address("2001:db8:1:2:3:4:5:6");
	expected = address("2001:db8:1:2::");
	address_mask(&all, 64);
	assert_memory_equal(&all, &expected, sizeof(all));
}

static void test_text(void **state)
{
	struct sockaddr_storage sa = { .ss_family = AF_INET };
	struct sockaddr_in *in = (struct sockaddr_in *)&sa;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&sa;
	char text[ADDRESS_TEXT_BYTES];
	struct in6_addr ip;
	uint16_t port;

	in->sin_port = htons(65535);
	in->sin_addr.s_addr = htonl(0xc0000201);
	address_from_sockaddr(&sa, &ip, &port);
	address_text(&ip, port, text);
	assert_string_equal(text, "192.0.2.1:65535");
	sa = (struct sockaddr_storage){ .ss_family = AF_INET6 };
	in6->sin6_addr = in6addr_loopback;
	in6->sin6_port = htons(1);
	address_from_sockaddr(&sa, &ip, &port);
	address_text(&ip, port, text);
	assert_string_equal(text, "[::1]:1");
	sa.ss_family = AF_UNIX;
	address_from_sockaddr(&sa, &ip, &port);
	assert_true(IN6_IS_ADDR_UNSPECIFIED(&ip) && !port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_contains),
		cmocka_unit_test(test_mask),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
