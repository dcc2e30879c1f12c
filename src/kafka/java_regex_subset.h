/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of kafka/ only: which patterns mean the same to Java and to PCRE2.
 */
#ifndef SALLYPORT_KAFKA_JAVA_REGEX_SUBSET_H
#define SALLYPORT_KAFKA_JAVA_REGEX_SUBSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct java_regex_traits {
	bool needs_ascii;  /* of any other text Java's versions differ (\b) */
	bool ignores_case; /* somewhere */
	/* Bit n: of group n Java may keep another match than PCRE2, or one where PCRE2 has none. */
	uint64_t doubtful_groups;
};

/* 0, or -EINVAL with what is wrong and where in `err`. What PCRE2 itself refuses is not looked for.
 */
int java_regex_examine(const char *pattern, size_t len, struct java_regex_traits *ret,
		       struct err_text *err);

#endif
