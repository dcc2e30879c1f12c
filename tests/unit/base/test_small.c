/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The leaf helpers that are too small for a file of their own: list, UTF-8, JSON strings, error
 * texts, ownership, the clock's seam, waiting for a thread.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/counter.h"
#include "base/err.h"
#include "base/json.h"
#include "base/list.h"
#include "base/thread.h"
#include "base/utf8.h"
#include "base/util.h"

struct item {
	int number;
	struct list_node node;
};

static int digits_of(struct list_node *head)
{
	struct list_node *it, *next;
	int digits = 0;

	list_for_each_safe (it, next, head)
		digits = digits * 10 + container_of(it, struct item, node)->number;
	return digits;
}

static void test_list(void **state)
{
	struct item a = { 1, { 0 } }, b = { 2, { 0 } }, c = { 3, { 0 } };
	struct list_node head, *it, *next;

	list_init(&head);
	list_init(&a.node);
	assert_true(list_empty(&head));
	list_remove(&a.node); /* in no list: nothing happens */
	list_append(&head, &a.node);
	list_append(&head, &b.node);
	list_append(&head, &c.node);
	assert_int_equal(digits_of(&head), 123);
	list_remove(&b.node);
	list_remove(&b.node);
	assert_int_equal(digits_of(&head), 13);
	list_append(&head, &b.node);
	assert_int_equal(digits_of(&head), 132);
	list_for_each_safe (it, next, &head)
		list_remove(it);
	assert_true(list_empty(&head));
	assert_true(list_empty(&a.node));
}

static void test_utf8(void **state)
{
	static const struct {
		const char *bytes;
		size_t len, expected;
	} rows[] = {
		{ "a", 1, 1 },
		{ "\0", 1, 1 },
		{ "\x7f", 1, 1 },
		{ "\xc3\xa9", 2, 2 },
		{ "\xe2\x82\xac", 3, 3 },
		{ "\xf0\x9f\x98\x80", 4, 4 },
		{ "\xf4\x8f\xbf\xbf", 4, 4 },
		{ "\x80", 1, 0 },	      /* continues nothing */
		{ "\xc3", 1, 0 },	      /* cut */
		{ "\xe2\x82", 2, 0 },	      /* cut */
		{ "\xc3(", 2, 0 },	      /* not continued */
		{ "\xc0\xaf", 2, 0 },	      /* overlong */
		{ "\xe0\x80\xaf", 3, 0 },     /* overlong */
		{ "\xf0\x80\x80\xaf", 4, 0 }, /* overlong */
		{ "\xed\xa0\x80", 3, 0 },     /* surrogate */
		{ "\xf4\x90\x80\x80", 4, 0 }, /* beyond U+10FFFF */
		{ "\xf8\x88\x80\x80\x80", 5, 0 },
		{ "\xff", 1, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(utf8_sequence((const unsigned char *)rows[i].bytes, rows[i].len),
				 rows[i].expected);
}

static void test_json_string(void **state)
{
	static const char *const rows[][2] = {
		{ "plain", "\"plain\"" },
		{ "", "\"\"" },
		{ NULL, "null" },
		{ "q\"b\\", "\"q\\\"b\\\\\"" },
		{ "\n\t\x1f\x7f", "\"\\u000a\\u0009\\u001f\\u007f\"" },
		{ "\xc3\xa9", "\"\xc3\xa9\"" },
		{ "\xc2\x9b", "\"\\u009b\"" },
		{ "a\xff\x80z", "\"a\\ufffd\\ufffdz\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *text = NULL;
		size_t len;
		FILE *out = open_memstream(&text, &len);

		assert_non_null(out);
		json_write_string(out, rows[i][0]);
		assert_int_equal(fclose(out), 0);
		assert_string_equal(text, rows[i][1]);
		free(text);
	}
}

static void test_err_text(void **state)
{
	char endless[2 * ERR_TEXT_BYTES];
	struct err_text err;

	assert_int_equal(err_set(&err, -5, "%s: %d", "it", 7), -5);
	assert_string_equal(err.text, "it: 7");
	assert_int_equal(err_set(NULL, 3, "nobody reads this"), 3);
	memset(endless, 'e', sizeof(endless) - 1);
	endless[sizeof(endless) - 1] = 0;
	err_set(&err, 0, "%s", endless);
	assert_int_equal(strlen(err.text), ERR_TEXT_BYTES - 1);
}

static void test_ownership(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), taken;
	char *text = strdup("x"), *given;

	{
		cleanup_free char *owned = text;
		cleanup_close int owned_fd = fd;

		given = TAKE_PTR(owned);
		taken = TAKE_FD(owned_fd);
		assert_null(owned);
		assert_int_equal(owned_fd, -1);
	}
	assert_string_equal(given, "x");
	free(given);
	{
		cleanup_close int owned_fd = taken;

		assert_true(fcntl(owned_fd, F_GETFD) >= 0);
	}
	assert_int_equal(fcntl(taken, F_GETFD), -1);
}

static void test_clock(void **state)
{
	struct clock_fake fake = { .monotonic_ns = 5, .realtime_ns = 6 };
	uint64_t before = clock_monotonic_ns();

	assert_true(clock_monotonic_ns() >= before);
	clock_set_fake(&fake);
	assert_int_equal(clock_monotonic_ns(), 5);
	assert_int_equal(clock_realtime_ns(), 6);
	fake.monotonic_ns = 9;
	assert_int_equal(clock_monotonic_ns(), 9);
	clock_set_fake(NULL);
	assert_true(clock_monotonic_ns() >= before);
}

static void *read_a_byte(void *fd)
{
	char c;

	return read(*(int *)fd, &c, 1) == 1 ? fd : NULL;
}

static void test_thread_join_within(void **state)
{
	pthread_t thread;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(pthread_create(&thread, NULL, read_a_byte, &fds[0]), 0);
	assert_false(thread_join_within(thread, 0));
	assert_false(thread_join_within(thread, 20));
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_true(thread_join_within(thread, 60000));
	close(fds[0]);
	close(fds[1]);
}

static void test_counters(void **state)
{
	struct histogram one = { 0 }, sum = { 0 };
	uint64_t counter = 5;

	counter_add(&counter, 2);
	counter_sub(&counter, 3);
	assert_int_equal(counter_read(&counter), 4);
	for (size_t i = 1; i < HISTOGRAM_BOUNDS; i++)
		assert_true(histogram_bounds_ns[i] > histogram_bounds_ns[i - 1]);
	histogram_add(&one, 0);
	histogram_add(&one, histogram_bounds_ns[0]); /* a bound is in its bucket */
	histogram_add(&one, histogram_bounds_ns[0] + 1);
	histogram_add(&one, histogram_bounds_ns[HISTOGRAM_BOUNDS - 1] + 1);
	histogram_sum(&sum, &one);
	histogram_sum(&sum, &one);
	assert_int_equal(sum.buckets[0], 4);
	assert_int_equal(sum.buckets[1], 2);
	assert_int_equal(sum.buckets[2], 0);
	assert_int_equal(sum.buckets[HISTOGRAM_BOUNDS], 2);
	assert_int_equal(sum.sum_ns, 2 * (2 * histogram_bounds_ns[0] + 2 +
					  histogram_bounds_ns[HISTOGRAM_BOUNDS - 1]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_json_string),
		cmocka_unit_test(test_err_text),
		cmocka_unit_test(test_ownership),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_thread_join_within),
		cmocka_unit_test(test_counters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
