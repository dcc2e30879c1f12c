/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prometheus' text format, version 0.0.4: families with HELP and TYPE, samples with labels.
 */
#ifndef SALLYPORT_ADMIN_EXPOSITION_H
#define SALLYPORT_ADMIN_EXPOSITION_H

#include <stdint.h>
#include <stdio.h>

#include "base/counter.h"

#define EXPOSITION_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum exposition_type { EXPOSITION_COUNTER, EXPOSITION_GAUGE, EXPOSITION_HISTOGRAM };

struct exposition_label {
	const char *name;  /* NULL ends the list */
	const char *value; /* any bytes: escaped; what is not UTF-8 becomes U+FFFD */
};

/* All samples of a family follow it, before the next family begins. */
void exposition_family(FILE *out, const char *name, enum exposition_type type, const char *help);
/* `labels` NULL: none. */
void exposition_number(FILE *out, const char *name, const struct exposition_label *labels,
		       int64_t value);
void exposition_count(FILE *out, const char *name, const struct exposition_label *labels,
		      uint64_t value);
/* In seconds, exact. */
void exposition_seconds(FILE *out, const char *name, const struct exposition_label *labels,
			uint64_t ns);
void exposition_histogram(FILE *out, const char *name, const struct exposition_label *labels,
			  const struct histogram *histogram);

#endif
