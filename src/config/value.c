/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text to field (value.h), and the sentences that tell somebody what is wrong with what they
 * wrote: each says what was read, and what would do. Pure; any thread.
 */
#include "config/value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/cidr.h"
#include "base/parse.h"
#include "base/util.h"

#define WORDS_MAX 16

static void words_text(const struct schema_word *words, char *ret, size_t size)
{
	size_t used = 0;

	ret[0] = 0;
	for (; words->text && used < size; words++)
		used += (size_t)snprintf(ret + used, size - used, "%s%s", words->text,
					 words[1].text ? ", " : "");
}

static const struct schema_word *find_word(const struct schema_word *words, const char *text)
{
	for (; words && words->text; words++)
		if (strcmp(words->text, text) == 0)
			return words;
	return NULL;
}

static int refuse_word(const struct schema_key *key, const char *text, struct err_text *err)
{
	const char *list[WORDS_MAX + 1] = { NULL }, *near;
	char all[200];

	for (size_t i = 0; i < WORDS_MAX && key->words[i].text; i++)
		list[i] = key->words[i].text;
	words_text(key->words, all, sizeof(all));
	near = parse_nearest_word(text, list);
	if (near)
		return err_set(err, -EINVAL, "'%s' is not one of %s; did you mean '%s'?", text, all,
			       near);
	return err_set(err, -EINVAL, "'%s' is not one of %s", text, all);
}

static int store_word(const struct schema_key *key, const char *text, void *field,
		      struct err_text *err)
{
	const struct schema_word *word = find_word(key->words, text);

	if (!word)
		return refuse_word(key, text, err);
	memcpy(field, &word->value, sizeof(word->value));
	return 0;
}

static void store_unsigned(const struct schema_key *key, uint64_t value, void *field)
{
	unsigned int narrow = (unsigned int)value;

	if (key->width == sizeof(narrow))
		memcpy(field, &narrow, sizeof(narrow));
	else
		memcpy(field, &value, sizeof(value));
}

static int store_number(const struct schema_key *key, const char *text, void *field,
			struct err_text *err)
{
	const struct schema_word *word = find_word(key->words, text);
	char words[100] = "";
	uint64_t value;
	int r;

	if (word) {
		store_unsigned(key, word->value, field);
		return 0;
	}
	r = parse_u64(text, key->min, key->max, &value);
	if (r == 0) {
		store_unsigned(key, value, field);
		return 0;
	}
	if (key->words)
		words_text(key->words, words, sizeof(words));
	return err_set(err, -EINVAL,
		       "'%s' is %s: a whole number from %" PRIu64 " to %" PRIu64 "%s%s is expected",
		       text, r == -ERANGE ? "out of range" : "not a number", key->min, key->max,
		       words[0] ? " or " : "", words);
}

static int refuse_duration(const struct schema_key *key, const char *text, struct err_text *err)
{
	uint64_t number;

	if (parse_u64(text, 0, UINT64_MAX, &number) == 0) {
		if (number == 0 && key->off)
			return err_set(err, -EINVAL, "'%s' has no unit: write 'off' for none",
				       text);
		return err_set(err, -EINVAL,
			       "'%s' has no unit: write '%ss' for seconds (ms, s, m, h, d)", text,
			       text);
	}
	return err_set(err, -EINVAL,
		       "'%s' is not a duration: a whole number with ms, s, m, h or d%s is "
		       "expected, such as '10s'",
		       text, key->off ? ", or off," : "");
}

static int store_duration(const struct schema_key *key, const char *text, void *field,
			  struct err_text *err)
{
	char from[32], to[32];
	uint64_t ms;
	int r = parse_duration_ms(text, &ms);

