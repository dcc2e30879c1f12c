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
#include "dataplane/naming.h"
#include "dataplane/transport.h"
#include "dataplane/usdt.h"

struct conn_handshake {
	struct conn *conn;
	struct turnstile_entry turn; /* for its next step */
	struct tls_handshake *tls;
	uint8_t *record; /* header and body, while it is being read */
	size_t have, need;
	uint8_t header[TLS_RECORD_HEADER_BYTES];
	enum tls_handshake_status status;
	uint64_t started_ns;
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
		route_leave_handshake(conn->route);
	}
	if (!step)
		return;
	turnstile_leave(&conn->worker->turnstile, &step->turn);
	tls_handshake_free(step->tls);
	free(step->record);
	free(step);
	conn->handshake = NULL;
}

bool conn_handshake_waits_for_peer(const struct conn *conn)
{
	return conn->handshake && !conn->handshake->turn.waiting;
}

size_t conn_handshake_bytes(const struct conn *conn)
{
	return conn->handshake && conn->handshake->tls ? HANDSHAKE_MEMORY_BYTES : 0;
}

static enum penalty_kind penalty_of(enum tls_refusal refusal)
{
	switch (refusal) {
	case TLS_REFUSAL_NO_CERTIFICATE ... TLS_REFUSAL_NAME_MISMATCH:
		return PENALTY_CERTIFICATE;
	default:
		return PENALTY_HANDSHAKE;
	}
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

	conn_stats_add(conn, refusals[refusal], 1);
	if (refusal != TLS_REFUSAL_NO_MEMORY)
		conn_punish(conn, penalty_of(refusal));
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

