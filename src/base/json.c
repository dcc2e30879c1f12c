/* SPDX-License-Identifier: Apache-2.0 */
/* Strings of JSON output (json.h). Any thread that owns its FILE. */
#include "base/json.h"

#include <string.h>

#include "base/utf8.h"

void json_write_string(FILE *out, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t len, n;

	if (!text) {
		fputs("null", out);
		return;
	}
	fputc('"', out);
	for (len = strlen(text); len; s += n, len -= n) {
		n = utf8_sequence(s, len);
		if (n == 0) {
			n = 1;
			fputs("\\ufffd", out);
		} else if (n == 1 && (*s == '"' || *s == '\\')) {
			fprintf(out, "\\%c", *s);
		} else if (n == 1 && (*s < 0x20 || *s == 0x7f)) {
			fprintf(out, "\\u%04x", *s);
		} else if (n == 2 && s[0] == 0xc2 && s[1] < 0xa0) {
			fprintf(out, "\\u%04x", s[1]);
		} else {
			fwrite(s, 1, n, out);
		}
	}
	fputc('"', out);
}
