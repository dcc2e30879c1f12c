/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one piece of JSON that is easy to get wrong when writing it by hand: strings.
 */
#ifndef SALLYPORT_BASE_JSON_H
#define SALLYPORT_BASE_JSON_H

#include <stdio.h>

/* Writes `text` in quotes, escaped; a byte that is not UTF-8 becomes U+FFFD. NULL writes null. */
void json_write_string(FILE *out, const char *text);

#endif
