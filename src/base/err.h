/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors come in two kinds that are never mixed: a negative errno is fatal for the operation and is
 * forwarded; a positive value of the module's own enum is a condition its caller must handle.
 * Where a person will read why, the callee also fills a struct err_text.
 */
#ifndef SALLYPORT_BASE_ERR_H
#define SALLYPORT_BASE_ERR_H

#define ERR_TEXT_BYTES 512

struct err_text {
	char text[ERR_TEXT_BYTES];
};

/* Fills `err` (may be NULL) printf-like, cut at its size, and returns `code`. */
int err_set(struct err_text *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
