/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay: moves each flow's bytes while its source has some and its sink takes some. Small
 * messages are copied through the worker's buffer (one read, one write); where bulk flows and both
 * sockets allow it, bytes are spliced through a pooled pipe and never seen.
 *
 * Limits of clients: before a flow reads it asks how much it may (conn_limit.c).
 *
 * Back-pressure: a flow reads only when everything it read before has left, so a slow reader stops
 * its own sender and nobody else. A turn is bounded (RELAY_TURN_BYTES_MAX); what remains goes on as
 * a task after other connections have had theirs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/util.h"
#include "dataplane/conn.h"
#include "dataplane/transport.h"
#include "dataplane/usdt.h"

/* A read that fills this much is bulk: the next one asks for a whole batch, or is spliced. */
#define RELAY_BULK_BYTES TLS_PLAINTEXT_BYTES_MAX

enum turn {
	TURN_WAIT,     /* nothing to do until a socket is ready */
	TURN_MORE,     /* bytes remain, the budget does not */
	TURN_FINISHED, /* this flow has delivered its end */
	TURN_FAILED,   /* of `*ret_failed` */
};

/* Bytes that `fd` takes without blocking, from below: the send buffer is charged for more than
 * payload. */
static size_t send_room(int fd)
{
	uint32_t mem[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(mem);

	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, mem, &len) < 0)
		return RELAY_BATCH_BYTES;
	return mem[SK_MEMINFO_SNDBUF] > mem[SK_MEMINFO_WMEM_QUEUED]
		       ? mem[SK_MEMINFO_SNDBUF] - mem[SK_MEMINFO_WMEM_QUEUED]
		       : 0;
}

static void note_bytes(struct conn *conn, struct flow *flow, size_t n)
{
	enum stats_direction direction = flow == &conn->inbound ? STATS_IN : STATS_OUT;
	const struct transport *tls = conn->tls->transport;
	bool in_kernel = flow->from == conn->tls ? tls->splice_out : tls->splice_in;
	enum stats_transport transport = in_kernel ? STATS_KTLS : STATS_AEAD;

	flow->bytes += n;
	if (flow->share.mode != SHARE_FREE)
		flow_limit_use(conn, flow, n);
	conn->active_ns = loop_now_ns(conn->worker->loop);
	conn_stats_add(conn, bytes[direction][transport], n);
}

/* kTLS out of the socket is cheaper by copy in large reads than by splice, one record a call
 * (bench/vm); `splice: on` takes the way without copies in both directions all the same.
 */
static bool wants_splice(const struct conn *conn, const struct flow *flow, size_t allowed)
{
	enum config_splice mode = conn->route->config->splice;

	/* Never less than a record: older kernels lose what of one is left. */
	return flow->bulk_reads && allowed >= RELAY_BULK_BYTES && mode != CONFIG_SPLICE_OFF &&
	       flow->from->transport->splice_out && flow->to->transport->splice_in &&
	       (mode == CONFIG_SPLICE_ON || !flow->from->transport->is_tls);
}

/* Writes what the flow has read before. LEG_OK: nothing is left of it. */
static enum leg_result deliver(struct conn *conn, struct flow *flow)
{
	struct leg *to = flow->to;

	if (leg_blocked(to)) {
		enum leg_result r = leg_flush(to, conn->worker);

		if (r != LEG_OK)
			return r;
	}
	if (!flow->pipe)
		return LEG_OK;
	while (flow->pipe->bytes) {
		ssize_t n = splice(flow->pipe->read_fd, NULL, leg_fd(to), NULL, flow->pipe->bytes,
				   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			to->writable = false;
			return LEG_AGAIN;
		}
		if (n <= 0)
			return leg_fail_errno(to, n < 0 ? errno : EPIPE);
		flow->pipe->bytes -= (size_t)n;
		if (to->keys)
			to->keys->tx_sequence += (uint64_t)n / TLS_PLAINTEXT_BYTES_MAX + 1;
	}
	return LEG_OK;
}

static void give_back_pipe(struct conn *conn, struct flow *flow)
{
	pipe_pool_put(&conn->worker->pipes, flow->pipe);
	flow->pipe = NULL;
}

/* How much a read should ask for. */
static size_t copy_bytes(const struct flow *flow)
{
	if (!flow->bulk_reads)
		return RELAY_BULK_BYTES;
	if (!flow->from->transport->splice_out) /* records, which are opened here */
		return RELAY_BATCH_BYTES;
	return MAX(MIN(send_room(leg_fd(flow->to)), (size_t)RELAY_BATCH_BYTES),
		   (size_t)4 * RELAY_BULK_BYTES);
}

static enum leg_result copy_once(struct conn *conn, struct flow *flow, size_t allowed,
				 struct leg **ret_failed)
{
	struct leg *from = flow->from, *to = flow->to;
	struct batch batch;
	enum leg_result r;

