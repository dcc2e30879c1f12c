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

#include "base/cidr.h"
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
	if (conn_handshake_waits_for_peer(conn))
		conn_punish(conn, PENALTY_TIMEOUT);
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
	[CONN_NEW] = { .timeout = handshake_timeout },
	[CONN_HEADER] = { .ready = conn_header_ready, .timeout = handshake_timeout },
	[CONN_HANDSHAKE] = { .ready = conn_handshake_ready, .timeout = handshake_timeout },
	[CONN_CONNECT] = { .ready = conn_connect_ready, .timeout = conn_connect_timeout },
	[CONN_PRELUDE] = { .ready = conn_prelude_ready, .timeout = conn_prelude_timeout },
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
	case CONN_PRELUDE:
		return timeouts->identity_ms;
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
	/* From accept to the end of a handshake there is one deadline. */
	bool same_deadline =
		state == CONN_HEADER || (state == CONN_HANDSHAKE && conn->state != CONN_CONNECT);

	assert(rows[conn->state].next & (1u << state));
	if (conn->state != CONN_NEW)
		conn_stats_add(conn, conns[conn->state], -1ULL);
	if (state != CONN_CLOSED)
		conn_stats_add(conn, conns[state], 1);
	conn->state = state;
	if (same_deadline)
		return;
	set_deadline(conn, state_deadline_ms(conn, state));
}

void conn_on_ready(struct conn *conn, struct leg *leg, uint32_t events)
{
	if (events & (LOOP_IN | LOOP_HUP | LOOP_RDHUP))
		leg->readable = true;
	if (events & (LOOP_HUP | LOOP_RDHUP)) {
		leg->hung_up = true;
		if (leg == &conn->dialed)
			conn_prelude_withdraw(conn);
	}
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

/* Who has come, and what is known before a connection is made of it. */
struct arrival {
	struct in6_addr ip;
	uint16_t port;
	struct source *source;
	bool counted_handshake;
};

static struct conn *conn_new(struct worker *worker, struct route *route,
			     const struct arrival *arrival)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	conn->worker = worker;
	conn->route = route_ref(route);
	conn->stats = route->state->stats.of[worker->index];
	conn->id = worker->next_conn_id++ << 8 | worker->index;
	conn->timer.on_fire = on_timer;
	conn->started_ns = loop_now_ns(worker->loop);
	conn->accepted.transport = conn->dialed.transport = &transport_plain;
	conn->accepted.watch.fd = conn->dialed.watch.fd = -1;
	conn->accepted.is_client = true;
	conn->tls = route->config->role == CONFIG_ROLE_FRONT ? &conn->accepted : &conn->dialed;
	conn->dialed.we_are_client = true;
	conn->client_ip = arrival->ip;
	conn->client_port = arrival->port;
	conn->source = arrival->source;
	conn->counted_handshake = arrival->counted_handshake;
	conn_count_memory(conn);
	list_append(&worker->conns, &conn->node);
	worker->conn_count++;
	return conn;
}

/* A balancer answers for its clients: what is against one of them is known when it has been named.
 */
static bool begins_with_header(const struct route *route, const struct in6_addr *ip)
{
	return !route->config->listen.is_unix && route_trusts_header_from(route, ip);
}

/* Every check but that of limits.connections, which is the caller's. */
static enum close_reason check_arrival(struct worker *worker, struct route *route,
				       struct arrival *arrival)
{
	uint64_t now_ns = loop_now_ns(worker->loop);
	enum close_reason verdict = GATE_OPEN;

	if (audit_refuses(worker->audit))
		return CLOSE_AUDIT_UNAVAILABLE;
	if (!route->config->listen.is_unix && !begins_with_header(route, &arrival->ip))
		verdict = gate_check_source(worker->gate, route, &arrival->ip, now_ns,
					    &arrival->source);
	if (verdict == GATE_OPEN)
		verdict = gate_check_load(worker->gate, route, now_ns);
	/* At a front it is a handshake from here on, be it that it waits for its turn. */
	if (verdict == GATE_OPEN && route->config->role == CONFIG_ROLE_FRONT) {
		arrival->counted_handshake = route_enter_handshake(route);
		if (!arrival->counted_handshake)
			verdict = CLOSE_LIMIT_HANDSHAKES;
	}
	return verdict;
}

