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
	uint64_t *rtt_ns;	/* rtt: how long each took, `count` of them */
};

static uint64_t load_client_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

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

/* Says that it is connected and waits for a line, or the end, on stdin. */
static void load_client_wait(const struct load_options *options)
{
	char line[16];

	printf("{\"ready\": %u}\n", options->connections);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		line[0] = '\0';
}

static void load_client_rtt(struct load_thread *me, struct load_conn *conn)
{
	static __thread unsigned char buffer[PATTERN_CHUNK];
	uint32_t size = me->options->size;
	uint64_t i, pos = me->seed;

	me->rtt_ns = calloc(me->options->count, sizeof(*me->rtt_ns));
	if (!me->rtt_ns)
		load_die("no memory");
	load_client_request(me, conn, LOAD_OP_RTT);
	if (me->options->wait)
		load_client_wait(me->options);
	for (i = 0; i < me->options->count; i++) {
		uint64_t start_ns = load_client_now_ns();

		load_conn_write(conn, pattern_at(pos), size, true);
		load_conn_read_all(conn, buffer, size);
		me->rtt_ns[i] = load_client_now_ns() - start_ns;
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
	return (double)load_client_now_ns() / 1e9;
}

static int load_client_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Of all threads' round trips together: the times below which half and 99 % of them stay. */
static void load_client_percentiles(const struct load_thread *threads, uint32_t count,
				    double ret_us[2])
{
	uint64_t each = threads[0].options->count, all = each * count;
	uint64_t *ns = calloc(all, sizeof(*ns));
	uint32_t i;

	if (!ns)
		load_die("no memory");
	for (i = 0; i < count; i++)
		memcpy(ns + i * each, threads[i].rtt_ns, each * sizeof(*ns));
	qsort(ns, all, sizeof(*ns), load_client_compare);
	ret_us[0] = (double)ns[all / 2] / 1e3;
	ret_us[1] = (double)ns[all * 99 / 100] / 1e3;
	free(ns);
}

static void load_client_print(const struct load_options *options,
			      const struct load_totals *totals, double seconds,
			      const double rtt_us[2])
{
	printf("{\"mode\": \"%s\", \"connections\": %u, \"bytes\": %llu, \"ops\": %llu, "
	       "\"seconds\": %.6f, \"clean_ends\": %llu, \"unclean_ends\": %llu, "
	       "\"p50_us\": %.1f, \"p99_us\": %.1f, \"verified\": true}\n",
	       options->mode, options->connections, (unsigned long long)totals->bytes,
	       (unsigned long long)totals->ops, seconds, (unsigned long long)totals->clean_ends,
	       (unsigned long long)totals->unclean_ends, rtt_us[0], rtt_us[1]);
	fflush(stdout);
}

/* Opens all, says so, waits for a line (or the end) on stdin, checks that all live, closes. */
static int load_client_idle(const struct load_options *options, SSL_CTX *ctx)
{
	struct load_conn *conns = calloc(options->connections, sizeof(*conns));
	struct load_totals totals = { 0 };
	double start = load_client_now();
	uint32_t i;

	if (!conns)
		load_die("no memory");
	for (i = 0; i < options->connections; i++) {
		load_conn_open(&conns[i], ctx, options, false);
		load_client_echo(&conns[i]);
	}
	load_client_wait(options);
	for (i = 0; i < options->connections; i++) {
		load_client_echo(&conns[i]);
		totals.bytes += 2;
		totals.ops++;
	}
	for (i = 0; i < options->connections; i++)
		load_conn_close(&conns[i], false, &totals);
	load_client_print(options, &totals, load_client_now() - start, (double[2]){ 0 });
	free(conns);
	return 0;
}

int load_client_run(const struct load_options *options)
{
	SSL_CTX *ctx = load_conn_context(options);
	struct load_totals totals = { 0 };
	struct load_thread *threads;
	double start, rtt_us[2] = { 0 };
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
	if (threads[0].rtt_ns && options->count)
		load_client_percentiles(threads, options->connections, rtt_us);
	load_client_print(options, &totals, load_client_now() - start, rtt_us);
	for (i = 0; i < options->connections; i++)
		free(threads[i].rtt_ns);
	free(threads);
	SSL_CTX_free(ctx);
	return 0;
}