	*ret_failed = from;
	r = from->transport->recv(from, conn->worker, to, MIN(copy_bytes(flow), allowed), &batch);
	if (r != LEG_OK || !batch.bytes)
		return r;
	flow->bulk_reads = batch.bytes >= RELAY_BULK_BYTES ? flow->bulk_reads + 1 : 0;
	note_bytes(conn, flow, batch.bytes);
	*ret_failed = to;
	return to->transport->send(to, conn->worker, &batch);
}

static ssize_t splice_in(const struct leg *from, const struct pipe_pair *pipe, size_t len)
{
	ssize_t n;

	do {
		n = splice(leg_fd(from), NULL, pipe->write_fd, NULL, len,
			   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	} while (n < 0 && errno == EINTR);
	return n;
}

/* The last record of what goes out together is seldom full. Reading has made room for the sender,
 * so that there is often more by now: it goes along, as long as nobody has to wait for it. That
 * there is nothing more only an empty pipe tells: a pipe that has no room looks the same. */
static void fill_record(struct leg *from, struct pipe_pair *pipe, size_t limit)
{
	while (pipe->bytes < limit && pipe->bytes % TLS_PLAINTEXT_BYTES_MAX) {
		ssize_t n = splice_in(from, pipe, limit - pipe->bytes);

		if (n < 0 && errno != EAGAIN) {
			leg_fail_errno(from, errno);
			from->broken = true;
		}
		if (n <= 0)
			return;
		pipe->bytes += (size_t)n;
	}
}

/* Splices in; the way out is deliver()'s. Out of kTLS once, and only ever into an empty pipe: older
 * kernels lose data at a pipe that fills up. */
static enum leg_result splice_once(struct conn *conn, struct flow *flow, size_t allowed,
				   struct leg **ret_failed)
{
	struct leg *from = flow->from, *to = flow->to;
	size_t limit = MIN(flow->pipe->capacity, allowed);
	ssize_t n;

	*ret_failed = to;
	if (to->keys) {
		enum leg_result r = leg_before_records(
			to, conn->worker, flow->pipe->capacity / TLS_PLAINTEXT_BYTES_MAX + 1);

		if (r != LEG_OK)
			return r;
	}
	*ret_failed = from;
	n = splice_in(from, flow->pipe, limit);
	if (n < 0 && errno == EAGAIN) {
		from->readable = false;
		return LEG_AGAIN;
	}
	/* A socket gives its error once: whoever asks again is told of an end in order. */
	if (n < 0 && !leg_is_about_record(errno))
		return leg_fail_errno(from, errno);
	if (n <= 0)
		/* The end, or (kTLS) a control record at the head, or a bad one: a read tells
		 * which. */
		return copy_once(conn, flow, allowed, ret_failed);
	flow->pipe->bytes = (size_t)n;
	if (to->keys && !from->keys)
		fill_record(from, flow->pipe, limit);
	n = (ssize_t)flow->pipe->bytes;
	from->empty_records = 0;
	/* A kTLS splice gives one record at most, so a full one is all that can be asked of it. */
	if (n < (from->keys ? RELAY_BULK_BYTES / 4 : RELAY_BULK_BYTES))
		flow->bulk_reads = 0;
	note_bytes(conn, flow, (size_t)n);
	conn_stats_add(conn, bytes_spliced, (uint64_t)n);
	return LEG_OK;
}

static enum leg_result move_once(struct conn *conn, struct flow *flow, struct leg **ret_failed)
{
	size_t allowed = SHARE_UNLIMITED;

	if (flow->from->ended)
		return LEG_EOF;
	*ret_failed = flow->from;
	if (flow->from->broken)
		return LEG_FAILED;
	if (flow_is_limited(flow))
		allowed = flow_limit_ask(conn, flow);
	if (!allowed)
		return LEG_AGAIN;
	if (wants_splice(conn, flow, allowed)) {
		if (!flow->pipe)
			flow->pipe = pipe_pool_get(&conn->worker->pipes,
						   loop_now_ns(conn->worker->loop));
		if (flow->pipe)
			return splice_once(conn, flow, allowed, ret_failed);
	}
	return copy_once(conn, flow, allowed, ret_failed);
}

size_t flow_undelivered(const struct flow *flow)
{
	const struct held *out = flow->to->out;

	return (out ? out->end - out->start : 0) + (flow->pipe ? flow->pipe->bytes : 0);
}

/* So that an operator can see for how long a reader has taken nothing. */
static void note_progress(struct conn *conn, struct flow *flow)
{
	uint64_t delivered = flow->bytes - MIN(flow_undelivered(flow), flow->bytes);

	if (delivered == flow->delivered)
		return;
	flow->delivered = delivered;
	flow->progress_ns = loop_now_ns(conn->worker->loop);
}

static enum turn move(struct conn *conn, struct flow *flow, struct leg **ret_failed)
{
	uint64_t stop_at = flow->bytes + RELAY_TURN_BYTES_MAX;
	enum leg_result r;

	for (;;) {
		*ret_failed = flow->to;
		r = deliver(conn, flow);
		if (r != LEG_OK)
			break;
		if (!flow->from->ended && !flow->from->readable) {
			r = LEG_AGAIN;
			break;
		}
		if (flow->bytes >= stop_at)
			return TURN_MORE;
		r = move_once(conn, flow, ret_failed);
		if (r == LEG_EOF) {
			*ret_failed = flow->to;
			r = leg_finish(flow->to, conn->worker);
			if (r == LEG_OK) {
				flow->finished = true;
				give_back_pipe(conn, flow);
				return TURN_FINISHED;
			}
		}
		if (r != LEG_OK)
			break;
	}
	note_progress(conn, flow);
	if (flow->pipe && !flow->pipe->bytes)
		give_back_pipe(conn, flow);
	return r == LEG_FAILED ? TURN_FAILED : TURN_WAIT;
}

static enum turn flow_turn(struct conn *conn, struct flow *flow, struct leg **ret_failed)
{
	uint64_t before = flow->bytes;
	enum turn turn;

	if (flow->finished)
		return TURN_FINISHED;
	turn = move(conn, flow, ret_failed);
	if (conn->client && flow->bytes != before)
		client_count_bytes(conn->client, flow->share.direction, flow->bytes - before);
	if (flow->share.mode != SHARE_FREE && (!flow->from->readable || turn == TURN_FINISHED))
		flow_limit_rest(conn, flow);
	return turn;
}

/* Who ended first names the reason. */
static void note_end(struct conn *conn, const struct flow *flow)
{
	if (conn->inbound.finished && conn->outbound.finished)
		return;
	if (flow->from->truncated)
		conn->reason = CLOSE_PEER_TRUNCATED;
	else
		conn->reason = flow->from->is_client ? CLOSE_CLIENT_CLOSED : CLOSE_UPSTREAM_CLOSED;
}

/* Both directions have ended. What a TLS peer has sent after its own end nobody reads; to close
 * over it would make the kernel send a reset and drop our last bytes. */
static void on_finished(struct conn *conn)
{
	int unread = 0;

	if (ioctl(leg_fd(conn->tls), FIONREAD, &unread) == 0 && unread > 0)
		conn_end(conn, conn->tls, conn->reason, 0);
	else
		conn_close(conn, conn->reason);
}

void conn_relay_turn(struct conn *conn)
{
	struct flow *flows[] = { &conn->inbound, &conn->outbound };
	bool more = false;

	for (size_t i = 0; i < ARRAY_SIZE(flows); i++) {
		struct leg *failed = NULL;
		bool was_finished = flows[i]->finished;

		if (flows[i]->held)
			continue;
		switch (flow_turn(conn, flows[i], &failed)) {
		case TURN_WAIT:
			break;
		case TURN_MORE:
			more = true;
			break;
		case TURN_FINISHED:
			if (!was_finished)
				note_end(conn, flows[i]);
			break;
		case TURN_FAILED:
			conn_on_leg_failed(conn, failed);
			return;
		}
	}
	if (conn->inbound.finished && conn->outbound.finished) {
		on_finished(conn);
		return;
	}
	conn_count_memory(conn);
	if (more)
		loop_task_queue(conn->worker->loop, &conn->task);
}

static void on_task(struct loop_task *task)
{
	conn_relay_turn(container_of(task, struct conn, task));
}

void conn_relay_ready(struct conn *conn, struct leg *leg, uint32_t events)
{
	/* What a limit holds back of who is gone is of no use to anybody: it would hold its place
	 * for as long as that takes. */
	if ((events & LOOP_HUP) && conn_is_limited(conn) && leg_is_broken(leg))
		conn_on_leg_failed(conn, leg);
	else
		conn_relay_turn(conn);
}

void conn_relay_prepare(struct conn *conn)
{
	uint64_t now_ns = loop_now_ns(conn->worker->loop);

	conn->inbound = (struct flow){ .from = &conn->accepted,
				       .to = &conn->dialed,
				       .progress_ns = now_ns };
	conn->outbound = (struct flow){ .from = &conn->dialed,
					.to = &conn->accepted,
					.progress_ns = now_ns };
	flow_limit_start(conn, &conn->inbound);
	flow_limit_start(conn, &conn->outbound);
	conn->task.run = on_task;
	conn->accepted.readable = conn->accepted.writable = true;
	conn->dialed.readable = conn->dialed.writable = true;
	conn->active_ns = now_ns;
}

void conn_relay_start(struct conn *conn)
{
	if (conn->state != CONN_PRELUDE)
		conn_relay_prepare(conn);
	conn->inbound.held = conn->outbound.held = false;
	conn_set_state(conn, CONN_RELAY);
	USDT_RELAY_START(conn->id, conn->accepted.transport->name, conn->dialed.transport->name);
	conn_relay_turn(conn);
}

void conn_relay_fini(struct conn *conn)
{
	loop_task_cancel(conn->worker->loop, &conn->task);
	flow_limit_rest(conn, &conn->inbound);
	flow_limit_rest(conn, &conn->outbound);
	give_back_pipe(conn, &conn->inbound);
	give_back_pipe(conn, &conn->outbound);
}
