/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks, messages and stops from other threads, and a loop that is made on another thread. */
#include "unit/loop/fixture.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#define POSTERS	      4
#define MSGS_A_POSTER 10000

struct counted_task {
	struct loop_task task;
	struct fixture *fx;
	unsigned runs;
	struct counted_task *other;
};

static void task_count(struct loop_task *task)
{
	container_of(task, struct counted_task, task)->runs++;
}

static void task_cancel_other(struct loop_task *task)
{
	struct counted_task *t = container_of(task, struct counted_task, task);

	t->runs++;
	loop_task_cancel(t->fx->loop, &t->other->task);
}

static void task_requeue(struct loop_task *task)
{
	struct counted_task *t = container_of(task, struct counted_task, task);

	t->runs++;
	loop_task_queue(t->fx->loop, task);
}

static void queued_twice_runs_once(void **state)
{
	struct fixture *fx = *state;
	struct counted_task t = { .task.run = task_count, .fx = fx };

	if (!fx)
		skip();
	loop_task_queue(fx->loop, &t.task);
	loop_task_queue(fx->loop, &t.task);
	fixture_turns(fx, 3);
	assert_int_equal(t.runs, 1);
	loop_task_queue(fx->loop, &t.task);
	loop_task_cancel(fx->loop, &t.task);
	loop_task_cancel(fx->loop, &t.task);
	fixture_turns(fx, 3);
	assert_int_equal(t.runs, 1);
}

static void task_cancels_one_of_the_same_turn(void **state)
{
	struct fixture *fx = *state;
	struct counted_task a = { .task.run = task_cancel_other, .fx = fx };
	struct counted_task b = { .task.run = task_count, .fx = fx };

	if (!fx)
		skip();
	a.other = &b;
	loop_task_queue(fx->loop, &a.task);
	loop_task_queue(fx->loop, &b.task);
	fixture_turns(fx, 3);
	assert_int_equal(a.runs, 1);
	assert_int_equal(b.runs, 0);
}

static void endpoint_stops(struct endpoint_watch *end, uint32_t events)
{
	if (events & LOOP_IN)
		loop_stop(end->fx->loop);
}

static void busy_task_does_not_starve_completions(void **state)
{
	struct fixture *fx = *state;
	struct counted_task t = { .task.run = task_requeue, .fx = fx };
	struct endpoint_watch end = { .then = NULL };
	uint64_t turns;
	int fds[2];

	if (!fx)
		skip();
	fixture_socketpair(fds);
	endpoint_start(fx, &end, fds[0]);
	fixture_turns(fx, 3);
	end.then = endpoint_stops;
	loop_task_queue(fx->loop, &t.task);
	assert_int_equal(write(fds[1], "x", 1), 1);
	turns = loop_stats(fx->loop)->iterations;
	fixture_run(fx);
	assert_true(loop_stats(fx->loop)->iterations - turns <= 10);
	/* One run a turn, no more. */
	assert_true(t.runs <= loop_stats(fx->loop)->iterations - turns);
	loop_task_cancel(fx->loop, &t.task);
	loop_watch_close(fx->loop, &end.watch);
	close(fds[1]);
}

struct poster;
struct poster_msg {
	struct loop_msg msg;
	struct poster *from;
	unsigned number;
};

struct poster {
	struct fixture *fx;
	pthread_t thread;
	unsigned delivered;
	unsigned *left;
	struct poster_msg msgs[MSGS_A_POSTER];
};

static void poster_deliver(struct loop_msg *msg)
{
	struct poster_msg *m = container_of(msg, struct poster_msg, msg);

	/* In the order of each sender. */
	assert_int_equal(m->number, m->from->delivered);
	m->from->delivered++;
	if (--*m->from->left == 0)
		loop_stop(m->from->fx->loop);
}

static void *poster_main(void *arg)
{
	struct poster *p = arg;

	for (unsigned i = 0; i < MSGS_A_POSTER; i++) {
		p->msgs[i] = (struct poster_msg){ .msg.deliver = poster_deliver,
						  .from = p,
						  .number = i };
		loop_post(p->fx->loop, &p->msgs[i].msg);
	}
	return NULL;
}

