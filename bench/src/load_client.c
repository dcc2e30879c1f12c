/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bulk and handshakes: one thread and one blocking connection each (idle: one thread for all).
 * Every byte that arrives is compared with the pattern; one wrong byte ends the process with a
 * message, so that a figure for broken data cannot be printed. The totals of a thread are its own
 * until it is joined.
 */
#include "load.h"
#include "pattern.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct load_thread {
	pthread_t thread;
	const struct load_options *options;
	SSL_CTX *ctx;
	uint64_t seed;
	struct load_totals totals;
	struct load_hist hist;	/* handshake: from connect() to the end of the handshake */
};

static void load_client_request(struct load_thread *me, struct load_conn *conn, enum load_op op)
{
	struct load_request request = {
		.op = (uint8_t)op,
		.size = (uint32_t)me->options->record,
		.bytes = me->options->bytes,
		.seed = me->seed,
	};

	load_conn_write(conn, &request, sizeof(request), true);
}

static void load_client_consume(struct load_thread *me, struct load_conn *conn)
{
	static __thread unsigned char buffer[PATTERN_CHUNK];
	uint64_t have = 0, want = me->options->bytes;

	load_client_request(me, conn, LOAD_OP_CONSUME);
	while (have < want) {
		size_t room = want - have < sizeof(buffer) ? (size_t)(want - have) : sizeof(buffer);
		size_t n = load_conn_read(conn, buffer, room);

		load_check(me->seed + have, buffer, n);
		have += n;
	}
	me->totals.bytes += have;
	me->totals.ops++;
}

static void load_client_produce(struct load_thread *me, struct load_conn *conn)
{
	uint64_t sent = 0, want = me->options->bytes;
	struct load_verdict verdict;

	load_client_request(me, conn, LOAD_OP_PRODUCE);
	while (sent < want) {
		size_t n = me->options->record;

		if (want - sent < n)
			n = (size_t)(want - sent);
		load_conn_write_record(conn, me->seed + sent, n);
		sent += n;
	}
	load_conn_read_all(conn, &verdict, sizeof(verdict));
	if (verdict.wrong || verdict.bytes != want)
		load_die("the origin saw %llu WRONG bytes, %llu of %llu in all",
			 (unsigned long long)verdict.wrong, (unsigned long long)verdict.bytes,
			 (unsigned long long)want);
	me->totals.bytes += want;
	me->totals.ops++;
}

static void load_client_echo(struct load_conn *conn)
{
	unsigned char byte = LOAD_OP_ECHO;

	load_conn_write(conn, &byte, 1, true);
	byte = 0;
	load_conn_read_all(conn, &byte, 1);
	if (byte != LOAD_OP_ECHO)
		load_die("WRONG BYTE in an echo");
}

static void load_client_handshakes(struct load_thread *me)
{
	struct load_conn conn;
	uint64_t i;

	for (i = 0; i < me->options->count; i++) {
		uint64_t start_ns = load_now_ns();

		load_conn_open(&conn, me->ctx, me->options, false);
		load_hist_add(&me->hist, load_now_ns() - start_ns);
		load_client_echo(&conn);
		load_conn_close(&conn, true, &me->totals);
		me->totals.bytes++;
		me->totals.ops++;
	}
}

static void *load_client_thread(void *arg)
{
	struct load_thread *me = arg;
	const char *mode = me->options->mode;
	struct load_conn conn;

	if (strcmp(mode, "handshake") == 0) {
		load_client_handshakes(me);
		return NULL;
	}
	load_conn_open(&conn, me->ctx, me->options, true);
	if (strcmp(mode, "consume") == 0)
		load_client_consume(me, &conn);
	else
		load_client_produce(me, &conn);
	load_conn_close(&conn, true, &me->totals);
	return NULL;
}

/* Opens all, says so, waits for a line (or the end) on stdin, checks that all live, closes. */
static int load_client_idle(const struct load_options *options, SSL_CTX *ctx)
{
	struct load_conn *conns = calloc(options->connections, sizeof(*conns));
	struct load_report report = { .options = options, .ns = load_now_ns() };
	uint32_t i;

	if (!conns)
		load_die("no memory");
	for (i = 0; i < options->connections; i++) {
		load_conn_open(&conns[i], ctx, options, false);
		load_client_echo(&conns[i]);
	}
	load_wait_line(options);
	for (i = 0; i < options->connections; i++) {
		load_client_echo(&conns[i]);
		report.totals.bytes += 2;
		report.totals.ops++;
	}
	for (i = 0; i < options->connections; i++)
		load_conn_close(&conns[i], false, &report.totals);
	report.ns = load_now_ns() - report.ns;
	load_report_print(&report);
	free(conns);
	SSL_CTX_free(ctx);
	return 0;
}

int load_client_run(const struct load_options *options)
{
	SSL_CTX *ctx = load_conn_context(options);
	struct load_report report = { .options = options };
	struct load_thread *threads;
	uint32_t i;

	if (strcmp(options->mode, "idle") == 0)
		return load_client_idle(options, ctx);
	threads = calloc(options->connections, sizeof(*threads));
	if (!threads)
		load_die("no memory");
	report.ns = load_now_ns();
	report.cpu_ns = load_cpu_ns();
	for (i = 0; i < options->connections; i++) {
		threads[i].options = options;
		threads[i].ctx = ctx;
		threads[i].seed = options->seed + (uint64_t)i * 7919;
		if (pthread_create(&threads[i].thread, NULL, load_client_thread, &threads[i]))
			load_die("no thread");
	}
	for (i = 0; i < options->connections; i++) {
		pthread_join(threads[i].thread, NULL);
		load_totals_add(&report.totals, &threads[i].totals);
		if (i > 0)
			load_hist_merge(&threads[0].hist, &threads[i].hist);
	}
	report.ns = load_now_ns() - report.ns;
	report.cpu_ns = load_cpu_ns() - report.cpu_ns;
	report.latency = threads[0].hist.count ? &threads[0].hist : NULL;
	load_report_print(&report);
	free(threads);
	SSL_CTX_free(ctx);
	return 0;
}
