/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit (audit.h): workers put records into a queue, a thread of its own writes them. A write
 * that fails is tried again until it works, while the queue takes what comes; once that is full,
 * records are lost, which the thread sees by their numbers. Owned by the proxy; the flags are
 * atomics, everything else is the thread's.
 */
#include "dataplane/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/journal.h"
#include "base/line_queue.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/util.h"
#include "dataplane/audit_out.h"
#include "limits/limits.h"

#define TICK_MS	     1000
#define RETRY_MS     200
#define STOP_WAIT_MS 5000
#define SEQ_BYTES    32 /* `{"seq":N,` before what a record has after its brace */

struct audit {
	bool fail_closed;
	char *path;
	char *ring;
	pthread_t thread;
	struct line_queue queue;
	atomic_bool stopping, reopen;
	atomic_bool failing;  /* a write does not work */
	atomic_bool overflow; /* the queue was full, and that is not told yet */
	atomic_uint_fast64_t lost;
	/* The thread's. */
	struct audit_out out;
	uint64_t next; /* number of the next record that is to be written */
};

static void note_failure(struct audit *audit, int error)
{
	if (atomic_exchange(&audit->failing, true))
		return;
	log_msg(LOG_ERROR, "audit_failed", "%s: %s; records wait in the queue%s", audit->path,
		strerror(-error), audit->fail_closed ? ", and new connections are refused" : "");
}

static void note_success(struct audit *audit)
{
	if (atomic_exchange(&audit->failing, false))
		log_msg(LOG_WARNING, "audit_recovered", "%s can be written again", audit->path);
}

/* One attempt, at the file that is there now. */
static int try_write(struct audit *audit, const char *line, size_t len, size_t *done)
{
	int r = 0;

	if (audit_out_follow(&audit->out, atomic_exchange(&audit->reopen, false), &r) && r == 0)
		*done = 0; /* another file: from the start */
	return r < 0 ? r : audit_out_write(&audit->out, line, len, done);
}

/* Until it works. False: nor did it when the end had come. */
static bool write_line(struct audit *audit, const char *line, size_t len)
{
	size_t done = 0;
	bool last_try = false;
	int r;

	while ((r = try_write(audit, line, len, &done)) < 0) {
		note_failure(audit, r);
		if (last_try)
			return false;
		/* What failed before the stop may work by now. */
		last_try = atomic_load(&audit->stopping);
		if (!last_try)
			poll(NULL, 0, RETRY_MS);
	}
	note_success(audit);
	return true;
}

/* `record` starts behind SEQ_BYTES of room in `text`; its brace gives way to its number. */
static bool write_record(struct audit *audit, char *text, size_t len, uint64_t number)
{
	char head[SEQ_BYTES];
	size_t bytes = (size_t)snprintf(head, sizeof(head), "{\"seq\":%" PRIu64 ",", number);
	char *start = text + SEQ_BYTES + 1 - bytes;

	memcpy(start, head, bytes);
	return write_line(audit, start, bytes + len - 1);
}

/* All before `number` that have not been written. */
static bool write_gap(struct audit *audit, uint64_t number)
{
	uint64_t count = number - audit->next;
	char text[SEQ_BYTES + 512];
	struct log_line line;

	log_record(&line, text + SEQ_BYTES, sizeof(text) - SEQ_BYTES, "gap");
	log_u64(&line, "lost", count);
	log_u64(&line, "first", audit->next);
	log_u64(&line, "last", number - 1);
	if (!write_record(audit, text, log_record_end(&line), number - 1))
		return false;
	atomic_store(&audit->overflow, false);
	log_msg(LOG_ERROR, "audit_lost",
		"%s: %" PRIu64 " records are missing before number %" PRIu64, audit->path, count,
		number);
	audit->next = number;
	return true;
}

/* Nothing came: a file that was renamed has its successor all the same. */
static void follow(struct audit *audit)
{
	int r = 0;

	if (!audit_out_follow(&audit->out, atomic_exchange(&audit->reopen, false), &r))
		return;
	if (r < 0)
		note_failure(audit, r);
	else
		note_success(audit);
}

