/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The step that does the TLS handshake: reads exactly one record at a time (kernel TLS must start
 * at a record boundary with nothing left in user space), feeds it to tls/handshake, sends what
 * comes out, and when it is done hands the keys to the leg's transport.
 *
 * Nothing costly exists before a peer has sent a whole first record that looks like TLS.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "dataplane/conn.h"
#include "dataplane/conn_log.h"
#include "dataplane/transport.h"
#include "dataplane/usdt.h"

struct conn_handshake {
	struct tls_handshake *tls;
	uint8_t *record; /* header and body, while it is being read */
	size_t have, need;
	uint8_t header[TLS_RECORD_HEADER_BYTES];
	enum tls_handshake_status status;
};

const struct peer *conn_handshake_claimed_peer(struct conn *conn)
{
	return conn->handshake && conn->handshake->tls
		       ? tls_handshake_claimed_peer(conn->handshake->tls)
		       : NULL;
}

void conn_handshake_free(struct conn *conn)
{
	struct conn_handshake *step = conn->handshake;

	if (conn->counted_handshake) {
		conn->counted_handshake = false;
		atomic_fetch_sub(&conn->route->state->handshakes, 1);
	}
	if (!step)
		return;
	tls_handshake_free(step->tls);
	free(step->record);
	free(step);
	conn->handshake = NULL;
}

/* Refuses the peer: what is in leg->out (an alert) is still delivered. */
static void refuse(struct conn *conn, enum close_reason reason, const char *name,
		   const char *detail)
{
	conn_log_refused(conn, name, detail);
	conn_end(conn, conn->tls, reason, 0);
}

static void on_failed(struct conn *conn)
{
	const char *detail = NULL;
	enum tls_refusal refusal = tls_handshake_refusal(conn->handshake->tls, &detail);

	stats_add(&conn->worker->stats.refusals[refusal], 1);
	refuse(conn, CLOSE_HANDSHAKE_FAILED, tls_refusal_name(refusal), detail);
}

static void on_not_tls(struct conn *conn, enum tls_record_check check)
{
	static const uint8_t alert[] = {
		TLS_ALERT, 3, 3, 0, 2, TLS_ALERT_FATAL, TLS_ALERT_UNEXPECTED_MESSAGE
	};
	static const uint8_t overflow[] = {
		TLS_ALERT, 3, 3, 0, 2, TLS_ALERT_FATAL, TLS_ALERT_RECORD_OVERFLOW
	};
	static const char http_answer[] = "HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\n"
					  "This port speaks TLS with client certificates.\n";
	struct leg *leg = conn->tls;

	switch (check) {
	case TLS_RECORD_IS_HTTP:
		leg_hold(leg, http_answer, sizeof(http_answer) - 1);
		refuse(conn, CLOSE_NOT_TLS_HTTP, close_reason_name(CLOSE_NOT_TLS_HTTP),
		       "an HTTP request in clear came to a TLS port");
		return;
	case TLS_RECORD_IS_KAFKA:
		refuse(conn, CLOSE_NOT_TLS_KAFKA, close_reason_name(CLOSE_NOT_TLS_KAFKA),
		       "a Kafka request in clear came to a TLS port: set security.protocol=SSL at "
		       "this client");
		return;
	case TLS_RECORD_TOO_LONG:
		leg_hold(leg, overflow, sizeof(overflow));
		refuse(conn, CLOSE_NOT_TLS, close_reason_name(CLOSE_NOT_TLS),
		       "a record longer than TLS allows");
		return;
	default:
		leg_hold(leg, alert, sizeof(alert));
		refuse(conn, CLOSE_NOT_TLS, close_reason_name(CLOSE_NOT_TLS),
		       "the first bytes are not a TLS record");
	}
}

/* Reads towards `step->need`. LEG_OK: that much is there. */
static enum leg_result read_more(struct conn_handshake *step, struct leg *leg, uint8_t *into)
{
	while (step->have < step->need) {
		ssize_t n =
			recv(leg_fd(leg), into + step->have, step->need - step->have, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			leg->readable = false;
			return LEG_AGAIN;
		}
		if (n <= 0)
			return n < 0 ? leg_fail_errno(leg, errno) : LEG_EOF;
		step->have += (size_t)n;
	}
	return LEG_OK;
}

