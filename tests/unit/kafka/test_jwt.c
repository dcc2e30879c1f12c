/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of tokens and key sets, byte by byte; which names a broker would take for another's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "kafka/jwt.h"

/* RFC 4648 10, without padding. */
static void test_base64url(void **state)
{
	static const char *const rows[][2] = {
		{ "", "" },
		{ "f", "Zg" },
		{ "fo", "Zm8" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg" },
		{ "fooba", "Zm9vYmE" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xfb\xff\xfe", "-__-" },
	};
	char out[32];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t len = strlen(rows[i][0]);

		assert_int_equal(base64url(rows[i][0], len, out), strlen(rows[i][1]));
		assert_string_equal(out, rows[i][1]);
		assert_true(strlen(rows[i][1]) < BASE64URL_BYTES(len));
	}
}

static void test_keys(void **state)
{
	static const struct jwk keys[] = {
		{ .algorithm = JWT_EDDSA, .kid = "one", .a = "abc", .a_bytes = 3 },
		{ .algorithm = JWT_ES256,
		  .kid = "two",
		  .a = "abc",
		  .a_bytes = 3,
		  .b = "def",
		  .b_bytes = 3 },
		{ .algorithm = JWT_RS256,
		  .kid = "three",
		  .a = "abc",
		  .a_bytes = 3,
		  .b = "\x01\0\x01",
		  .b_bytes = 3 },
	};
	char text[JWK_TEXT_BYTES];
	char *set = jwks_text(keys, ARRAY_SIZE(keys));

	assert_string_equal(set,
			    "{\"keys\":[\n"
			    "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"YWJj\",\"alg\":\"EdDSA\","
			    "\"kid\":\"one\",\"use\":\"sig\"},\n"
			    "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"YWJj\",\"y\":\"ZGVm\","
			    "\"alg\":\"ES256\",\"kid\":\"two\",\"use\":\"sig\"},\n"
			    "{\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":\"YWJj\",\"alg\":\"RS256\","
			    "\"kid\":\"three\",\"use\":\"sig\"}\n]}\n");
	free(set);
	jwk_thumbprint_text(&keys[2], text);
	assert_string_equal(text, "{\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":\"YWJj\"}");
}

static void test_token_text(void **state)
{
	static const struct jwt_claims claims = { .issuer = "i",
						  .audience = "a",
						  .subject = "CN=\"x\\y\",O=\xc3\xa9",
						  .issued_at = 1,
						  .expires_at = 2 };
	static char out[JWT_TEXT_BYTES_MAX];
	char want_header[128], want_claims[256], want[512];
	static const char header[] = "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"k\"}";
	static const char body[] =
		"{\"iss\":\"i\",\"aud\":\"a\",\"sub\":\"CN=\\\"x\\\\y\\\",O=\xc3\xa9\","
		"\"iat\":1,\"exp\":2}";

	base64url(header, sizeof(header) - 1, want_header);
	base64url(body, sizeof(body) - 1, want_claims);
	snprintf(want, sizeof(want), "%s.%s", want_header, want_claims);
	assert_int_equal(jwt_text(JWT_EDDSA, "k", &claims, out), strlen(want));
	assert_string_equal(out, want);
}

/* The longest name that is taken fits, whatever has to be escaped in it; a longer text does not. */
static void test_longest_token(void **state)
{
	static char name[2 * JWT_TEXT_BYTES_MAX], out[JWT_TEXT_BYTES_MAX];
	struct jwt_claims claims = { .issuer = "i", .audience = "a", .subject = name };

	memset(name, '"', PRINCIPAL_BYTES_MAX);
	assert_null(jwt_subject_fault(name));
	assert_true(jwt_text(JWT_RS256, "k", &claims, out) > 0);
	memset(name, 'x', sizeof(name) - 1);
	assert_non_null(jwt_subject_fault(name));
	assert_int_equal(jwt_text(JWT_RS256, "k", &claims, out), 0);
}

static void test_subjects(void **state)
{
	static const char *const good[] = {
		"CN=svc-a",  "svc a",		"User:svc",
		"anonymous", "ANONYMOUS ALIKE", "CN=\xc3\xa9,O=\xe4\xb8\xad",
		"x",
	};
	static const char *const bad[] = {
		"",
		"ANONYMOUS",
		" svc",
		"svc ",
		"\tsvc",
		"svc\n",
		"ANONYMOUS ",
		"s\x01v",
		"s\x7fv",
		"\xc2\x85svc",
		"s\xc2\x80v",
		"svc\xc2\xa0",
		"\xe3\x80\x80svc",
		"svc\xe2\x80\x8b",
		"svc\xef\xbb\xbf",
		"s\xff"
		"vc",
		"svc\xc3",
		"\xed\xa0\x80",
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_null(jwt_subject_fault(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (!jwt_subject_fault(bad[i]))
			fail_msg("'%s' is taken", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64url),  cmocka_unit_test(test_keys),
		cmocka_unit_test(test_token_text), cmocka_unit_test(test_longest_token),
		cmocka_unit_test(test_subjects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
