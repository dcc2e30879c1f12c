/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of log lines (log.h): fields and their escapes, in both formats. A line lives on its
 * caller's stack; nothing here is shared.
 */
#include "base/log_impl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "base/util.h"

/* Room kept free at a line's end for what closes it: `,"cut":true`, `}` and the newline. */
#define LOG_TAIL_BYTES 24

static void put(struct log_line *line, const char *bytes, size_t len)
{
	size_t room = line->size - LOG_TAIL_BYTES - line->used;

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
	if (line->json) {
		put_text(line, ",\"");
		put_text(line, key);
		put_text(line, "\":");
	} else {
		put_text(line, " ");
		put_text(line, key);
		put_text(line, "=");
	}
}

/* A field that can not fit whole is left out: half of one would be worse than none. */
static bool has_room(struct log_line *line, size_t need)
{
	if (!line->on)
		return false;
	if (line->used + need <= line->size - LOG_TAIL_BYTES)
		return true;
	line->cut = true;
	return false;
}

/* `len` bytes, escaped. */
static void put_value(struct log_line *line, const void *value, size_t len)
{
	const unsigned char *s = value;

	for (size_t i = 0; i < len;)
		i += put_char(line, s + i, len - i);
}

void log_bytes(struct log_line *line, const char *key, const void *value, size_t len)
{
	const unsigned char *s = value;
	bool cut = len > LOG_VALUE_BYTES_MAX;

	len = MIN(len, (size_t)LOG_VALUE_BYTES_MAX);
	if (!has_room(line, strlen(key) + 6 * len + 16))
		return;
	put_key(line, key);
	if (!line->json && !cut && !needs_quotes(s, len)) {
		put(line, value, len);
		return;
	}
	put_text(line, "\"");
	put_value(line, value, len);
	put_text(line, cut ? "...\"" : "\"");
}

void log_str(struct log_line *line, const char *key, const char *value)
{
	if (value)
		log_bytes(line, key, value, strlen(value));
}

void log_strs(struct log_line *line, const char *key, const char *const *values)
{
	const char *begin = line->json ? "[\"" : "\"", *between = line->json ? "\",\"" : ",";
	bool any = false;

	for (; values && *values; values++) {
		size_t len = MIN(strlen(*values), (size_t)LOG_VALUE_BYTES_MAX);

		if (!has_room(line, strlen(key) + 6 * len + 16))
			break;
		if (!any)
			put_key(line, key);
		put_text(line, any ? between : begin);
		put_value(line, *values, len);
		any = true;
	}
	if (any)
		put_text(line, line->json ? "\"]" : "\"");
}

static void log_number(struct log_line *line, const char *key, const char *digits)
{
	if (!has_room(line, strlen(key) + strlen(digits) + 4))
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

void log_line_open(struct log_line *line, const char *level, const char *event)
{
	uint64_t now_ns = clock_realtime_ns();
	time_t seconds = (time_t)(now_ns / NSEC_PER_SEC);
	char stamp[64];
	struct tm tm;
	size_t n;

	line->used = 0;
	line->on = true;
	line->cut = false;
	gmtime_r(&seconds, &tm);
	n = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(stamp + n, sizeof(stamp) - n, ".%03uZ",
		 (unsigned int)(now_ns / NSEC_PER_MSEC % 1000));
	if (line->json) {
		put_text(line, "{\"ts\":\"");
		put_text(line, stamp);
		put_text(line, "\"");
		log_str(line, "level", level);
		log_str(line, "event", event);
	} else {
		put_text(line, stamp);
		put_text(line, " ");
		put_text(line, level);
		put_text(line, " ");
		put_text(line, event);
	}
}

static void append(struct log_line *line, const char *text)
{
	size_t len = strlen(text);

	memcpy(line->text + line->used, text, len);
	line->used += len;
}

void log_line_close(struct log_line *line)
{
	static_assert(LOG_TAIL_BYTES >= sizeof(",\"cut\":true}\n"), "the end has its room");
	if (line->cut)
		append(line, line->json ? ",\"cut\":true" : " cut=true");
	append(line, line->json ? "}\n" : "\n");
}

void log_record(struct log_line *line, char *text, size_t size, const char *event)
{
	line->text = text;
	line->size = size;
	line->json = true;
	log_line_open(line, NULL, event);
}

size_t log_record_end(struct log_line *line)
{
	log_line_close(line);
	return line->used;
}
