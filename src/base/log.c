/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log (log.h): who may write, and the thread that does. Settings that change are atomics; the
 * descriptor and the format are written once before threads start. Between log_start() and
 * log_stop() lines go through a queue, and only the log's thread touches the descriptor: it may
 * wait for a slow reader, nobody else does. Before and after, callers write by themselves.
 */
#include "base/log_impl.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/journal.h"
#include "base/line_queue.h"
#include "base/log_limit.h"
#include "base/thread.h"
#include "base/util.h"

#define QUEUE_BYTES    (1024 * 1024) /* some 3,000 lines */
#define PREFIX_BYTES   3	     /* "<6>" */
#define TICK_MS	       1000
#define STOP_WAIT_MS   2000
#define RETRY_AFTER_MS 100

static int log_fd = STDERR_FILENO;
static bool log_json, log_journal;
static atomic_int level_max = LOG_INFO;
static atomic_bool queued; /* the thread runs */
static pthread_t thread;
static struct line_queue queue;
static char ring[QUEUE_BYTES];
static atomic_uint_fast64_t written, lost;

static const char *const level_names[LOG_LEVEL_COUNT] = {
	[LOG_ERROR] = "error",
	[LOG_WARNING] = "warning",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

/* sd-daemon(3): syslog's priorities. */
static const char priorities[LOG_LEVEL_COUNT][PREFIX_BYTES + 1] = {
	[LOG_ERROR] = "<3>",
	[LOG_WARNING] = "<4>",
	[LOG_INFO] = "<6>",
	[LOG_DEBUG] = "<7>",
};

void log_init(int fd, enum log_level level, enum log_format format)
{
	log_fd = fd;
	log_json = format == LOG_FORMAT_JSON || (format == LOG_FORMAT_AUTO && !isatty(fd));
	log_journal = journal_is_stream(fd);
	log_set_level(level);
	log_set_rate(0);
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&level_max, (int)level, memory_order_relaxed);
}

enum log_level log_level(void)
{
	return (enum log_level)atomic_load_explicit(&level_max, memory_order_relaxed);
}

void log_set_rate(unsigned int per_second)
{
	log_limit_set_rate(per_second);
}

bool log_enabled(enum log_level level)
{
	return level <= log_level();
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

void log_stats(struct log_stats *ret)
{
	ret->written = atomic_load(&written);
	ret->lost = atomic_load(&lost);
	ret->suppressed = log_limit_suppressed();
}

/* False: not all of it could be written. A log that can not be written never stops the traffic. */
static bool write_out(const char *text, size_t len)
{
	struct pollfd writable = { .fd = log_fd, .events = POLLOUT };

	while (len) {
		ssize_t n = write(log_fd, text, len);

		if (n > 0) {
			text += n;
			len -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN && atomic_load(&queued)) {
			poll(&writable, 1, RETRY_AFTER_MS);
		} else if (n == 0 || errno != EINTR) {
			return false;
		}
	}
	atomic_fetch_add(&written, 1);
	return true;
}

static void begin(struct log_line *line, enum log_level level, const char *event)
{
	size_t prefix = log_journal ? PREFIX_BYTES : 0;

	memcpy(line->own, priorities[level], prefix);
	line->text = line->own + prefix;
	line->size = sizeof(line->own) - prefix;
	line->json = log_json;
	log_line_open(line, level_names[level], event);
}

void log_begin(struct log_line *line, enum log_level level, const char *event)
{
	line->on = log_enabled(level) && log_limit_allows(event);
	if (line->on)
		begin(line, level, event);
}

void log_end(struct log_line *line)
{
	size_t prefix;
	bool done;

	if (!line->on)
		return;
	log_line_close(line);
	prefix = (size_t)(line->text - line->own);
	if (atomic_load_explicit(&queued, memory_order_acquire))
		done = line_queue_put(&queue, line->own, prefix + line->used);
	else
		done = write_out(line->own, prefix + line->used);
	if (!done)
		atomic_fetch_add(&lost, 1);
}

void log_msg(enum log_level level, const char *event, const char *fmt, ...)
{
	char text[LOG_VALUE_BYTES_MAX];
	struct log_line line;
	va_list ap;

	log_begin(&line, level, event);
	if (!line.on)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_str(&line, "msg", text);
	log_end(&line);
}

/* The thread's own lines about lines that are missing: neither limited nor queued. */
static bool tell_missing(const char *event, const char *of, uint64_t count)
{
	struct log_line line;

	if (!log_enabled(LOG_WARNING))
		return true;
	begin(&line, LOG_WARNING, event);
	log_str(&line, "of", of);
	log_u64(&line, "count", count);
	log_line_close(&line);
	return write_out(line.own, (size_t)(line.text - line.own) + line.used);
}

static void tell_suppressed(const char *event, uint64_t count)
{
	tell_missing("suppressed", event, count);
}

/* Writes line `number`, and before it how many are missing since the last that was written. */
static void write_line(const char *text, size_t len, uint64_t number, uint64_t *expected)
{
	if (number != *expected && tell_missing("lines_lost", NULL, number - *expected))
		*expected = number;
	if (!len)
		return;
	if (number == *expected && write_out(text, len))
		*expected = number + 1;
	else
		atomic_fetch_add(&lost, 1);
}

static void *log_main(void *arg)
{
	char text[LOG_LINE_BYTES_MAX];
	uint64_t number, expected = 0, told_ns = 0;
	enum line_queue_result result;
	size_t len;

	pthread_setname_np(pthread_self(), "log");
	do {
		uint64_t now_ns;

		result = line_queue_take(&queue, TICK_MS, text, sizeof(text), &len, &number);
		write_line(text, len, number, &expected);
		now_ns = clock_monotonic_ns();
		if (now_ns - told_ns >= TICK_MS * NSEC_PER_MSEC || result == LINE_QUEUE_STOPPED) {
			told_ns = now_ns;
			log_limit_collect(tell_suppressed);
		}
	} while (result != LINE_QUEUE_STOPPED);
	return NULL;
}

int log_start(void)
{
	int r;

	line_queue_init(&queue, ring, sizeof(ring), 0);
	r = -pthread_create(&thread, NULL, log_main, NULL);
	if (r < 0)
		line_queue_fini(&queue);
	else
		atomic_store_explicit(&queued, true, memory_order_release);
	return r;
}

void log_stop(void)
{
	if (!atomic_load(&queued))
		return;
	line_queue_stop(&queue);
	/* Whoever is stuck in a write is left there: the process is about to end. */
	if (!thread_join_within(thread, STOP_WAIT_MS))
		return;
	atomic_store(&queued, false);
	line_queue_fini(&queue);
}
