/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to all workers (conn_walk.h). A request holds a walk for each worker, which travels
 * there as a message and then goes on as a task. A walk's fields are its worker's alone until it
 * has been counted as finished under the request's mutex; then they are the asker's. Who asks waits
 * until its deadline and not longer: the request is freed by whoever drops it last, so a worker
 * that is late finds it alive, sees that nobody waits, and stops.
 *
 * Between two slices a walk stands on a node of the worker's list. A connection that goes moves
 * those who stand on it one further (conn_walk_on_gone).
 */
#include "dataplane/conn_walk.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/thread.h"
#include "base/util.h"
#include "dataplane/conn.h"
#include "dataplane/worker.h"

struct conn_walk {
	struct loop_msg msg;
	struct loop_task task;
	struct list_node node;	/* in worker->walks, while it goes */
	struct list_node *next; /* the connection to look at next, or the list's head */
	struct conn_request *request;
	struct worker *worker;
	struct conn_info **heap; /* the best so far, the worst of them on top */
	size_t count, capacity;
	uint64_t matched, live;
	bool no_memory, finished;
};

struct conn_request {
	struct conn_query query;
	atomic_bool abandoned; /* nobody waits any more: nothing more is done */
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	unsigned int refs, pending; /* under the mutex: who holds it; walks that go */
	unsigned int walk_count;
	struct conn_walk walks[];
};

/* Requests that exist, those too that nobody but a late worker holds. */
static atomic_uint requests;

/* --- the best so far --- */

/* True if `a` comes after `b`. */
static bool is_behind(const struct conn_info *a, const struct conn_info *b)
{
	return a->rank != b->rank ? a->rank < b->rank : a->id > b->id;
}

static void heap_up(struct conn_info **heap, size_t at)
{
	while (at && is_behind(heap[at], heap[(at - 1) / 2])) {
		struct conn_info *up = heap[(at - 1) / 2];

		heap[(at - 1) / 2] = heap[at];
		heap[at] = up;
		at = (at - 1) / 2;
	}
}

static void heap_down(struct conn_info **heap, size_t count, size_t at)
{
	for (;;) {
		size_t worst = at;
		struct conn_info *down = heap[at];

		for (size_t i = 2 * at + 1; i <= 2 * at + 2 && i < count; i++)
			if (is_behind(heap[i], heap[worst]))
				worst = i;
		if (worst == at)
			return;
		heap[at] = heap[worst];
		heap[worst] = down;
		at = worst;
	}
}

/* Room for one more, at most query.limit. */
static bool make_room(struct conn_walk *walk)
{
	size_t capacity = MIN(MAX(walk->capacity * 2, (size_t)64), walk->request->query.limit);
	struct conn_info **heap;

	if (walk->count < walk->capacity)
		return true;
	heap = reallocarray(walk->heap, capacity, sizeof(*heap));
	if (!heap)
		return false;
	walk->heap = heap;
	walk->capacity = capacity;
	return true;
}

static void keep(struct conn_walk *walk, const struct conn *conn)
{
	size_t limit = walk->request->query.limit;
	uint64_t rank = conn_rank(conn, walk->request->query.sort);
	bool full = walk->count == limit;
	struct conn_info *info;

	/* The list is in the order of ids, so an equal rank is behind all that are here. */
	if (!limit || (full && rank <= walk->heap[0]->rank))
		return;
	info = full || make_room(walk) ? conn_info_new(conn, rank) : NULL;
	if (!info) {
		walk->no_memory = true;
	} else if (full) {
		free(walk->heap[0]);
		walk->heap[0] = info;
		heap_down(walk->heap, walk->count, 0);
	} else {
		walk->heap[walk->count] = info;
		heap_up(walk->heap, walk->count++);
	}
}

/* --- requests --- */

/* Drops one reference, with the mutex held; it is not held any more afterwards. */
static void request_unref(struct conn_request *request)
{
	bool last = --request->refs == 0;

	pthread_mutex_unlock(&request->mutex);
	if (!last)
		return;
	for (unsigned int i = 0; i < request->walk_count; i++) {
		struct conn_walk *walk = &request->walks[i];

		for (size_t j = 0; j < walk->count; j++)
			free(walk->heap[j]);
		free(walk->heap);
	}
	pthread_cond_destroy(&request->changed);
	pthread_mutex_destroy(&request->mutex);
	free(request);
	atomic_fetch_sub(&requests, 1);
}

static void walk_finish(struct conn_walk *walk)
{
	struct conn_request *request = walk->request;

	list_remove(&walk->node);
	loop_task_cancel(walk->worker->loop, &walk->task);
	pthread_mutex_lock(&request->mutex);
	walk->finished = true;
	request->pending--;
	pthread_cond_signal(&request->changed);
	request_unref(request);
}

