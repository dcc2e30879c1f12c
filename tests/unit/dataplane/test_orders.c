/* SPDX-License-Identifier: Apache-2.0 */
/* Orders from other threads: each is answered, those of one moment at one stroke. */
#include "unit/dataplane/rig.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

#include "dataplane/orders.h"

#define THREADS 8

struct caller {
	struct orders *orders;
	pthread_t thread;
	int wake_fd, seconds, result;
	struct err_text text;
};

static void *call(void *arg)
{
	struct caller *caller = arg;

	caller->result =
		orders_place(caller->orders, caller->wake_fd, caller->seconds, &caller->text);
	return NULL;
}

static void callers_start(struct caller *callers, struct orders *orders, int wake_fd)
{
	for (int i = 0; i < THREADS; i++) {
		callers[i] = (struct caller){ .orders = orders, .wake_fd = wake_fd, .seconds = 60 };
		assert_int_equal(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
	}
}

static void wait_placed(struct orders *orders, uint64_t count)
{
	unsigned int tries = 0;

	while (orders_begin(orders) < count)
		assert_true(rig_patience(&tries));
}

static void expect(struct caller *callers, int result, const char *text)
{
	for (int i = 0; i < THREADS; i++) {
		pthread_join(callers[i].thread, NULL);
		assert_int_equal(callers[i].result, result);
		assert_string_equal(callers[i].text.text, text);
	}
}

static void test_at_one_stroke(void **state)
{
	struct err_text text = { "the outcome" };
	struct caller callers[THREADS];
	int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct orders orders;
	eventfd_t count;

	(void)state;
	orders_init(&orders);
	assert_false(orders_pending(&orders));
	callers_start(callers, &orders, wake_fd);
	wait_placed(&orders, THREADS);
	assert_true(orders_pending(&orders));
	assert_int_equal(eventfd_read(wake_fd, &count), 0);
	/* One that is begun before the last came leaves that one waiting. */
	orders_done(&orders, THREADS - 1, -EINVAL, &(struct err_text){ "too early for one" });
	assert_true(orders_pending(&orders));
	orders_done(&orders, THREADS, -EINVAL, &text);
	assert_false(orders_pending(&orders));
	for (int i = 0; i < THREADS; i++) {
		pthread_join(callers[i].thread, NULL);
		assert_int_equal(callers[i].result, -EINVAL);
	}
	orders_fini(&orders);
	close(wake_fd);
}

static void test_nobody_answers(void **state)
{
	struct caller caller = { .seconds = 0 };
	struct orders orders;

	(void)state;
	orders_init(&orders);
	caller.orders = &orders;
	caller.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	call(&caller);
	assert_int_equal(caller.result, -ETIMEDOUT);
	assert_non_null(strstr(caller.text.text, "no answer"));
	close(caller.wake_fd);
	orders_fini(&orders);
}

/* Who waits at the end is told, and who comes later at once. */
static void test_end(void **state)
{
	struct caller callers[THREADS];
	int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct orders orders;

	(void)state;
	orders_init(&orders);
	callers_start(callers, &orders, wake_fd);
	wait_placed(&orders, 1);
	orders_end(&orders, -ESHUTDOWN, "it has stopped");
	expect(callers, -ESHUTDOWN, "it has stopped");
	callers_start(callers, &orders, wake_fd);
	expect(callers, -ESHUTDOWN, "it has stopped");
	orders_fini(&orders);
	close(wake_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_one_stroke),
		cmocka_unit_test(test_nobody_answers),
		cmocka_unit_test(test_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
