/* SPDX-License-Identifier: Apache-2.0 */
/* What servers say, from bytes to structs; and what is no answer at all. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/consul.h"
#include "control/http_client.h"
#include "control/trust.h"
#include "control/vault_reply.h"

#define LEN(text) text, strlen(text)

static void test_causes(void **state)
{
	static const struct {
		long status;
		const char *body;
		enum cause cause;
	} rows[] = {
		{ 400, "{\"errors\":[\"no\"]}", CAUSE_REJECTED },
		{ 403, "", CAUSE_DENIED },
		{ 404, "{\"errors\":[]}", CAUSE_NOT_FOUND },
		{ 405, "", CAUSE_REJECTED },
		{ 413, "", CAUSE_REJECTED },
		{ 429, "", CAUSE_RATE_LIMITED },
		{ 500, "<html>", CAUSE_SERVER_ERROR },
		{ 503, "{\"errors\":[\"Vault is sealed\"]}", CAUSE_SEALED },
		{ 503, "{\"errors\":[\"no active node\"]}", CAUSE_SERVER_ERROR },
		{ 307, "", CAUSE_UNEXPECTED },
		{ 204, "", CAUSE_UNEXPECTED },
		{ 600, "", CAUSE_UNEXPECTED },
	};
	struct err_text why;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(vault_reply_cause(rows[i].status, LEN(rows[i].body), "sign", &why),
				 rows[i].cause);
	vault_reply_cause(400, LEN("{\"errors\":[\"one\", 2, \"two\"]}"), "sign", &why);
	assert_string_equal(why.text, "sign: HTTP 400: one; two");
}

static void test_signed(void **state)
{
	struct vault_signed reply = { 0 };
	struct err_text why;

	(void)state;
	assert_int_equal(vault_reply_signed(LEN("{\"data\":{\"certificate\":\"C\",\"ca_chain\":"
						"[\"I\",\"R\"],\"issuing_ca\":\"X\"}}"),
					    &reply, &why),
			 CAUSE_NONE);
	assert_string_equal(reply.certificate, "C");
	assert_string_equal(reply.chain, "I\nR\n");
	vault_signed_fini(&reply);
	assert_int_equal(
		vault_reply_signed(LEN("{\"data\":{\"certificate\":\"C\",\"issuing_ca\":\"X\"}}"),
				   &reply, &why),
		CAUSE_NONE);
	assert_string_equal(reply.chain, "X");
	vault_signed_fini(&reply);
	assert_int_equal(vault_reply_signed(LEN("{\"data\":{\"certificate\":7}}"), &reply, &why),
			 CAUSE_MALFORMED);
	assert_int_equal(vault_reply_signed(LEN("[]"), &reply, &why), CAUSE_MALFORMED);
	assert_int_equal(vault_reply_signed(LEN("{\"data\""), &reply, &why), CAUSE_NOT_JSON);
	assert_int_equal(vault_reply_signed("", 0, &reply, &why), CAUSE_NOT_JSON);
}

static void test_login(void **state)
{
	struct vault_login *login = calloc(1, sizeof(*login));
	struct err_text why;

	(void)state;
	assert_int_equal(vault_reply_login(LEN("{\"auth\":{\"client_token\":\"s.x\",\"lease_"
					       "duration\":60,\"renewable\":true}}"),
					   login, &why),
			 CAUSE_NONE);
	assert_string_equal(login->token, "s.x");
	assert_int_equal(login->life_seconds, 60);
	assert_true(login->renewable);
	assert_int_equal(
		vault_reply_login(LEN("{\"data\":{\"id\":\"s.x\",\"ttl\":0}}"), login, &why),
		CAUSE_NONE);
	assert_string_equal(login->token, "");
	assert_int_equal(login->life_seconds, 0);
	/* What would become a header, or a life that is none. */
	assert_int_equal(
		vault_reply_login(LEN("{\"auth\":{\"client_token\":\"a\\r\\nb\"}}"), login, &why),
		CAUSE_MALFORMED);
	assert_int_equal(vault_reply_login(LEN("{\"auth\":{\"client_token\":\"x\",\"lease_"
					       "duration\":-5}}"),
					   login, &why),
			 CAUSE_NONE);
	assert_int_equal(login->life_seconds, 0);
	assert_int_equal(vault_reply_login(LEN("{\"auth\":null}"), login, &why), CAUSE_MALFORMED);
	free(login);
}

