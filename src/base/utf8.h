/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is valid UTF-8 (RFC 3629: no overlong forms, no surrogates). Pure.
 */
#ifndef SALLYPORT_BASE_UTF8_H
#define SALLYPORT_BASE_UTF8_H

#include <stddef.h>

/* Bytes (1..4) of the valid sequence at the start of `s`, of which `len` (at least 1) may be read;
 * 0 if there is none. */
size_t utf8_sequence(const unsigned char *s, size_t len);

#endif
