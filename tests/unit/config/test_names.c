/* SPDX-License-Identifier: Apache-2.0 */
/* Keys about what peers are called: name_from, issuers, kafka.principal_rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "unit/config/loading.h"

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static void test_bad(void **state)
{
	static const struct bad_row rows[] = {
		{ GOOD "    name_from: []\n", 6, 16, "listeners[0].name_from", "an empty list" },
		{ GOOD "    name_from: [cn, cn]\n", 6, 21, "listeners[0].name_from[1]",
		  "in the list already" },
		{ GOOD "    name_from: [email]\n", 6, 17, "listeners[0].name_from[0]",
		  "cn, uri, dns" },
		{ GOOD "    issuers: []\n", 6, 14, "listeners[0].issuers", "an empty list" },
		{ GOOD "    issuers: [{}]\n", 6, 15, "listeners[0].issuers[0].name", "missing" },
		{ GOOD "    issuers: [{name: a}]\n", 6, 15, "listeners[0].issuers[0]",
		  "says nothing about 'a'" },
		{ GOOD "    issuers: [{root_cn: [a]}]\n", 6, 15, "listeners[0].issuers[0].name",
		  "missing" },
		{ GOOD "    issuers: [{name: a, key: [ab]}]\n", 6, 31,
		  "listeners[0].issuers[0].key[0]", "64 hexadecimal digits" },
		{ "listeners:\n  - name: k\n    role: egress\n    listen: 127.0.0.1:1\n    upstream: h:1\n"
		  "    tls: {roots: [ca.crt], server_name: h}\n"
		  "    issuers: [{name: a, root_cn: [b]}]\n",
		  7, 14, "listeners[0].issuers", "only a front" },
		{ GOOD "    kafka: {principal_rules: []}\n", 6, 30,
		  "listeners[0].kafka.principal_rules", "an empty list" },
		{ GOOD "    kafka: {principal_rules: [DEFAULT, 'RULE:a(/b/']}\n", 6, 40,
		  "listeners[0].kafka.principal_rules[1]", "byte 3 of the pattern" },
		{ GOOD "    kafka:\n      principal_rules:\n      - 'RULE:^CN=.*$/$1/L'\n", 8, 9,
		  "listeners[0].kafka.principal_rules[0]", "only 0 groups" },
		{ GOOD "    kafka: {principal_rules: [default]}\n", 6, 31,
		  "listeners[0].kafka.principal_rules[0]", "'default' is no rule" },
	};

	assert_rows(rows, ARRAY_SIZE(rows));
}

static void test_warnings(void **state)
{
	static const struct bad_row rows[] = {
		{ "identity: {directory: k}\n" GOOD "    kafka: {identity: oauthbearer, "
		  "principal_rules: [DEFAULT, 'RULE:a/b/']}\n",
		  7, 63, "listeners[0].kafka.principal_rules[1]", "never reached" },
		{ GOOD "    kafka: {principal_rules: [DEFAULT]}\n", 6, 31,
		  "listeners[0].kafka.principal_rules[0]", "nobody is told" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_row(&rows[i], CONFIG_WARNING);
}

static void test_good(void **state)
{
	static const char text[] =
		"identity: {directory: k}\n" GOOD "    name_from: [uri, cn]\n"
		"    issuers: [{name: 'svc-*', root_cn: [A, 'B *'], key: [" ZEROS "]}]\n"
		"    kafka: {identity: oauthbearer, principal_rules: ['RULE:a/b/,DEFAULT']}\n" SECOND(
			"127.0.0.1:1");
	const struct config_listener *l;
	struct config *config = NULL;

	assert_int_equal(load(text, sizeof(text) - 1, &config), 0);
	assert_clean();
	l = &config->listeners[0];
	assert_int_equal(l->name_from_count, 2);
	assert_int_equal(l->name_from[0], CONFIG_NAME_URI);
	assert_int_equal(l->name_from[1], CONFIG_NAME_CN);
	assert_int_equal(l->issuers.count, 1);
	assert_string_equal(l->issuers.items[0].name, "svc-*");
	assert_int_equal(l->issuers.items[0].root_cns.count, 2);
	assert_string_equal(l->issuers.items[0].root_cns.items[1], "B *");
	assert_string_equal(l->issuers.items[0].keys.items[0], ZEROS);
	assert_int_equal(l->kafka.principal_rules.count, 1);
	l = &config->listeners[1];
	assert_int_equal(l->name_from_count, 1);
	assert_int_equal(l->name_from[0], CONFIG_NAME_CN);
	assert_int_equal(l->issuers.count, 0);
	assert_int_equal(l->kafka.principal_rules.count, 0);
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
