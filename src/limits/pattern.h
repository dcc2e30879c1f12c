/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns on names: fnmatch(3) globs, and which of two counts where both match. The more specific
 * one does, by its parts in this order: a plain name before any pattern; more plain characters;
 * more
 * [...]; more ?; fewer *. A pattern that matches only a part of what another one matches is always
 * the more specific of the two. Pure.
 */
#ifndef SALLYPORT_LIMITS_PATTERN_H
#define SALLYPORT_LIMITS_PATTERN_H

#include <stdbool.h>

#define PATTERN_BYTES_MAX 512

/* Whether it is a name, without anything that has a meaning in patterns. */
bool pattern_is_name(const char *pattern);
bool pattern_matches(const char *pattern, const char *name);
/* Below 0: `a` is the more specific one; 0: by its parts neither is. */
int pattern_compare(const char *a, const char *b);
/* Whether a name can match both. Of PATTERN_BYTES_MAX at most; what is longer never does. */
bool pattern_overlaps(const char *a, const char *b);
/* Whether every name that matches `b` matches `a` too; in rare cases not seen. */
bool pattern_covers(const char *a, const char *b);

#endif
