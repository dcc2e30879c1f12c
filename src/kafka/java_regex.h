/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Java's regular expressions, as far as PCRE2 means the same by them: a pattern that Java would
 * read in another way is refused when it is compiled, a text in which Java might see something else
 * when it is matched. Matching has a budget of steps.
 */
#ifndef SALLYPORT_KAFKA_JAVA_REGEX_H
#define SALLYPORT_KAFKA_JAVA_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct java_regex;

/* 0, -ENOMEM, or -EINVAL with what is wrong and where in `err`. */
int java_regex_new(const char *pattern, size_t len, struct java_regex **ret, struct err_text *err);
void java_regex_free(struct java_regex *regex);			/* NULL is fine */
unsigned int java_regex_groups(const struct java_regex *regex); /* without group 0 */
/* Number of the group of that name, or 0. */
unsigned int java_regex_group(const struct java_regex *regex, const char *name);
/* Whether Java may have another match for this group. */
bool java_regex_group_is_doubtful(const struct java_regex *regex, unsigned int group);

/* A text to be matched, by any number of patterns. */
struct java_text {
	const char *bytes; /* UTF-8; the caller's */
	size_t len;
	bool is_ascii;
	bool has_folding; /* letters beyond ASCII that are an ASCII one where case does not count */
	uint32_t steps_left;
	void *context; /* PCRE2's */
};

/* 0, -ENOMEM, or -EINVAL: not UTF-8. */
int java_text_init(struct java_text *text, const char *bytes, size_t len, uint32_t steps);
void java_text_fini(struct java_text *text);

enum java_regex_result {
	JAVA_REGEX_MATCH = 1,
	JAVA_REGEX_NO_MATCH = 2,
	JAVA_REGEX_COSTLY = 3,	 /* no steps are left */
	JAVA_REGEX_DOUBTFUL = 4, /* Java might see something else */
};

/* Where the groups of one regex were found, 0 being the match: starts zeroed, ends with
 * java_groups_fini(). */
struct java_groups {
	void *data;
	const size_t *at; /* start and end of each; JAVA_REGEX_UNSET: it took no part */
};
#define JAVA_REGEX_UNSET SIZE_MAX

/* Java's Matcher.matches(), .lookingAt(), and .find() from byte `from` on. A java_regex_result or
 * -ENOMEM. */
int java_regex_matches(const struct java_regex *regex, struct java_text *text,
		       struct java_groups *groups);
int java_regex_looking_at(const struct java_regex *regex, struct java_text *text,
			  struct java_groups *groups);
int java_regex_find(const struct java_regex *regex, struct java_text *text, size_t from,
		    struct java_groups *groups);
void java_groups_fini(struct java_groups *groups);

#endif
