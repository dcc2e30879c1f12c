/* SPDX-License-Identifier: Apache-2.0 */
/* Templates: what they become, and what is wrong with them, where. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/template.h"
#include "base/util.h"

static const struct template_values values = {
	.items = { [TEMPLATE_CERTIFICATE] = "CERT\n",
		   [TEMPLATE_PRIVATE_KEY] = "KEY\n",
		   [TEMPLATE_COMMON_NAME] = "{{ serial }}",
		   [TEMPLATE_SERIAL] = "01" },
};

static void check(const char *text, const char *expected)
{
	struct pki_bytes bytes = { 0 };
	struct err_text err;

	assert_int_equal(template_render(text, strlen(text), &values, &bytes, &err), 0);
	assert_string_equal(bytes.bytes, expected);
	assert_int_equal(bytes.len, strlen(expected));
	pki_bytes_fini(&bytes);
}

static void refuse(const char *text, const char *expected)
{
	struct pki_bytes bytes = { 0 };
	struct err_text err = { "" };
	unsigned int uses;

	assert_int_equal(template_check(text, strlen(text), &uses, &err), -EINVAL);
	if (!strstr(err.text, expected))
		fail_msg("'%s' is not in '%s'", expected, err.text);
	assert_int_equal(template_render(text, strlen(text), &values, &bytes, &err), -EINVAL);
	assert_null(bytes.bytes);
}

static void test_render(void **state)
{
	check("", "");
	check("plain } { text\n", "plain } { text\n");
	check("{{certificate}}{{ private_key }}", "CERT\nKEY\n");
	check("a={{ common_name }};", "a={{ serial }};"); /* a value is no template */
	check("[{{ chain }}]", "[]");
	check("x \n {{- serial -}} \n y", "x01y");
	check("x {{- serial }} y", "x01 y");
	check("{{ serial -}}\n\n", "01");
}

static void test_refuse(void **state)
{
	refuse("one\ntwo {{ certificat }}", "2:5: no variable 'certificat'; did you mean");
	refuse("{{ nothing }}", "1:1: no variable 'nothing'; there are certificate, chain,");
	refuse("{{ }}", "is expected");
	refuse("{{--}}", "is expected");
	refuse("{{-}}", "is expected");
	refuse("{{ .Data.certificate }}", "only variables");
	refuse("{{ range .CAChain }}", "only variables");
	refuse("{{ certificate", "without '}}'");
	refuse("{{ a\tb\x01 }}", "no variable 'a?b?'");
}

static void test_uses(void **state)
{
	static const char open[] = "{{ certificate }} {{ roots }}",
			  secret[] = "{{ store_password }}";
	struct err_text err;
	unsigned int uses;

	assert_int_equal(template_check(open, strlen(open), &uses, &err), 0);
	assert_int_equal(uses, 1U << TEMPLATE_CERTIFICATE | 1U << TEMPLATE_ROOTS);
	assert_false(template_is_secret(uses));
	assert_int_equal(template_check(secret, strlen(secret), &uses, &err), 0);
	assert_true(template_is_secret(uses));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_render),
		cmocka_unit_test(test_refuse),
		cmocka_unit_test(test_uses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
