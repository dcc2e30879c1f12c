/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The step that connects the upstream: each known address in turn until one accepts, within one
 * deadline for all, of which each has an equal share: one that does not answer must not use up that
 * of the others.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "dataplane/conn.h"
#include "dataplane/socket_options.h"

struct conn_connect {
	struct upstream_address addresses[UPSTREAM_ADDRESSES_MAX];
	size_t count, next;
	uint64_t started_ns;
};

static void on_dialed_ready(struct loop_watch *watch, uint32_t events)
{
	struct conn *conn = container_of(watch, struct conn, dialed.watch);

	conn_on_ready(conn, &conn->dialed, events);
}

/* One attempt. 0 (under way) or -errno. */
static int dial(struct conn *conn, const struct upstream_address *address)
{
	cleanup_close int fd =
		socket(address->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	socket_set_options(fd, address->addr.ss_family, &conn->route->config->timeouts);
	if (connect(fd, (const struct sockaddr *)&address->addr, address->len) < 0 &&
	    errno != EINPROGRESS)
		return -errno;
	r = loop_watch_start(conn->worker->loop, &conn->dialed.watch, fd, on_dialed_ready);
	if (r < 0)
		return r;
	TAKE_FD(fd);
	return 0;
}

static void note_failure(struct conn *conn, int error)
{
	conn_stats_add(conn, upstream_connect_failures, 1);
	route_mark_upstream_failed(conn->route, loop_now_ns(conn->worker->loop), error);
}

static void dial_next(struct conn *conn)
{
	uint64_t deadline_ns = conn->route->config->timeouts.connect_ms * NSEC_PER_MSEC;
	struct conn_connect *step = conn->connect;
	struct loop *loop = conn->worker->loop;

	while (step->next < step->count) {
		int r = dial(conn, &step->addresses[step->next++]);

		if (r == 0) {
			loop_timer_set(loop, &conn->timer,
				       loop_now_ns(loop) + deadline_ns / step->count);
			return;
		}
		conn->error = -r;
	}
	note_failure(conn, step->count ? conn->error : 0);
	conn_end(conn, &conn->accepted,
		 step->count ? CLOSE_UPSTREAM_REFUSED : CLOSE_UPSTREAM_UNRESOLVED, 0);
}

void conn_connect_start(struct conn *conn)
{
	conn->connect = calloc(1, sizeof(*conn->connect));
	if (!conn->connect) {
		conn_close(conn, CLOSE_NO_MEMORY);
		return;
	}
	if (conn->tls == &conn->dialed && conn_header_hold(conn, NULL) < 0) {
		conn_close(conn, CLOSE_NO_MEMORY);
		return;
	}
	conn->connect->started_ns = loop_now_ns(conn->worker->loop);
	conn->connect->count = route_addresses(conn->route, conn->connect->addresses);
	conn_set_state(conn, CONN_CONNECT);
	dial_next(conn);
}

/* 0 connected, -EINPROGRESS, or another -errno. */
static int connect_result(int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		return -errno;
	if (err)
		return -err;
	/* No error may also mean: not yet. */
	len = sizeof(peer);
	if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0)
		return errno == ENOTCONN ? -EINPROGRESS : -errno;
	return 0;
}

static void hang_up(struct conn *conn)
{
	loop_watch_close(conn->worker->loop, &conn->dialed.watch);
	conn->dialed.hung_up = false;
}

void conn_connect_ready(struct conn *conn, struct leg *leg, uint32_t events)
{
	uint64_t took_ns;
	int r;

	if (leg == &conn->accepted) {
		if (events & LOOP_HUP)
			conn_close(conn, CLOSE_CLIENT_RESET);
		return;
	}
	r = connect_result(leg_fd(leg));
	if (r == -EINPROGRESS)
		return;
	if (r < 0) {
		conn->error = -r;
		hang_up(conn);
		dial_next(conn);
		return;
	}
	conn_stats_add(conn, upstream_connects, 1);
	took_ns = loop_now_ns(conn->worker->loop) - conn->connect->started_ns;
	histogram_add(&conn->stats->connect_time, took_ns);
	atomic_store_explicit(&conn->route->state->marks.upstream_ok_ns,
			      loop_now_ns(conn->worker->loop), memory_order_relaxed);
	conn_connect_free(conn);
	conn->connected = true;
	conn_next_step(conn);
}

void conn_connect_timeout(struct conn *conn)
{
	if (conn->connect->next < conn->connect->count) {
		conn->error = ETIMEDOUT;
		hang_up(conn);
		dial_next(conn);
		return;
	}
	note_failure(conn, ETIMEDOUT);
	conn_end(conn, &conn->accepted, CLOSE_UPSTREAM_TIMEOUT, 0);
}

void conn_connect_free(struct conn *conn)
{
	free(TAKE_PTR(conn->connect));
}
