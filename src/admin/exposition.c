/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus' text format (exposition.h). Whole numbers and exact decimals only, so that no locale
 * can change them. Any thread that owns its FILE. */
#include "admin/exposition.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"

#define SECONDS_TEXT_BYTES 32

/* In HELP a quote is no special character; in a label's value it is. */
static void write_escaped(FILE *out, const char *text, bool quoted)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t len, n;

	for (len = strlen(text); len; s += n, len -= n) {
		n = utf8_sequence(s, len);
		if (n == 0) {
			n = 1;
			fputs("\xef\xbf\xbd", out);
		} else if (*s == '\n') {
			fputs("\\n", out);
		} else if (*s == '\\' || (quoted && *s == '"')) {
			fprintf(out, "\\%c", *s);
		} else {
			fwrite(s, 1, n, out);
		}
	}
}

void exposition_family(FILE *out, const char *name, enum exposition_type type, const char *help)
{
	static const char *const types[] = { "counter", "gauge", "histogram" };

	fprintf(out, "# HELP %s ", name);
	write_escaped(out, help, false);
	fprintf(out, "\n# TYPE %s %s\n", name, types[type]);
}

static void write_label(FILE *out, const char *separator, const char *name, const char *value)
{
	fprintf(out, "%s%s=\"", separator, name);
	write_escaped(out, value, true);
	fputc('"', out);
}

/* Name and labels, and `le` (a histogram's bound) behind them unless it is NULL. */
static void write_start(FILE *out, const char *name, const char *suffix,
			const struct exposition_label *labels, const char *le)
{
	const char *separator = "{";

	fprintf(out, "%s%s", name, suffix);
	for (; labels && labels->name; labels++, separator = ",")
		write_label(out, separator, labels->name, labels->value);
	if (le) {
		write_label(out, separator, "le", le);
		separator = ",";
	}
	fputs(*separator == ',' ? "} " : " ", out);
}

/* "0.0025", "1", "10" */
static const char *seconds_text(uint64_t ns, char ret[SECONDS_TEXT_BYTES])
{
	size_t len;

	snprintf(ret, SECONDS_TEXT_BYTES, "%" PRIu64 ".%09" PRIu64, ns / (uint64_t)NSEC_PER_SEC,
		 ns % (uint64_t)NSEC_PER_SEC);
	for (len = strlen(ret); ret[len - 1] == '0'; len--)
		ret[len - 1] = '\0';
	if (ret[len - 1] == '.')
		ret[len - 1] = '\0';
	return ret;
}

void exposition_number(FILE *out, const char *name, const struct exposition_label *labels,
		       int64_t value)
{
	write_start(out, name, "", labels, NULL);
	fprintf(out, "%" PRId64 "\n", value);
}

void exposition_count(FILE *out, const char *name, const struct exposition_label *labels,
		      uint64_t value)
{
	write_start(out, name, "", labels, NULL);
	fprintf(out, "%" PRIu64 "\n", value);
}

void exposition_seconds(FILE *out, const char *name, const struct exposition_label *labels,
			uint64_t ns)
{
	char text[SECONDS_TEXT_BYTES];

	write_start(out, name, "", labels, NULL);
	fprintf(out, "%s\n", seconds_text(ns, text));
}

void exposition_histogram(FILE *out, const char *name, const struct exposition_label *labels,
			  const struct histogram *histogram)
{
	char text[SECONDS_TEXT_BYTES];
	uint64_t count = 0;

	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
		count += histogram->buckets[i];
		write_start(out, name, "_bucket", labels,
			    i < HISTOGRAM_BOUNDS ? seconds_text(histogram_bounds_ns[i], text)
						 : "+Inf");
		fprintf(out, "%" PRIu64 "\n", count);
	}
	write_start(out, name, "_sum", labels, NULL);
	fprintf(out, "%s\n", seconds_text(histogram->sum_ns, text));
	write_start(out, name, "_count", labels, NULL);
	fprintf(out, "%" PRIu64 "\n", count);
}
