/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What structs of any configuration are made of: positions in the file and lists of texts.
 */
#ifndef SALLYPORT_CONFIG_VALUES_H
#define SALLYPORT_CONFIG_VALUES_H

#include <stddef.h>

/* Where something stands in the file, from 1, so that later checks can point at it. For a key that
 * is not in the file: where its section starts. */
struct config_mark {
	unsigned int line, column;
};

struct config_strings {
	char **items;
	size_t count;
	struct config_mark *marks; /* one an item */
};

void config_strings_fini(struct config_strings *strings);

#endif
