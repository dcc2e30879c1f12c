/* SPDX-License-Identifier: Apache-2.0 */
/* Tables (table.h): all cells are kept until the widths are known. Main thread. */
#include "cli/table.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"
#include "cli/cli.h"

/* Code point of a sequence of `n` bytes. */
static uint32_t code_point(const unsigned char *s, size_t n)
{
	uint32_t value = n == 1 ? s[0] : s[0] & (0x7fu >> n);

	for (size_t i = 1; i < n; i++)
		value = value << 6 | (s[i] & 0x3fu);
	return value;
}

/* Controls, and what reorders or hides the text around it. */
static bool is_treacherous(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
	       (c >= 0xe0000 && c <= 0xe0fff);
}

char *table_safe_text(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t len = strlen(text), used = 0;
	char *safe = malloc(len * 4 + 1);

	if (!safe)
		return NULL;
	while (len) {
		size_t n = utf8_sequence(s, len);
		bool bad = n == 0 || is_treacherous(code_point(s, n));

		n = n ? n : 1;
		for (size_t i = 0; i < n; i++) {
			if (bad)
				used += (size_t)snprintf(safe + used, 5, "\\x%02x", s[i]);
			else
				safe[used++] = (char)s[i];
		}
		s += n;
		len -= n;
	}
	safe[used] = 0;
	return safe;
}

/* Characters of a text that is safe. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += (*text & 0xc0) != 0x80;
	return width;
}

void table_init(struct table *table, const char *const *titles, size_t columns)
{
	*table = (struct table){ .columns = columns };
	for (size_t i = 0; i < columns; i++)
		table_add(table, titles[i]);
}

void table_add(struct table *table, const char *text)
{
	if (table->count == table->room) {
		size_t room = MAX(table->room * 2, (size_t)64);
		char **cells = reallocarray(table->cells, room, sizeof(*cells));

		if (!cells)
			return;
		table->cells = cells;
		table->room = room;
	}
	table->cells[table->count++] = table_safe_text(text[0] ? text : "-");
}

void table_addf(struct table *table, const char *fmt, ...)
{
	cleanup_free char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	table_add(table, text ? text : "");
}

static const char *cell(const struct table *table, size_t at)
{
	return at < table->count && table->cells[at] ? table->cells[at] : "?";
}

static void print_row(const struct table *table, size_t first, const size_t *widths, FILE *out)
{
	for (size_t i = 0; i < table->columns; i++) {
		const char *text = cell(table, first + i);

		fputs(text, out);
		if (i + 1 < table->columns)
			fprintf(out, "%*s", (int)(widths[i] - width_of(text)) + 2, "");
	}
}

void table_print(struct table *table, FILE *out)
{
	size_t widths[TABLE_COLUMNS_MAX] = { 0 };

	for (size_t i = 0; i < table->count; i++)
		widths[i % table->columns] =
			MAX(widths[i % table->columns], width_of(cell(table, i)));
	for (size_t i = 0; i < table->count; i += table->columns) {
		fputs(i ? "" : cli_style(out, CLI_BOLD), out);
		print_row(table, i, widths, out);
		fputs(i ? "" : cli_style(out, CLI_PLAIN), out);
		fputc('\n', out);
	}
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
	*table = (struct table){ 0 };
}

const char *table_bytes(uint64_t bytes, char ret[TABLE_VALUE_BYTES])
{
	static const char units[] = "KMGTPE";
	double value = (double)bytes;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(ret, TABLE_VALUE_BYTES, "%" PRIu64, bytes);
		return ret;
	}
	for (value /= 1024; value >= 1023.95; value /= 1024)
		unit++;
	snprintf(ret, TABLE_VALUE_BYTES, "%.1f%c", value, units[unit]);
	return ret;
}

const char *table_seconds(double seconds, char ret[TABLE_VALUE_BYTES])
{
	uint64_t whole = (uint64_t)MAX(seconds, 0.0);

	if (whole < 10)
		snprintf(ret, TABLE_VALUE_BYTES, "%.1fs", MAX(seconds, 0.0));
	else if (whole < 60)
		snprintf(ret, TABLE_VALUE_BYTES, "%" PRIu64 "s", whole);
	else if (whole < 3600)
		snprintf(ret, TABLE_VALUE_BYTES, "%" PRIu64 "m%02" PRIu64 "s", whole / 60,
			 whole % 60);
	else if (whole < 86400)
		snprintf(ret, TABLE_VALUE_BYTES, "%" PRIu64 "h%02" PRIu64 "m", whole / 3600,
			 whole / 60 % 60);
	else
		snprintf(ret, TABLE_VALUE_BYTES, "%" PRIu64 "d%02" PRIu64 "h", whole / 86400,
			 whole / 3600 % 24);
	return ret;
}