static void *audit_main(void *arg)
{
	struct audit *audit = arg;
	char text[SEQ_BYTES + AUDIT_RECORD_BYTES_MAX];
	enum line_queue_result result;
	uint64_t number;
	size_t len;

	pthread_setname_np(pthread_self(), "audit");
	do {
		result = line_queue_take(&audit->queue, TICK_MS, text + SEQ_BYTES,
					 AUDIT_RECORD_BYTES_MAX, &len, &number);
		if (number != audit->next && !write_gap(audit, number))
			continue;
		if (result != LINE_QUEUE_LINE)
			follow(audit);
		else if (write_record(audit, text, len, number))
			audit->next = number + 1;
	} while (result != LINE_QUEUE_STOPPED);
	return NULL;
}

static void put_mark(struct audit *audit, const char *event)
{
	char text[256];
	struct log_line line;

	log_record(&line, text, sizeof(text), event);
	log_u64(&line, "pid", (uint64_t)getpid());
	audit_put(audit, text, log_record_end(&line));
}

static void audit_destroy(struct audit *audit)
{
	audit_out_close(&audit->out);
	line_queue_fini(&audit->queue);
	free(audit->ring);
	free(audit->path);
	free(audit);
}

int audit_new(const struct config_audit *config, struct audit **ret, struct err_text *err)
{
	size_t bytes = (size_t)config->queue_kib * 1024;
	struct audit *audit;
	int r;

	*ret = NULL;
	if (!config->file && !config->journald)
		return 0;
	audit = calloc(1, sizeof(*audit));
	if (!audit)
		return err_set(err, -ENOMEM, "out of memory");
	audit->fail_closed = config->on_failure == CONFIG_AUDIT_REFUSE;
	audit->path = strdup(config->file ? config->file : JOURNAL_SOCKET);
	audit->ring = malloc(bytes);
	audit->next = 1;
	line_queue_init(&audit->queue, audit->ring, bytes, audit->next);
	r = audit->path && audit->ring ? 0 : -ENOMEM;
	audit->out.fd = -1;
	if (r == 0)
		r = audit_out_open(&audit->out, audit->path, !config->file);
	if (r == 0)
		r = -pthread_create(&audit->thread, NULL, audit_main, audit);
	if (r < 0) {
		err_set(err, r, "the audit can not be written: %s: %s",
			audit->path ? audit->path : "", strerror(-r));
		audit_destroy(audit);
		return r;
	}
	put_mark(audit, "started");
	*ret = audit;
	return 0;
}

void audit_free(struct audit *audit)
{
	uint64_t missing;

	if (!audit)
		return;
	put_mark(audit, "stopped");
	atomic_store(&audit->stopping, true);
	line_queue_stop(&audit->queue);
	if (!thread_join_within(audit->thread, STOP_WAIT_MS)) {
		/* Stuck in a write: it is left there, with what it uses, as the process ends. */
		log_msg(LOG_ERROR, "audit_lost", "%s takes nothing: what waited is lost",
			audit->path);
		return;
	}
	missing = line_queue_next(&audit->queue) - audit->next;
	if (missing)
		log_msg(LOG_ERROR, "audit_lost",
			"%s: the last %" PRIu64 " records could not be written", audit->path,
			missing);
	audit_destroy(audit);
}

void audit_put(struct audit *audit, const char *record, size_t len)
{
	if (!audit || line_queue_put(&audit->queue, record, len))
		return;
	atomic_fetch_add(&audit->lost, 1);
	if (!atomic_exchange(&audit->overflow, true))
		log_msg(LOG_ERROR, "audit_full",
			"the queue of %s is full: records are lost until some are written",
			audit->path);
}

void audit_skip(struct audit *audit)
{
	if (!audit)
		return;
	atomic_fetch_add(&audit->lost, 1);
	line_queue_skip(&audit->queue);
}

bool audit_refuses(struct audit *audit)
{
	if (!audit || !audit->fail_closed)
		return false;
	/* The upper half is for the ends of those who are inside already. */
	return atomic_load_explicit(&audit->failing, memory_order_relaxed) ||
	       line_queue_used(&audit->queue) > audit->queue.size / 2;
}

void audit_reopen(struct audit *audit)
{
	if (audit)
		atomic_store(&audit->reopen, true);
}

void audit_stats(struct audit *audit, struct audit_stats *ret)
{
	*ret = (struct audit_stats){ 0 };
	if (!audit)
		return;
	ret->records = line_queue_next(&audit->queue) - 1;
	ret->waiting_bytes = line_queue_used(&audit->queue);
	ret->lost = atomic_load(&audit->lost);
	ret->failing = atomic_load(&audit->failing);
}
