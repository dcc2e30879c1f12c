/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection's life (conn.h): accept, the table of states with their handlers and deadlines, and
 * the ends. Everything runs on the worker's thread. Whoever calls something that may end the
 * connection returns at once: the struct may be gone.
 */
#include "dataplane/conn.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/util.h"
#include "dataplane/audit.h"
#include "dataplane/conn_log.h"
#include "dataplane/conn_walk.h"
#include "dataplane/socket_options.h"
#include "dataplane/transport.h"
#include "dataplane/usdt.h"

static void linger_ready(struct conn *conn, struct leg *leg, uint32_t events);
static void relay_timeout(struct conn *conn);

static void handshake_timeout(struct conn *conn)
{
	conn_log_refused(conn, close_reason_name(CLOSE_HANDSHAKE_TIMEOUT), NULL);
	conn_close(conn, CLOSE_HANDSHAKE_TIMEOUT);
}

static void linger_timeout(struct conn *conn)
{
	conn_close(conn, conn->reason);
}

struct state_row {
	const char *name;
	uint32_t next;
	void (*ready)(struct conn *conn, struct leg *leg, uint32_t events);
	void (*timeout)(struct conn *conn);
};

static const struct state_row rows[CONN_STATE_COUNT] = {
#define X(suffix, text, following) [CONN_##suffix] = { .name = text, .next = following },
	CONN_STATES(X)
#undef X
};

/* Handlers of the states that have any. */
static const struct state_row handlers[CONN_STATE_COUNT] = {
	[CONN_HANDSHAKE] = { .ready = conn_handshake_ready, .timeout = handshake_timeout },
	[CONN_CONNECT] = { .ready = conn_connect_ready, .timeout = conn_connect_timeout },
	[CONN_RELAY] = { .ready = conn_relay_ready, .timeout = relay_timeout },
	[CONN_LINGER] = { .ready = linger_ready, .timeout = linger_timeout },
};

const char *conn_state_name(enum conn_state state)
{
	return rows[state].name;
}

static uint64_t state_deadline_ms(const struct conn *conn, enum conn_state state)
{
	const struct config_timeouts *timeouts = &conn->route->config->timeouts;

	switch (state) {
	case CONN_HANDSHAKE:
		return timeouts->handshake_ms;
	case CONN_CONNECT:
		return timeouts->connect_ms;
	case CONN_RELAY:
		return timeouts->idle_ms;
	case CONN_LINGER:
		return MAX(timeouts->linger_ms, (uint64_t)1);
	default:
		return 0;
	}
}

static void on_timer(struct loop_timer *timer)
{
	struct conn *conn = container_of(timer, struct conn, timer);

	if (handlers[conn->state].timeout)
		handlers[conn->state].timeout(conn);
}

static void set_deadline(struct conn *conn, uint64_t after_ms)
{
	struct loop *loop = conn->worker->loop;

	if (after_ms)
		loop_timer_set(loop, &conn->timer, loop_now_ns(loop) + after_ms * NSEC_PER_MSEC);
	else
		loop_timer_cancel(loop, &conn->timer);
}

void conn_set_state(struct conn *conn, enum conn_state state)
{
	assert(rows[conn->state].next & (1u << state));
	conn->state = state;
	set_deadline(conn, state_deadline_ms(conn, state));
}

void conn_on_ready(struct conn *conn, struct leg *leg, uint32_t events)
{
	if (events & (LOOP_IN | LOOP_HUP | LOOP_RDHUP))
		leg->readable = true;
	if (events & (LOOP_HUP | LOOP_RDHUP))
		leg->hung_up = true;
	if (events & LOOP_OUT)
		leg->writable = true;
	if (handlers[conn->state].ready)
		handlers[conn->state].ready(conn, leg, events);
}

static void on_accepted_ready(struct loop_watch *watch, uint32_t events)
{
	struct conn *conn = container_of(watch, struct conn, accepted.watch);

	conn_on_ready(conn, &conn->accepted, events);
}

static struct conn *conn_new(struct worker *worker, struct route *route, int fd)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	conn->worker = worker;
	conn->route = route_ref(route);
	conn->id = worker->next_conn_id++ << 8 | worker->index;
	conn->timer.on_fire = on_timer;
	conn->started_ns = loop_now_ns(worker->loop);
	conn->accepted.transport = conn->dialed.transport = &transport_plain;
	conn->accepted.watch.fd = conn->dialed.watch.fd = -1;
	conn->accepted.is_client = true;
	conn->tls = route->config->role == CONFIG_ROLE_FRONT ? &conn->accepted : &conn->dialed;
	conn->dialed.we_are_client = true;
	socket_peer(fd, &conn->client_ip, &conn->client_port);
	list_append(&worker->conns, &conn->node);
	worker->conn_count++;
	return conn;
}