static void messages_of_four_threads(void **state)
{
	struct fixture *fx = *state;
	struct poster *posters;
	unsigned left = POSTERS * MSGS_A_POSTER;

	if (!fx)
		skip();
	posters = calloc(POSTERS, sizeof(*posters));
	for (int i = 0; i < POSTERS; i++) {
		posters[i].fx = fx;
		posters[i].left = &left;
		assert_int_equal(pthread_create(&posters[i].thread, NULL, poster_main, &posters[i]),
				 0);
	}
	fixture_run(fx);
	for (int i = 0; i < POSTERS; i++) {
		pthread_join(posters[i].thread, NULL);
		assert_int_equal(posters[i].delivered, MSGS_A_POSTER);
	}
	free(posters);
}

static void *stopper_main(void *arg)
{
	loop_stop(arg);
	return NULL;
}

static void stop_from_another_thread(void **state)
{
	struct fixture *fx = *state;

	if (!fx)
		skip();
	for (int i = 0; i < 100; i++) {
		pthread_t thread;

		/* It may come before the run begins, and counts then too. */
		assert_int_equal(pthread_create(&thread, NULL, stopper_main, fx->loop), 0);
		fixture_run(fx);
		pthread_join(thread, NULL);
	}
}

struct counted_msg {
	struct loop_msg msg;
	unsigned delivered;
};

static void msg_count(struct loop_msg *msg)
{
	container_of(msg, struct counted_msg, msg)->delivered++;
}

static void messages_before_stop_and_before_free_are_delivered(void **state)
{
	struct fixture *fx = *state;
	struct counted_msg a = { .msg.deliver = msg_count }, b = a;

	if (!fx)
		skip();
	loop_post(fx->loop, &a.msg);
	loop_stop(fx->loop);
	fixture_run(fx);
	assert_int_equal(a.delivered, 1);
	loop_post(fx->loop, &b.msg);
	loop_free(TAKE_PTR(fx->loop));
	assert_int_equal(b.delivered, 1);
}

struct worker {
	struct loop *loop;
	struct fixture *fx;
	struct endpoint_watch end;
	int r;
};

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	w->r = loop_run(w->loop);
	loop_watch_close(w->loop, &w->end.watch);
	return NULL;
}

/* Made and set up here, run there, freed here, as the workers of the proxy are. */
static void made_and_freed_on_the_main_thread(void **state)
{
	struct fixture *fx = *state;
	struct worker w = { .fx = fx, .end = { .stop_when = LOOP_IN } };
	pthread_t thread;
	int fds[2];
	char c;

	if (!fx)
		skip();
	w.loop = fx->loop;
	fixture_socketpair(fds);
	endpoint_start(fx, &w.end, fds[0]);
	assert_int_equal(pthread_create(&thread, NULL, worker_main, &w), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	pthread_join(thread, NULL);
	assert_int_equal(w.r, 0);
	assert_true(w.end.seen & LOOP_IN);
	loop_free(TAKE_PTR(fx->loop));
	/* Nothing of the kernel holds the socket any more, the thread is gone and so is the ring.
	 */
	for (int i = 0; i < 5000 && recv(fds[1], &c, 1, 0) < 0; i++)
		usleep(1000);
	assert_int_equal(write(fds[1], "x", 1), -1);
	close(fds[1]);
}

const struct CMUnitTest thread_tests[] = {
	BOTH(queued_twice_runs_once),
	BOTH(task_cancels_one_of_the_same_turn),
	BOTH(busy_task_does_not_starve_completions),
	BOTH(messages_of_four_threads),
	BOTH(stop_from_another_thread),
	BOTH(messages_before_stop_and_before_free_are_delivered),
	BOTH(made_and_freed_on_the_main_thread),
	BOTH_WITH(messages_of_four_threads, fixture_setup_small_cq),
};
const size_t thread_test_count = ARRAY_SIZE(thread_tests);