static void test_secret_id_and_ca(void **state)
{
	char secret[VAULT_TOKEN_BYTES_MAX + 1];
	struct err_text why;
	char *pem = NULL;

	(void)state;
	assert_int_equal(
		vault_reply_secret_id(LEN("{\"data\":{\"secret_id\":\"abc\"}}"), secret, &why),
		CAUSE_NONE);
	assert_string_equal(secret, "abc");
	assert_int_equal(vault_reply_secret_id(LEN("{\"data\":null}"), secret, &why),
			 CAUSE_MALFORMED);
	assert_int_equal(vault_reply_ca(LEN("{\"data\":{\"certificate\":\"A\"}}"), &pem, &why),
			 CAUSE_NONE);
	assert_non_null(strstr(pem, "A"));
	free(pem);
	assert_int_equal(vault_reply_ca(LEN("{\"data\":{\"certificate\":\"\"}}"), &pem, &why),
			 CAUSE_MALFORMED);
}

static int parse(const char *text, struct issuers *ret)
{
	struct err_text why;

	return issuers_parse(LEN(text), ret, &why);
}

static void test_issuers(void **state)
{
	struct issuers issuers = { 0 }, other;
	char many[ISSUERS_MAX * 16 + 200];
	size_t used;

	(void)state;
	assert_int_equal(parse("{\"primary_issuer\":\"kafka-pki/root-a\",\"secondary_issuers\":"
			       "[\"/b/\",\"kafka-pki/root-a\"],\"more\":1}",
			       &issuers),
			 0);
	assert_int_equal(issuers.count, 2);
	assert_string_equal(issuers.paths[0], "kafka-pki/root-a");
	assert_string_equal(issuers.paths[1], "b");
	assert_int_equal(parse("{\"primary_issuer\":\"a\"}", &other), 0);
	assert_int_equal(parse("{\"primary_issuer\":\"a\",\"secondary_issuers\":null}", &other), 0);
	assert_false(issuers_equal(&issuers, &other));
	assert_true(issuers_equal(&other, &other));
	static const char *const wrong[] = {
		"",
		"{",
		"[]",
		"{}",
		"null",
		"{\"primary_issuer\":\"\"}",
		"{\"primary_issuer\":\"/\"}",
		"{\"primary_issuer\":7}",
		"{\"primary_issuer\":\"a//b\"}",
		"{\"primary_issuer\":\"../x\"}",
		"{\"primary_issuer\":\"a/../x\"}",
		"{\"primary_issuer\":\"a?b\"}",
		"{\"primary_issuer\":\"a\\u0000b\"}",
		"{\"primary_issuer\":\"a\",\"primary_issuer\":\"b\"}",
		"{\"primary_issuer\":\"a\",\"secondary_issuers\":\"b\"}",
		"{\"primary_issuer\":\"a\",\"secondary_issuers\":[7]}",
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (parse(wrong[i], &other) != -EINVAL)
			fail_msg("taken: %s", wrong[i]);
	used = (size_t)snprintf(many, sizeof(many),
				"{\"primary_issuer\":\"a\",\"secondary_"
				"issuers\":[\"b\"");
	for (int i = 0; i < ISSUERS_MAX; i++)
		used += (size_t)snprintf(many + used, sizeof(many) - used, ",\"c%d\"", i);
	snprintf(many + used, sizeof(many) - used, "]}");
	assert_int_equal(parse(many, &other), -EINVAL);
}

static void test_index(void **state)
{
	(void)state;
	assert_int_equal(consul_next_index(0, true, 7), 7);
	assert_int_equal(consul_next_index(7, true, 7), 7);
	assert_int_equal(consul_next_index(7, true, 9), 9);
	assert_int_equal(consul_next_index(9, true, 8), 0);
	assert_int_equal(consul_next_index(9, true, 0), 0);
	assert_int_equal(consul_next_index(9, false, 12), 0);
}

static void test_retry_after(void **state)
{
	(void)state;
	assert_int_equal(http_retry_after_ms("7", 0), 7000);
	assert_int_equal(http_retry_after_ms("0", 0), 0);
	assert_int_equal(http_retry_after_ms("99999999999", 0), 86400000);
	assert_int_equal(http_retry_after_ms("soon", 0), 0);
	assert_int_equal(http_retry_after_ms("-5", 0), 0);
	assert_int_equal(http_retry_after_ms("Thu, 01 Jan 1970 00:01:00 GMT", 20), 40000);
	assert_int_equal(http_retry_after_ms("Thu, 01 Jan 1970 00:01:00 GMT", 90), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_causes),	    cmocka_unit_test(test_signed),
		cmocka_unit_test(test_login),	    cmocka_unit_test(test_secret_id_and_ca),
		cmocka_unit_test(test_issuers),	    cmocka_unit_test(test_index),
		cmocka_unit_test(test_retry_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
