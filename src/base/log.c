/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structured log lines (log.h). Settings are written once before threads start and only read
 * after that. A line lives on its caller's stack; log_end() writes it whole.
 */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "base/util.h"

/* Room kept free at a line's end for what closes it: `"}` and the newline. */
#define LOG_TAIL_BYTES 8

static int log_fd = STDERR_FILENO;
static enum log_level log_level_max = LOG_INFO;
static bool log_json;

static const char *const level_names[LOG_LEVEL_COUNT] = {
	[LOG_ERROR] = "error",
	[LOG_WARNING] = "warning",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

void log_init(int fd, enum log_level level, enum log_format format)
{
	log_fd = fd;
	log_level_max = level;
	log_json = format == LOG_FORMAT_JSON || (format == LOG_FORMAT_AUTO && !isatty(fd));
}

bool log_enabled(enum log_level level)
{
	return level <= log_level_max;
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

static void put(struct log_line *line, const char *bytes, size_t len)
{
	size_t room = sizeof(line->text) - LOG_TAIL_BYTES - line->used;

	len = MIN(len, room);
	memcpy(line->text + line->used, bytes, len);
	line->used += len;
}

static void put_text(struct log_line *line, const char *text)
{
	put(line, text, strlen(text));
}

/* One character of a value, escaped so that it is right inside quotes of both formats. */
static size_t put_char(struct log_line *line, const unsigned char *s, size_t len)
{
	char escape[8];
	size_t n = utf8_sequence(s, len);

	if (n > 1) {
		/* C1 controls (U+0080..U+009F) drive terminals just as C0 ones do. */
		if (s[0] == 0xc2 && s[1] < 0xa0) {
			put(line, escape,
			    (size_t)snprintf(escape, sizeof(escape), "\\u%04x", s[1]));
			return n;
		}
		put(line, (const char *)s, n);
		return n;
	}
	if (n == 1 && s[0] >= 0x20 && s[0] != 0x7f && s[0] != '"' && s[0] != '\\') {
		put(line, (const char *)s, 1);
	} else if (s[0] == '"' || s[0] == '\\') {
		escape[0] = '\\';
		escape[1] = (char)s[0];
		put(line, escape, 2);
	} else {
		put(line, escape, (size_t)snprintf(escape, sizeof(escape), "\\u%04x", s[0]));
	}
	return 1;
}

static bool needs_quotes(const unsigned char *s, size_t len)
{
	if (!len)
		return true;
	for (size_t i = 0; i < len; i++)
		if (s[i] <= ' ' || s[i] == '"' || s[i] == '=' || s[i] == '\\' || s[i] >= 0x7f)
			return true;
	return false;
}

static void put_key(struct log_line *line, const char *key)
{
	if (log_json) {
		put_text(line, ",\"");
		put_text(line, key);
		put_text(line, "\":");
	} else {
		put_text(line, " ");
		put_text(line, key);
		put_text(line, "=");
	}
}

void log_bytes(struct log_line *line, const char *key, const void *value, size_t len)
{
	const unsigned char *s = value;
	bool cut = len > LOG_VALUE_BYTES_MAX;

	/* A field that can't fit whole is left out: half of one would be worse than none. */
	if (!line->on || line->used + strlen(key) + 6 * MIN(len, (size_t)LOG_VALUE_BYTES_MAX) + 16 >
				 sizeof(line->text))
		return;
	len = MIN(len, (size_t)LOG_VALUE_BYTES_MAX);
	put_key(line, key);
	if (!log_json && !cut && !needs_quotes(s, len)) {
		put(line, value, len);
		return;
	}
	put_text(line, "\"");
	for (size_t i = 0; i < len;)
		i += put_char(line, s + i, len - i);
	put_text(line, cut ? "...\"" : "\"");
}

void log_str(struct log_line *line, const char *key, const char *value)
{
	if (value)
		log_bytes(line, key, value, strlen(value));
}

static void log_number(struct log_line *line, const char *key, const char *digits)
{
	if (!line->on || line->used + strlen(key) + strlen(digits) + 16 > sizeof(line->text))
		return;
	put_key(line, key);
	put_text(line, digits);
}

void log_u64(struct log_line *line, const char *key, uint64_t value)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%" PRIu64, value);
	log_number(line, key, digits);
}

void log_i64(struct log_line *line, const char *key, int64_t value)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%" PRId64, value);
	log_number(line, key, digits);
}

void log_seconds(struct log_line *line, const char *key, uint64_t ns)
{
	char digits[40];

	snprintf(digits, sizeof(digits), "%llu.%03llu", (unsigned long long)(ns / NSEC_PER_SEC),
		 (unsigned long long)(ns / NSEC_PER_MSEC % 1000));
	log_number(line, key, digits);
}

void log_bool(struct log_line *line, const char *key, bool value)
{
	log_number(line, key, value ? "true" : "false");
}

void log_begin(struct log_line *line, enum log_level level, const char *event)
{
	uint64_t now_ns = clock_realtime_ns();
	time_t seconds = (time_t)(now_ns / NSEC_PER_SEC);
	char stamp[64];
	struct tm tm;
	size_t n;

	line->used = 0;
	line->on = log_enabled(level);
	if (!line->on)
		return;
	gmtime_r(&seconds, &tm);
	n = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(stamp + n, sizeof(stamp) - n, ".%03uZ",
		 (unsigned int)(now_ns / NSEC_PER_MSEC % 1000));
	if (log_json) {
		put_text(line, "{\"ts\":\"");
		put_text(line, stamp);
		put_text(line, "\"");
		log_str(line, "level", level_names[level]);
		log_str(line, "event", event);
	} else {
		put_text(line, stamp);
		put_text(line, " ");
		put_text(line, level_names[level]);
		put_text(line, " ");
		put_text(line, event);
	}
}

void log_end(struct log_line *line)
{
	if (!line->on)
		return;
	if (log_json)
		line->text[line->used++] = '}';
	line->text[line->used++] = '\n';
	/* A log that can't be written must never stop the traffic: the result is not looked at. */
	while (write(log_fd, line->text, line->used) < 0 && errno == EINTR)
		;
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
