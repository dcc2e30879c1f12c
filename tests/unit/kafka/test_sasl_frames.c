/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two requests byte by byte, and answers good and bad: at any length nothing but the whole of
 * two good answers is a yes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "kafka/api_versions.h"
#include "kafka/sasl_frames.h"

#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

/* length 27: number 1, no error, one mechanism */
#define HANDSHAKE_OK                                                                               \
	"\0\0\0\x17\0\0\0\x01\0\0\0\0\0\x01\0\x0b"                                                 \
	"OAUTHBEARER"
/* number 2, no error, no message, no bytes, a lifetime */
#define AUTHENTICATE_OK                                                                            \
	"\0\0\0\x14\0\0\0\x02\0\0\xff\xff\0\0\0\0"                                                 \
	"\0\0\0\0\0\x36\xee\x80"

static void test_requests(void **state)
{
	static const char want[] = "\0\0\0\x17\0\x11\0\x01\0\0\0\x01\xff\xff\0\x0b"
				   "OAUTHBEARER"
				   "\0\0\0\x27\0\x24\0\x01\0\0\0\x02\xff\xff\0\0\0\x19"
				   "n,,\x01"
				   "auth=Bearer tok.e.n"
				   "\x01\x01";
	static uint8_t out[SASL_REQUESTS_BYTES_MAX];
	static char longest[TOKEN_BYTES_MAX];

	assert_int_equal(sasl_requests("tok.e.n", 7, out), sizeof(want) - 1);
	assert_memory_equal(out, want, sizeof(want) - 1);
	memset(longest, 'x', sizeof(longest));
	assert_true(sasl_requests(longest, sizeof(longest), out) <= SASL_REQUESTS_BYTES_MAX);
}

struct row {
	const uint8_t *bytes;
	size_t len;
	enum sasl_verdict verdict;
	const char *says;
};

static const struct row rows[] = {
	{ BYTES("\0\0\0\x0a\0\0\0\x01\0\x21\0\0\0\0"), SASL_NO_MECHANISM, "sasl.enabled" },
	{ BYTES("\0\0\0\x0a\0\0\0\x01\0\x22\0\0\0\0"), SASL_NO_MECHANISM, "PLAINTEXT" },
	{ BYTES("\0\0\0\x0a\0\0\0\x01\0\x23\0\0\0\0"), SASL_NO_MECHANISM, "too old" },
	{ BYTES("\0\0\0\x0a\0\0\0\x01\0\x29\0\0\0\0"), SASL_NO_MECHANISM, "error 41" },
	/* no error, but not with what was asked for */
	{ BYTES("\0\0\0\x11\0\0\0\x01\0\0\0\0\0\x01\0\x05PLAIN"), SASL_GARBAGE, "name it" },
	{ BYTES("\0\0\0\x0a\0\0\0\x01\0\0\0\0\0\0"), SASL_GARBAGE, "name it" },
	/* another's number; a list that is longer than it says, or shorter; a negative one */
	{ BYTES("\0\0\0\x17\0\0\0\x07\0\0\0\0\0\x01\0\x0bOAUTHBEARER"), SASL_GARBAGE, "first" },
	{ BYTES("\0\0\0\x18\0\0\0\x01\0\0\0\0\0\x01\0\x0bOAUTHBEARER!"), SASL_GARBAGE, "first" },
	{ BYTES("\0\0\0\x17\0\0\0\x01\0\0\0\0\0\x02\0\x0bOAUTHBEARER"), SASL_GARBAGE, "first" },
	{ BYTES("\0\0\0\x17\0\0\0\x01\0\0\x7f\xff\xff\xff\0\x0bOAUTHBEARER"), SASL_GARBAGE,
	  "first" },
	{ BYTES("\0\0\0\x17\0\0\0\x01\0\0\xff\xff\xff\xff\0\x0bOAUTHBEARER"), SASL_GARBAGE,
	  "first" },
	/* lengths: 1 GiB, negative, too short for a number; what no Kafka would say */
	{ BYTES("\x40\0\0\0"), SASL_GARBAGE, "too large" },
	{ BYTES("\xff\xff\xff\xff"), SASL_GARBAGE, "length" },
	{ BYTES("\0\0\0\x03"), SASL_GARBAGE, "length" },
	{ BYTES("HTTP/1.1 400"), SASL_GARBAGE, "too large" },
	/* the second one: refusals, of which one looks like success */
	{ BYTES(HANDSHAKE_OK "\0\0\0\x2e\0\0\0\x02\0\0\xff\xff\0\0\0\x1a"
			     "{\"status\":\"invalid_token\"}\0\0\0\0\0\0\0\0"),
	  SASL_REFUSED, "the broker says: {\"status\":\"invalid_token\"}" },
	{ BYTES(HANDSHAKE_OK "\0\0\0\x18\0\0\0\x02\0\x3a\0\x04no\x1b\x07\0\0\0\0\0\0\0\0\0\0\0\0"),
	  SASL_REFUSED, "the broker says: no??" },
	{ BYTES(HANDSHAKE_OK "\0\0\0\x14\0\0\0\x02\0\x22\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0"),
	  SASL_NO_MECHANISM, "PLAINTEXT" },
	/* … and what is not one at all */
	{ BYTES(HANDSHAKE_OK "\0\0\0\x14\0\0\0\x02\0\0\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0"),
	  SASL_GARBAGE, "second" },
	{ BYTES(HANDSHAKE_OK "\0\0\0\x0c\0\0\0\x02\0\0\xff\xff\0\0\0\0"), SASL_GARBAGE, "second" },
	{ BYTES(HANDSHAKE_OK "\0\0\0\x14\0\0\0\x01\0\0\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0"),
	  SASL_GARBAGE, "second" },
	{ BYTES(HANDSHAKE_OK "\0\0\0\x14\0\0\0\x02\0\0\xff\xfe\0\0\0\0\0\0\0\0\0\0\0\0"),
	  SASL_GARBAGE, "second" },
	{ BYTES(HANDSHAKE_OK "\x40\0\0\0"), SASL_GARBAGE, "too large" },
};

