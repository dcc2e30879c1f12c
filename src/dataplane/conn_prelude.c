/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The step that tells a Kafka broker who the client is: SaslHandshake and SaslAuthenticate with a
 * token of ours go to it in one write, and nothing of what it says reaches the client until both
 * have been answered. The answers are looked at where they lie, in the socket, and then exactly
 * they are taken out: what follows is the client's and may be spliced.
 *
 * The client's own bytes need not wait for the answers, so that no round trip is added: but only
 * where another connection lives for which this upstream minded identities. A broker's PLAINTEXT
 * listener refuses the two requests and would go on to serve the client as ANONYMOUS; a broker
 * that may have been restarted as such since gets nothing of a client before it has answered.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/util.h"
#include "dataplane/conn.h"
#include "dataplane/conn_log.h"
#include "dataplane/identity.h"
#include "dataplane/transport.h"
#include "kafka/sasl_frames.h"
#include "tls/peer.h"

void conn_prelude_withdraw(struct conn *conn)
{
	if (!conn->vouches)
		return;
	conn->vouches = false;
	route_withdraw(conn->route);
}

/* The broker does not take it. The client has seen nothing of this, and gets an end in order: to
 * try again is all that it could do. */
static void fail(struct conn *conn, enum close_reason reason, const char *detail)
{
	/* Who has gone already leaves no broker to blame. */
	if (reason == CLOSE_IDENTITY_CLOSED && conn->accepted.ended) {
		conn_end(conn, &conn->accepted, CLOSE_CLIENT_CLOSED, 0);
		return;
	}
	route_mark_identity(conn->route, loop_now_ns(conn->worker->loop), reason);
	conn_log_refused(conn, close_reason_name(reason), detail);
	conn_end(conn, &conn->accepted, reason, 0);
}

static bool upstream_address(const struct conn *conn, struct upstream_address *ret)
{
	*ret = (struct upstream_address){ .len = sizeof(ret->addr) };
	return getpeername(leg_fd(&conn->dialed), (struct sockaddr *)&ret->addr, &ret->len) == 0;
}

/* Both answers are there, and say yes. */
static void on_accepted(struct conn *conn)
{
	struct upstream_address address;
	uint64_t now_ns = loop_now_ns(conn->worker->loop);

	route_mark_identity(conn->route, now_ns, 0);
	conn_stats_add(conn, identities, 1);
	if (!conn->dialed.hung_up && upstream_address(conn, &address))
		conn->vouches = route_vouch(conn->route, &address);
	conn_relay_start(conn);
}

static void on_verdict(struct conn *conn, enum sasl_verdict verdict, const char *detail)
{
	static const enum close_reason reasons[] = {
		[SASL_REFUSED] = CLOSE_IDENTITY_REFUSED,
		[SASL_NO_MECHANISM] = CLOSE_IDENTITY_UNSUPPORTED,
		[SASL_GARBAGE] = CLOSE_IDENTITY_GARBAGE,
	};

	fail(conn, reasons[verdict], detail);
}

