/* SPDX-License-Identifier: Apache-2.0 */
/* The queue between those who must not wait and the one who may: order, bounds, numbers. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/line_queue.h"
#include "base/util.h"

static struct line_queue queue;
static char ring[256];

static int set_up(void **state)
{
	line_queue_init(&queue, ring, sizeof(ring), 10);
	return 0;
}

static int tear_down(void **state)
{
	line_queue_fini(&queue);
	return 0;
}

static enum line_queue_result take(char *ret, uint64_t *ret_number)
{
	size_t len;
	enum line_queue_result r = line_queue_take(&queue, 0, ret, 100, &len, ret_number);

	ret[len] = 0;
	return r;
}

static void assert_line(const char *text, uint64_t number)
{
	char line[101];
	uint64_t got;

	assert_int_equal(take(line, &got), LINE_QUEUE_LINE);
	assert_string_equal(line, text);
	assert_int_equal(got, number);
}

static bool put(const char *text)
{
	return line_queue_put(&queue, text, strlen(text));
}

static void test_in_order(void **state)
{
	char line[101];
	uint64_t number;

	assert_int_equal(take(line, &number), LINE_QUEUE_IDLE);
	assert_int_equal(number, 10);
	assert_true(put("one"));
	assert_true(put("two"));
	assert_line("one", 10);
	assert_true(put("three"));
	assert_line("two", 11);
	assert_line("three", 12);
	assert_int_equal(take(line, &number), LINE_QUEUE_IDLE);
	assert_int_equal(number, 13);
}

/* Round and round, so that entries lie over the end of the ring in every way. */
static void test_wraps(void **state)
{
	char text[101], before[101] = "first";

	assert_true(put(before)); /* never empty: it starts at the front again then */
	for (unsigned int i = 0; i < 2000; i++) {
		snprintf(text, sizeof(text), "%0*u", (int)(1 + i % 80), i);
		assert_true(put(text));
		assert_line(before, 10 + i);
		memcpy(before, text, sizeof(before));
	}
}

static void test_full(void **state)
{
	char text[101], line[101];
	uint64_t number;

	memset(text, 'x', 100);
	text[100] = 0;
	assert_true(put(text));
	assert_true(put(text));
	assert_false(put(text)); /* 12 and 13 are lost */
	line_queue_skip(&queue);
	assert_true(line_queue_used(&queue) > 200);
	assert_line(text, 10);
	assert_true(put("next"));
	assert_line(text, 11);
	assert_line("next", 14);
	assert_false(line_queue_put(&queue, ring, sizeof(ring))); /* can never fit */
	assert_int_equal(take(line, &number), LINE_QUEUE_IDLE);
	assert_int_equal(number, 16);
}

static void test_long_line_is_cut(void **state)
{
	char text[151], line[101];

	memset(text, 'y', 150);
	text[150] = 0;
	assert_true(put(text));
	assert_true(put("next"));
	memset(line, 'y', 100);
	line[100] = 0;
	assert_line(line, 10);
	assert_line("next", 11);
}

static void test_stop(void **state)
{
	char line[101];
	uint64_t number;

	assert_true(put("last"));
	line_queue_stop(&queue);
	assert_false(put("late"));
	assert_line("last", 10);
	assert_int_equal(take(line, &number), LINE_QUEUE_STOPPED);
	assert_int_equal(number, 12);
}

#define WRITERS	     4
#define WRITER_LINES 5000

static void *writer(void *arg)
{
	char text[32];

	for (unsigned int i = 0; i < WRITER_LINES; i++) {
		snprintf(text, sizeof(text), "%u %u", *(unsigned int *)arg, i);
		line_queue_put(&queue, text, strlen(text));
	}
	return NULL;
}

/* Many writers and a reader: each writer's lines come in its order; lines and gaps add up to all
 * that there was. */
static void test_threads(void **state)
{
	unsigned int ids[WRITERS], next[WRITERS] = { 0 }, id, index;
	uint64_t number, lines = 0, missing = 0, expected = 10;
	enum line_queue_result r;
	pthread_t threads[WRITERS];
	char line[101];
	size_t len;

	for (unsigned int i = 0; i < WRITERS; i++) {
		ids[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, writer, &ids[i]), 0);
	}
	do {
		r = line_queue_take(&queue, 100, line, 100, &len, &number);
		missing += number - expected;
		expected = number;
		if (r != LINE_QUEUE_LINE)
			continue;
		line[len] = 0;
		assert_int_equal(sscanf(line, "%u %u", &id, &index), 2);
		assert_true(index >= next[id]);
		next[id] = index + 1;
		lines++;
		expected++;
	} while (lines + missing < WRITERS * WRITER_LINES);
	for (unsigned int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(take(line, &number), LINE_QUEUE_IDLE);
	assert_int_equal(number, 10 + WRITERS * WRITER_LINES);
	assert_true(lines > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wraps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_line_is_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stop, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
