/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners of a worker (worker_listen.h): accepting, backing off when descriptors run out, and
 * changing from one snapshot to the next. A listener owns its copy of a listening socket and a
 * reference to its route. Plans are made by the main thread, everything else is the worker's.
 */
#include "dataplane/worker_listen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "dataplane/conn.h"

#define ACCEPT_BACKOFF_MS 100

struct worker_listener {
	struct list_node node; /* in a plan, worker->listeners, or worker->ending */
	struct worker *worker;
	struct route *route; /* a reference */
	uint64_t group;	     /* whose socket it is */
	struct loop_accept accept;
	struct loop_timer backoff;
	int fd; /* -1: the loop has it */
	bool ending;
};

struct plan_row {
	uint64_t group;
	struct route *route; /* the plan's snapshot's */
};

struct worker_plan {
	struct loop_msg msg;
	struct worker *worker;
	struct snapshot *snapshot; /* a reference */
	int done_fd;
	struct list_node fresh; /* listeners of groups that the worker does not have */
	size_t row_count;
	struct plan_row rows[];
};

static void on_accept(struct loop_accept *accept, int fd);

static void listener_free(struct worker_listener *listener)
{
	if (listener->fd >= 0)
		close(listener->fd);
	list_remove(&listener->node);
	route_unref(listener->route);
	free(listener);
}

static struct stats *share_of(const struct worker_listener *listener)
{
	return listener->route->state->stats.of[listener->worker->index];
}

static void start_backoff(struct worker_listener *listener)
{
	struct loop *loop = listener->worker->loop;

	atomic_store_explicit(&listener->route->state->marks.accept_failed_ns, loop_now_ns(loop),
			      memory_order_relaxed);
	stats_add_both(&listener->worker->stats, share_of(listener), accept_backoffs, 1);
	loop_timer_set(loop, &listener->backoff,
		       loop_now_ns(loop) + ACCEPT_BACKOFF_MS * NSEC_PER_MSEC);
}

/* The first time, and after a back-off. Where the loop can not take the order now, it gets it again
 * a little later. */
static void start_accepting(struct worker_listener *listener)
{
	int fd = listener->fd >= 0 ? listener->fd : listener->accept.fd;
	int r = loop_accept_start(listener->worker->loop, &listener->accept, fd, on_accept);

	if (r < 0) {
		log_msg(LOG_WARNING, "accept_failed", "listener %s: %s; tried again in %d ms",
			listener->route->config->name, strerror(-r), ACCEPT_BACKOFF_MS);
		start_backoff(listener);
		return;
	}
	listener->fd = -1; /* the loop's now */
}

static void on_backoff_over(struct loop_timer *timer)
{
	start_accepting(container_of(timer, struct worker_listener, backoff));
}

static void on_accept(struct loop_accept *accept, int fd)
{
	struct worker_listener *listener = container_of(accept, struct worker_listener, accept);
	struct worker *worker = listener->worker;
	struct log_line line;

	if (fd >= 0) {
		conn_accept(worker, listener->route, fd);
		/* One that comes when the drain has begun has its deadline too. */
		if (worker->draining)
			loop_timer_set(worker->loop, &worker->drain_timer,
				       loop_now_ns(worker->loop));
		return;
	}
	if (listener->ending) {
		listener_free(listener);
		worker_check_end(worker);
		return;
	}
	/* Out of descriptors or memory: the backlog waits in the kernel, and we look again a little
	 * later. */
	stats_add_both(&worker->stats, share_of(listener), accept_errors, 1);
	log_begin(&line, LOG_WARNING, "accept_backoff");
	log_str(&line, "listener", listener->route->config->name);
	log_str(&line, "error", strerrorname_np(-fd));
	log_str(&line, "msg",
		fd == -EMFILE
			? "out of file descriptors: raise LimitNOFILE, or lower limits.connections"
			: NULL);
	log_u64(&line, "retry_ms", ACCEPT_BACKOFF_MS);
	log_end(&line);
	start_backoff(listener);
}

static void listener_end(struct worker_listener *listener)
{
	struct worker *worker = listener->worker;

	loop_timer_cancel(worker->loop, &listener->backoff);
	listener->ending = true;
	list_remove(&listener->node);
	list_append(&worker->ending, &listener->node);
	if (!loop_accept_finish(worker->loop, &listener->accept))
		listener_free(listener);
}

void worker_listen_end(struct worker *worker)
{
	struct list_node *it, *next;

	list_for_each_safe (it, next, &worker->listeners)
		listener_end(container_of(it, struct worker_listener, node));
}