/* Nobody is there yet to be told anything. */
static void turn_away(struct worker *worker, struct route *route, const struct arrival *arrival,
		      enum close_reason reason)
{
	atomic_fetch_sub(&route->state->connections, 1);
	if (arrival->counted_handshake)
		route_leave_handshake(route);
	gate_leave(worker->gate, arrival->source);
	route_mark_limit(route, reason, loop_now_ns(worker->loop));
	stats_add_both(&worker->stats, route->state->stats.of[worker->index], closes[reason], 1);
	conn_log_turned_away(worker, route, &arrival->ip, arrival->port, reason);
}

/* The first step: the socket is made ours, and what comes first begins. */
static void begin(struct conn *conn)
{
	const struct config_listener *config = conn->route->config;
	int fd = TAKE_FD(conn->accepted.watch.fd);

	socket_set_options(fd, config->listen.is_unix ? AF_UNIX : AF_INET, &config->timeouts);
	if (loop_watch_start(conn->worker->loop, &conn->accepted.watch, fd, on_accepted_ready) <
	    0) {
		close(fd);
		conn_close(conn, CLOSE_NO_MEMORY);
		return;
	}
	if (begins_with_header(conn->route, &conn->client_ip))
		conn_header_start(conn);
	else
		conn_next_step(conn);
}

/* It begins, now or when it is its turn. */
static void welcome(struct conn *conn)
{
	struct worker *worker = conn->worker;

	if (!turnstile_enter(&worker->turnstile, &conn->arrival)) {
		conn_stats_add(conn, handshake_waits, 1);
		return;
	}
	USDT_ACCEPT(conn->id, conn->route->config->name);
	begin(conn);
	turnstile_done(&worker->turnstile);
}

static void on_arrival_turn(struct turnstile_entry *entry)
{
	welcome(container_of(entry, struct conn, arrival));
}

void conn_accept(struct worker *worker, struct route *route, int fd)
{
	struct arrival arrival = { 0 };
	enum close_reason verdict;
	struct conn *conn = NULL;

	stats_add_both(&worker->stats, route->state->stats.of[worker->index], accepted, 1);
	socket_peer(fd, &arrival.ip, &arrival.port);
	if (atomic_fetch_add(&route->state->connections, 1) >= route->config->limits.connections)
		verdict = CLOSE_LIMIT_CONNECTIONS;
	else
		verdict = check_arrival(worker, route, &arrival);
	if (verdict == GATE_OPEN) {
		conn = conn_new(worker, route, &arrival);
		verdict = CLOSE_NO_MEMORY;
	}
	if (!conn) {
		turn_away(worker, route, &arrival, verdict);
		close(fd);
		return;
	}
	conn->accepted.watch.fd = fd;
	conn->arrival.go = on_arrival_turn;
	set_deadline(conn, route->config->timeouts.handshake_ms);
	welcome(conn);
}

bool conn_enter(struct conn *conn)
{
	struct worker *worker = conn->worker;
	enum close_reason verdict = gate_check_source(worker->gate, conn->route, &conn->client_ip,
						      loop_now_ns(worker->loop), &conn->source);

	if (verdict == GATE_OPEN)
		return true;
	conn_log_turned_away(worker, conn->route, &conn->client_ip, conn->client_port, verdict);
	conn->logged = true;
	conn_close(conn, verdict);
	return false;
}

void conn_punish(struct conn *conn, enum penalty_kind kind)
{
	/* A balancer that stands for itself (a health check) is not shut out. */
	if (conn->tls != &conn->accepted || conn->route->config->listen.is_unix ||
	    route_trusts_header_from(conn->route, &conn->client_ip))
		return;
	gate_punish(conn->worker->gate, conn->route, &conn->client_ip, conn->client_port, kind,
		    loop_now_ns(conn->worker->loop));
}

static size_t leg_held_bytes(const struct leg *leg)
{
	return (leg->out ? leg->out->capacity : 0) + (leg->in ? leg->in->capacity : 0);
}

