/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for keys: zeroed when given, wiped when taken back, used again, safe with threads.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/secret.h"
#include "base/util.h"

static void assert_zero(const uint8_t *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		assert_int_equal(p[i], 0);
}

static void test_sizes(void **state)
{
	assert_null(secret_alloc(0));
	assert_null(secret_alloc(SECRET_BYTES_MAX + 1));
	for (size_t size = 1; size <= SECRET_BYTES_MAX; size++) {
		uint8_t *p = secret_alloc(size);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		assert_zero(p, size);
		memset(p, 0xa5, size);
		secret_free(p, size);
	}
	secret_free(NULL, 5);
}

/* The slot given back is the next one given out: it must be clean, and was, before that. */
static void test_wiped_and_reused(void **state)
{
	uint8_t *p = secret_alloc(200), *again;

	assert_non_null(p);
	memset(p, 0xa5, 200);
	secret_free(p, 200);
	/* Only the free list's link may be there now; the memory stays ours to look at. */
	assert_zero(p + sizeof(void *), 200 - sizeof(void *));
	again = secret_alloc(200);
	assert_ptr_equal(again, p);
	assert_zero(again, 200);
	secret_free(again, 200);
}

static void test_slots_do_not_overlap(void **state)
{
	uint8_t *slots[3000];

	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		slots[i] = secret_alloc(100);
		assert_non_null(slots[i]);
		memset(slots[i], (int)(i % 251) + 1, 100);
	}
	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		for (size_t j = 0; j < 100; j++)
			assert_int_equal(slots[i][j], i % 251 + 1);
		secret_free(slots[i], 100);
	}
}

static void test_wipe(void **state)
{
	uint8_t bytes[33];

	memset(bytes, 1, sizeof(bytes));
	secret_wipe(bytes, sizeof(bytes) - 1);
	assert_zero(bytes, sizeof(bytes) - 1);
	assert_int_equal(bytes[32], 1);
}

/* A child process finds nothing there. */
static void test_child_sees_nothing(void **state)
{
	uint8_t *p = secret_alloc(64);
	int status = -1;
	pid_t child;

	assert_non_null(p);
	memset(p, 0xa5, 64);
	child = fork();
	if (child == 0) {
		uint8_t sum = 0;

		for (size_t i = 0; i < 64; i++)
			sum |= ((volatile uint8_t *)p)[i];
		_exit(sum == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(p[5], 0xa5);
	secret_free(p, 64);
}

static void *churn(void *arg)
{
	uint8_t *slots[16] = { NULL };
	uintptr_t mark = (uintptr_t)arg, bad = 0;

	for (size_t i = 0; i < 20000; i++) {
		size_t at = i * 7 % ARRAY_SIZE(slots), size = 64 + at * 37;

		for (size_t j = 0; slots[at] && j < size; j++)
			bad |= slots[at][j] != (uint8_t)mark;
		secret_free(slots[at], size);
		slots[at] = secret_alloc(size);
		if (!slots[at])
			return (void *)1;
		memset(slots[at], (int)mark, size);
	}
	for (size_t at = 0; at < ARRAY_SIZE(slots); at++)
		secret_free(slots[at], 64 + at * 37);
	return (void *)bad;
}

static void test_threads(void **state)
{
	pthread_t threads[4];
	void *bad;

	for (uintptr_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		pthread_join(threads[i], &bad);
		assert_null(bad);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_wiped_and_reused),
		cmocka_unit_test(test_slots_do_not_overlap),
		cmocka_unit_test(test_wipe),
		cmocka_unit_test(test_child_sees_nothing),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
