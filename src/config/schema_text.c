/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keys (schema.h) for people: types, sizes and paths as text. Pure; any thread. */
#include "config/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

void schema_duration_text(uint64_t ms, char *ret, size_t size)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {
		{ "d", DAY_MS },
		{ "h", HOUR_MS },
		{ "m", MINUTE_MS },
		{ "s", SECOND_MS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (ms == 0 || ms % units[i].ms != 0)
			continue;
		snprintf(ret, size, "%" PRIu64 "%s", ms / units[i].ms, units[i].name);
		return;
	}
	snprintf(ret, size, "%" PRIu64 "ms", ms);
}

void schema_bytes_text(uint64_t bytes, char *ret, size_t size)
{
	static const char *const units[] = { "", "KiB", "MiB", "GiB" };
	size_t i = 0;

	for (; bytes && bytes % 1024 == 0 && i + 1 < ARRAY_SIZE(units); i++)
		bytes /= 1024;
	snprintf(ret, size, "%" PRIu64 "%s", bytes, units[i]);
}

void schema_rate_text(uint64_t per_second, char *ret, size_t size)
{
	static const char *const units[] = { "B/s", "kB/s", "MB/s", "GB/s" };
	size_t i = 0;

	for (; per_second && per_second % 1000 == 0 && i + 1 < ARRAY_SIZE(units); i++)
		per_second /= 1000;
	snprintf(ret, size, "%" PRIu64 "%s", per_second, units[i]);
}

/* How the ends of a range are written, NULL: not a range with units. */
static void (*range_text(enum schema_kind kind))(uint64_t value, char *ret, size_t size)
{
	return kind == SCHEMA_BYTES	 ? schema_bytes_text
	       : kind == SCHEMA_DURATION ? schema_duration_text
	       : kind == SCHEMA_RATE	 ? schema_rate_text
					 : NULL;
}

static void type_words(const struct schema_word *words, char *ret, size_t size)
{
	size_t used = strlen(ret);

	for (; words && words->text && used < size; words++)
		used += (size_t)snprintf(ret + used, size - used, "%s%s", words->text,
					 words[1].text ? " | " : "");
}

void schema_type_text(const struct schema_key *key, char ret[SCHEMA_TYPE_TEXT_BYTES])
{
	static const char *const names[] = {
		[SCHEMA_WORD] = "",
		[SCHEMA_NUMBER] = "",
		[SCHEMA_DURATION] = "",
		[SCHEMA_BYTES] = "",
		[SCHEMA_RATE] = "",
		[SCHEMA_TEXT] = "text",
		[SCHEMA_PATH] = "file",
		[SCHEMA_ENDPOINT] = "address",
		[SCHEMA_WORDS] = "list of ",
		[SCHEMA_TEXTS] = "list of texts",
		[SCHEMA_PATHS] = "list of files",
		[SCHEMA_CIDRS] = "list of networks",
		[SCHEMA_SECTION] = "section",
		[SCHEMA_SECTIONS] = "list of sections",
	};
	void (*text)(uint64_t value, char *ret, size_t size) = range_text(key->kind);
	char from[32], to[32];
	size_t used;

	snprintf(ret, SCHEMA_TYPE_TEXT_BYTES, "%s%s", key->off ? "off | " : "", names[key->kind]);
	type_words(key->words, ret, SCHEMA_TYPE_TEXT_BYTES);
	used = strlen(ret);
	if (key->kind == SCHEMA_NUMBER)
		snprintf(ret + used, SCHEMA_TYPE_TEXT_BYTES - used, "%s%" PRIu64 "..%" PRIu64,
			 used ? " | " : "", key->min, key->max);
	if (text) {
		text(key->min, from, sizeof(from));
		text(key->max, to, sizeof(to));
		snprintf(ret + used, SCHEMA_TYPE_TEXT_BYTES - used, "%s%s..%s",
			 key->words ? " | " : "", from, to);
	}
}

size_t schema_key_count(const struct schema_section *section)
{
	return section->key_count + (section->base ? schema_key_count(section->base) : 0);
}

const struct schema_key *schema_key(const struct schema_section *section, size_t index)
{
	return index < section->key_count ? &section->keys[index]
					  : schema_key(section->base, index - section->key_count);
}

static void visit_section(const char *prefix, const struct schema_section *section,
			  void (*visit)(const char *path, const struct schema_key *key, void *arg),
			  void *arg)
{
	char path[128];

	for (size_t i = 0; i < schema_key_count(section); i++) {
		const struct schema_key *key = schema_key(section, i);

		snprintf(path, sizeof(path), "%s%s%s%s", prefix, prefix[0] ? "." : "", key->name,
			 key->kind == SCHEMA_SECTIONS ? "[]" : "");
		visit(path, key, arg);
		if (key->section)
			visit_section(path, key->section, visit, arg);
	}
}

void schema_visit(const struct schema_section *root,
		  void (*visit)(const char *path, const struct schema_key *key, void *arg),
		  void *arg)
{
	visit_section("", root, visit, arg);
}