/* One whole record into step->record. *ret_refused: the connection has been ended because of what
 * came. */
static enum leg_result read_record(struct conn *conn, bool *ret_refused)
{
	struct conn_handshake *step = conn->handshake;
	enum tls_record_check check;
	enum leg_result r;
	uint8_t type;
	size_t body;

	if (!step->record) {
		step->need = TLS_RECORD_HEADER_BYTES;
		r = read_more(step, conn->tls, step->header);
		if (r != LEG_OK)
			return r;
		check = tls_record_check_header(step->header, &type, &body);
		if (check != TLS_RECORD_OK) {
			*ret_refused = true;
			on_not_tls(conn, check);
			return LEG_FAILED;
		}
		step->record = malloc(TLS_RECORD_HEADER_BYTES + body);
		if (!step->record)
			return leg_fail(conn->tls, CLOSE_NO_MEMORY, 0);
		memcpy(step->record, step->header, TLS_RECORD_HEADER_BYTES);
		step->need += body;
	}
	return read_more(step, conn->tls, step->record);
}

/* Feeds the record that is there (or, as a client, the start) and takes what comes out. */
static enum leg_result feed(struct conn *conn)
{
	struct conn_handshake *step = conn->handshake;
	const uint8_t *output;
	size_t len;

	if (!step->tls && tls_handshake_new(conn->route->tls, &step->tls) < 0)
		return leg_fail(conn->tls, CLOSE_NO_MEMORY, 0);
	step->status = tls_handshake_step(step->tls, step->record, step->have);
	free(TAKE_PTR(step->record));
	step->have = 0;
	len = tls_handshake_output(step->tls, &output);
	if (leg_hold(conn->tls, output, len) != LEG_OK)
		return LEG_FAILED;
	tls_handshake_sent(step->tls, len);
	return LEG_OK;
}

/* The kernel takes keys only while a connection is ESTABLISHED, not once the peer has sent FIN. */
static bool peer_has_sent_fin(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLRDHUP };

	return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & POLLRDHUP);
}

static void refuse_without_ktls(struct conn *conn, const char *why)
{
	conn_log_refused(conn, close_reason_name(CLOSE_KTLS_UNAVAILABLE), why);
	conn_end(conn, conn->tls, CLOSE_KTLS_UNAVAILABLE, TLS_ALERT_INTERNAL_ERROR);
}

/* Gives the keys to the kernel where the route wants it. LEG_FAILED: the connection has been ended.
 */
static enum leg_result use_transport(struct conn *conn, struct tls_keys *keys)
{
	struct route *route = conn->route;
	bool want_ktls = keys->version == 0x0304 ? route->use_ktls_13 : route->use_ktls_12;
	struct err_text why = { "this kernel has not all the suites of the listener" };
	int r = KTLS_NOT_POSSIBLE;

	if (want_ktls)
		r = ktls_install(leg_fd(conn->tls), keys, route->ktls, &why);
	if (r == KTLS_OK) {
		leg_use_ktls(conn->tls, keys, route->ktls->rekey);
		stats_add(&conn->worker->stats.handshakes_ktls, 1);
		return LEG_OK;
	}
	if (r < 0) {
		tls_keys_free(keys);
		conn->error = -r;
		conn_log_refused(conn, close_reason_name(CLOSE_KTLS_UNAVAILABLE), why.text);
		conn_close(conn, CLOSE_KTLS_UNAVAILABLE);
		return LEG_FAILED;
	}
	leg_use_aead(conn->tls, keys);
	stats_add(&conn->worker->stats.handshakes_aead, 1);
	/* A peer that has already said its last byte is served in user space even so: it did
	 * nothing wrong. */
	if (route->config->ktls != CONFIG_KTLS_REQUIRED || peer_has_sent_fin(leg_fd(conn->tls)))
		return LEG_OK;
	refuse_without_ktls(conn, why.text);
	return LEG_FAILED;
}

