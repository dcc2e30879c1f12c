/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structured log: one line an event on standard error, as logfmt text or as JSON. A line is
 * built on the stack and leaves whole, so lines of different threads never mix. Peer-controlled
 * values are escaped (control bytes, quotes, invalid UTF-8) and cut; a line can not be forged.
 *
 *	struct log_line line;
 *	log_begin(&line, LOG_INFO, "closed");
 *	log_str(&line, "cn", cn);
 *	log_u64(&line, "bytes_in", n);
 *	log_end(&line);
 *
 * After log_start() a thread of its own does the writing, and whoever logs never waits: a reader
 * that stalls costs lines, which are counted, and not connections.
 */
#ifndef SALLYPORT_BASE_LOG_H
#define SALLYPORT_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_LEVEL_COUNT };
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

#define LOG_LINE_BYTES_MAX  4096
#define LOG_VALUE_BYTES_MAX 512

struct log_line {
	char *text; /* `own`, or the caller's of log_record() */
	size_t size, used;
	bool on; /* it will be written: else every call on the line is a no-op */
	bool json;
	bool cut; /* something did not fit: the line says so at its end */
	char own[LOG_LINE_BYTES_MAX];
};

/* Before any thread. AUTO: text on a terminal, JSON elsewhere. `fd` is borrowed (usually 2); if it
 * is the journal's, lines carry their priority. No limit on rates yet. */
void log_init(int fd, enum log_level level, enum log_format format);
/* Lines go through a queue and a thread from now on. Signals should be blocked. 0 or -errno. */
int log_start(void);
/* The other threads have gone. Writes what waits, for at most two seconds; later lines are written
 * by their callers again. */
void log_stop(void);

/* Any thread, at any time. */
void log_set_level(enum log_level level);
enum log_level log_level(void);
/* Lines a second of one event (log_limit.h); 0: no limit. What is more is counted, and told by a
 * line "suppressed" a second. */
void log_set_rate(unsigned int per_second);
bool log_enabled(enum log_level level);
const char *log_level_name(enum log_level level);

struct log_stats {
	uint64_t written;    /* lines */
	uint64_t suppressed; /* too many of their kind */
	uint64_t lost;	     /* the reader stalled, or the write failed */
};

/* Any thread. */
void log_stats(struct log_stats *ret);

void log_begin(struct log_line *line, enum log_level level, const char *event);
/* `value` NULL: the field is left out. */
void log_str(struct log_line *line, const char *key, const char *value);
void log_bytes(struct log_line *line, const char *key, const void *value, size_t len);
/* A list, NULL-ended: in text its items with commas. NULL or empty: left out. */
void log_strs(struct log_line *line, const char *key, const char *const *values);
void log_u64(struct log_line *line, const char *key, uint64_t value);
void log_i64(struct log_line *line, const char *key, int64_t value);
/* Seconds with millisecond precision, from nanoseconds. */
void log_seconds(struct log_line *line, const char *key, uint64_t ns);
void log_bool(struct log_line *line, const char *key, bool value);
void log_end(struct log_line *line);

/* One line with a field msg=…, for everything that has no fields of its own. */
void log_msg(enum log_level level, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* A JSON object for somebody else than the log, in `text` of `size` bytes (at least 256): begins
 * with the time and the event, takes the same fields, and is closed by log_record_end(), which
 * returns its length with the newline. */
void log_record(struct log_line *line, char *text, size_t size, const char *event);
size_t log_record_end(struct log_line *line);

#endif
