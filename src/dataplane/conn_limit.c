/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of clients by name, where connections meet them: whether one is let in, once its handshake
 * has said whose it is, and how much its flows may move (limits/clients.h, limits/share.h). A flow
 * that may not go on reads nothing, so that its sender is held up by TCP; it sits in the worker's
 * wheel until it is to ask again.
 *
 * At an egress the certificate is the upstream's: there is no client with a name.
 */
#include "base/util.h"
#include "dataplane/conn.h"
#include "dataplane/conn_log.h"
#include "dataplane/naming.h"
#include "dataplane/socket_options.h"
#include "kern/pacing.h"

static const enum close_reason reasons[CLIENT_REFUSAL_COUNT] = {
	[CLIENT_REFUSED_UNNAMED] = CLOSE_CLIENT_UNNAMED,
	[CLIENT_REFUSED_HANDSHAKES] = CLOSE_LIMIT_CLIENT_HANDSHAKES,
	[CLIENT_REFUSED_CONNECTIONS] = CLOSE_LIMIT_CLIENT_CONNECTIONS,
	[CLIENT_REFUSED_CONNECTION_RATE] = CLOSE_LIMIT_CLIENT_RATE,
	[CLIENT_REFUSED_NO_MEMORY] = CLOSE_NO_MEMORY,
};

/* What limits know a client by. */
static const char *client_name(const struct conn *conn)
{
	const char *why, *name = naming_name(conn->route->config, conn->peer, &why);

	return name ? name : "";
}

/* Who has come too often gets an end in order: it may try again. */
static void refuse(struct conn *conn, enum client_refusal refusal, const struct err_text *why)
{
	enum close_reason reason = reasons[refusal];
	uint8_t alert = 0;

	if (refusal == CLIENT_REFUSED_NO_MEMORY) {
		conn_close(conn, reason);
		return;
	}
	if (refusal == CLIENT_REFUSED_UNNAMED) {
		conn_punish(conn, PENALTY_DENIED);
		alert = TLS_ALERT_ACCESS_DENIED;
	}
	conn_log_refused(conn, close_reason_name(reason), why->text);
	conn_end(conn, conn->tls, reason, alert);
}

bool conn_limit_enter(struct conn *conn)
{
	enum client_refusal refusal;
	struct err_text why;

	if (conn->tls != &conn->accepted)
		return true;
	refusal = clients_enter(gate_clients(conn->worker->gate), client_name(conn),
				loop_now_ns(conn->worker->loop), &conn->client, &why);
	if (refusal == CLIENT_LET_IN)
		return true;
	refuse(conn, refusal, &why);
	return false;
}

bool conn_limit_admit(struct conn *conn)
{
	enum client_refusal refusal;
	struct err_text why;

	if (!conn->client)
		return true;
	refusal = clients_admit(gate_clients(conn->worker->gate), conn->client,
				loop_now_ns(conn->worker->loop), &why);
	if (refusal == CLIENT_LET_IN) {
		conn->client_admitted = true;
		return true;
	}
	refuse(conn, refusal, &why);
	return false;
}

void conn_limit_leave(struct conn *conn)
{
	clients_leave(gate_clients(conn->worker->gate), conn->client, conn->client_admitted);
	conn->client = NULL;
}

void flow_limit_start(struct conn *conn, struct flow *flow)
{
	flow->share.client = conn->client;
	flow->share.direction = flow == &conn->inbound ? CLIENT_PRODUCE : CLIENT_CONSUME;
	flow->throttle.task = &conn->task;
}

/* What goes to a client is paced for all of its connections together; what goes to the upstream
 * mostly never leaves this host. */
static bool paces_client(const struct conn *conn, const struct flow *flow)
{
	return conn->worker->pacing == CONFIG_PACING_BPF && flow->share.direction == CLIENT_CONSUME;
}

/* The kernel spreads what it sends, so that what is let through in slots is no row of bursts on the
 * wire. A socket alone only of who has been at its limit: it costs timers. */
static void pace(struct conn *conn, struct flow *flow)
{
	uint64_t rate = share_pace(&flow->share);
	const struct endpoint *endpoint = flow->to == &conn->accepted
						  ? &conn->route->config->listen
						  : &conn->route->config->upstream;

	if (rate == flow->pace || (rate == UINT64_MAX && !flow->pace) || endpoint->is_unix)
		return;
	flow->pace = rate;
	socket_set_pace(leg_fd(flow->to), rate);
	if (paces_client(conn, flow))
		pacing_set(leg_fd(flow->to), conn->client->id, rate == UINT64_MAX ? 0 : rate);
}

size_t flow_limit_ask(struct conn *conn, struct flow *flow)
{
	struct throttle *throttle = &conn->worker->throttle;
	size_t bytes;

	bytes = share_ask(&flow->share, loop_now_ns(conn->worker->loop));
	if (conn->worker->pacing != CONFIG_PACING_OFF &&
	    (!bytes || flow->pace || paces_client(conn, flow)))
		pace(conn, flow);
	if (bytes)
		throttle_leave(throttle, &flow->throttle);
	else
		throttle_wait(throttle, &flow->throttle, share_wake_ns(&flow->share));
	return bytes;
}

void flow_limit_use(struct conn *conn, struct flow *flow, uint64_t bytes)
{
	share_use(&flow->share, bytes, loop_now_ns(conn->worker->loop));
}

void flow_limit_rest(struct conn *conn, struct flow *flow)
{
	share_rest(&flow->share, loop_now_ns(conn->worker->loop));
	throttle_leave(&conn->worker->throttle, &flow->throttle);
}

bool conn_is_limited(const struct conn *conn)
{
	return share_waits(&conn->inbound.share) || share_waits(&conn->outbound.share);
}
