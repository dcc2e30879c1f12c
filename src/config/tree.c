/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From libyaml's events to a tree of nodes with positions (tree.h). The composing is done here and
 * not by libyaml's own documents, because depth, anchors and aliases have to be bounded while
 * reading, and keys have to keep their positions. Every node hangs on one list of the tree, which
 * frees it; an alias adds no node, so that a file can not grow in memory by referring to itself.
 * One thread, no state besides the struct reader.
 */
#include "config/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/utf8.h"
#include "base/util.h"

#define TREE_DEPTH_MAX	 16
#define TREE_ANCHORS_MAX 256

struct anchor {
	char *name;
	struct config_node *node;
};

struct reader {
	yaml_parser_t parser;
	const char *bytes;
	size_t len;
	struct config_tree *tree;
	struct config_problems *problems;
	struct config_node *stack[TREE_DEPTH_MAX];
	size_t depth;
	struct anchor anchors[TREE_ANCHORS_MAX];
	size_t anchor_count;
	bool have_document;
};

static struct config_mark mark_of(const yaml_mark_t *mark)
{
	return (struct config_mark){ (unsigned int)mark->line + 1, (unsigned int)mark->column + 1 };
}

/* Position of a byte; columns count characters. */
static struct config_mark mark_at(const char *bytes, size_t offset)
{
	struct config_mark at = { 1, 1 };

	for (size_t i = 0; i < offset; i++) {
		if (bytes[i] == '\n') {
			at.line++;
			at.column = 1;
		} else if (((unsigned char)bytes[i] & 0xc0) != 0x80) {
			at.column++;
		}
	}
	return at;
}

/* What libyaml would refuse with a byte offset only, or not at all. */
static int check_bytes(const char *bytes, size_t len, struct config_problems *problems)
{
	const unsigned char *s = (const unsigned char *)bytes;

	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_sequence(s + i, len - i);
		if (!n) {
			config_error_add(problems, mark_at(bytes, i), "",
					 "byte 0x%02x is not UTF-8: save the file as UTF-8", s[i]);
			return -EINVAL;
		}
		if (s[i] == 0) {
			config_error_add(problems, mark_at(bytes, i), "",
					 "a NUL byte: this is not a text file (or it is UTF-16)");
			return -EINVAL;
		}
		if ((s[i] < 0x20 && !strchr("\t\r\n", s[i])) || s[i] == 0x7f) {
			config_error_add(problems, mark_at(bytes, i), "",
					 "control character 0x%02x in the text", s[i]);
			return -EINVAL;
		}
	}
	return 0;
}

