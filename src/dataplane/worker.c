/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker thread (worker.h): its loop, and the orders that come from the main thread as messages.
 */
#include "dataplane/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/util.h"
#include "dataplane/conn.h"
#include "dataplane/conn_walk.h"
#include "dataplane/worker_listen.h"

/* Cipher contexts (about 1 KiB each) that active connections of a worker share. */
#define AEAD_CACHE_SLOTS 256

int worker_new(unsigned int index, enum loop_kind kind, struct gate *gate, struct worker **ret,
	       struct err_text *err)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int r;

	if (!worker)
		return err_set(err, -ENOMEM, "out of memory");
	worker->index = index;
	worker->gate = gate;
	list_init(&worker->conns);
	list_init(&worker->walks);
	list_init(&worker->listeners);
	list_init(&worker->ending);
	pipe_pool_init(&worker->pipes);
	worker->buffer = mmap(NULL, WORKER_BUFFER_BYTES, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (worker->buffer == MAP_FAILED) {
		worker->buffer = NULL;
		r = err_set(err, -ENOMEM, "out of memory");
		goto fail;
	}
	/* It holds plaintext of everybody: not for cores. */
	madvise(worker->buffer, WORKER_BUFFER_BYTES, MADV_DONTDUMP);
	r = aead_cache_new(AEAD_CACHE_SLOTS, &worker->aead_cache);
	if (r < 0) {
		err_set(err, r, "no cipher contexts: %s", strerror(-r));
		goto fail;
	}
	r = loop_new(kind, &worker->loop, err);
	if (r < 0)
		goto fail;
	turnstile_init(&worker->turnstile, worker->loop);
	throttle_init(&worker->throttle, worker->loop);
	*ret = worker;
	return 0;
fail:
	worker_free(worker);
	return r;
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	char name[16];
	int r;

	snprintf(name, sizeof(name), "worker-%u", worker->index);
	pthread_setname_np(pthread_self(), name);
	r = loop_run(worker->loop);
	if (r < 0)
		log_msg(LOG_ERROR, "loop_failed", "worker %u: %s", worker->index, strerror(-r));
	atomic_store(&worker->ended, true);
	return NULL;
}

int worker_start(struct worker *worker)
{
	return -pthread_create(&worker->thread, NULL, worker_main, worker);
}

/* By when a connection must have ended, from the order to drain on: its listener's deadline, which
 * an order to be quick makes shorter. */
static uint64_t drain_due_ns(const struct worker *worker, const struct conn *conn)
{
	uint64_t after_ms = MIN(conn->route->config->timeouts.drain_ms, worker->drain_deadline_ms);

	return worker->drain_ns + after_ms * NSEC_PER_MSEC;
}

/* Tells those whose time is up; who lingers then has a deadline already. */
static void on_drain_timer(struct loop_timer *timer)
{
	struct worker *worker = container_of(timer, struct worker, drain_timer);
	uint64_t now_ns = loop_now_ns(worker->loop), next_ns = UINT64_MAX;
	struct list_node *it, *next;

	list_for_each_safe (it, next, &worker->conns) {
		struct conn *conn = container_of(it, struct conn, node);
		uint64_t due_ns = drain_due_ns(worker, conn);

		if (due_ns > now_ns)
			next_ns = MIN(next_ns, due_ns);
		else if (conn->state != CONN_LINGER || !worker->drain_deadline_ms)
			conn_drain(conn);
	}
	if (worker->conn_count && next_ns != UINT64_MAX)
		loop_timer_set(worker->loop, timer, next_ns);
}

struct drain_order {
	struct loop_msg msg;
	struct worker *worker;
	uint64_t deadline_ms;
};

static void on_drain_order(struct loop_msg *msg)
{
	struct drain_order *order = container_of(msg, struct drain_order, msg);
	struct worker *worker = order->worker;

	worker->draining = true;
	worker_listen_end(worker);
	worker->drain_ns = loop_now_ns(worker->loop);
	worker->drain_deadline_ms = order->deadline_ms;
	worker->drain_timer.on_fire = on_drain_timer;
	loop_timer_set(worker->loop, &worker->drain_timer, worker->drain_ns);
	free(order);
	worker_check_end(worker);
}

void worker_drain(struct worker *worker, uint64_t deadline_ms)
{
	struct drain_order *order = calloc(1, sizeof(*order));

	if (!order)
		abort(); /* told to stop and not even able to say so */
	*order = (struct drain_order){ .msg.deliver = on_drain_order,
				       .worker = worker,
				       .deadline_ms = deadline_ms };
	loop_post(worker->loop, &order->msg);
}

static void on_question(struct loop_msg *msg)
{
	atomic_store(&container_of(msg, struct worker, question)->asked, false);
}

void worker_ask(struct worker *worker)
{
	if (atomic_exchange(&worker->asked, true))
		return;
	worker->question.deliver = on_question;
	loop_post(worker->loop, &worker->question);
}

bool worker_answered(const struct worker *worker)
{
	return !atomic_load(&worker->asked);
}

bool worker_ended(const struct worker *worker)
{
	return atomic_load(&worker->ended);
}

void worker_check_end(struct worker *worker)
{
	if (!worker->draining || worker->conn_count || !list_empty(&worker->ending))
		return;
	worker->stopping = true;
	conn_walk_on_stop(worker);
	loop_timer_cancel(worker->loop, &worker->drain_timer);
	throttle_fini(&worker->throttle);
	loop_stop(worker->loop);
}

void worker_join(struct worker *worker)
{
	pthread_join(worker->thread, NULL);
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	/* First, while all else is there: it delivers orders that came after the loop's end. */
	if (worker->loop)
		loop_free(worker->loop);
	worker_listen_fini(worker);
	if (worker->aead_cache)
		aead_cache_free(worker->aead_cache);
	pipe_pool_fini(&worker->pipes);
	if (worker->buffer)
		munmap(worker->buffer, WORKER_BUFFER_BYTES);
	free(worker);
}
