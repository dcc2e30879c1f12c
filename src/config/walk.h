/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks a tree along the schema and fills the structs. Knows nothing of what the keys mean.
 */
#ifndef SALLYPORT_CONFIG_WALK_H
#define SALLYPORT_CONFIG_WALK_H

#include "config/schema.h"
#include "config/tree.h"

/* Fills `config` (the struct of `root`, zeroed) with what is in the tree, and defaults where
 * nothing is. Adds an error for each mistake and goes on. 0 (look at problems->errors) or -ENOMEM;
 * what has been stored by then is the caller's to free in both cases. */
int config_walk(const struct config_tree *tree, const char *folder,
		const struct schema_section *root, void *config, struct config_problems *problems);

#endif