	if (r == -EINVAL)
		return refuse_duration(key, text, err);
	if (r == 0 && strcmp(text, "off") == 0) {
		if (!key->off)
			return err_set(err, -EINVAL, "this deadline can not be off");
		store_unsigned(key, 0, field);
		return 0;
	}
	if (r == 0 && ms >= key->min && ms <= key->max) {
		store_unsigned(key, ms, field);
		return 0;
	}
	schema_duration_text(key->min, from, sizeof(from));
	schema_duration_text(key->max, to, sizeof(to));
	return err_set(err, -EINVAL, "'%s' is out of range: %s to %s%s", text, from, to,
		       key->off ? ", or off" : "");
}

static int store_bytes(const struct schema_key *key, const char *text, void *field,
		       struct err_text *err)
{
	char from[32], to[32];
	uint64_t bytes;

	const struct schema_word *word = find_word(key->words, text);

	if (word || (key->off && strcmp(text, "off") == 0)) {
		store_unsigned(key, word ? word->value : 0, field);
		return 0;
	}
	if (parse_bytes(text, &bytes) == 0 && bytes >= key->min && bytes <= key->max) {
		store_unsigned(key, bytes, field);
		return 0;
	}
	schema_bytes_text(key->min, from, sizeof(from));
	schema_bytes_text(key->max, to, sizeof(to));
	return err_set(err, -EINVAL,
		       "'%s' is not a size from %s to %s: write it as in 512MiB or 2GiB%s", text,
		       from, to,
		       key->off	    ? ", or off"
		       : key->words ? ", or auto"
				    : "");
}

static int store_rate(const struct schema_key *key, const char *text, void *field,
		      struct err_text *err)
{
	char from[32], to[32];
	uint64_t per_second;

	if (key->off && strcmp(text, "off") == 0) {
		store_unsigned(key, 0, field);
		return 0;
	}
	if (parse_rate(text, &per_second) == 0 && per_second >= key->min &&
	    per_second <= key->max) {
		store_unsigned(key, per_second, field);
		return 0;
	}
	schema_rate_text(key->min, from, sizeof(from));
	schema_rate_text(key->max, to, sizeof(to));
	return err_set(err, -EINVAL,
		       "'%s' is not a rate from %s to %s: write it as in 500kB/s, 50MB/s or "
		       "1GB/s%s",
		       text, from, to, key->off ? ", or off" : "");
}

static int store_cidr(const char *text, void *field, struct err_text *err)
{
	struct cidr cidr;

	switch (cidr_parse(text, &cidr)) {
	case 0:
		memcpy(field, &cidr, sizeof(cidr));
		return 0;
	case -EDOM:
		return err_set(err, -EINVAL,
			       "'%s': bits are set beyond the prefix: which network is meant?",
			       text);
	case -ERANGE:
		return err_set(
			err, -EINVAL,
			"'%s': the prefix is longer than the address (32 bits in IPv4, 128 in "
			"IPv6)",
			text);
	default:
		return err_set(
			err, -EINVAL,
			"'%s' is not a network: 10.0.0.0/8, 2001:db8::/32 or an address alone "
			"is expected",
			text);
	}
}

static int store_copy(const char *text, void *field)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	memcpy(field, &copy, sizeof(copy));
	return 0;
}

static int store_text(const struct schema_key *key, const char *text, void *field,
		      struct err_text *err)
{
	/* The range of a list is that of its items' number; their form is for refuse() to judge. */
	uint64_t max = key->kind == SCHEMA_TEXT ? key->max : UINT64_MAX;
	const char *why = key->refuse ? key->refuse(text) : NULL;

	if (!text[0] && !key->may_be_empty)
		return err_set(err, -EINVAL, "empty text");
	if (strlen(text) > max)
		return err_set(err, -EINVAL, "longer than %" PRIu64 " bytes", max);
	if (why)
		return err_set(err, -EINVAL, "'%s': %s", text, why);
	return store_copy(text, field);
}

static int store_path(const char *text, const char *folder, void *field, struct err_text *err)
{
	cleanup_free char *path = NULL;

	if (!text[0])
		return err_set(err, -EINVAL, "empty file name");
	if (strncmp(text, "-----BEGIN", 10) == 0)
		return err_set(err, -EINVAL,
			       "this is PEM itself: put it in a file and give the file's name");
	if (text[0] == '/')
		path = strdup(text);
	else if (asprintf(&path, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, text) < 0)
		path = NULL;
	if (!path)
		return -ENOMEM;
	if (strlen(path) > 4095)
		return err_set(err, -EINVAL, "file name longer than 4095 bytes");
	memcpy(field, &path, sizeof(path));
	path = NULL;
	return 0;
}

