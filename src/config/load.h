/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads a configuration file (YAML, of which JSON is a part) and reports every mistake, not only
 * the first, with file:line:column and the key's path ("listeners[0].tls.key").
 */
#ifndef SALLYPORT_CONFIG_LOAD_H
#define SALLYPORT_CONFIG_LOAD_H

#include "config/config.h"

#define CONFIG_PROBLEMS_MAX 100

struct config_problem {
	unsigned int line, column; /* from 1; 0 = the file as a whole */
	char path[160];		   /* key path, "" = the file as a whole */
	char text[360];		   /* what is wrong, and what to do */
};

struct config_problems {
	struct config_problem items[CONFIG_PROBLEMS_MAX];
	size_t count;	/* stored */
	size_t dropped; /* more, not stored */
};

/* 0 and *ret_config, or -EINVAL with at least one problem, or another -errno when the file can not
 * be read (also a problem). Checks syntax, types, units, ranges, unknown and duplicate keys,
 * contradictions between keys. `problems` is allocated by the caller. */
int config_load(const char *file, struct config **ret_config, struct config_problems *problems);
/* Position of a key of a loaded file, so that later checks (certificates) can point at it: see
 * config/locate in load.c. Adds a problem. */
void config_problem_add(struct config_problems *problems, unsigned int line, unsigned int column,
			const char *path, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

#endif