/* Takes the answers out of the socket: they are there. */
static bool take(struct conn *conn, size_t len)
{
	uint8_t *into = conn->worker->buffer;
	ssize_t n;

	do {
		n = recv(leg_fd(&conn->dialed), into, len, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)len;
}

/* True: go on waiting. Else the connection is in its next state, or gone. */
static bool look_at_answers(struct conn *conn)
{
	struct leg *leg = &conn->dialed;
	char detail[SASL_DETAIL_BYTES] = "";
	enum sasl_verdict verdict;
	size_t len;
	ssize_t n;

	do {
		n = recv(leg_fd(leg), conn->worker->buffer, SASL_ANSWERS_BYTES_MAX,
			 MSG_PEEK | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN) {
		leg->readable = false;
		return true;
	}
	if (n <= 0) {
		conn->error = n < 0 ? errno : 0;
		fail(conn, CLOSE_IDENTITY_CLOSED, "the upstream closed without an answer");
		return false;
	}
	verdict = sasl_answers(conn->worker->buffer, (size_t)n, &len, detail);
	if (verdict == SASL_MORE) {
		leg->readable = false;
		if (!leg->hung_up)
			return true;
		fail(conn, CLOSE_IDENTITY_CLOSED, "the upstream closed within its answer");
		return false;
	}
	if (verdict != SASL_ACCEPTED) {
		on_verdict(conn, verdict, detail);
		return false;
	}
	if (!take(conn, len)) {
		fail(conn, CLOSE_INTERNAL, "the broker's answers could not be read");
		return false;
	}
	/* If that was all, what comes later is reported anew. */
	leg->readable = leg->hung_up || (size_t)n > len;
	on_accepted(conn);
	return false;
}

void conn_prelude_on_broken(struct conn *conn)
{
	/* It may have said why before it left. */
	conn->dialed.hung_up = true;
	if (look_at_answers(conn))
		fail(conn, CLOSE_IDENTITY_CLOSED, "the connection to the upstream broke");
}

void conn_prelude_timeout(struct conn *conn)
{
	fail(conn, CLOSE_IDENTITY_TIMEOUT, "no answer within timeouts.identity");
}

void conn_prelude_ready(struct conn *conn, struct leg *leg, uint32_t events)
{
	if (leg == &conn->accepted && conn->inbound.held && (events & LOOP_HUP)) {
		conn_close(conn, CLOSE_CLIENT_RESET);
		return;
	}
	if (conn->dialed.readable && !look_at_answers(conn))
		return;
	if (leg_flush(&conn->dialed, conn->worker) == LEG_FAILED)
		conn_prelude_on_broken(conn);
	else
		conn_relay_turn(conn);
}

/* Until when the broker takes the client for who it is, and whoever has the token for the client:
 * no longer than the certificate is good for. */
static int64_t token_end(const struct conn *conn, int64_t now)
{
	uint64_t lifetime_ms = conn->route->config->kafka.token_lifetime_ms;
	int64_t lifetime = lifetime_ms ? (int64_t)(lifetime_ms / 1000) : TOKEN_SECONDS_MAX;

	return MIN(conn->peer->not_after, now + MIN(lifetime, TOKEN_SECONDS_MAX));
}

static int64_t now_seconds(void)
{
	return (int64_t)(clock_realtime_ns() / NSEC_PER_SEC);
}

/* The certificate was good when the handshake ended; since then the upstream has been connected.
 * False: it is not any more, and the connection has been ended. */
static bool is_still_valid(struct conn *conn)
{
	if (conn->peer->not_after > now_seconds())
		return true;
	conn_log_refused(conn, close_reason_name(CLOSE_IDENTITY_UNUSABLE),
			 "the certificate has ended since the handshake");
	conn_end(conn, &conn->accepted, CLOSE_IDENTITY_UNUSABLE, TLS_ALERT_ACCESS_DENIED);
	return false;
}

static size_t make_token(struct conn *conn, char ret[TOKEN_BYTES_MAX])
{
	const struct config_kafka *config = &conn->route->config->kafka;
	int64_t now = now_seconds();
	struct jwt_claims claims = {
		.issuer = config->issuer,
		.audience = config->audience,
		.subject = conn->principal,
		.issued_at = now,
		.expires_at = token_end(conn, now),
	};

	return identity_token(conn->worker->identity, &claims, ret);
}

/* Sends the two requests. False: the connection has been ended. */
static bool tell(struct conn *conn)
{
	static_assert(SASL_REQUESTS_BYTES_MAX + TOKEN_BYTES_MAX <= WORKER_BUFFER_BYTES &&
			      SASL_ANSWERS_BYTES_MAX <= WORKER_BUFFER_BYTES,
		      "the worker's buffer is enough");
	/* Nobody else uses the worker's buffer while a step runs. */
	char *token = (char *)conn->worker->buffer + SASL_REQUESTS_BYTES_MAX;
	size_t len = make_token(conn, token);
	struct iovec iov = { .iov_base = conn->worker->buffer };

	if (!len) {
		/* Names and claims are of bounded length: nothing else can have failed. */
		conn_close(conn, CLOSE_NO_MEMORY);
		return false;
	}
	iov.iov_len = sasl_requests(token, len, conn->worker->buffer);
	if (leg_send_raw(&conn->dialed, conn->worker, &iov, 1) == LEG_OK)
		return true;
	conn_on_leg_failed(conn, &conn->dialed);
	return false;
}

void conn_prelude_start(struct conn *conn)
{
	struct upstream_address address;

	conn_set_state(conn, CONN_PRELUDE);
	conn_relay_prepare(conn);
	conn->outbound.held = true;
	conn->inbound.held =
		!upstream_address(conn, &address) || !route_is_proven(conn->route, &address);
	conn_stats_add(conn, identity_waits, conn->inbound.held);
	if (!is_still_valid(conn) || !tell(conn))
		return;
	/* Its answers are reported when they come. */
	conn->dialed.readable = conn->dialed.hung_up;
	conn_prelude_ready(conn, &conn->dialed, 0);
}
