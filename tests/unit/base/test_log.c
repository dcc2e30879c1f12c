/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line of the log can not be forged, broken or made longer than it may be, whatever a peer puts
 * into its names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"

#define STAMP "2026-11-25T01:02:03.045Z"

static const struct clock_fake moment = { .realtime_ns = 1795568523045ULL * NSEC_PER_MSEC };
static int log_file;

static int set_up(void **state)
{
	clock_set_fake(&moment);
	log_file = memfd_create("log", MFD_CLOEXEC);
	return log_file < 0;
}

static int tear_down(void **state)
{
	clock_set_fake(NULL);
	log_init(STDERR_FILENO, LOG_INFO, LOG_FORMAT_AUTO);
	close(log_file);
	return 0;
}

/* What has been logged since the last call; the caller's until the next. */
static const char *logged(void)
{
	static char text[2 * LOG_LINE_BYTES_MAX];
	ssize_t n = pread(log_file, text, sizeof(text) - 1, 0);

	assert_true(n >= 0);
	text[n] = 0;
	assert_int_equal(ftruncate(log_file, 0), 0);
	assert_int_equal(lseek(log_file, 0, SEEK_SET), 0);
	return text;
}

static const char *logged_value(enum log_format format, const void *value, size_t len)
{
	struct log_line line;

	log_init(log_file, LOG_INFO, format);
	log_begin(&line, LOG_INFO, "e");
	log_bytes(&line, "k", value, len);
	log_end(&line);
	return logged();
}

static void test_escapes(void **state)
{
	static const struct {
		const char *value, *text, *json;
	} rows[] = {
		{ "plain", "plain", "\"plain\"" },
		{ "", "\"\"", "\"\"" },
		{ "two words", "\"two words\"", "\"two words\"" },
		{ "a=b", "\"a=b\"", "\"a=b\"" },
		{ "quo\"te", "\"quo\\\"te\"", "\"quo\\\"te\"" },
		{ "back\\slash", "\"back\\\\slash\"", "\"back\\\\slash\"" },
		/* a forged line */
		{ "x\n2026 info closed cn=admin", "\"x\\u000a2026 info closed cn=admin\"",
		  "\"x\\u000a2026 info closed cn=admin\"" },
		{ "\r\t\033[2J\177", "\"\\u000d\\u0009\\u001b[2J\\u007f\"",
		  "\"\\u000d\\u0009\\u001b[2J\\u007f\"" },
		{ "caf\xc3\xa9", "\"caf\xc3\xa9\"", "\"caf\xc3\xa9\"" },
		/* C1 control in UTF-8 (CSI), a lone byte, an overlong '/', a surrogate, a cut end
		 */
		{ "\xc2\x9b", "\"\\u009b\"", "\"\\u009b\"" },
		{ "\xff", "\"\\u00ff\"", "\"\\u00ff\"" },
		{ "\xc0\xaf", "\"\\u00c0\\u00af\"", "\"\\u00c0\\u00af\"" },
		{ "\xed\xa0\x80", "\"\\u00ed\\u00a0\\u0080\"", "\"\\u00ed\\u00a0\\u0080\"" },
		{ "\xe2\x82", "\"\\u00e2\\u0082\"", "\"\\u00e2\\u0082\"" },
	};
	char expected[512];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		snprintf(expected, sizeof(expected), STAMP " info e k=%s\n", rows[i].text);
		assert_string_equal(
			logged_value(LOG_FORMAT_TEXT, rows[i].value, strlen(rows[i].value)),
			expected);
		snprintf(expected, sizeof(expected),
			 "{\"ts\":\"" STAMP "\",\"level\":\"info\",\"event\":\"e\",\"k\":%s}\n",
			 rows[i].json);
		assert_string_equal(
			logged_value(LOG_FORMAT_JSON, rows[i].value, strlen(rows[i].value)),
			expected);
	}
}

static void test_nul_inside(void **state)
{
	assert_string_equal(logged_value(LOG_FORMAT_TEXT, "a\0b", 3),
			    STAMP " info e k=\"a\\u0000b\"\n");
}

static void test_long_value_is_cut(void **state)
{
	char value[LOG_VALUE_BYTES_MAX + 100];
	const char *line;

	memset(value, 'v', sizeof(value));
	line = logged_value(LOG_FORMAT_TEXT, value, sizeof(value));
	assert_int_equal(strlen(line),
			 strlen(STAMP " info e k=") + LOG_VALUE_BYTES_MAX + strlen("\"...\"\n"));
	assert_string_equal(line + strlen(line) - 6, "v...\"\n");
}