static void walk_slice(struct loop_task *task)
{
	struct conn_walk *walk = container_of(task, struct conn_walk, task);
	struct worker *worker = walk->worker;
	const struct conn_query *query = &walk->request->query;

	if (atomic_load(&walk->request->abandoned))
		walk->next = &worker->conns;
	for (size_t i = 0; i < CONN_SLICE && walk->next != &worker->conns; i++) {
		struct conn *conn = container_of(walk->next, struct conn, node);

		walk->next = walk->next->next;
		walk->live++;
		if (!conn_filter_matches(&query->filter, conn))
			continue;
		walk->matched++;
		if (!query->kill) {
			keep(walk, conn);
			continue;
		}
		conn_kill(conn);
		/* It may have been the last one of a worker that drains. */
		if (worker->stopping)
			return;
	}
	if (walk->next == &worker->conns)
		walk_finish(walk);
	else
		loop_task_queue(worker->loop, task);
}

static void on_asked(struct loop_msg *msg)
{
	struct conn_walk *walk = container_of(msg, struct conn_walk, msg);
	struct worker *worker = walk->worker;

	walk->next = worker->conns.next;
	if (list_empty(&worker->conns)) {
		walk_finish(walk);
		return;
	}
	list_append(&worker->walks, &walk->node);
	loop_task_queue(worker->loop, &walk->task);
}

void conn_walk_on_gone(struct worker *worker, const struct conn *conn)
{
	struct list_node *it, *next;

	list_for_each_safe (it, next, &worker->walks) {
		struct conn_walk *walk = container_of(it, struct conn_walk, node);

		if (walk->next == &conn->node)
			walk->next = conn->node.next;
	}
}

void conn_walk_on_stop(struct worker *worker)
{
	struct list_node *it, *next;

	list_for_each_safe (it, next, &worker->walks)
		walk_finish(container_of(it, struct conn_walk, node));
}

/* --- the asker --- */

static struct conn_request *request_new(struct worker *const *workers, unsigned int count,
					const struct conn_query *query)
{
	struct conn_request *request =
		calloc(1, sizeof(*request) + count * sizeof(request->walks[0]));
	if (!request)
		return NULL;
	request->query = *query;
	request->refs = count + 1;
	request->pending = request->walk_count = count;
	pthread_mutex_init(&request->mutex, NULL);
	thread_cond_init(&request->changed);
	for (unsigned int i = 0; i < count; i++) {
		struct conn_walk *walk = &request->walks[i];

		*walk = (struct conn_walk){ .msg.deliver = on_asked,
					    .task.run = walk_slice,
					    .request = request,
					    .worker = workers[i] };
		list_init(&walk->node);
	}
	return request;
}

/* With the mutex held. */
static void wait_for_workers(struct conn_request *request)
{
	struct timespec until = thread_deadline(request->query.deadline_ms);

	while (request->pending &&
	       pthread_cond_timedwait(&request->changed, &request->mutex, &until) == 0)
		;
	atomic_store(&request->abandoned, true);
}

static int compare(const void *a, const void *b)
{
	return is_behind(*(struct conn_info *const *)a, *(struct conn_info *const *)b) ? 1 : -1;
}

/* Takes what the finished walks have. With the mutex held. */
static void gather(struct conn_request *request, struct conn_list *ret)
{
	size_t total = 0;

	for (unsigned int i = 0; i < request->walk_count; i++)
		total += request->walks[i].finished ? request->walks[i].count : 0;
	ret->items = total ? calloc(total, sizeof(struct conn_info *)) : NULL;
	ret->no_memory = total && !ret->items;
	for (unsigned int i = 0; i < request->walk_count; i++) {
		struct conn_walk *walk = &request->walks[i];

		if (!walk->finished) {
			ret->silent_workers += !worker_ended(walk->worker);
			continue;
		}
		ret->matched += walk->matched;
		ret->live += walk->live;
		ret->no_memory = ret->no_memory || walk->no_memory;
		if (!ret->items)
			continue;
		for (size_t j = 0; j < walk->count; j++)
			ret->items[ret->count++] = walk->heap[j];
		walk->count = 0;
	}
	if (ret->count)
		qsort(ret->items, ret->count, sizeof(struct conn_info *), compare);
	for (; ret->count > request->query.limit; ret->count--)
		free(ret->items[ret->count - 1]);
}

int conn_walk(struct worker *const *workers, unsigned int count, const struct conn_query *query,
	      struct conn_list *ret)
{
	struct conn_request *request;

	*ret = (struct conn_list){ 0 };
	if (atomic_fetch_add(&requests, 1) >= CONN_REQUESTS_MAX) {
		atomic_fetch_sub(&requests, 1);
		return -EBUSY;
	}
	request = request_new(workers, count, query);
	if (!request) {
		atomic_fetch_sub(&requests, 1);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < count; i++)
		loop_post(workers[i]->loop, &request->walks[i].msg);
	pthread_mutex_lock(&request->mutex);
	wait_for_workers(request);
	gather(request, ret);
	request_unref(request);
	return 0;
}

void conn_list_fini(struct conn_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct conn_list){ 0 };
}
