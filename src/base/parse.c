/* SPDX-License-Identifier: Apache-2.0 */
/* Parsers of small values (parse.h). Pure; any thread. */
#include "base/parse.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/util.h"

/* Digits at the start of `text`; *ret_rest is what follows them. */
static int parse_digits(const char *text, uint64_t *ret, const char **ret_rest)
{
	uint64_t value = 0;
	const char *at = text;

	for (; isdigit((unsigned char)*at); at++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
			return -ERANGE;
	if (at == text)
		return -EINVAL;
	*ret = value;
	*ret_rest = at;
	return 0;
}

int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	const char *rest;
	uint64_t value;
	int r = parse_digits(text, &value, &rest);

	if (r < 0)
		return r;
	if (*rest)
		return -EINVAL;
	if (value < min || value > max)
		return -ERANGE;
	*ret = value;
	return 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static int parse_with_unit(const char *text, const struct unit *units, size_t count, uint64_t *ret)
{
	const char *rest;
	uint64_t value;
	int r = parse_digits(text, &value, &rest);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(rest, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(value, units[i].factor, &value))
			return -ERANGE;
		*ret = value;
		return 0;
	}
	return -EINVAL;
}

int parse_duration_ms(const char *text, uint64_t *ret_ms)
{
	static const struct unit units[] = {
		{ "ms", 1 },
		{ "s", 1000 },
		{ "m", 60 * 1000 },
		{ "h", 3600 * 1000 },
		{ "d", 86400ULL * 1000 },
	};

	if (strcmp(text, "off") == 0) {
		*ret_ms = 0;
		return 0;
	}
	return parse_with_unit(text, units, ARRAY_SIZE(units), ret_ms);
}

int parse_bytes(const char *text, uint64_t *ret)
{
	static const struct unit units[] = {
		{ "", 1 },
		{ "B", 1 },
		{ "kB", 1000 },
		{ "MB", 1000 * 1000 },
		{ "GB", 1000000000 },
		{ "KiB", 1ULL << 10 },
		{ "MiB", 1ULL << 20 },
		{ "GiB", 1ULL << 30 },
	};

	return parse_with_unit(text, units, ARRAY_SIZE(units), ret);
}

int parse_rate(const char *text, uint64_t *ret)
{
	size_t len = strlen(text);
	char size[32];

	if (len < 3 || len - 2 >= sizeof(size) || strcmp(text + len - 2, "/s") != 0)
		return -EINVAL;
	memcpy(size, text, len - 2);
	size[len - 2] = 0;
	/* "1000/s" might be anything. */
	return size[len - 3] == 'B' ? parse_bytes(size, ret) : -EINVAL;
}

static int parse_unix_path(const char *path, struct endpoint *ret)
{
	size_t len = strlen(path);

	if (!len || path[0] != '/')
		return -EINVAL;
	if (len >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return -ERANGE;
	*ret = (struct endpoint){ .is_unix = true };
	memcpy(ret->host, path, len + 1);
	return 0;
}

int parse_endpoint(const char *text, struct endpoint *ret)
{
	struct endpoint ep = { 0 };
	const char *colon = strrchr(text, ':'), *host = text;
	size_t host_len;
	uint64_t port;
	int r;

	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix_path(text + 5, ret);
	if (!colon)
		return -EINVAL;
	host_len = (size_t)(colon - text);
	if (text[0] == '[') {
		if (host_len < 3 || colon[-1] != ']')
			return -EINVAL;
		host++;
		host_len -= 2;
	} else if (memchr(text, ':', host_len)) {
		return -EINVAL; /* an IPv6 address without brackets is ambiguous */
	}
	if (!host_len || host_len >= sizeof(ep.host))
		return -EINVAL;
	memcpy(ep.host, host, host_len);
	r = parse_u64(colon + 1, 1, UINT16_MAX, &port);
	if (r < 0)
		return r;
	ep.port = (uint16_t)port;
	*ret = ep;
	return 0;
}

int endpoint_sockaddr(const struct endpoint *ep, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct sockaddr_un *un = (struct sockaddr_un *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
	struct sockaddr_in *in = (struct sockaddr_in *)ret;

	memset(ret, 0, sizeof(*ret));
	if (ep->is_unix) {
		un->sun_family = AF_UNIX;
		memcpy(un->sun_path, ep->host, strnlen(ep->host, sizeof(un->sun_path) - 1));
		*ret_len = sizeof(*un);
		return 0;
	}
	if (inet_pton(AF_INET, strcmp(ep->host, "*") == 0 ? "0.0.0.0" : ep->host, &in->sin_addr) ==
	    1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(ep->port);
		*ret_len = sizeof(*in);
		return 0;
	}
	if (inet_pton(AF_INET6, ep->host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(ep->port);
		*ret_len = sizeof(*in6);
		return 0;
	}
	memset(ret, 0, sizeof(*ret));
	return -EINVAL;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	struct sockaddr_storage sa, sb;
	socklen_t la, lb;

	if (endpoint_sockaddr(a, &sa, &la) < 0 || endpoint_sockaddr(b, &sb, &lb) < 0)
		return false;
	return la == lb && memcmp(&sa, &sb, la) == 0;
}

#define NEAREST_WORD_BYTES_MAX 64

/* Edits between two short words; two letters swapped are one edit. Three rows are kept. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t rows[3][NEAREST_WORD_BYTES_MAX + 1], b_len = strlen(b), i;
	size_t *before = rows[0], *above = rows[1], *row = rows[2], *oldest;

	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (i = 1; a[i - 1]; i++) {
		oldest = before;
		before = above;
		above = row;
		row = oldest;
		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			row[j] = MIN(above[j], row[j - 1]) + 1;
			row[j] = MIN(row[j], above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], before[j - 2] + 1);
		}
	}
	return row[b_len];
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int parse_hex(const char *text, uint8_t *ret, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		int high, low;

		if (i && *text == ':')
			text++;
		high = hex_digit(text[0]);
		low = high < 0 ? -1 : hex_digit(text[1]);
		if (low < 0)
			return -EINVAL;
		ret[i] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	return *text ? -EINVAL : 0;
}

const char *parse_nearest_word(const char *text, const char *const *words)
{
	size_t best_distance = MAX(strlen(text) / 3, (size_t)1) + 1;
	const char *best = NULL;

	if (strlen(text) > NEAREST_WORD_BYTES_MAX)
		return NULL;
	for (; *words; words++) {
		size_t distance;

		if (strlen(*words) > NEAREST_WORD_BYTES_MAX)
			continue;
		distance = edit_distance(text, *words);
		if (distance < best_distance) {
			best_distance = distance;
			best = *words;
		}
	}
	return best;
}