void conn_count_memory(struct conn *conn)
{
	int64_t now = (int64_t)(sizeof(*conn) + leg_held_bytes(&conn->accepted) +
				leg_held_bytes(&conn->dialed) + conn_handshake_bytes(conn));

	if (now != conn->held_bytes)
		gate_hold(conn->worker->gate, now - conn->held_bytes);
	conn->held_bytes = now;
}

void conn_next_step(struct conn *conn)
{
	bool handshake_first = conn->tls == &conn->accepted;

	if (!conn->secured && (handshake_first || conn->connected))
		conn_handshake_start(conn);
	else if (!conn->connected)
		conn_connect_start(conn);
	else if (conn->route->config->kafka.identity == CONFIG_IDENTITY_OAUTHBEARER)
		conn_prelude_start(conn);
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
	case CLOSE_KEY_EXHAUSTED: /* what was read is lost */
	case CLOSE_NO_MEMORY:	  /* … or may be */
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
	conn_header_free(conn);
	conn_handshake_free(conn);
	conn_connect_free(conn);
	conn_prelude_withdraw(conn);
	conn_relay_fini(conn);
}

void conn_close(struct conn *conn, enum close_reason reason)
{
	struct worker *worker = conn->worker;

	conn->reason = reason;
	turnstile_leave(&worker->turnstile, &conn->arrival);
	if (conn->state == CONN_NEW && leg_fd(&conn->accepted) >= 0)
		close(TAKE_FD(conn->accepted.watch.fd)); /* not the loop's yet */
	conn_set_state(conn, CONN_CLOSED);
	conn_stats_add(conn, closes[reason], 1); /* before anybody reads of it */
	conn_log_closed(conn);
	USDT_CLOSE(conn->id, conn->route->config->name, close_reason_name(reason),
		   conn->inbound.bytes, conn->outbound.bytes);
	release_steps(conn);
	close_leg(conn, &conn->dialed, reason);
	close_leg(conn, &conn->accepted, reason);
	loop_timer_cancel(worker->loop, &conn->timer);
	gate_leave(worker->gate, conn->source);
	conn_limit_leave(conn);
	gate_hold(worker->gate, -conn->held_bytes);
	atomic_fetch_sub(&conn->route->state->connections, 1);
	route_unref(conn->route);
	conn_walk_on_gone(worker, conn);
	list_remove(&conn->node);
	worker->conn_count--;
	peer_free(conn->peer);
	free(conn->principal);
	free(conn->proxied);
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
	conn_count_memory(conn);
	conn_set_state(conn, CONN_LINGER);
	linger_ready(conn, leg, 0);
}

void conn_on_leg_failed(struct conn *conn, struct leg *leg)
{
	struct leg *other = leg == &conn->accepted ? &conn->dialed : &conn->accepted;
	enum close_reason reason = (enum close_reason)leg->failure;
	bool socket_works = leg->transport->is_tls && reason != CLOSE_CLIENT_RESET &&
			    reason != CLOSE_UPSTREAM_RESET && reason != CLOSE_PEER_ALERT;

	if (conn->state == CONN_PRELUDE && leg == &conn->dialed) {
		conn_prelude_on_broken(conn);
		return;
	}
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
	uint64_t now_ns = loop_now_ns(conn->worker->loop), due_ns = conn->active_ns + idle_ns;

	/* Who waits because of us is not idle. */
	if (conn_is_limited(conn))
		due_ns = now_ns + idle_ns;
	/* Traffic does not move the timer; it is looked at only when the timer fires. */
	if (now_ns < due_ns) {
		loop_timer_set(conn->worker->loop, &conn->timer, due_ns);
		return;
	}
	conn_end(conn, &conn->accepted, CLOSE_IDLE_TIMEOUT, 0);
}

void conn_drain(struct conn *conn)
{
	if (conn->state == CONN_LINGER)
		conn_close(conn, conn->reason);
	else if (conn->state == CONN_RELAY || conn->state == CONN_PRELUDE ||
		 conn->state == CONN_CONNECT)
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
