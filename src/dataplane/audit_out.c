/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File and journal (audit_out.h). On the audit's thread; opened once before by the main thread, so
 * that a path that will not do is told at start. Files are never waited for on opening, be they
 * pipes.
 */
#include "dataplane/audit_out.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/journal.h"
#include "base/util.h"

#define IDENTIFIER   "sallyport-audit"
#define PRIORITY     6 /* information */
#define FILE_MODE    0640
#define TORN_NEWLINE "\n"

/* Whether the last line of a file is a piece: a disk was full when we, or those before us, ended.
 */
static bool ends_torn(const char *path, const struct stat *st)
{
	cleanup_close int fd = -1;
	char last;

	if (!S_ISREG(st->st_mode) || st->st_size == 0)
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && pread(fd, &last, 1, st->st_size - 1) == 1 && last != '\n';
}

static int open_file(struct audit_out *out)
{
	cleanup_close int fd =
		open(out->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		     FILE_MODE);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	out->device = st.st_dev;
	out->inode = st.st_ino;
	out->torn = ends_torn(out->path, &st);
	audit_out_close(out);
	out->fd = TAKE_FD(fd);
	return 0;
}

static int open_again(struct audit_out *out)
{
	int fd;

	if (!out->journal)
		return open_file(out);
	fd = journal_open(out->path);
	if (fd < 0)
		return fd;
	audit_out_close(out);
	out->fd = fd;
	return 0;
}

int audit_out_open(struct audit_out *out, const char *path, bool journal)
{
	*out = (struct audit_out){ .path = path, .journal = journal, .fd = -1 };
	return open_again(out);
}

void audit_out_close(struct audit_out *out)
{
	if (out->fd >= 0)
		close(out->fd);
	out->fd = -1;
}

bool audit_out_follow(struct audit_out *out, bool always, int *ret)
{
	struct stat st;

	if (!always && out->fd >= 0 &&
	    (out->journal ||
	     (stat(out->path, &st) == 0 && st.st_dev == out->device && st.st_ino == out->inode)))
		return false;
	*ret = open_again(out);
	return true;
}

static int write_file(struct audit_out *out, const char *line, size_t len, size_t *done)
{
	if (out->torn && write(out->fd, TORN_NEWLINE, 1) < 0)
		return -errno;
	out->torn = false;
	while (*done < len) {
		ssize_t n = write(out->fd, line + *done, len - *done);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			*done += (size_t)n;
	}
	return 0;
}

int audit_out_write(struct audit_out *out, const char *line, size_t len, size_t *done)
{
	int r;

	if (!out->journal)
		return write_file(out, line, len, done);
	r = journal_send(out->fd, IDENTIFIER, PRIORITY, line, len - 1);
	if (r < 0)
		audit_out_close(out); /* the journal may have been restarted: a new socket */
	return r;
}