static void test_bad_answers(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char detail[SASL_DETAIL_BYTES] = "";
		size_t taken = 0;
		enum sasl_verdict verdict =
			sasl_answers(rows[i].bytes, rows[i].len, &taken, detail);

		if (verdict != rows[i].verdict || !strstr(detail, rows[i].says)) {
			print_error("row %zu: verdict %d: %s\n", i, verdict, detail);
			fail();
		}
		assert_int_equal(taken, 0);
	}
}

/* However the bytes are cut, and whatever follows them. */
static void test_good_answers(void **state)
{
	static const char text[] = HANDSHAKE_OK AUTHENTICATE_OK "the client's";
	const size_t both = sizeof(HANDSHAKE_OK AUTHENTICATE_OK) - 1;
	char detail[SASL_DETAIL_BYTES] = "";

	for (size_t len = 0; len < sizeof(text); len++) {
		uint8_t *copy =
			malloc(len ? len : 1); /* so that a sanitizer sees what is too far */
		size_t taken = 0;
		enum sasl_verdict verdict;

		memcpy(copy, text, len);
		verdict = sasl_answers(copy, len, &taken, detail);
		free(copy);
		assert_int_equal(verdict, len < both ? SASL_MORE : SASL_ACCEPTED);
		assert_int_equal(taken, len < both ? 0 : both);
	}
	assert_string_equal(detail, "");
}

/* Any single byte that is changed makes it no success, or leaves it one of the same length. */
static void test_one_byte_wrong(void **state)
{
	uint8_t bytes[] = HANDSHAKE_OK AUTHENTICATE_OK;
	const size_t both = sizeof(bytes) - 1;
	char detail[SASL_DETAIL_BYTES];

	for (size_t i = 0; i < both - sizeof(uint64_t); i++) {
		for (int value = 0; value < 256; value++) {
			uint8_t before = bytes[i];
			size_t taken = 0;

			if (value == before)
				continue;
			bytes[i] = (uint8_t)value;
			if (sasl_answers(bytes, both, &taken, detail) == SASL_ACCEPTED)
				fail_msg("byte %zu as %d is taken for success", i, value);
			bytes[i] = before;
		}
	}
}

static void test_api_versions(void **state)
{
	static const uint8_t request[] = "\0\0\0\x0a\0\x12\0\0Saly\xff\xff";
	static const uint8_t answer[] = "\0\0\0\x10Saly\0\0\0\0\0\x01";
	static const uint8_t others[][API_VERSIONS_ANSWER_BYTES + 1] = {
		"HTTP/1.0 400 B",
		"\0\0\0\x10Salz\0\0\0\0\0\x01",
		"\0\0\0\x10Saly\0\x23\0\0\0\x01",
		"\0\0\0\x11Saly\0\0\0\0\0\x01",
		"\0\0\0\x0aSaly\0\0\0\0\0\0",
		"\xff\xff\xff\xffSaly\0\0\xff\xff\xff\xff",
		"\0\0\0\x0aSaly\0\0\x7f\xff\xff\xff",
	};
	uint8_t out[API_VERSIONS_REQUEST_BYTES];

	api_versions_request(out);
	assert_int_equal(sizeof(request) - 1, sizeof(out));
	assert_memory_equal(out, request, sizeof(out));
	assert_true(api_versions_is_answer(answer));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(api_versions_is_answer(others[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),     cmocka_unit_test(test_bad_answers),
		cmocka_unit_test(test_good_answers), cmocka_unit_test(test_one_byte_wrong),
		cmocka_unit_test(test_api_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
