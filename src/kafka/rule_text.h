/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of kafka/ only: the text of Kafka's ssl.principal.mapping.rules, taken apart.
 */
#ifndef SALLYPORT_KAFKA_RULE_TEXT_H
#define SALLYPORT_KAFKA_RULE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct rule_reader;

/* Pieces of the text that was read; not ended by a NUL. */
struct rule_text {
	bool is_default; /* else: */
	const char *pattern, *replacement;
	size_t pattern_bytes, replacement_bytes;
	bool to_lower, to_upper;
};

int rule_reader_new(struct rule_reader **ret, struct err_text *err);
void rule_reader_free(struct rule_reader *reader); /* NULL is fine */

/* Calls `take` for each rule of `text`; what that returns, if not 0, ends it and is returned. 0,
 * -ENOMEM, or -EINVAL with the reason in `err`. */
int rule_reader_each(const struct rule_reader *reader, const char *text,
		     int (*take)(const struct rule_text *rule, void *arg, struct err_text *err),
		     void *arg, struct err_text *err);

#endif
