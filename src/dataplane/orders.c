/* SPDX-License-Identifier: Apache-2.0 */
/* Orders to the main thread (orders.h). */
#include "dataplane/orders.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "base/thread.h"
#include "base/util.h"

void orders_init(struct orders *orders)
{
	*orders = (struct orders){ .placed = 0 };
	pthread_mutex_init(&orders->mutex, NULL);
	thread_cond_init(&orders->done_cond);
}

void orders_fini(struct orders *orders)
{
	pthread_cond_destroy(&orders->done_cond);
	pthread_mutex_destroy(&orders->mutex);
}

int orders_place(struct orders *orders, int wake_fd, int seconds, struct err_text *err)
{
	struct timespec until = thread_deadline((unsigned int)seconds * 1000);
	uint64_t number;
	int r = 0;

	pthread_mutex_lock(&orders->mutex);
	number = ++orders->placed;
	eventfd_write(wake_fd, 1);
	while (orders->done < number && r == 0)
		r = pthread_cond_timedwait(&orders->done_cond, &orders->mutex, &until);
	if (orders->done < number)
		r = err_set(err, -ETIMEDOUT, "no answer within %d s; the log will tell", seconds);
	else
		r = err_set(err, orders->result, "%s", orders->text.text);
	pthread_mutex_unlock(&orders->mutex);
	return r;
}

bool orders_pending(struct orders *orders)
{
	bool pending;

	pthread_mutex_lock(&orders->mutex);
	pending = orders->placed > orders->done;
	pthread_mutex_unlock(&orders->mutex);
	return pending;
}

uint64_t orders_begin(struct orders *orders)
{
	uint64_t number;

	pthread_mutex_lock(&orders->mutex);
	number = orders->placed;
	pthread_mutex_unlock(&orders->mutex);
	return number;
}

void orders_done(struct orders *orders, uint64_t number, int result, const struct err_text *text)
{
	pthread_mutex_lock(&orders->mutex);
	orders->result = result;
	orders->text = *text;
	orders->done = MAX(orders->done, number);
	pthread_cond_broadcast(&orders->done_cond);
	pthread_mutex_unlock(&orders->mutex);
}

void orders_end(struct orders *orders, int result, const char *text)
{
	struct err_text words;

	err_set(&words, 0, "%s", text);
	orders_done(orders, UINT64_MAX, result, &words);
}
