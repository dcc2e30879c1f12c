/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of kafka/ only: replacements as Java's Matcher.replaceAll() takes them after Kafka has had
 * a look at them: $1, ${name}, \$.
 */
#ifndef SALLYPORT_KAFKA_JAVA_REPLACEMENT_H
#define SALLYPORT_KAFKA_JAVA_REPLACEMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "kafka/java_regex.h"

struct java_replacement;

/* A text that grows up to a limit. */
struct java_buffer {
	char *bytes; /* `max` + 1 */
	size_t len, max;
};
/* False: no room. */
bool java_buffer_add(struct java_buffer *buffer, const char *bytes, size_t len);

/* 0, -ENOMEM, or -EINVAL: with this replacement Java would fail whenever `regex` matches. */
int java_replacement_new(const char *text, size_t len, const struct java_regex *regex,
			 struct java_replacement **ret, struct err_text *err);
void java_replacement_free(struct java_replacement *replacement); /* NULL is fine */
/* False: no room. */
bool java_replacement_expand(const struct java_replacement *replacement,
			     const struct java_text *text, const struct java_groups *groups,
			     struct java_buffer *ret);

#endif
