/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fan-out: one producer, and consumers of whom each gets everything, through the proxy both ways.
 * A thread and a blocking connection each. With --rate the producer sends a record when it is due
 * and each consumer's time counts from then to the record's last byte; without, it sends as fast as
 * it can. What is produced is checked by the origin, what is consumed by each consumer.
 */
#include "load.h"
#include "pattern.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct fanout {
	const struct load_options *options;
	SSL_CTX *ctx;
	pthread_barrier_t subscribed;
	uint64_t topic;
	uint64_t start_ns; /* written before the barrier falls, read after */
};

struct fanout_consumer {
	pthread_t thread;
	struct fanout *fanout;
	struct load_totals totals;
	struct load_hist hist;
};

static uint64_t fanout_due_ns(const struct fanout *fanout, uint64_t record)
{
	return fanout->start_ns + (uint64_t)((double)record * 1e9 / (double)fanout->options->rate);
}

static void fanout_request(const struct fanout *fanout, struct load_conn *conn, enum load_op op)
{
	struct load_request request = { .op = (uint8_t)op,
					.size = (uint32_t)fanout->options->record,
					.bytes = fanout->options->bytes,
					.count = fanout->topic,
					.seed = fanout->options->seed };

	load_conn_write(conn, &request, sizeof(request), true);
}

/* Has @have bytes after it had @before: the records that these made whole. */
static void fanout_note(struct fanout_consumer *me, uint64_t before, uint64_t have)
{
	uint64_t now_ns, record = before / me->fanout->options->record;

	if (!me->fanout->options->rate)
		return;
	now_ns = load_now_ns();
	for (; (record + 1) * me->fanout->options->record <= have; record++) {
		uint64_t due_ns = fanout_due_ns(me->fanout, record);

		load_hist_add(&me->hist, now_ns > due_ns ? now_ns - due_ns : 0);
	}
}

static void *fanout_consume(void *arg)
{
	static __thread unsigned char buffer[PATTERN_CHUNK];
	struct fanout_consumer *me = arg;
	struct fanout *fanout = me->fanout;
	uint64_t have = 0, want = fanout->options->bytes;
	struct load_conn conn;

	load_conn_open(&conn, fanout->ctx, fanout->options, true);
	fanout_request(fanout, &conn, LOAD_OP_SUBSCRIBE);
	pthread_barrier_wait(&fanout->subscribed);
	while (have < want) {
		size_t room = want - have < sizeof(buffer) ? (size_t)(want - have) : sizeof(buffer);
		size_t n = load_conn_read(&conn, buffer, room);

		load_check(fanout->options->seed + have, buffer, n);
		fanout_note(me, have, have + n);
		have += n;
	}
	me->totals.bytes = have;
	load_conn_close(&conn, true, &me->totals);
	return NULL;
}

static void fanout_sleep_until(uint64_t ns)
{
	struct timespec due = { .tv_sec = (time_t)(ns / 1000000000ULL),
				.tv_nsec = (long)(ns % 1000000000ULL) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

static void fanout_produce(struct fanout *fanout, struct load_totals *totals)
{
	const struct load_options *o = fanout->options;
	struct load_verdict verdict;
	struct load_conn conn;
	uint64_t sent = 0;

	load_conn_open(&conn, fanout->ctx, o, true);
	fanout_request(fanout, &conn, LOAD_OP_PUBLISH);
	fanout->start_ns = load_now_ns();
	pthread_barrier_wait(&fanout->subscribed);
	while (sent < o->bytes) {
		size_t n = o->record < o->bytes - sent ? o->record : (size_t)(o->bytes - sent);

		if (o->rate)
			fanout_sleep_until(fanout_due_ns(fanout, sent / o->record));
		load_conn_write_record(&conn, o->seed + sent, n);
		sent += n;
	}
	load_conn_read_all(&conn, &verdict, sizeof(verdict));
	if (verdict.wrong || verdict.bytes != o->bytes)
		load_die("the origin saw %llu WRONG bytes", (unsigned long long)verdict.wrong);
	totals->bytes += sent;
	totals->ops += (sent + o->record - 1) / o->record;
	load_conn_close(&conn, true, totals);
}

int load_fanout_run(const struct load_options *options)
{
	struct fanout fanout = { .options = options,
				 .ctx = load_conn_context(options),
				 .topic = load_now_ns() ^ ((uint64_t)getpid() << 40) };
	struct fanout_consumer *consumers = calloc(options->connections, sizeof(*consumers));
	struct load_report report = { .options = options, .cpu_ns = load_cpu_ns() };

	if (!consumers || pthread_barrier_init(&fanout.subscribed, NULL, options->connections + 1))
		load_die("no memory");
	for (uint32_t i = 0; i < options->connections; i++) {
		consumers[i].fanout = &fanout;
		if (pthread_create(&consumers[i].thread, NULL, fanout_consume, &consumers[i]))
			load_die("no thread");
	}
	fanout_produce(&fanout, &report.totals);
	for (uint32_t i = 0; i < options->connections; i++) {
		pthread_join(consumers[i].thread, NULL);
		load_totals_add(&report.totals, &consumers[i].totals);
		if (i > 0)
			load_hist_merge(&consumers[0].hist, &consumers[i].hist);
	}
	report.ns = load_now_ns() - fanout.start_ns;
	report.cpu_ns = load_cpu_ns() - report.cpu_ns;
	report.latency = options->rate ? &consumers[0].hist : NULL;
	load_report_print(&report);
	pthread_barrier_destroy(&fanout.subscribed);
	free(consumers);
	SSL_CTX_free(fanout.ctx);
	return 0;
}