static int syntax_error(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	struct config_mark at = mark_of(&p->problem_mark);
	size_t index = p->problem_mark.index;

	if (p->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (p->error == YAML_READER_ERROR)
		at = mark_at(r->bytes, MIN(p->problem_offset, r->len));
	/* The index counts characters, and so equals the byte's only in plain ASCII: good enough
	 * for a hint. */
	if (p->error == YAML_SCANNER_ERROR && index < r->len && r->bytes[index] == '\t')
		config_error_add(r->problems, at, "", "a tab: YAML is indented with spaces");
	else
		config_error_add(r->problems, at, "", "not valid YAML: %s%s%s",
				 p->context ? p->context : "", p->context ? ", " : "",
				 p->problem ? p->problem : "unknown reason");
	return -EINVAL;
}

static int refuse(struct reader *r, const yaml_event_t *event, const char *text)
{
	config_error_add(r->problems, mark_of(&event->start_mark), "", "%s", text);
	return -EINVAL;
}

static int append(struct config_node *node, struct config_node *item)
{
	/* Grows at each power of two, so that no capacity has to be kept. */
	if ((node->count & (node->count - 1)) == 0) {
		size_t room = node->count ? node->count * 2 : 1;
		struct config_node **items =
			reallocarray(node->items, room, sizeof(struct config_node *));

		if (!items)
			return -ENOMEM;
		node->items = items;
	}
	node->items[node->count++] = item;
	return 0;
}

/* Hangs a node into what is open, and checks it if it is a key there. */
static int attach(struct reader *r, const yaml_event_t *event, struct config_node *node)
{
	struct config_node *parent = r->depth ? r->stack[r->depth - 1] : NULL;

	if (!parent) {
		r->tree->root = node;
		return 0;
	}
	if (parent->kind == CONFIG_NODE_MAP && parent->count % 2 == 0) {
		if (node->kind != CONFIG_NODE_SCALAR)
			return refuse(r, event, "a key must be a word, not a list or a mapping");
		if (node->plain && strcmp(node->text, "<<") == 0)
			return refuse(r, event,
				      "merge keys (<<) are not supported: write the keys out, or "
				      "use an alias for a whole value");
	}
	return append(parent, node);
}

static int anchor_add(struct reader *r, const yaml_event_t *event, const yaml_char_t *name,
		      struct config_node *node)
{
	if (!name)
		return 0;
	if (r->anchor_count == TREE_ANCHORS_MAX)
		return refuse(r, event, "too many anchors");
	r->anchors[r->anchor_count].name = strdup((const char *)name);
	if (!r->anchors[r->anchor_count].name)
		return -ENOMEM;
	r->anchors[r->anchor_count++].node = node;
	return 0;
}

static int on_alias(struct reader *r, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;

	/* From the end: an anchor may be given anew, the latest counts. */
	for (size_t i = r->anchor_count; i > 0; i--) {
		if (strcmp(r->anchors[i - 1].name, name) != 0)
			continue;
		if (r->anchors[i - 1].node->open)
			return refuse(r, event, "the alias stands inside of what it refers to");
		return attach(r, event, r->anchors[i - 1].node);
	}
	config_error_add(r->problems, mark_of(&event->start_mark), "",
			 "alias *%s: no anchor &%s comes before it", name, name);
	return -EINVAL;
}

static int node_new(struct reader *r, const yaml_event_t *event, enum config_node_kind kind,
		    const yaml_char_t *anchor, const yaml_char_t *tag, struct config_node **ret)
{
	struct config_node *node;
	int e;

	/* "!" alone is what a quoted scalar gets from some emitters: it says nothing. */
	if (tag && strcmp((const char *)tag, "!") != 0)
		return refuse(r, event, "tags (!…) are not supported: leave it out");
	node = calloc(1, sizeof(*node));
	if (!node)
		return -ENOMEM;
	node->kind = kind;
	node->at = mark_of(&event->start_mark);
	node->next = r->tree->all;
	r->tree->all = node;
	e = anchor_add(r, event, anchor, node);
	if (e < 0)
		return e;
	*ret = node;
	return 0;
}

static int on_scalar(struct reader *r, const yaml_event_t *event)
{
	struct config_node *node;
	int e = node_new(r, event, CONFIG_NODE_SCALAR, event->data.scalar.anchor,
			 event->data.scalar.tag, &node);

	if (e < 0)
		return e;
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	node->text_bytes = event->data.scalar.length;
	node->text = malloc(node->text_bytes + 1);
	if (!node->text)
		return -ENOMEM;
	memcpy(node->text, event->data.scalar.value, node->text_bytes);
	node->text[node->text_bytes] = 0;
	return attach(r, event, node);
}

static int on_open(struct reader *r, const yaml_event_t *event, enum config_node_kind kind,
		   const yaml_char_t *anchor, const yaml_char_t *tag)
{
	struct config_node *node;
	int e;

	if (r->depth == TREE_DEPTH_MAX)
		return refuse(r, event, "nested too deep");
	e = node_new(r, event, kind, anchor, tag, &node);
	if (e < 0)
		return e;
	node->open = true;
	e = attach(r, event, node);
	if (e < 0)
		return e;
	r->stack[r->depth++] = node;
	return 0;
}

static int on_event(struct reader *r, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (r->have_document)
			return refuse(r, event,
				      "a second document starts here: one file holds one "
				      "configuration");
		r->have_document = true;
		return 0;
	case YAML_ALIAS_EVENT:
		return on_alias(r, event);
	case YAML_SCALAR_EVENT:
		return on_scalar(r, event);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(r, event, CONFIG_NODE_LIST, event->data.sequence_start.anchor,
			       event->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return on_open(r, event, CONFIG_NODE_MAP, event->data.mapping_start.anchor,
			       event->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		r->stack[--r->depth]->open = false;
		return 0;
	default:
		return 0;
	}
}

static int read_events(struct reader *r)
{
	yaml_event_t event;
	bool end;
	int e;

	do {
		if (!yaml_parser_parse(&r->parser, &event))
			return syntax_error(r);
		end = event.type == YAML_STREAM_END_EVENT;
		e = on_event(r, &event);
		yaml_event_delete(&event);
		if (e < 0)
			return e;
	} while (!end);
	if (!r->tree->root) {
		config_error_add(r->problems, (struct config_mark){ 0 }, "", "the file is empty");
		return -EINVAL;
	}
	return 0;
}

int config_tree_parse(const char *bytes, size_t len, struct config_tree *ret,
		      struct config_problems *problems)
{
	struct config_tree tree = { 0 };
	struct reader *r;
	int e = check_bytes(bytes, len, problems);

	if (e < 0)
		return e;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->bytes = bytes;
	r->len = len;
	r->tree = &tree;
	r->problems = problems;
	e = -ENOMEM;
	if (yaml_parser_initialize(&r->parser)) {
		yaml_parser_set_input_string(&r->parser, (const unsigned char *)bytes, len);
		yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
		e = read_events(r);
		yaml_parser_delete(&r->parser);
	}
	for (size_t i = 0; i < r->anchor_count; i++)
		free(r->anchors[i].name);
	free(r);
	if (e < 0)
		config_tree_free(&tree);
	else
		*ret = tree;
	return e;
}

void config_tree_free(struct config_tree *tree)
{
	struct config_node *node = tree->all, *next;

	for (; node; node = next) {
		next = node->next;
		free(node->text);
		free(node->items);
		free(node);
	}
	*tree = (struct config_tree){ 0 };
}
