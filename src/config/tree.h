/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A YAML (or JSON) text as a tree of nodes that know where they stand. One document, no tags, no
 * merge keys; aliases point at the anchored node itself.
 */
#ifndef SALLYPORT_CONFIG_TREE_H
#define SALLYPORT_CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/load.h"

enum config_node_kind { CONFIG_NODE_SCALAR, CONFIG_NODE_LIST, CONFIG_NODE_MAP };

struct config_node {
	enum config_node_kind kind;
	struct config_mark at;
	bool plain;		    /* a scalar without quotes */
	char *text;		    /* of a scalar */
	size_t text_bytes;	    /* may differ from strlen(text): "\0" is legal YAML */
	struct config_node **items; /* of a list; of a map: key, value, key, value, … */
	size_t count;		    /* of items: even in a map */
	bool open;		    /* while it is being read */
	struct config_node *next;   /* of all nodes of the tree */
};

struct config_tree {
	struct config_node *root;
	struct config_node *all;
};

/* 0, -EINVAL (one error added: after a mistake of syntax nothing can be trusted) or -ENOMEM. */
int config_tree_parse(const char *bytes, size_t len, struct config_tree *ret,
		      struct config_problems *problems);
void config_tree_free(struct config_tree *tree); /* a zeroed one is fine */

#endif