static void on_done(struct conn *conn)
{
	struct tls_keys *keys = NULL;
	const char *why;

	if (tls_handshake_finish(conn->handshake->tls, &keys, &conn->peer, &conn->summary) < 0) {
		conn_close(conn, CLOSE_NO_MEMORY);
		return;
	}
	conn->secured = true;
	conn_handshake_free(conn);
	stats_add(&conn->worker->stats.handshakes, 1);
	USDT_HANDSHAKE_DONE(conn->id, conn->route->config->name, conn->peer->cn,
			    conn->summary.version);
	if (use_transport(conn, keys) != LEG_OK)
		return;
	if (!route_admits(conn->route, conn->peer, &why)) {
		conn_log_refused(conn, close_reason_name(CLOSE_DENIED), why);
		conn_end(conn, conn->tls, CLOSE_DENIED, TLS_ALERT_ACCESS_DENIED);
		return;
	}
	conn_log_opened(conn);
	conn_next_step(conn);
}

static void on_peer_left(struct conn *conn, enum leg_result result)
{
	if (result == LEG_FAILED && conn->tls->failure == CLOSE_NO_MEMORY) {
		conn_close(conn, CLOSE_NO_MEMORY);
		return;
	}
	/* A port that is opened and closed without a byte is a health check, not worth a warning.
	 */
	if (conn->handshake->tls || conn->handshake->have)
		conn_log_refused(conn, close_reason_name(CLOSE_HANDSHAKE_CLOSED),
				 result == LEG_EOF
					 ? "the peer closed the connection in the handshake"
					 : "the connection broke in the handshake");
	conn_close(conn, CLOSE_HANDSHAKE_CLOSED);
}

/* Moves the handshake on as far as it goes without waiting. */
static void advance(struct conn *conn)
{
	struct conn_handshake *step = conn->handshake;
	bool refused = false;
	enum leg_result r;

	for (;;) {
		r = leg_flush(conn->tls, conn->worker);
		if (r == LEG_AGAIN)
			return;
		if (r == LEG_FAILED) {
			on_peer_left(conn, r);
			return;
		}
		if (step->status == TLS_HANDSHAKE_DONE) {
			on_done(conn);
			return;
		}
		if (!conn->tls->readable)
			return;
		r = read_record(conn, &refused);
		if (r == LEG_AGAIN)
			return;
		if (refused)
			return;
		if (r != LEG_OK) {
			on_peer_left(conn, r);
			return;
		}
		if (feed(conn) != LEG_OK) {
			conn_close(conn, CLOSE_NO_MEMORY);
			return;
		}
		if (step->status == TLS_HANDSHAKE_FAILED) {
			on_failed(conn);
			return;
		}
	}
}

void conn_handshake_ready(struct conn *conn, struct leg *leg, uint32_t events)
{
	if (leg != conn->tls) {
		if (events & LOOP_HUP)
			conn_close(conn, CLOSE_CLIENT_RESET);
		return;
	}
	advance(conn);
}

void conn_handshake_start(struct conn *conn)
{
	uint64_t in_flight = atomic_fetch_add(&conn->route->state->handshakes, 1);

	conn->counted_handshake = true;
	conn_set_state(conn, CONN_HANDSHAKE);
	if (in_flight >= conn->route->config->limits.handshakes) {
		atomic_store_explicit(&conn->route->state->marks.limit_handshakes_ns,
				      loop_now_ns(conn->worker->loop), memory_order_relaxed);
		conn_log_turned_away(conn->worker, conn->route, leg_fd(&conn->accepted),
				     CLOSE_LIMIT_HANDSHAKES);
		conn->logged = true;
		conn_close(conn, CLOSE_LIMIT_HANDSHAKES);
		return;
	}
	conn->handshake = calloc(1, sizeof(*conn->handshake));
	if (!conn->handshake) {
		conn_close(conn, CLOSE_NO_MEMORY);
		return;
	}
	conn->handshake->status = TLS_HANDSHAKE_WANT_RECORD;
	if (conn->tls->we_are_client && feed(conn) != LEG_OK) {
		conn_close(conn, CLOSE_NO_MEMORY);
		return;
	}
	if (conn->handshake->status == TLS_HANDSHAKE_FAILED) {
		on_failed(conn);
		return;
	}
	conn->tls->readable = true;
	advance(conn);
}
