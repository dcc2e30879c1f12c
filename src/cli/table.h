/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables for people, and text from elsewhere made safe for their terminal.
 */
#ifndef SALLYPORT_CLI_TABLE_H
#define SALLYPORT_CLI_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 16

struct table {
	char **cells; /* row by row, the titles first; NULL where memory was missing */
	size_t count, room, columns;
};

/* `titles`: `columns` of them. */
void table_init(struct table *table, const char *const *titles, size_t columns);
/* The next cell, made safe; "" becomes "-". */
void table_add(struct table *table, const char *text);
void table_addf(struct table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Columns padded with spaces, titles bold on a terminal; then frees everything. */
void table_print(struct table *table, FILE *out);

/* A copy with nothing that moves a cursor or turns text around: such characters and what is no
 * UTF-8 become \xNN. Caller frees; NULL without memory. */
char *table_safe_text(const char *text);

#define TABLE_VALUE_BYTES 32
/* "0", "512", "12.3K", "4.0M", … of 1024. */
const char *table_bytes(uint64_t bytes, char ret[TABLE_VALUE_BYTES]);
/* "0.4s", "12s", "3m05s", "2h11m", "5d03h" */
const char *table_seconds(double seconds, char ret[TABLE_VALUE_BYTES]);

#endif