/* No further than this: nothing has been made for it. */
static void turn_away(struct worker *worker, struct route *route, int fd, enum close_reason reason)
{
	stats_add(&worker->stats.closes[reason], 1);
	conn_log_turned_away(worker, route, fd, reason);
	close(fd);
}

void conn_accept(struct worker *worker, struct route *route, int fd)
{
	struct conn *conn;

	stats_add(&worker->stats.accepted, 1);
	if (audit_refuses(worker->audit)) {
		turn_away(worker, route, fd, CLOSE_AUDIT_UNAVAILABLE);
		return;
	}
	if (atomic_fetch_add(&route->state->connections, 1) >= route->config->limits.connections) {
		atomic_fetch_sub(&route->state->connections, 1);
		atomic_store_explicit(&route->state->marks.limit_connections_ns,
				      loop_now_ns(worker->loop), memory_order_relaxed);
		turn_away(worker, route, fd, CLOSE_LIMIT_CONNECTIONS);
		return;
	}
	conn = conn_new(worker, route, fd);
	if (!conn) {
		atomic_fetch_sub(&route->state->connections, 1);
		turn_away(worker, route, fd, CLOSE_NO_MEMORY);
		return;
	}
	socket_set_options(fd, route->config->listen.is_unix ? AF_UNIX : AF_INET,
			   &route->config->timeouts);
	if (loop_watch_start(worker->loop, &conn->accepted.watch, fd, on_accepted_ready) < 0) {
		close(fd);
		conn_close(conn, CLOSE_NO_MEMORY);
		return;
	}
	USDT_ACCEPT(conn->id, route->config->name);
	conn_next_step(conn);
}

void conn_next_step(struct conn *conn)
{
	bool handshake_first = conn->tls == &conn->accepted;

	if (!conn->secured && (handshake_first || conn->connected))
		conn_handshake_start(conn);
	else if (!conn->connected)
		conn_connect_start(conn);
	else
		conn_relay_start(conn);
}

/* Ends that the service behind a plain socket must not take for the orderly end of a stream. */
static bool is_abnormal(enum close_reason reason)
{
	switch (reason) {
	case CLOSE_CLIENT_RESET:
	case CLOSE_UPSTREAM_RESET:
	case CLOSE_BAD_RECORD_MAC:
	case CLOSE_BAD_RECORD:
	case CLOSE_PEER_ALERT:
	case CLOSE_RENEGOTIATION:
	case CLOSE_KEY_UPDATE_STORM:
	case CLOSE_EMPTY_RECORDS:
	case CLOSE_KILLED:
	case CLOSE_NO_MEMORY: /* what was read may be lost */
		return true;
	default:
		return false;
	}
}

/* Closes with RST if the end is abnormal and the leg has nobody's alert to deliver. */
static void close_leg(struct conn *conn, struct leg *leg, enum close_reason reason)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (leg_fd(leg) >= 0 && is_abnormal(reason) && !leg->notified) {
		setsockopt(leg_fd(leg), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		leg->shut = true; /* a FIN before the RST would look like an end in order */
	}
	leg_close(leg, conn->worker);
}

/* What all states may hold, apart from the sockets. */
static void release_steps(struct conn *conn)
{
	conn_handshake_free(conn);
	conn_connect_free(conn);
	conn_relay_fini(conn);
}

void conn_close(struct conn *conn, enum close_reason reason)
{
	struct worker *worker = conn->worker;

	conn->reason = reason;
	conn_set_state(conn, CONN_CLOSED);
	conn_log_closed(conn);
	USDT_CLOSE(conn->id, conn->route->config->name, close_reason_name(reason),
		   conn->inbound.bytes, conn->outbound.bytes);
	stats_add(&worker->stats.closes[reason], 1);
	release_steps(conn);
	close_leg(conn, &conn->dialed, reason);
	close_leg(conn, &conn->accepted, reason);
	loop_timer_cancel(worker->loop, &conn->timer);
	atomic_fetch_sub(&conn->route->state->connections, 1);
	route_unref(conn->route);
	conn_walk_on_gone(worker, conn);
	list_remove(&conn->node);
	worker->conn_count--;
	peer_free(conn->peer);
	free(conn);
	worker_check_end(worker);
}

