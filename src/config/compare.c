/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing structs along the schema (compare.h). Pure. */
#include "config/compare.h"

#include <string.h>

#include "base/cidr.h"
#include "config/values.h"

static bool texts_equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool strings_equal(const struct config_strings *a, const struct config_strings *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!texts_equal(a->items[i], b->items[i]))
			return false;
	return true;
}

static bool sections_equal(const struct schema_key *key, const uint8_t *a, const uint8_t *b)
{
	const uint8_t *items_a, *items_b;
	size_t count_a, count_b;

	memcpy(&items_a, a + key->offset, sizeof(items_a));
	memcpy(&items_b, b + key->offset, sizeof(items_b));
	memcpy(&count_a, a + key->count_offset, sizeof(count_a));
	memcpy(&count_b, b + key->count_offset, sizeof(count_b));
	if (count_a != count_b)
		return false;
	for (size_t i = 0; i < count_a; i++)
		if (!config_section_equal(key->section, items_a + i * key->section->bytes,
					  items_b + i * key->section->bytes))
			return false;
	return true;
}

static bool key_equal(const struct schema_key *key, const uint8_t *a, const uint8_t *b)
{
	const void *at_a = a + key->offset, *at_b = b + key->offset;
	const struct cidr_list *list_a = at_a, *list_b = at_b;

	switch (key->kind) {
	case SCHEMA_TEXT:
	case SCHEMA_PATH:
		return texts_equal(*(char *const *)at_a, *(char *const *)at_b);
	case SCHEMA_ENDPOINT:
		return texts_equal(*(char *const *)(a + key->text_offset),
				   *(char *const *)(b + key->text_offset));
	case SCHEMA_TEXTS:
	case SCHEMA_PATHS:
		return strings_equal(at_a, at_b);
	case SCHEMA_CIDRS:
		return list_a->count == list_b->count &&
		       (!list_a->count || memcmp(list_a->items, list_b->items,
						 list_a->count * sizeof(*list_a->items)) == 0);
	case SCHEMA_SECTION:
		return config_section_equal(key->section, at_a, at_b);
	case SCHEMA_SECTIONS:
		return sections_equal(key, a, b);
	case SCHEMA_WORDS: /* the array is as wide as all words; what is not used is zero */
	default:
		return memcmp(at_a, at_b, key->width) == 0;
	}
}

bool config_section_equal(const struct schema_section *section, const void *a, const void *b)
{
	for (size_t i = 0; i < schema_key_count(section); i++)
		if (!key_equal(schema_key(section, i), a, b))
			return false;
	return true;
}
