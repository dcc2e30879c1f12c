/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The step that connects the upstream: each known address in turn until one accepts, within one
 * deadline for all.
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

static void dial_next(struct conn *conn)
{
	struct conn_connect *step = conn->connect;

	while (step->next < step->count) {
		int r = dial(conn, &step->addresses[step->next++]);

		if (r == 0)
			return;
		conn->error = -r;
	}
	stats_add(&conn->worker->stats.upstream_connect_failures, 1);
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

void conn_connect_ready(struct conn *conn, struct leg *leg, uint32_t events)
{
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
		loop_watch_close(conn->worker->loop, &leg->watch);
		leg->hung_up = false;
		dial_next(conn);
		return;
	}
	stats_add(&conn->worker->stats.upstream_connects, 1);
	conn_connect_free(conn);
	conn->connected = true;
	conn_next_step(conn);
}

void conn_connect_timeout(struct conn *conn)
{
	stats_add(&conn->worker->stats.upstream_connect_failures, 1);
	conn_end(conn, &conn->accepted, CLOSE_UPSTREAM_TIMEOUT, 0);
}

void conn_connect_free(struct conn *conn)
{
	free(TAKE_PTR(conn->connect));
}
