/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hand-off where it is not possible: nothing may break. True on every machine, with kernel TLS or
 * without; that it works where there is one is ktls_check.c's part.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tcp_pair.h"
#include "tls/ktls.h"

static void test_probe_says_why(void **state)
{
	struct ktls_support support;
	bool all = true, any = false;

	memset(&support, 0xff, sizeof(support));
	ktls_probe(&support);
	for (int c = 0; c < TLS_CIPHER_COUNT; c++) {
		all = all && support.cipher13[c] && support.cipher12[c];
		any = any || support.cipher13[c] || support.cipher12[c];
	}
	if (!support.ulp || !support.rekey)
		assert_true(support.why[0]);
	if (!support.ulp) {
		assert_false(any);
		assert_non_null(strstr(support.why, "kernel TLS"));
	}
	if (all && support.rekey)
		assert_string_equal(support.why, "");
}

static void assert_plain(int fds[2])
{
	char got[8];

	assert_int_equal(send(fds[0], "plain", 5, 0), 5);
	assert_int_equal(recv(fds[1], got, sizeof(got), 0), 5);
	assert_int_equal(send(fds[1], "text", 4, 0), 4);
	assert_int_equal(recv(fds[0], got, sizeof(got), 0), 4);
}

static void test_not_supported(void **state)
{
	struct ktls_support support = { .why = "because" };
	struct tls_keys keys = { .version = 0x0304 };
	struct err_text err;
	int fds[2];

	tcp_pair(fds);
	assert_int_equal(ktls_install(fds[0], &keys, &support, &err), KTLS_NOT_POSSIBLE);
	assert_string_equal(err.text, "because");
	support.ulp = true;
	assert_int_equal(ktls_install(fds[0], &keys, &support, &err), KTLS_NOT_POSSIBLE);
	assert_non_null(strstr(err.text, "TLS_AES_128_GCM_SHA256 for TLS 1.3"));
	keys.version = 0x0302;
	assert_int_equal(ktls_install(fds[0], &keys, &support, NULL), KTLS_NOT_POSSIBLE);
	keys.version = 0x0303;
	keys.cipher = TLS_CIPHER_COUNT;
	assert_int_equal(ktls_install(fds[0], &keys, &support, NULL), KTLS_NOT_POSSIBLE);
	assert_plain(fds);
	close(fds[0]);
	close(fds[1]);
}

/* The support struct may be wrong about this socket, or out of date: the kernel has the last word.
 */
static void test_not_fit(void **state)
{
	struct ktls_support support = { .ulp = true, .cipher13 = { true, true, true } };
	struct tls_keys keys = { .version = 0x0304 };
	struct err_text err;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(ktls_install(fds[0], &keys, &support, &err), KTLS_NOT_POSSIBLE);
	assert_plain(fds);
	close(fds[0]);
	close(fds[1]);

	tcp_pair(fds);
	shutdown(fds[1], SHUT_WR);
	assert_int_equal(recv(fds[0], &keys, 1, 0), 0); /* now in CLOSE_WAIT */
	assert_int_equal(ktls_install(fds[0], &keys, &support, &err), KTLS_NOT_POSSIBLE);
	assert_true(err.text[0]);
	assert_int_equal(send(fds[0], "plain", 5, 0), 5);
	close(fds[0]);
	close(fds[1]);
}

static void test_rekey_without_keys(void **state)
{
	struct tls_keys keys = { .version = 0x0304 };
	int fds[2];

	tcp_pair(fds);
	assert_true(ktls_rekey(fds[0], &keys, true) < 0);
	assert_true(ktls_rekey(fds[0], &keys, false) < 0);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probe_says_why),
		cmocka_unit_test(test_not_supported),
		cmocka_unit_test(test_not_fit),
		cmocka_unit_test(test_rekey_without_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