static int refuse_endpoint(const char *text, struct err_text *err)
{
	const char *colon = strrchr(text, ':');
	struct in6_addr in6;

	if (strncmp(text, "unix:", 5) == 0 && text[5] != '/')
		return err_set(err, -EINVAL,
			       "'%s': unix: wants an absolute path, as in "
			       "unix:/run/kafka.sock",
			       text);
	if (strncmp(text, "unix:", 5) == 0)
		return err_set(err, -EINVAL, "the path of a unix socket has at most %zu bytes",
			       sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
	if (text[0] == '/')
		return err_set(err, -EINVAL, "'%s': write unix:%s", text, text);
	if (strstr(text, "://"))
		return err_set(err, -EINVAL, "'%s' is a URL: HOST:PORT is expected", text);
	if (inet_pton(AF_INET6, text, &in6) == 1)
		return err_set(err, -EINVAL,
			       "'%s' has no port, or no brackets: write [%s]:PORT, or"
			       " [ADDRESS]:PORT",
			       text, text);
	if (!colon || text[0] == 0 || (text[0] == '[' && !strchr(text, ']')))
		return err_set(err, -EINVAL,
			       "'%s' has no port: HOST:PORT, [IPV6]:PORT or unix:/path is expected",
			       text);
	if (colon == text)
		return err_set(err, -EINVAL, "'%s' has no host: write '*%s' for all addresses",
			       text, text);
	if (colon[1] && !colon[1 + strspn(colon + 1, "0123456789")])
		return err_set(err, -EINVAL, "port '%s' is out of range: 1 to 65535", colon + 1);
	return err_set(err, -EINVAL,
		       "'%s' is not an address: HOST:PORT, [IPV6]:PORT or unix:/path is expected",
		       text);
}

static int store_endpoint(const struct schema_key *key, const char *text, void *field,
			  struct err_text *err)
{
	struct endpoint ep = { 0 };
	const char *bad;

	if (key->off && strcmp(text, "off") == 0) {
		memcpy(field, &ep, sizeof(ep));
		return 0;
	}
	if (parse_endpoint(text, &ep) < 0)
		return refuse_endpoint(text, err);
	/* Spaces and the like would only be found when a connection is made. */
	for (bad = ep.host; *bad && (ep.is_unix || (!isspace((unsigned char)*bad) && *bad != '/'));
	     bad++)
		;
	if (*bad)
		return err_set(err, -EINVAL, "'%s': a host has no '%c' in it", text, *bad);
	memcpy(field, &ep, sizeof(ep));
	return 0;
}

int config_value_store(const struct schema_key *key, const char *text, const char *folder,
		       void *field, struct err_text *err)
{
	switch (key->kind) {
	case SCHEMA_WORD:
	case SCHEMA_WORDS:
		return store_word(key, text, field, err);
	case SCHEMA_NUMBER:
		return store_number(key, text, field, err);
	case SCHEMA_DURATION:
		return store_duration(key, text, field, err);
	case SCHEMA_BYTES:
		return store_bytes(key, text, field, err);
	case SCHEMA_RATE:
		return store_rate(key, text, field, err);
	case SCHEMA_CIDRS:
		return store_cidr(text, field, err);
	case SCHEMA_TEXT:
	case SCHEMA_TEXTS:
		return store_text(key, text, field, err);
	case SCHEMA_PATH:
	case SCHEMA_PATHS:
		return store_path(text, folder, field, err);
	case SCHEMA_ENDPOINT:
		return store_endpoint(key, text, field, err);
	case SCHEMA_SECTION:
	case SCHEMA_SECTIONS:
		break;
	}
	return -EINVAL;
}