void conn_end(struct conn *conn, struct leg *leg, enum close_reason reason, uint8_t alert)
{
	struct leg *other = leg == &conn->accepted ? &conn->dialed : &conn->accepted;

	/* Nobody to tell; or no way to say in plain that the stream was cut, but a reset. */
	if (leg_fd(leg) < 0 || (is_abnormal(reason) && !leg->transport->is_tls)) {
		conn_close(conn, reason);
		return;
	}
	conn->reason = reason;
	release_steps(conn);
	/* Not waited for, but told in order all the same: no TLS peer may see a truncation. */
	if (leg_fd(other) >= 0 && other->transport->is_tls && !is_abnormal(reason))
		leg_finish(other, conn->worker);
	close_leg(conn, other, reason);
	if (alert)
		leg_alert(leg, conn->worker, alert);
	conn_set_state(conn, CONN_LINGER);
	linger_ready(conn, leg, 0);
}

void conn_on_leg_failed(struct conn *conn, struct leg *leg)
{
	struct leg *other = leg == &conn->accepted ? &conn->dialed : &conn->accepted;
	enum close_reason reason = (enum close_reason)leg->failure;
	bool socket_works = leg->transport->is_tls && reason != CLOSE_CLIENT_RESET &&
			    reason != CLOSE_UPSTREAM_RESET && reason != CLOSE_PEER_ALERT;

	if (socket_works)
		conn_end(conn, leg, reason, leg->alert);
	else
		/* An end that is not the stream's own must not look like it (RFC 8446 6.1). */
		conn_end(conn, other, reason, TLS_ALERT_INTERNAL_ERROR);
}

/* One read of what is thrown away. The room for ancillary data is for kTLS, which does not give a
 * control record without. */
static ssize_t discard_once(struct conn *conn, struct leg *leg)
{
	uint8_t control[64] __attribute__((aligned(8)));
	struct iovec iov = { conn->worker->buffer, RELAY_BATCH_BYTES };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(leg_fd(leg), &msg, MSG_DONTWAIT);

	/* kTLS: an empty record, which is not the end. */
	return n == 0 && msg.msg_controllen ? 1 : n;
}

/* kTLS: of what came, not of the socket. Nothing can be read any more, but what we send arrives as
 * long as the socket is not closed. */
static bool is_record_error(const struct leg *leg, int err)
{
	return leg->transport == &transport_ktls && err != ECONNRESET && err != EPIPE &&
	       err != ETIMEDOUT;
}

/* TCP has nothing left to do for it: kTLS would go on telling of its bad record. */
static bool is_closed(const struct leg *leg)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	return getsockopt(leg_fd(leg), IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_state == TCP_CLOSE;
}

/* Reads and throws away, so that our last bytes are not lost to a reset because of unread input. */
static bool discard_input(struct conn *conn, struct leg *leg)
{
	ssize_t n;

	while (leg->readable) {
		n = discard_once(conn, leg);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || is_record_error(leg, errno))) {
			leg->readable = false;
			return errno == EAGAIN || !is_closed(leg);
		}
		if (n <= 0)
			return false;
		conn->lingered_bytes += (size_t)n;
		if (conn->lingered_bytes > LINGER_BYTES_MAX)
			return false;
	}
	return true;
}

static void linger_ready(struct conn *conn, struct leg *leg, uint32_t events)
{
	(void)events;
	if (leg_fd(leg) < 0)
		return;
	if (leg_finish(leg, conn->worker) == LEG_FAILED ||
	    (!discard_input(conn, leg) && !leg_blocked(leg)))
		conn_close(conn, conn->reason);
}

static void relay_timeout(struct conn *conn)
{
	uint64_t idle_ns = conn->route->config->timeouts.idle_ms * NSEC_PER_MSEC;
	uint64_t due_ns = conn->active_ns + idle_ns;

	/* Traffic does not move the timer; it is looked at only when the timer fires. */
	if (loop_now_ns(conn->worker->loop) < due_ns) {
		loop_timer_set(conn->worker->loop, &conn->timer, due_ns);
		return;
	}
	conn_end(conn, &conn->accepted, CLOSE_IDLE_TIMEOUT, 0);
}

void conn_drain(struct conn *conn)
{
	if (conn->state == CONN_LINGER)
		conn_close(conn, conn->reason);
	else if (conn->state == CONN_RELAY || conn->state == CONN_CONNECT)
		conn_end(conn, &conn->accepted, CLOSE_DRAIN, 0);
	else
		conn_close(conn, CLOSE_DRAIN);
}

void conn_kill(struct conn *conn)
{
	if (conn->state == CONN_LINGER)
		conn_close(conn, conn->reason);
	else
		conn_end(conn, conn->tls, CLOSE_KILLED, TLS_ALERT_ACCESS_DENIED);
}
