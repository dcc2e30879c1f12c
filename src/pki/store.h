/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory of certificates and keys on disk: one writer at a time, whole files or none.
 */
#ifndef SALLYPORT_PKI_STORE_H
#define SALLYPORT_PKI_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct store {
	int fd;		 /* the directory, locked */
	const char *dir; /* as named, for messages; borrowed */
};

/* Opens and locks the directory; `create`: makes its last component if it is not there. Waits some
 * seconds for another writer. Removes what an interrupted writer has left. 0 or -errno with `err`.
 */
int store_open(struct store *store, const char *dir, bool create, struct err_text *err);
void store_close(struct store *store); /* unlocks; a closed one (fd -1) is fine */

/* A file to be written. */
struct store_file {
	const char *name; /* within the directory */
	mode_t mode;
	const void *bytes;
	size_t len;
};
/* Writes files so that each is there whole or not at all: all temporary files are written and
 * synced first, then renamed in order. `replace` false: -EEXIST if any of the names is taken, and
 * nothing is changed. 0 or -errno with `err`; on an error no temporary file is left. */
int store_write(struct store *store, const struct store_file *files, size_t count, bool replace,
		struct err_text *err);
/* Appends a line and syncs: whole or not at all. 0 or -errno with `err`. */
int store_append(struct store *store, const char *name, const char *line, struct err_text *err);
bool store_has(const struct store *store, const char *name);

#endif
