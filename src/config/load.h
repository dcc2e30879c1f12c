/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads a configuration file (YAML, of which JSON is a part) and reports every mistake, not only
 * the first, with file:line:column and the key's path ("listeners[0].tls.key").
 */
#ifndef SALLYPORT_CONFIG_LOAD_H
#define SALLYPORT_CONFIG_LOAD_H

#include "config/config.h"

#define CONFIG_PROBLEMS_MAX 100

enum config_severity { CONFIG_ERROR, CONFIG_WARNING };

struct config_problem {
	enum config_severity severity;
	unsigned int line, column; /* from 1, column in characters; 0 = the file as a whole */
	char path[160];		   /* key path, "" = the file as a whole */
	char text[360];		   /* what is wrong, and what to do; no control characters */
};

/* Starts zeroed; about 54 KiB, so not for a stack. */
struct config_problems {
	struct config_problem items[CONFIG_PROBLEMS_MAX];
	size_t count;		 /* stored */
	size_t dropped;		 /* more, not stored */
	size_t errors, warnings; /* the dropped ones too */
};

/* 0 and *ret_config (there may be warnings), or -EINVAL with at least one error, or another -errno
 * when the file can not be read (also a problem). Checks syntax, types, units, ranges, unknown and
 * duplicate keys, contradictions between keys; touches no other file. `problems` is the caller's
 * and zeroed; what is in it after is sorted by position. */
int config_load(const char *file, struct config **ret_config, struct config_problems *problems);
/* The same for one who wants to find more mistakes, not to run: with -EINVAL too there may be a
 * *ret_config of what could be read (the rest is zero). It is to be NULL before. */
int config_load_for_check(const char *file, struct config **ret_config,
			  struct config_problems *problems);
/* config_load() of a file's content. `folder`: absolute, what relative paths in it are relative to.
 */
int config_load_bytes(const char *bytes, size_t len, const char *folder, struct config **ret_config,
		      struct config_problems *problems);

/* The section `clients` alone, as it may come from elsewhere: {"clients": {…}}. Like
 * config_load_bytes(); the rest of *ret_config is zero. */
int config_load_clients(const char *bytes, size_t len, struct config **ret_config,
			struct config_problems *problems);

/* Adds an error or a warning, so that later checks (certificates) report in the same way.
 * `text` from `fmt` is made safe for terminals and cut at its size. */
void config_error_add(struct config_problems *problems, struct config_mark at, const char *path,
		      const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void config_warning_add(struct config_problems *problems, struct config_mark at, const char *path,
			const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void config_problems_sort(struct config_problems *problems);

#endif
