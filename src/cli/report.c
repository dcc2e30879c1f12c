/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Printing of problems (report.h). The file is read again for the lines that are shown: it is
 * small, and loading has no reason to keep it. Main thread.
 */
#include "cli/report.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/utf8.h"
#include "base/util.h"
#include "cli/cli.h"

#define SNIPPET_BEFORE 60 /* characters shown before and after the column */
#define SNIPPET_AFTER  40

/* One character of a line, with nothing that moves the cursor. Returns its bytes. */
static size_t put_character(FILE *out, const char *s, size_t len)
{
	size_t n = utf8_sequence((const unsigned char *)s, len);
	bool control = n == 0 || (n == 1 && ((unsigned char)*s < 0x20 || *s == 0x7f)) ||
		       (n == 2 && (unsigned char)s[0] == 0xc2 && (unsigned char)s[1] < 0xa0);

	if (control)
		fputc(*s == '\t' ? ' ' : '?', out);
	else
		fwrite(s, 1, n, out);
	return n ? n : 1;
}

/* The line around a column, and a caret below it. */
static void put_snippet(FILE *out, const char *line, size_t len, unsigned int number,
			unsigned int column)
{
	unsigned int first = column > SNIPPET_BEFORE ? column - SNIPPET_BEFORE : 1, at = 1;
	unsigned int last = column + SNIPPET_AFTER;

	fprintf(out, "%5u | %s", number, first > 1 ? "..." : "");
	for (size_t i = 0; i < len && at <= last; at++) {
		if (at >= first)
			i += put_character(out, line + i, len - i);
		else
			i += MAX(utf8_sequence((const unsigned char *)line + i, len - i), 1u);
	}
	fprintf(out, "\n      | %*s%s^%s\n", (int)(column - first) + (first > 1 ? 3 : 0), "",
		cli_style(out, CLI_GREEN), cli_style(out, CLI_PLAIN));
}

/* Goes forward to line `number`; problems come in order, so one pass does. */
static bool seek_line(FILE *in, unsigned int number, unsigned int *at, char **line, size_t *room,
		      ssize_t *len)
{
	while (*at < number) {
		*len = getline(line, room, in);
		if (*len < 0)
			return false;
		++*at;
	}
	if (*len > 0 && (*line)[*len - 1] == '\n')
		--*len;
	return *len >= 0;
}

static void put_problem(FILE *out, const char *file, const struct config_problem *p)
{
	bool error = p->severity == CONFIG_ERROR;

	fprintf(out, "%s%s:", cli_style(out, CLI_BOLD), file);
	if (p->line)
		fprintf(out, "%u:%u:", p->line, p->column);
	fprintf(out, "%s %s%s:%s ", cli_style(out, CLI_PLAIN),
		cli_style(out, error ? CLI_RED : CLI_YELLOW), error ? "error" : "warning",
		cli_style(out, CLI_PLAIN));
	fprintf(out, "%s%s%s\n", p->path, p->path[0] ? ": " : "", p->text);
}

void report_problems(FILE *out, const char *file, const struct config_problems *problems)
{
	FILE *in = isatty(fileno(out)) ? fopen(file, "re") : NULL;
	cleanup_free char *line = NULL;
	unsigned int at = 0;
	ssize_t len = 0;
	size_t room = 0;

	for (size_t i = 0; i < problems->count; i++) {
		const struct config_problem *p = &problems->items[i];

		put_problem(out, file, p);
		if (in && p->line && seek_line(in, p->line, &at, &line, &room, &len))
			put_snippet(out, line, (size_t)len, p->line, p->column);
	}
	if (in)
		fclose(in);
	if (problems->dropped)
		fprintf(out, "... and %zu more\n", problems->dropped);
	if (problems->count)
		fprintf(out, "%zu error%s, %zu warning%s\n", problems->errors,
			problems->errors == 1 ? "" : "s", problems->warnings,
			problems->warnings == 1 ? "" : "s");
}

void report_problems_json(FILE *out, const struct config_problems *problems)
{
	fputc('[', out);
	for (size_t i = 0; i < problems->count; i++) {
		const struct config_problem *p = &problems->items[i];

		fprintf(out,
			"%s{\"severity\":\"%s\",\"line\":%u,\"column\":%u,\"path\":", i ? "," : "",
			p->severity == CONFIG_ERROR ? "error" : "warning", p->line, p->column);
		json_write_string(out, p->path);
		fputs(",\"text\":", out);
		json_write_string(out, p->text);
		fputc('}', out);
	}
	fputc(']', out);
}
