/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where audit records go: a file that may be renamed under us, or the journal. Used by the audit's
 * thread only, which may wait.
 */
#ifndef SALLYPORT_DATAPLANE_AUDIT_OUT_H
#define SALLYPORT_DATAPLANE_AUDIT_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct audit_out {
	const char *path; /* borrowed: the file, or the journal's socket */
	bool journal;
	bool torn; /* the file's last line is not whole */
	int fd;
	dev_t device;
	ino_t inode; /* of the file that is open */
};

/* 0, or -errno with nothing open. */
int audit_out_open(struct audit_out *out, const char *path, bool journal);
void audit_out_close(struct audit_out *out);
/* Opens it again if the path names another file by now, or none; `always`: in any case. True if it
 * did (*ret is 0 then) or could not (-errno; what was open stays). */
bool audit_out_follow(struct audit_out *out, bool always, int *ret);
/* Writes a whole line from *done on, which moves with what is written. 0, or -errno: call again
 * later. */
int audit_out_write(struct audit_out *out, const char *line, size_t len, size_t *done);

#endif
