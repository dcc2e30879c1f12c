/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client modes: one thread and one blocking connection each (idle: one thread for all of them).
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
#include <time.h>

struct load_thread {
	pthread_t thread;
	const struct load_options *options;
	SSL_CTX *ctx;
	uint64_t seed;
	struct load_totals totals;
};

static void load_client_request(struct load_thread *me, struct load_conn *conn, enum load_op op)
{
	struct load_request request = {
		.op = (uint8_t)op,
		.size = me->options->size,
		.bytes = me->options->bytes,
		.count = me->options->count,
		.seed = me->seed,
	};

	load_conn_write(conn, &request, sizeof(request), true);
}

static void load_client_check(uint64_t pos, const void *data, size_t len)
{
	long wrong = pattern_first_wrong(pos, data, len);

	if (wrong >= 0)
		load_die("WRONG BYTE at pattern position %llu",
			 (unsigned long long)pos + (unsigned long long)wrong);
}

static void load_client_consume(struct load_thread *me, struct load_conn *conn)
{
	static __thread unsigned char buffer[PATTERN_CHUNK];
	uint64_t have = 0, want = me->options->bytes;

	load_client_request(me, conn, LOAD_OP_CONSUME);
	while (have < want) {
		size_t room = want - have < sizeof(buffer) ? (size_t)(want - have) : sizeof(buffer);
		size_t n = load_conn_read(conn, buffer, room);

		load_client_check(me->seed + have, buffer, n);
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
		size_t n = me->options->write_batch;

		if (want - sent < n)
			n = (size_t)(want - sent);
		load_conn_write(conn, pattern_at(me->seed + sent), n, true);
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

static void load_client_rtt(struct load_thread *me, struct load_conn *conn)
{
	static __thread unsigned char buffer[PATTERN_CHUNK];
	uint32_t size = me->options->size;
	uint64_t i, pos = me->seed;

	load_client_request(me, conn, LOAD_OP_RTT);
	for (i = 0; i < me->options->count; i++) {
		load_conn_write(conn, pattern_at(pos), size, true);
		load_conn_read_all(conn, buffer, size);
		load_client_check(pos, buffer, size);
		pos += size;
	}
	me->totals.bytes += me->options->count * size;
	me->totals.ops += me->options->count;
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
		load_conn_open(&conn, me->ctx, me->options, false);
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
	else if (strcmp(mode, "produce") == 0)
		load_client_produce(me, &conn);
	else
		load_client_rtt(me, &conn);
	load_conn_close(&conn, true, &me->totals);
	return NULL;
}

static double load_client_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void load_client_print(const struct load_options *options,
			      const struct load_totals *totals, double seconds)
{
	printf("{\"mode\": \"%s\", \"connections\": %u, \"bytes\": %llu, \"ops\": %llu, "
	       "\"seconds\": %.6f, \"clean_ends\": %llu, \"unclean_ends\": %llu, "
	       "\"verified\": true}\n",
	       options->mode, options->connections, (unsigned long long)totals->bytes,
	       (unsigned long long)totals->ops, seconds, (unsigned long long)totals->clean_ends,
	       (unsigned long long)totals->unclean_ends);
	fflush(stdout);
}

/* Opens all, says so, waits for a line (or the end) on stdin, checks that all live, closes. */
static int load_client_idle(const struct load_options *options, SSL_CTX *ctx)
{
	struct load_conn *conns = calloc(options->connections, sizeof(*conns));
	struct load_totals totals = { 0 };
	double start = load_client_now();
	char line[16];
	uint32_t i;

	if (!conns)
		load_die("no memory");
	for (i = 0; i < options->connections; i++) {
		load_conn_open(&conns[i], ctx, options, false);
		load_client_echo(&conns[i]);
	}
	printf("{\"ready\": %u}\n", options->connections);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		line[0] = '\0';
	for (i = 0; i < options->connections; i++) {
		load_client_echo(&conns[i]);
		totals.bytes += 2;
		totals.ops++;
	}
	for (i = 0; i < options->connections; i++)
		load_conn_close(&conns[i], false, &totals);
	load_client_print(options, &totals, load_client_now() - start);
	free(conns);
	return 0;
}

int load_client_run(const struct load_options *options)
{
	SSL_CTX *ctx = load_conn_context(options);
	struct load_totals totals = { 0 };
	struct load_thread *threads;
	double start;
	uint32_t i;

	if (strcmp(options->mode, "idle") == 0)
		return load_client_idle(options, ctx);
	threads = calloc(options->connections, sizeof(*threads));
	if (!threads)
		load_die("no memory");
	start = load_client_now();
	for (i = 0; i < options->connections; i++) {
		threads[i].options = options;
		threads[i].ctx = ctx;
		threads[i].seed = options->seed + (uint64_t)i * 7919;
		if (pthread_create(&threads[i].thread, NULL, load_client_thread, &threads[i]))
			load_die("no thread");
	}
	for (i = 0; i < options->connections; i++) {
		pthread_join(threads[i].thread, NULL);
		totals.bytes += threads[i].totals.bytes;
		totals.ops += threads[i].totals.ops;
		totals.clean_ends += threads[i].totals.clean_ends;
		totals.unclean_ends += threads[i].totals.unclean_ends;
	}
	load_client_print(options, &totals, load_client_now() - start);
	free(threads);
	SSL_CTX_free(ctx);
	return 0;
}