	conn_punish(conn, PENALTY_NOT_TLS);
	switch (check) {
	case TLS_RECORD_IS_HTTP:
		leg_hold(leg, conn->worker, http_answer, sizeof(http_answer) - 1);
		refuse(conn, CLOSE_NOT_TLS_HTTP, close_reason_name(CLOSE_NOT_TLS_HTTP),
		       "an HTTP request in clear came to a TLS port");
		return;
	case TLS_RECORD_IS_KAFKA:
		refuse(conn, CLOSE_NOT_TLS_KAFKA, close_reason_name(CLOSE_NOT_TLS_KAFKA),
		       "a Kafka request in clear came to a TLS port: set security.protocol=SSL at "
		       "this client");
		return;
	case TLS_RECORD_TOO_LONG:
		leg_hold(leg, conn->worker, overflow, sizeof(overflow));
		refuse(conn, CLOSE_NOT_TLS, close_reason_name(CLOSE_NOT_TLS),
		       "a record longer than TLS allows");
		return;
	default:
		leg_hold(leg, conn->worker, alert, sizeof(alert));
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
	if (leg_hold(conn->tls, conn->worker, output, len) != LEG_OK)
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

/* As much as the route wants. As ktls_install(). */
static int give_to_kernel(struct conn *conn, struct tls_keys *keys, struct err_text *why)
{
	const struct route *route = conn->route;
	int fd = leg_fd(conn->tls), r;

	switch (route->ktls_use[ktls_version_index(keys->version)][keys->cipher]) {
	case KTLS_USE_BOTH:
		r = ktls_install(fd, keys, route->ktls, why);
		if (r != KTLS_OK)
			return r;
		if (route->config->ktls_padding == CONFIG_PADDING_NONE &&
		    keys->version == TLS_VERSION_1_3)
			ktls_expect_unpadded(fd); /* without it all is the same */
		leg_use_ktls(conn->tls, keys, route->ktls->rekey);
		return KTLS_OK;
	case KTLS_USE_SENDING:
		r = ktls_install_sending(fd, keys, route->ktls, why);
		if (r == KTLS_OK)
			leg_use_ktls_send(conn->tls, keys);
		return r;
	default:
		return KTLS_NOT_POSSIBLE;
	}
}

/* Gives the keys to the kernel where the route wants it. LEG_FAILED: the connection has been ended.
 */
static enum leg_result use_transport(struct conn *conn, struct tls_keys *keys)
{
	struct route *route = conn->route;
	struct err_text why = { "this kernel has not all the suites of the listener" };
	int r = give_to_kernel(conn, keys, &why);

	if (r == KTLS_OK) {
		conn_stats_add(conn, handshakes_ktls, 1);
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
	conn_stats_add(conn, handshakes_aead, 1);
	/* A peer that has already said its last byte is served in user space even so: it did
	 * nothing wrong. */
	if (route->config->ktls != CONFIG_KTLS_REQUIRED || peer_has_sent_fin(leg_fd(conn->tls)))
		return LEG_OK;
	refuse_without_ktls(conn, why.text);
	return LEG_FAILED;
}

/* What the upstream is told of a client's session can be told now only. False: the connection has
 * been ended. */
static bool hold_header(struct conn *conn)
{
	int r = conn_header_hold(conn, conn->handshake->tls);

	if (r == 0)
		return true;
	if (r == -EMSGSIZE)
		conn_log_refused(
			conn, close_reason_name(CLOSE_PROXY_PROTOCOL),
			"the client's certificate is too large for a PROXY protocol header");
	conn_close(conn, r == -EMSGSIZE ? CLOSE_PROXY_PROTOCOL : CLOSE_NO_MEMORY);
	return false;
}

static void count_handshake(struct conn *conn)
{
	enum stats_version version =
		conn->summary.version == TLS_VERSION_1_3 ? STATS_TLS_1_3 : STATS_TLS_1_2;
	uint64_t took_ns = loop_now_ns(conn->worker->loop) - conn->handshake->started_ns;

	conn_stats_add(conn, handshakes, 1);
	conn_stats_add(conn, sessions[version][conn->summary.cipher], 1);
	histogram_add(&conn->stats->handshake_time, took_ns);
}

/* The certificate is good, but not for this. */
static void deny(struct conn *conn, enum close_reason reason, const char *why)
{
	conn_punish(conn, PENALTY_DENIED);
	conn_log_refused(conn, close_reason_name(reason), why);
	conn_end(conn, conn->tls, reason, TLS_ALERT_ACCESS_DENIED);
}

/* Who the client is, where anything depends on that. False: the connection has been ended. */
static bool take_names(struct conn *conn)
{
	const struct route *route = conn->route;
	enum close_reason reason;
	struct err_text why = { "" };

	if (conn->tls != &conn->accepted ||
	    naming_admits(route->config, route->principal_rules, conn->peer, &conn->principal,
			  &reason, &why))
		return true;
	if (reason == CLOSE_NO_MEMORY)
		conn_close(conn, reason);
	else
		deny(conn, reason, why.text);
	return false;
}

static void on_done(struct conn *conn)
{
	struct tls_keys *keys = NULL;
	const char *why;

	if (conn->tls == &conn->accepted && !hold_header(conn))
		return;
	if (tls_handshake_finish(conn->handshake->tls, &keys, &conn->peer, &conn->summary) < 0) {
		conn_close(conn, CLOSE_NO_MEMORY);
		return;
	}
	conn->secured = true;
	count_handshake(conn);
	conn_handshake_free(conn);
	conn_count_memory(conn);
	USDT_HANDSHAKE_DONE(conn->id, conn->route->config->name, conn->peer->cn,
			    conn->summary.version);
	if (use_transport(conn, keys) != LEG_OK)
		return;
	if (!take_names(conn) || !conn_limit_enter(conn))
		return;
	if (!route_admits(conn->route, conn->peer, &why)) {
		deny(conn, CLOSE_DENIED, why);
		return;
	}
	if (!conn_limit_admit(conn))
		return;
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
	if (conn->handshake->tls || conn->handshake->have) {
		if (conn_handshake_waits_for_peer(conn))
			conn_punish(conn, PENALTY_LEFT);
		conn_log_refused(conn, close_reason_name(CLOSE_HANDSHAKE_CLOSED),
				 result == LEG_EOF
					 ? "the peer closed the connection in the handshake"
					 : "the connection broke in the handshake");
	}
	conn_close(conn, CLOSE_HANDSHAKE_CLOSED);
}

/* What the next step needs is there: a whole record, or nothing if we begin. */
static bool step_is_due(const struct conn *conn)
{
	const struct conn_handshake *step = conn->handshake;

	return step->record ? step->have == step->need : conn->tls->we_are_client && !step->tls;
}

/* Reads what the next step needs. False: it is not there yet, or the connection has been ended. */
static bool prepare_step(struct conn *conn)
{
	bool refused = false;
	enum leg_result r;

	if (step_is_due(conn))
		return true;
	if (!conn->tls->readable)
		return false;
	r = read_record(conn, &refused);
	if (r == LEG_OK)
		return true;
	if (r != LEG_AGAIN && !refused)
		on_peer_left(conn, r);
	return false;
}

/* As much as is done in one turn: one step, what it needs before and what comes of it. True: there
 * may be more to do. */
static bool do_step(struct conn *conn)
{
	enum leg_result r = leg_flush(conn->tls, conn->worker);

	if (r == LEG_FAILED)
		on_peer_left(conn, r);
	if (r != LEG_OK)
		return false;
	if (conn->handshake->status == TLS_HANDSHAKE_DONE) {
		on_done(conn);
		return false;
	}
	if (!prepare_step(conn))
		return false;
	if (feed(conn) != LEG_OK) {
		conn_close(conn, CLOSE_NO_MEMORY);
		return false;
	}
	conn_count_memory(conn);
	if (conn->handshake->status == TLS_HANDSHAKE_FAILED) {
		on_failed(conn);
		return false;
	}
	return true;
}

/* Moves the handshake on as far as it goes without waiting for the peer or for its turn. */
static void advance(struct conn *conn)
{
	struct turnstile *turnstile = &conn->worker->turnstile;
	bool more;

	do {
		if (!turnstile_enter(turnstile, &conn->handshake->turn)) {
			conn_stats_add(conn, handshake_waits, 1);
			return;
		}
		more = do_step(conn);
		turnstile_done(turnstile);
	} while (more);
}

static void on_turn(struct turnstile_entry *turn)
{
	advance(container_of(turn, struct conn_handshake, turn)->conn);
}

void conn_handshake_ready(struct conn *conn, struct leg *leg, uint32_t events)
{
	if (leg != conn->tls) {
		if (events & LOOP_HUP)
			conn_close(conn, CLOSE_CLIENT_RESET);
		return;
	}
	if (!conn->handshake->turn.waiting)
		advance(conn);
	else if (events & LOOP_HUP)
		/* It did not wait for its turn: nothing is to be done for it any more. */
		on_peer_left(conn, LEG_FAILED);
}

void conn_handshake_start(struct conn *conn)
{
	conn_set_state(conn, CONN_HANDSHAKE);
	if (!conn->counted_handshake && !route_enter_handshake(conn->route)) {
		route_mark_limit(conn->route, CLOSE_LIMIT_HANDSHAKES,
				 loop_now_ns(conn->worker->loop));
		conn_log_turned_away(conn->worker, conn->route, &conn->client_ip, conn->client_port,
				     CLOSE_LIMIT_HANDSHAKES);
		conn->logged = true;
		conn_close(conn, CLOSE_LIMIT_HANDSHAKES);
		return;
	}
	conn->counted_handshake = true;
	conn->handshake = calloc(1, sizeof(*conn->handshake));
	if (!conn->handshake) {
		conn_close(conn, CLOSE_NO_MEMORY);
		return;
	}
	conn->handshake->conn = conn;
	conn->handshake->turn.go = on_turn;
	conn->handshake->status = TLS_HANDSHAKE_WANT_RECORD;
	conn->handshake->started_ns = loop_now_ns(conn->worker->loop);
	conn->tls->readable = true;
	advance(conn);
}
