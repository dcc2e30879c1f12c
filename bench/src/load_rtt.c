/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests and answers over many connections, one thread for all of them. Closed loop: each
 * connection sends its next request when the answer has come. Open loop (--rate): request number k
 * is due at k / rate, whatever the answers do, and goes to connection k modulo their number; its
 * time counts from when it was due, so that a stall is charged to every request that had to wait
 * for it and not only to the one that saw it (no coordinated omission). A connection has one
 * request in flight; those that are due meanwhile queue behind it.
 */
#include "load.h"
#include "pattern.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#define RTT_OPENING_MAX 64 /* handshakes at once while we set up */
#define RTT_EVENTS	256

struct rtt_conn {
	struct load_async io;
	bool asked; /* the load_request has gone out */
	bool in_flight;
	uint64_t due, begun, done; /* requests: due so far (open loop), begun, answered */
	uint64_t due_ns;	   /* of the one in flight */
	uint64_t out_pos, in_pos;  /* in the pattern */
	uint64_t out_end;
};

struct rtt {
	const struct load_options *options;
	SSL_CTX *ctx;
	struct rtt_conn *conns;
	int epoll_fd;
	uint32_t opened, ready, busy;
	uint64_t start_ns, end_ns; /* end_ns: closed loop, nothing begins after it */
	uint64_t next, all; /* open loop: number of the next request; how many there will be */
	struct load_totals totals;
	struct load_hist hist;
	unsigned char buffer[PATTERN_CHUNK];
};

static void rtt_flush(struct rtt_conn *conn)
{
	while (conn->out_pos < conn->out_end) {
		ssize_t n = load_async_write(&conn->io, pattern_at(conn->out_pos),
					     (size_t)(conn->out_end - conn->out_pos));

		if (n < 0)
			load_die("a connection broke while it was written to");
		if (n == 0)
			return;
		conn->out_pos += (uint64_t)n;
	}
}

static void rtt_begin(struct rtt *rtt, struct rtt_conn *conn, uint64_t due_ns)
{
	conn->in_flight = true;
	conn->begun++;
	conn->due_ns = due_ns;
	conn->out_end += rtt->options->size;
	rtt->busy++;
	rtt_flush(conn);
}

static uint64_t rtt_due_ns(const struct rtt *rtt, uint64_t number)
{
	return rtt->start_ns + (uint64_t)((double)number * 1e9 / (double)rtt->options->rate);
}

/* What a connection does next when it has nothing in flight. */
static void rtt_go_on(struct rtt *rtt, struct rtt_conn *conn, uint64_t now_ns)
{
	uint64_t index = (uint64_t)(conn - rtt->conns);

	if (rtt->options->rate) {
		if (conn->begun < conn->due)
			rtt_begin(rtt, conn,
				  rtt_due_ns(rtt, conn->begun * rtt->options->connections + index));
		return;
	}
	if (conn->begun < rtt->options->count && (!rtt->end_ns || now_ns < rtt->end_ns))
		rtt_begin(rtt, conn, now_ns);
}

static void rtt_answered(struct rtt *rtt, struct rtt_conn *conn)
{
	uint64_t now_ns = load_now_ns();

	load_hist_add(&rtt->hist, now_ns - conn->due_ns);
	conn->in_flight = false;
	conn->done++;
	rtt->busy--;
	rtt->totals.ops++;
	rtt_go_on(rtt, conn, now_ns);
}

static void rtt_read(struct rtt *rtt, struct rtt_conn *conn)
{
	for (;;) {
		ssize_t n = load_async_read(&conn->io, rtt->buffer, sizeof(rtt->buffer));
		long wrong;

		if (n < 0)
			load_die("a connection ended before its answers had come");
		if (n == 0)
			return;
		wrong = pattern_first_wrong(conn->in_pos, rtt->buffer, (size_t)n);
		if (wrong >= 0)
			load_die("WRONG BYTE at pattern position %llu",
				 (unsigned long long)conn->in_pos + (unsigned long long)wrong);
		conn->in_pos += (uint64_t)n;
		rtt->totals.bytes += (uint64_t)n;
		if (conn->in_pos > conn->out_end)
			load_die("more came back than was sent");
		if (conn->in_flight && conn->in_pos == conn->out_end)
			rtt_answered(rtt, conn);
	}
}

/* The connection is there: says what it will be used for. */
static void rtt_ask(struct rtt *rtt, struct rtt_conn *conn)
{
	uint64_t seed = rtt->options->seed + (uint64_t)(conn - rtt->conns) * 7919;
	struct load_request request = {
		.op = LOAD_OP_RTT, .size = rtt->options->size, .count = UINT32_MAX, .seed = seed
	};

	if (load_async_write(&conn->io, &request, sizeof(request)) != sizeof(request))
		load_die("a new connection does not take a request");
	conn->asked = true;
	conn->out_pos = conn->out_end = conn->in_pos = seed;
	rtt->ready++;
}

