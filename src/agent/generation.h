/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of files in a directory that changes as one: readers see all of the old or all of the new.
 *
 *	DIR/tls.crt -> ..data/tls.crt	one link a file, which stays
 *	DIR/..data -> ..gen-0000007	renamed into place: the one step that everybody sees
 *	DIR/..gen-0000007/tls.crt	the files; ..gen-0000006 is kept for a while
 *	DIR/..told -> ..gen-0000007	hooks have run for this one
 *
 * It is the form of Kubernetes' own volumes, so that what watches those can watch this. Whenever
 * the writer is killed, or fails, the old set is whole.
 */
#ifndef SALLYPORT_AGENT_GENERATION_H
#define SALLYPORT_AGENT_GENERATION_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "limits/limits.h"
#include "pki/pkcs12.h"

#define GENERATION_FILES_MAX 64
#define GENERATION_NAME_MAX  LAYOUT_FILE_NAME_MAX

struct generation_file {
	/* generation_name_refuse() has nothing against it; or it begins with '.': then it is for us
	 * alone, and no link leads to it. */
	const char *name;
	bool secret; /* gets the mode of secrets, else 0644 */
	struct pki_bytes content;
};

struct generation {
	const char *directory; /* made if its parent is there */
	struct generation_file files[GENERATION_FILES_MAX];
	size_t count;
	uid_t uid; /* of the files; (uid_t)-1: ours */
	gid_t gid;
	mode_t secret_mode;
	uint64_t keep_s; /* for so long an old set stays there */
};

/* Wipes the files' contents. */
void generation_fini(struct generation *generation);
/* NULL if a file may have this name, or why not. */
const char *generation_name_refuse(const char *name);
/* Writes the set and puts it into force. 0, or -errno with `err`: the old set is still in force
 * then; -EBUSY: another process writes there. */
int generation_write(const struct generation *generation, struct err_text *err);
/* Removes old sets whose time is over, and what interrupted writers have left. */
void generation_sweep(const char *directory, uint64_t keep_s);
/* Everybody who wants to has been told of the set that is in force; this outlasts the process. 0 or
 * -errno. */
int generation_told(const char *directory);
/* Whether that is so. */
bool generation_is_told(const char *directory);
/* Where a file of a set is found by its readers. */
void generation_path(const char *directory, const char *name, char ret[PATH_MAX]);
/* Whether `file` is there with this owner and mode, through its link; its content is not looked
 * at. */
bool generation_file_stands(const struct generation *generation,
			    const struct generation_file *file);
/* Whole content of a file of a set, or of another small file. 0 or -errno; -EFBIG: larger than
 * `max`. */
int generation_read(const char *path, size_t max, struct pki_bytes *ret);

#endif
