/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsers of the small values that configurations and command lines carry. Pure; every one takes
 * the whole string or fails with -EINVAL (not the form), -ERANGE (out of range).
 */
#ifndef SALLYPORT_BASE_PARSE_H
#define SALLYPORT_BASE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
/* "250ms", "10s", "5m", "2h", "1d"; "off" is 0. A bare number has no unit and is refused. */
int parse_duration_ms(const char *text, uint64_t *ret_ms);
/* Pairs of hexadecimal digits, perhaps with a colon between any two: exactly `len` bytes. */
int parse_hex(const char *text, uint8_t *ret, size_t len);
/* "512", "64KiB", "1MiB", "2GiB", "10kB", "5MB", "1GB". */
int parse_bytes(const char *text, uint64_t *ret);
/* Bytes a second: a size with its unit and "/s", as in "50MB/s", "100kB/s". */
int parse_rate(const char *text, uint64_t *ret);

/* HOST:PORT, [IPV6]:PORT or unix:/path, split but not resolved. `host` is the path for unix. */
struct endpoint {
	bool is_unix;
	uint16_t port;
	char host[256];
};
int parse_endpoint(const char *text, struct endpoint *ret);
/* Numeric address of an endpoint that must not be looked up by name: a listening address ("*" =
 * any). */
int endpoint_sockaddr(const struct endpoint *ep, struct sockaddr_storage *ret, socklen_t *ret_len);
/* Whether both listen on, or lead to, the same address; names are equal to nothing. */
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
/* The word of `words` (NULL-ended) nearest to `text` by edit distance, or NULL if none is near. */
const char *parse_nearest_word(const char *text, const char *const *words);

#endif