static void rtt_event(struct rtt *rtt, struct rtt_conn *conn)
{
	if (!conn->asked) {
		int state = load_async_step(&conn->io);

		if (state < 0)
			load_die("handshake failed (%s)",
				 conn->io.ssl ? X509_verify_cert_error_string(
							SSL_get_verify_result(conn->io.ssl))
					      : "no TLS");
		if (state > 0)
			rtt_ask(rtt, conn);
		return;
	}
	rtt_flush(conn);
	rtt_read(rtt, conn);
}

/* @until_ns: 0 for as long as it takes. */
static void rtt_wait(struct rtt *rtt, uint64_t until_ns)
{
	uint64_t now_ns = load_now_ns(), limit_ns = rtt->options->timeout_s * 1000000000ULL;
	struct epoll_event events[RTT_EVENTS];
	struct timespec timeout;
	int n;

	if (until_ns)
		limit_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	timeout.tv_sec = (time_t)(limit_ns / 1000000000ULL);
	timeout.tv_nsec = (long)(limit_ns % 1000000000ULL);
	n = epoll_pwait2(rtt->epoll_fd, events, RTT_EVENTS, &timeout, NULL);
	if (n < 0 && errno != EINTR)
		load_die("epoll: %s", strerror(errno));
	if (n == 0 && !until_ns)
		load_die("nothing came for %u s", rtt->options->timeout_s);
	for (int i = 0; i < n; i++)
		rtt_event(rtt, events[i].data.ptr);
}

static void rtt_open_all(struct rtt *rtt)
{
	while (rtt->ready < rtt->options->connections) {
		while (rtt->opened < rtt->options->connections &&
		       rtt->opened - rtt->ready < RTT_OPENING_MAX) {
			struct rtt_conn *conn = &rtt->conns[rtt->opened++];
			int err = load_async_open(&conn->io, rtt->ctx, rtt->options, rtt->epoll_fd,
						  conn);

			if (err)
				load_die("connect: %s", strerror(-err));
		}
		rtt_wait(rtt, 0);
	}
}

static void rtt_run_closed(struct rtt *rtt)
{
	uint64_t seconds = rtt->options->seconds;

	rtt->end_ns = seconds ? rtt->start_ns + seconds * 1000000000ULL : 0;
	for (uint32_t i = 0; i < rtt->options->connections; i++)
		rtt_go_on(rtt, &rtt->conns[i], load_now_ns());
	while (rtt->busy)
		rtt_wait(rtt, 0);
}

static void rtt_run_open(struct rtt *rtt)
{
	const struct load_options *o = rtt->options;

	rtt->all = o->seconds ? o->rate * o->seconds : o->count * o->connections;
	while (rtt->next < rtt->all || rtt->busy) {
		uint64_t now_ns = load_now_ns();

		while (rtt->next < rtt->all && rtt_due_ns(rtt, rtt->next) <= now_ns) {
			struct rtt_conn *conn = &rtt->conns[rtt->next++ % o->connections];

			conn->due++;
			if (!conn->in_flight)
				rtt_go_on(rtt, conn, now_ns);
		}
		rtt_wait(rtt, rtt->next < rtt->all ? rtt_due_ns(rtt, rtt->next) : 0);
	}
}

int load_rtt_run(const struct load_options *options)
{
	struct rtt *rtt = calloc(1, sizeof(*rtt));
	struct load_report report = { .options = options };

	if (!rtt || !(rtt->conns = calloc(options->connections, sizeof(*rtt->conns))))
		load_die("no memory");
	prctl(PR_SET_TIMERSLACK, 1UL);
	rtt->options = options;
	rtt->ctx = load_conn_context(options);
	rtt->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	rtt_open_all(rtt);
	if (options->wait)
		load_wait_line(options);
	rtt->start_ns = load_now_ns();
	report.cpu_ns = load_cpu_ns();
	if (options->rate)
		rtt_run_open(rtt);
	else
		rtt_run_closed(rtt);
	report.ns = load_now_ns() - rtt->start_ns;
	report.cpu_ns = load_cpu_ns() - report.cpu_ns;
	report.totals = rtt->totals;
	report.latency = &rtt->hist;
	load_report_print(&report);
	/* Whoever started us reads what it all cost before the connections end. */
	while (options->wait && getchar() != EOF)
		;
	for (uint32_t i = 0; i < options->connections; i++)
		load_async_close(&rtt->conns[i].io);
	SSL_CTX_free(rtt->ctx);
	close(rtt->epoll_fd);
	free(rtt->conns);
	free(rtt);
	return 0;
}