void worker_listen_fini(struct worker *worker)
{
	while (!list_empty(&worker->listeners))
		listener_free(container_of(worker->listeners.next, struct worker_listener, node));
	while (!list_empty(&worker->ending))
		listener_free(container_of(worker->ending.next, struct worker_listener, node));
}

static int add_fresh(struct worker_plan *plan, struct route *route,
		     const struct listen_group *group, int fd, struct err_text *err)
{
	struct worker_listener *listener = fd < 0 ? NULL : calloc(1, sizeof(*listener));

	if (fd < 0)
		return err_set(err, fd, "listener %s: can not share its socket: %s",
			       route->config->name, strerror(-fd));
	if (!listener) {
		close(fd);
		return err_set(err, -ENOMEM, "out of memory");
	}
	*listener = (struct worker_listener){ .worker = plan->worker,
					      .route = route_ref(route),
					      .group = group->id,
					      .accept.fd = -1,
					      .backoff.on_fire = on_backoff_over,
					      .fd = fd };
	list_append(&plan->fresh, &listener->node);
	return 0;
}

static int add_row(struct worker_plan *plan, unsigned int workers, struct route *route,
		   const struct listen_group *group, struct err_text *err)
{
	unsigned int index = plan->worker->index;

	plan->rows[plan->row_count++] = (struct plan_row){ group->id, route };
	if (listener_stats_prepare(&route->state->stats, index) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t n = 0; !group->workers_have_it && n < listen_group_share(group, index, workers);
	     n++) {
		int fd = listen_group_copy(group, index, workers, n);
		int r = add_fresh(plan, route, group, fd, err);

		if (r < 0)
			return r;
	}
	return 0;
}

int worker_plan_new(struct worker *worker, unsigned int workers, struct snapshot *snapshot,
		    const struct listen_table *table, struct worker_plan **ret,
		    struct err_text *err)
{
	struct worker_plan *plan =
		calloc(1, sizeof(*plan) + snapshot->route_count * sizeof(*plan->rows));

	if (!plan)
		return err_set(err, -ENOMEM, "out of memory");
	plan->worker = worker;
	plan->snapshot = snapshot_ref(snapshot);
	list_init(&plan->fresh);
	for (size_t i = 0; i < snapshot->route_count; i++) {
		int r = add_row(plan, workers, &snapshot->routes[i], table->groups[i], err);

		if (r < 0) {
			worker_plan_free(plan);
			return r;
		}
	}
	*ret = plan;
	return 0;
}

void worker_plan_free(struct worker_plan *plan)
{
	if (!plan)
		return;
	while (!list_empty(&plan->fresh))
		listener_free(container_of(plan->fresh.next, struct worker_listener, node));
	snapshot_unref(plan->snapshot);
	free(plan);
}

static struct route *planned_route(const struct worker_plan *plan, uint64_t group)
{
	for (size_t i = 0; i < plan->row_count; i++)
		if (plan->rows[i].group == group)
			return plan->rows[i].route;
	return NULL;
}

static void carry_out(struct worker_plan *plan)
{
	struct worker *worker = plan->worker;
	struct list_node *it, *next;

	list_for_each_safe (it, next, &worker->listeners) {
		struct worker_listener *listener = container_of(it, struct worker_listener, node);
		struct route *route = planned_route(plan, listener->group);

		if (!route) {
			listener_end(listener);
			continue;
		}
		route_ref(route);
		route_unref(listener->route);
		listener->route = route;
	}
	list_for_each_safe (it, next, &plan->fresh) {
		list_remove(it);
		list_append(&worker->listeners, it);
		start_accepting(container_of(it, struct worker_listener, node));
	}
}

static void on_plan(struct loop_msg *msg)
{
	struct worker_plan *plan = container_of(msg, struct worker_plan, msg);
	struct worker *worker = plan->worker;

	/* Who is on the way out listens to nothing any more. */
	if (!worker->draining)
		carry_out(plan);
	throttle_wake_all(&worker->throttle);
	atomic_store(&worker->generation, plan->snapshot->generation);
	eventfd_write(plan->done_fd, 1);
	worker_plan_free(plan);
}

void worker_plan_post(struct worker_plan *plan, int done_fd)
{
	plan->msg.deliver = on_plan;
	plan->done_fd = done_fd;
	loop_post(plan->worker->loop, &plan->msg);
}

uint64_t worker_generation(const struct worker *worker)
{
	return atomic_load(&worker->generation);
}
