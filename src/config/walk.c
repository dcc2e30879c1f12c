/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schema-driven walk (walk.h): the schema decides how deep it goes, so that the file can not; a
 * budget of values bounds what aliases can multiply. Lists store their count as they grow, so that
 * a walk cut short leaves structs that config_free() can release.
 */
#include "config/walk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cidr.h"
#include "base/err.h"
#include "base/parse.h"
#include "base/util.h"
#include "config/value.h"

/* Values in one file, those behind aliases counted each time. */
#define WALK_VALUES_MAX	 100000
#define SECTION_KEYS_MAX 32

struct walk {
	struct config_problems *problems;
	const char *folder;
	const struct schema_section *root;
	char path[160]; /* of the key at hand */
	size_t values;
	int result; /* the first fatal error: ends the walk */
};

static void walk_section(struct walk *w, const struct schema_section *section,
			 const struct config_node *map, struct config_mark at, uint8_t *base);

/* Adds to the path; the returned length gives it back to walk_pop(). A path too long is cut: it is
 * for people. */
static size_t walk_push(struct walk *w, const char *name)
{
	size_t used = strlen(w->path);

	snprintf(w->path + used, sizeof(w->path) - used, "%s%s", used ? "." : "", name);
	return used;
}

static size_t walk_push_index(struct walk *w, size_t index)
{
	size_t used = strlen(w->path);

	snprintf(w->path + used, sizeof(w->path) - used, "[%zu]", index);
	return used;
}

static void walk_pop(struct walk *w, size_t used)
{
	w->path[used] = 0;
}

static const char *kind_name(const struct config_node *node)
{
	return node->kind == CONFIG_NODE_LIST  ? "a list"
	       : node->kind == CONFIG_NODE_MAP ? "a mapping (key: value)"
					       : "a single value";
}

