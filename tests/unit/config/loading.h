/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of configurations share: texts that are good, and rows that are not. */
#ifndef SALLYPORT_TESTS_CONFIG_LOADING_H
#define SALLYPORT_TESTS_CONFIG_LOADING_H

#include <stddef.h>

#include "config/load.h"

/* Lines 1 to 5, good; a row's own text follows from line 6, inside of the first listener. */
#define GOOD                                                                                       \
	"listeners:\n"                                                                             \
	"  - name: kafka\n"                                                                        \
	"    listen: 127.0.0.1:9093\n"                                                             \
	"    upstream: 127.0.0.1:9092\n"                                                           \
	"    tls: { certificate: a.crt, key: a.key, roots: [ca.crt] }\n"
#define SECOND(listen)                                                                             \
	"  - name: second\n"                                                                       \
	"    listen: " listen "\n"                                                                 \
	"    upstream: h:1\n"                                                                      \
	"    tls: { certificate: a.crt, key: a.key, roots: [ca.crt] }\n"

struct bad_row {
	const char *text;
	unsigned int line, column;
	const char *path, *says; /* a part of the text */
};

/* Of the last load(). */
extern struct config_problems problems;

int load(const char *text, size_t len, struct config **ret);
void assert_clean(void);
/* The row's problem is there, at its place; anything else that is said is no concern of the row,
 * except that a row of its own mistake has only that. */
void assert_row(const struct bad_row *row, enum config_severity severity);
/* All of them errors. */
void assert_rows(const struct bad_row *rows, size_t count);

#endif
