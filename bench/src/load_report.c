/* SPDX-License-Identifier: Apache-2.0 */
/* What all modes have in common around the load itself: clocks, the check of what came, the JSON
 * line at the end. */
#include "load.h"
#include "pattern.h"

#include <stdio.h>
#include <time.h>

static uint64_t load_clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

uint64_t load_now_ns(void)
{
	return load_clock_ns(CLOCK_MONOTONIC);
}

uint64_t load_cpu_ns(void)
{
	return load_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void load_check(uint64_t pos, const void *data, size_t len)
{
	long wrong = pattern_first_wrong(pos, data, len);

	if (wrong >= 0)
		load_die("WRONG BYTE at pattern position %llu",
			 (unsigned long long)pos + (unsigned long long)wrong);
}

void load_totals_add(struct load_totals *into, const struct load_totals *from)
{
	into->bytes += from->bytes;
	into->ops += from->ops;
	into->retries += from->retries;
	into->clean_ends += from->clean_ends;
	into->unclean_ends += from->unclean_ends;
}

void load_say_ready(const struct load_options *options)
{
	printf("{\"ready\": %u}\n", options->connections);
	fflush(stdout);
}

void load_wait_line(const struct load_options *options)
{
	char line[16];

	load_say_ready(options);
	if (!fgets(line, sizeof(line), stdin))
		line[0] = '\0';
}

void load_report_print(const struct load_report *report)
{
	const struct load_totals *totals = &report->totals;

	printf("{\"mode\": \"%s\", \"connections\": %u, \"bytes\": %llu, \"ops\": %llu, "
	       "\"seconds\": %.6f, \"cpu_seconds\": %.6f, \"retries\": %llu, "
	       "\"clean_ends\": %llu, \"unclean_ends\": %llu, ",
	       report->options->mode, report->options->connections,
	       (unsigned long long)totals->bytes, (unsigned long long)totals->ops,
	       (double)report->ns / 1e9, (double)report->cpu_ns / 1e9,
	       (unsigned long long)totals->retries, (unsigned long long)totals->clean_ends,
	       (unsigned long long)totals->unclean_ends);
	if (report->latency) {
		printf("\"latency_us\": ");
		load_hist_print(report->latency, stdout);
		printf(", ");
	}
	printf("\"verified\": true}\n");
	fflush(stdout);
}