/* Many fields of bytes that grow sixfold: the line stays whole and within its size. */
static void test_line_never_overflows(void **state)
{
	static const enum log_format formats[] = { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };
	char value[LOG_VALUE_BYTES_MAX];

	memset(value, 1, sizeof(value));
	for (size_t f = 0; f < ARRAY_SIZE(formats); f++) {
		struct log_line line;
		const char *text;
		size_t len;

		log_init(log_file, LOG_INFO, formats[f]);
		log_begin(&line, LOG_INFO, "event");
		for (int i = 0; i < 50; i++) {
			log_bytes(&line, "bytes", value, sizeof(value));
			log_u64(&line, "number", UINT64_MAX);
			log_str(&line, "text", "some text");
		}
		log_end(&line);
		text = logged();
		len = strlen(text);
		assert_in_range(len, 100, LOG_LINE_BYTES_MAX);
		assert_int_equal(text[len - 1], '\n');
		assert_ptr_equal(strchr(text, '\n'), text + len - 1);
		if (formats[f] == LOG_FORMAT_JSON)
			assert_int_equal(text[len - 2], '}');
	}
}

static void test_fields(void **state)
{
	struct log_line line;

	log_init(log_file, LOG_DEBUG, LOG_FORMAT_TEXT);
	log_begin(&line, LOG_DEBUG, "closed");
	log_u64(&line, "u", UINT64_MAX);
	log_i64(&line, "i", INT64_MIN);
	log_seconds(&line, "s", 1500 * NSEC_PER_MSEC);
	log_bool(&line, "b", true);
	log_str(&line, "none", NULL);
	log_end(&line);
	assert_string_equal(logged(),
			    STAMP " debug closed u=18446744073709551615 i=-9223372036854775808 "
				  "s=1.500 b=true\n");
	log_init(log_file, LOG_INFO, LOG_FORMAT_JSON);
	log_begin(&line, LOG_WARNING, "closed");
	log_u64(&line, "u", 7);
	log_bool(&line, "b", false);
	log_end(&line);
	assert_string_equal(logged(), "{\"ts\":\"" STAMP "\",\"level\":\"warning\",\"event\":"
				      "\"closed\",\"u\":7,\"b\":false}\n");
}

static void test_levels(void **state)
{
	log_init(log_file, LOG_WARNING, LOG_FORMAT_TEXT);
	log_msg(LOG_INFO, "quiet", "%s", "nothing");
	log_msg(LOG_ERROR, "loud", "%d %s", 1, "thing");
	assert_string_equal(logged(), STAMP " error loud msg=\"1 thing\"\n");
	assert_true(log_enabled(LOG_WARNING));
	assert_false(log_enabled(LOG_INFO));
}

/* Records are JSON whatever the log is, and say when something did not fit. */
static void test_records(void **state)
{
	static const char *const names[] = { "a.example", "b\"x", NULL }, *const none[] = { NULL };
	char text[256];
	struct log_line line;
	size_t len;

	log_init(log_file, LOG_ERROR, LOG_FORMAT_TEXT);
	log_record(&line, text, sizeof(text), "opened");
	log_strs(&line, "dns", names);
	log_strs(&line, "uri", none);
	log_strs(&line, "other", NULL);
	len = log_record_end(&line);
	text[len] = 0;
	assert_string_equal(text, "{\"ts\":\"" STAMP "\",\"event\":\"opened\","
				  "\"dns\":[\"a.example\",\"b\\\"x\"]}\n");
	log_record(&line, text, sizeof(text), "opened");
	for (int i = 0; i < 50; i++)
		log_strs(&line, "dns", names);
	len = log_record_end(&line);
	assert_in_range(len, 150, sizeof(text));
	assert_memory_equal(text + len - 13, ",\"cut\":true}\n", 13);
	assert_int_equal(logged()[0], 0);
}

static void test_list_in_text(void **state)
{
	static const char *const names[] = { "a", "b c", NULL };
	struct log_line line;

	log_init(log_file, LOG_INFO, LOG_FORMAT_TEXT);
	log_begin(&line, LOG_INFO, "e");
	log_strs(&line, "k", names);
	log_end(&line);
	assert_string_equal(logged(), STAMP " info e k=\"a,b c\"\n");
}

static void test_auto_format(void **state)
{
	log_init(log_file, LOG_INFO, LOG_FORMAT_AUTO); /* no terminal */
	log_msg(LOG_INFO, "e", "m");
	assert_int_equal(logged()[0], '{');
}

/* A log that is full or closed does not stop the program. */
static void test_unwritable(void **state)
{
	log_init(-1, LOG_INFO, LOG_FORMAT_TEXT);
	log_msg(LOG_INFO, "e", "m");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_escapes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nul_inside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_value_is_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_line_never_overflows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_fields, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_levels, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_records, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_list_in_text, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_auto_format, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unwritable, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
