/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structured log: one line an event on standard error, as logfmt text or as JSON. A line is
 * built on the stack and leaves with one write(2), so lines of different threads never mix.
 * Peer-controlled values are escaped (control bytes, quotes, invalid UTF-8) and cut; a line can not
 *be forged.
 *
 *	struct log_line line;
 *	log_begin(&line, LOG_INFO, "closed");
 *	log_str(&line, "cn", cn);
 *	log_u64(&line, "bytes_in", n);
 *	log_end(&line);
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
	size_t used;
	bool on; /* level is enabled: else every call on the line is a no-op */
	char text[LOG_LINE_BYTES_MAX];
};

/* Before any thread. AUTO: text on a terminal, JSON elsewhere. `fd` is borrowed (usually 2). */
void log_init(int fd, enum log_level level, enum log_format format);
bool log_enabled(enum log_level level);
const char *log_level_name(enum log_level level);

void log_begin(struct log_line *line, enum log_level level, const char *event);
/* `value` NULL: the field is left out. */
void log_str(struct log_line *line, const char *key, const char *value);
void log_bytes(struct log_line *line, const char *key, const void *value, size_t len);
void log_u64(struct log_line *line, const char *key, uint64_t value);
void log_i64(struct log_line *line, const char *key, int64_t value);
/* Seconds with millisecond precision, from nanoseconds. */
void log_seconds(struct log_line *line, const char *key, uint64_t ns);
void log_bool(struct log_line *line, const char *key, bool value);
void log_end(struct log_line *line);

/* One line with a field msg=…, for everything that has no fields of its own. */
void log_msg(enum log_level level, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
