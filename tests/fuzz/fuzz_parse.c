/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small parsers on any text: [which][text]. What they accept has to be what a second look at
 * the text says, and what they refuse leaves the output alone.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/parse.h"
#include "pki/certificate.h"

#define UNTOUCHED 0xa5a5a5a5a5a5a5a5u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool truth)
{
	if (!truth)
		abort();
}

static void check_u64(const char *text)
{
	uint64_t value = UNTOUCHED;
	int r = parse_u64(text, 3, UINT64_MAX - 1, &value);
	char digits[24];

	must(r == 0 || r == -EINVAL || r == -ERANGE);
	must(r == 0 || value == UNTOUCHED);
	if (r)
		return;
	must(value >= 3 && value < UINT64_MAX);
	while (*text == '0' && text[1])
		text++;
	snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
	must(strcmp(text, digits) == 0);
}

/* A number, then a unit of letters: never less than the number alone. */
static void check_units(const char *text, int (*parse)(const char *, uint64_t *), const char *none)
{
	uint64_t value = UNTOUCHED, number;
	int r = parse(text, &value);
	char digits[64] = "";
	size_t n = strspn(text, "0123456789");

	must(r == 0 || r == -EINVAL || r == -ERANGE);
	must(r == 0 || value == UNTOUCHED);
	if (r)
		return;
	if (none && strcmp(text, none) == 0) {
		must(value == 0);
		return;
	}
	must(n > 0);
	if (n >= sizeof(digits))
		return;
	memcpy(digits, text, n);
	must(parse_u64(digits, 0, UINT64_MAX, &number) == 0);
	must(value >= number && (number == 0 || value % number == 0));
}

static void check_endpoint(const char *text)
{
	struct endpoint ep;
	struct sockaddr_storage addr;
	socklen_t len = 0;
	char again[512];
	int r;

	memset(&ep, 0xa5, sizeof(ep));
	r = parse_endpoint(text, &ep);
	must(r == 0 || r == -EINVAL || r == -ERANGE);
	if (r) {
		must(ep.port == (uint16_t)UNTOUCHED);
		return;
	}
	must(memchr(ep.host, 0, sizeof(ep.host)) && ep.host[0]);
	must(ep.is_unix || ep.port);
	/* What it holds is all that was there. */
	snprintf(again, sizeof(again), ep.is_unix ? "unix:%s" : "%s", ep.host);
	must(strstr(text, ep.is_unix ? again : ep.host));
	r = endpoint_sockaddr(&ep, &addr, &len);
	must(r == -EINVAL || (r == 0 && len && len <= sizeof(addr)));
	must(!ep.is_unix || (r == 0 && addr.ss_family == AF_UNIX &&
			     strcmp(((struct sockaddr_un *)&addr)->sun_path, ep.host) == 0));
}

static void check_words(const char *text)
{
	static const char *const words[] = { "listeners", "workers", "timeouts", "log",
					     "ktls",	  "",	     NULL };
	const char *word = parse_nearest_word(text, words);

	for (size_t i = 0; words[i]; i++) {
		must(strcmp(text, words[i]) != 0 || word == words[i]);
		if (word == words[i])
			return;
	}
	must(!word);
}

static void check_pki(const char *text)
{
	struct err_text err = { "" };
	struct pki_san san;
	int r = pki_san_parse(text, &san, &err);

	must(r == 0 || (r == -EINVAL && err.text[0]));
	must(r || (san.value > text && san.value <= text + strlen(text)));
	err.text[0] = 0;
	r = pki_cn_check(text, &err);
	must(r == 0 || (r == -EINVAL && err.text[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (!size)
		return 0;
	/* Of its exact size. */
	text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = 0;
	switch (data[0] % 6) {
	case 0:
		check_u64(text);
		break;
	case 1:
		check_units(text, parse_duration_ms, "off");
		break;
	case 2:
		check_units(text, parse_bytes, NULL);
		break;
	case 3:
		check_endpoint(text);
		break;
	case 4:
		check_words(text);
		break;
	default:
		check_pki(text);
	}
	free(text);
	return 0;
}