static bool is_null(const struct config_node *node)
{
	return node->kind == CONFIG_NODE_SCALAR && node->plain &&
	       (!node->text[0] || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

/* True if `node` is of the kind that is expected; else says so. */
static bool expect(struct walk *w, const struct config_node *node, enum config_node_kind kind,
		   const char *what)
{
	if (++w->values > WALK_VALUES_MAX) {
		config_error_add(w->problems, node->at, w->path,
				 "more than %d values, those behind aliases included",
				 WALK_VALUES_MAX);
		w->result = -EINVAL;
		return false;
	}
	if (is_null(node)) {
		config_error_add(w->problems, node->at, w->path, "no value: %s is expected", what);
		return false;
	}
	if (node->kind != kind) {
		config_error_add(w->problems, node->at, w->path, "%s is expected here, this is %s",
				 what, kind_name(node));
		return false;
	}
	return true;
}

static bool has_control_characters(const struct config_node *node)
{
	for (size_t i = 0; i < node->text_bytes; i++)
		if ((unsigned char)node->text[i] < 0x20 || node->text[i] == 0x7f)
			return true;
	return false;
}

/* Stores a scalar of the file into `field`; false after a mistake. */
static bool walk_scalar(struct walk *w, const struct schema_key *key,
			const struct config_node *node, void *field)
{
	struct err_text err;
	int r;

	if (!expect(w, node, CONFIG_NODE_SCALAR, "a single value"))
		return false;
	if (has_control_characters(node) && strncmp(node->text, "-----BEGIN", 10) != 0) {
		config_error_add(w->problems, node->at, w->path,
				 "line breaks and control characters have no place in this value");
		return false;
	}
	r = config_value_store(key, node->text, w->folder, field, &err);
	if (r == -ENOMEM)
		w->result = r;
	else if (r < 0)
		config_error_add(w->problems, node->at, w->path, "%s", err.text);
	return r == 0;
}

/* Of an endpoint: what people will read. */
static void keep_text(struct walk *w, const struct schema_key *key, const char *as_written,
		      uint8_t *base)
{
	char *text = strdup(as_written);

	if (!text)
		w->result = -ENOMEM;
	memcpy(base + key->text_offset, &text, sizeof(text));
}

/* Checks that `node` is a list of a length that is allowed. */
static bool expect_list(struct walk *w, const struct schema_key *key,
			const struct config_node *node)
{
	if (!expect(w, node, CONFIG_NODE_LIST, "a list ([a, b] or lines with '- ')"))
		return false;
	if (node->count < key->min) {
		config_error_add(w->problems, node->at, w->path, "an empty list: %s", key->help);
		return false;
	}
	/* Words may not be there twice, which bounds them better. */
	if (key->kind != SCHEMA_WORDS && node->count > key->max) {
		config_error_add(w->problems, node->at, w->path, "%zu items, at most %llu can be",
				 node->count, (unsigned long long)key->max);
		return false;
	}
	return true;
}

static void words_append(struct walk *w, const struct schema_key *key, unsigned int value,
			 struct config_mark at, const char *text, uint8_t *base)
{
	unsigned int *items = (unsigned int *)(base + key->offset);
	size_t *count = (size_t *)(base + key->count_offset);

	for (size_t i = 0; i < *count; i++) {
		if (items[i] != value)
			continue;
		config_error_add(w->problems, at, w->path, "'%s' is in the list already", text);
		return;
	}
	assert(*count < key->max); /* as many as there are words */
	items[(*count)++] = value;
}

static void walk_words(struct walk *w, const struct schema_key *key, const struct config_node *list,
		       uint8_t *base)
{
	if (!expect_list(w, key, list))
		return;
	for (size_t i = 0; i < list->count && !w->result; i++) {
		size_t used = walk_push_index(w, i);
		unsigned int value;

		if (walk_scalar(w, key, list->items[i], &value))
			words_append(w, key, value, list->items[i]->at, list->items[i]->text, base);
		walk_pop(w, used);
	}
}

static void walk_strings(struct walk *w, const struct schema_key *key,
			 const struct config_node *list, uint8_t *base)
{
	struct config_strings *strings = (struct config_strings *)(base + key->offset);

	if (!expect_list(w, key, list) || !list->count)
		return;
	strings->items = calloc(list->count, sizeof(*strings->items));
	strings->marks = calloc(list->count, sizeof(*strings->marks));
	if (!strings->items || !strings->marks) {
		w->result = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < list->count && !w->result; i++) {
		size_t used = walk_push_index(w, i);

		if (walk_scalar(w, key, list->items[i], &strings->items[strings->count]))
			strings->marks[strings->count++] = list->items[i]->at;
		walk_pop(w, used);
	}
}

static void walk_cidrs(struct walk *w, const struct schema_key *key, const struct config_node *list,
		       uint8_t *base)
{
	struct cidr_list *cidrs = (struct cidr_list *)(base + key->offset);

	if (!expect_list(w, key, list) || !list->count)
		return;
	cidrs->items = calloc(list->count, sizeof(*cidrs->items));
	if (!cidrs->items) {
		w->result = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < list->count && !w->result; i++) {
		size_t used = walk_push_index(w, i);

		if (walk_scalar(w, key, list->items[i], &cidrs->items[cidrs->count]))
			cidrs->count++;
		walk_pop(w, used);
	}
}

static void walk_sections(struct walk *w, const struct schema_key *key,
			  const struct config_node *list, uint8_t *base)
{
	size_t *count = (size_t *)(base + key->count_offset);
	uint8_t *items;

	if (!expect_list(w, key, list) || !list->count)
		return;
	items = calloc(list->count, key->section->bytes);
	if (!items) {
		w->result = -ENOMEM;
		return;
	}
	memcpy(base + key->offset, &items, sizeof(items));
	for (size_t i = 0; i < list->count && !w->result; i++) {
		uint8_t *item = items + i * key->section->bytes;
		size_t used = walk_push_index(w, i);

		/* An item with mistakes is kept: its index is part of later messages. */
		++*count;
		if (expect(w, list->items[i], CONFIG_NODE_MAP, "a mapping (key: value)"))
			walk_section(w, key->section, list->items[i], list->items[i]->at, item);
		walk_pop(w, used);
	}
}

static void walk_value(struct walk *w, const struct schema_key *key, const struct config_node *node,
		       uint8_t *base)
{
	switch (key->kind) {
	case SCHEMA_SECTION:
		if (expect(w, node, CONFIG_NODE_MAP, "a mapping (key: value)"))
			walk_section(w, key->section, node, node->at, base + key->offset);
		break;
	case SCHEMA_SECTIONS:
		walk_sections(w, key, node, base);
		break;
	case SCHEMA_WORDS:
		walk_words(w, key, node, base);
		break;
	case SCHEMA_TEXTS:
	case SCHEMA_PATHS:
		walk_strings(w, key, node, base);
		break;
	case SCHEMA_CIDRS:
		walk_cidrs(w, key, node, base);
		break;
	case SCHEMA_ENDPOINT:
		if (walk_scalar(w, key, node, base + key->offset))
			keep_text(w, key, node->text, base);
		break;
	default:
		walk_scalar(w, key, node, base + key->offset);
	}
}

/* Stores the words of a preset such as "aes-128-gcm, aes-256-gcm". */
static void preset_words(struct walk *w, const struct schema_key *key, uint8_t *base)
{
	char words[128], *rest, *word;

	snprintf(words, sizeof(words), "%s", key->preset);
	for (word = strtok_r(words, ", ", &rest); word; word = strtok_r(NULL, ", ", &rest)) {
		unsigned int value = 0;
		int r = config_value_store(key, word, w->folder, &value, NULL);

		assert(r == 0);
		(void)r;
		words_append(w, key, value, (struct config_mark){ 0 }, word, base);
	}
}

/* The networks of a preset such as "127.0.0.0/8, ::1". */
static void preset_cidrs(struct walk *w, const struct schema_key *key, uint8_t *base)
{
	struct cidr_list *cidrs = (struct cidr_list *)(base + key->offset);
	char texts[128], *rest, *text;

	snprintf(texts, sizeof(texts), "%s", key->preset);
	cidrs->items = calloc(sizeof(texts) / 2, sizeof(*cidrs->items));
	if (!cidrs->items) {
		w->result = -ENOMEM;
		return;
	}
	for (text = strtok_r(texts, ", ", &rest); text; text = strtok_r(NULL, ", ", &rest)) {
		int r = cidr_parse(text, &cidrs->items[cidrs->count++]);

		assert(r == 0);
		(void)r;
	}
}

static void store_mark(const struct schema_key *key, struct config_mark at, uint8_t *base)
{
	if (key->mark_offset)
		memcpy(base + key->mark_offset, &at, sizeof(at));
}

/* A key that is not in the file. */
static void walk_absent(struct walk *w, const struct schema_key *key, struct config_mark at,
			uint8_t *base)
{
	int r;

	store_mark(key, at, base);
	if (key->required) {
		config_error_add(w->problems, at, w->path, "missing: %s", key->help);
	} else if (key->kind == SCHEMA_SECTION) {
		walk_section(w, key->section, NULL, at, base + key->offset);
	} else if (key->kind == SCHEMA_WORDS) {
		preset_words(w, key, base);
	} else if (key->kind == SCHEMA_CIDRS) {
		if (key->preset)
			preset_cidrs(w, key, base);
	} else if (key->preset && key->kind != SCHEMA_TEXTS) {
		r = config_value_store(key, key->preset, w->folder, base + key->offset, NULL);
		assert(r == 0);
		(void)r;
		if (key->kind == SCHEMA_ENDPOINT)
			keep_text(w, key, key->preset, base);
	}
}

struct home {
	const char *name;
	char path[160];
};

static void home_visit(const char *path, const struct schema_key *key, void *arg)
{
	struct home *home = arg;
	const char *dot = strrchr(path, '.');

	if (home->path[0] || strcmp(key->name, home->name) != 0)
		return;
	if (dot)
		snprintf(home->path, sizeof(home->path), "under '%.*s'", (int)(dot - path), path);
	else
		snprintf(home->path, sizeof(home->path), "at the top of the file");
}

static void refuse_unknown(struct walk *w, const struct schema_section *section,
			   const struct config_node *key)
{
	const char *names[SECTION_KEYS_MAX + 1] = { NULL }, *near;
	struct home home = { .name = key->text };
	char all[240];
	size_t used = 0;

	if (w->problems->count == CONFIG_PROBLEMS_MAX) {
		config_error_add(w->problems, key->at, w->path, "unknown key");
		return;
	}
	assert(schema_key_count(section) <= SECTION_KEYS_MAX);
	for (size_t i = 0; i < schema_key_count(section); i++) {
		names[i] = schema_key(section, i)->name;
		if (used < sizeof(all))
			used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s",
						 i ? ", " : "", names[i]);
	}
	near = parse_nearest_word(key->text, names);
	schema_visit(w->root, home_visit, &home);
	if (home.path[0])
		config_error_add(w->problems, key->at, w->path, "this key belongs %s", home.path);
	else if (near)
		config_error_add(w->problems, key->at, w->path, "unknown key; did you mean '%s'?",
				 near);
	else
		config_error_add(w->problems, key->at, w->path, "unknown key; known here: %s", all);
}

static const struct schema_key *find_key(const struct schema_section *section, const char *name,
					 size_t *ret_index)
{
	for (size_t i = 0; i < schema_key_count(section); i++) {
		if (strcmp(schema_key(section, i)->name, name) != 0)
			continue;
		*ret_index = i;
		return schema_key(section, i);
	}
	return NULL;
}

static void walk_pair(struct walk *w, const struct schema_section *section,
		      const struct config_node *name, const struct config_node *value,
		      uint8_t *base, struct config_mark seen[SECTION_KEYS_MAX])
{
	size_t index = 0, used = walk_push(w, name->text);
	const struct schema_key *key = find_key(section, name->text, &index);

	if (!key || strlen(name->text) != name->text_bytes) {
		refuse_unknown(w, section, name);
	} else if (seen[index].line) {
		config_error_add(w->problems, name->at, w->path,
				 "the key is here twice; the first is at %u:%u", seen[index].line,
				 seen[index].column);
	} else {
		seen[index] = name->at;
		store_mark(key, value->at, base);
		walk_value(w, key, value, base);
	}
	walk_pop(w, used);
}

/* `map` NULL: nothing of the section is in the file. `at`: where it is, or would be. */
static void walk_section(struct walk *w, const struct schema_section *section,
			 const struct config_node *map, struct config_mark at, uint8_t *base)
{
	struct config_mark seen[SECTION_KEYS_MAX] = { 0 };

	if (section->mark_offset)
		memcpy(base + section->mark_offset, &at, sizeof(at));
	if (map && !map->count && section->empty)
		config_error_add(w->problems, at, w->path, "%s", section->empty);
	for (size_t i = 0; map && i + 1 < map->count && !w->result; i += 2)
		walk_pair(w, section, map->items[i], map->items[i + 1], base, seen);
	for (size_t i = 0; i < schema_key_count(section) && !w->result; i++) {
		const struct schema_key *key = schema_key(section, i);
		size_t used = walk_push(w, key->name);

		if (!seen[i].line)
			walk_absent(w, key, at, base);
		walk_pop(w, used);
	}
}

int config_walk(const struct config_tree *tree, const char *folder,
		const struct schema_section *root, void *config, struct config_problems *problems)
{
	struct walk w = { .problems = problems, .folder = folder, .root = root };

	if (expect(&w, tree->root, CONFIG_NODE_MAP, "a mapping (key: value)"))
		walk_section(&w, root, tree->root, tree->root->at, config);
	return w.result == -ENOMEM ? -ENOMEM : 0;
}
