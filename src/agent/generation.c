/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of files (generation.h). Everything that can fail is done before the link ..data is renamed:
 * files written, owned and synced, links made; after it come renames only. What a writer that was
 * killed has left is under names of its own (..new-*), which the next writer removes under the
 * lock. All names are relative to the open directory and no link is followed in it: it may belong
 * to somebody we do not trust. Main thread.
 */
#include "agent/generation.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/util.h"

#define DATA		  "..data"
#define TOLD		  "..told"
#define GENERATION_PREFIX "..gen-"
#define NEW_PREFIX	  "..new-"
#define NEW_GENERATION	  NEW_PREFIX "generation"
#define NEW_DATA	  NEW_PREFIX "data"
#define NEW_TOLD	  NEW_PREFIX "told"
#define NEW_LINK_PREFIX	  NEW_PREFIX "link-"
#define LINK_PREFIX	  DATA "/"
#define DIRECTORY_MODE	  0755
#define PUBLIC_MODE	  0644

struct writer {
	const struct generation *generation;
	int dir_fd;		    /* locked */
	char current[NAME_MAX + 1]; /* the directory that ..data leads to; "" if there is none */
	char next[NAME_MAX + 1];
	const char *doing, *name; /* for messages: what just fails, with which file */
};

static void attempt(struct writer *w, const char *doing, const char *name)
{
	w->doing = doing;
	w->name = name;
}

void generation_fini(struct generation *generation)
{
	for (size_t i = 0; i < generation->count; i++)
		pki_bytes_fini(&generation->files[i].content);
	generation->count = 0;
}

const char *generation_name_refuse(const char *name)
{
	if (name[0] == '.' || strchr(name, '/'))
		return "a file name is expected: no '/' in it, and no '.' at its start";
	if (strlen(name) > GENERATION_NAME_MAX)
		return "too long for a file name";
	return NULL;
}

/* --- leftovers and old sets --- */

static void remove_tree(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		unlinkat(fd, entry->d_name, 0);
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	unlinkat(dir_fd, name, AT_REMOVEDIR);
}

/* An old set is as old as it has been out of force: put_into_force() touches it. */
static bool is_over(int dir_fd, const char *name, uint64_t keep_s)
{
	int64_t now = (int64_t)(clock_realtime_ns() / NSEC_PER_SEC);
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       (uint64_t)llabs(now - st.st_mtim.tv_sec) >= keep_s;
}

static void sweep(int dir_fd, const char *current, uint64_t keep_s)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		const char *name = entry->d_name;

		if (strncmp(name, NEW_PREFIX, strlen(NEW_PREFIX)) == 0) {
			if (unlinkat(dir_fd, name, 0) < 0)
				remove_tree(dir_fd, name);
		} else if (strncmp(name, GENERATION_PREFIX, strlen(GENERATION_PREFIX)) == 0 &&
			   strcmp(name, current) != 0 && is_over(dir_fd, name, keep_s)) {
			remove_tree(dir_fd, name);
		}
	}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
}

/* What is no set of ours is none: the directory may belong to somebody we do not trust. */
static void read_current(int dir_fd, char ret[NAME_MAX + 1])
{
	ssize_t n = readlinkat(dir_fd, DATA, ret, NAME_MAX);

	ret[n > 0 ? n : 0] = 0;
	if (strncmp(ret, GENERATION_PREFIX, strlen(GENERATION_PREFIX)) != 0 || strchr(ret, '/'))
		ret[0] = 0;
}

/* The directory, locked: a descriptor or -errno. */
static int lock_directory(const char *directory)
{
	cleanup_close int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return TAKE_FD(fd);
}

void generation_sweep(const char *directory, uint64_t keep_s)
{
	cleanup_close int fd = lock_directory(directory);
	char current[NAME_MAX + 1];

	if (fd < 0)
		return;
	read_current(fd, current);
	sweep(fd, current, keep_s);
}

/* --- the next set --- */

static int open_directory(struct writer *w)
{
	const char *directory = w->generation->directory;
	bool made;

	attempt(w, "make the directory", NULL);
	made = mkdir(directory, DIRECTORY_MODE) == 0;
	if (!made && errno != EEXIST)
		return -errno;
	attempt(w, "open the directory", NULL);
	w->dir_fd = lock_directory(directory);
	if (w->dir_fd < 0)
		return w->dir_fd;
	/* Whatever our umask is. */
	return made && fchmod(w->dir_fd, DIRECTORY_MODE) < 0 ? -errno : 0;
}

/* One more than the highest number that is there. */
static int name_next(struct writer *w)
{
	int fd = openat(w->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	uint64_t highest = 0, number;
	struct dirent *entry;

	attempt(w, "read the directory", NULL);
	if (!dir) {
		int r = -errno;

		if (fd >= 0)
			close(fd);
		return r;
	}
	while ((entry = readdir(dir)))
		if (strncmp(entry->d_name, GENERATION_PREFIX, strlen(GENERATION_PREFIX)) == 0 &&
		    parse_u64(entry->d_name + strlen(GENERATION_PREFIX), 0, UINT32_MAX, &number) ==
			    0)
			highest = MAX(highest, number);
	closedir(dir);
	snprintf(w->next, sizeof(w->next), GENERATION_PREFIX "%07" PRIu64, highest + 1);
	return 0;
}

static int write_all(int fd, const struct pki_bytes *content)
{
	const char *at = content->bytes;
	size_t left = content->len;

	while (left) {
		ssize_t n = write(fd, at, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		left -= (size_t)n;
	}
	return 0;
}

static mode_t mode_of(const struct generation *generation, const struct generation_file *file)
{
	return file->secret ? generation->secret_mode : PUBLIC_MODE;
}

static int write_file(struct writer *w, int set_fd, const struct generation_file *file)
{
	const struct generation *generation = w->generation;
	cleanup_close int fd = -1;
	int r;

	attempt(w, "make", file->name);
	fd = openat(set_fd, file->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	attempt(w, "write", file->name);
	r = write_all(fd, &file->content);
	if (r < 0)
		return r;
	attempt(w, "give its owner to", file->name);
	if ((generation->uid != (uid_t)-1 || generation->gid != (gid_t)-1) &&
	    fchown(fd, generation->uid, generation->gid) < 0)
		return -errno;
	attempt(w, "give its mode to", file->name);
	if (fchmod(fd, mode_of(generation, file)) < 0)
		return -errno;
	attempt(w, "sync", file->name);
	return fsync(fd) < 0 ? -errno : 0;
}

static int write_set(struct writer *w)
{
	const struct generation *generation = w->generation;
	cleanup_close int set_fd = -1;
	int r = 0;

	attempt(w, "make a directory in", NULL);
	if (mkdirat(w->dir_fd, NEW_GENERATION, DIRECTORY_MODE) < 0)
		return -errno;
	set_fd = openat(w->dir_fd, NEW_GENERATION, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (set_fd < 0 || fchmod(set_fd, DIRECTORY_MODE) < 0)
		return -errno;
	for (size_t i = 0; i < generation->count && r == 0; i++)
		r = write_file(w, set_fd, &generation->files[i]);
	if (r < 0)
		return r;
	attempt(w, "sync", NULL);
	if (fsync(set_fd) < 0 || renameat(w->dir_fd, NEW_GENERATION, w->dir_fd, w->next) < 0 ||
	    fsync(w->dir_fd) < 0)
		return -errno;
	return 0;
}

/* --- links --- */

static void link_target(const char *name, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, LINK_PREFIX "%s", name);
}

static bool is_our_link(int dir_fd, const char *name)
{
	char target[PATH_MAX], wanted[PATH_MAX];
	ssize_t n = readlinkat(dir_fd, name, target, sizeof(target) - 1);

	if (n < 0)
		return false;
	target[n] = 0;
	link_target(name, wanted);
	return strcmp(target, wanted) == 0;
}

/* A link where there is nothing leads nowhere until the set is in force. Where something else is,
 * the link waits under another name to replace it. */
static int prepare_link(struct writer *w, const char *name)
{
	char target[PATH_MAX], waiting[PATH_MAX];
	struct stat st;

	if (is_our_link(w->dir_fd, name))
		return 0;
	attempt(w, "make the link", name);
	link_target(name, target);
	if (fstatat(w->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return symlinkat(target, w->dir_fd, name) < 0 ? -errno : 0;
	attempt(w, "replace", name);
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	snprintf(waiting, sizeof(waiting), NEW_LINK_PREFIX "%s", name);
	return symlinkat(target, w->dir_fd, waiting) < 0 ? -errno : 0;
}

static int prepare_links(struct writer *w)
{
	int r = 0;

	for (size_t i = 0; i < w->generation->count && r == 0; i++)
		if (w->generation->files[i].name[0] != '.')
			r = prepare_link(w, w->generation->files[i].name);
	return r;
}

static int replace_by_links(struct writer *w)
{
	char waiting[PATH_MAX];

	for (size_t i = 0; i < w->generation->count; i++) {
		const char *name = w->generation->files[i].name;

		if (name[0] == '.' || is_our_link(w->dir_fd, name))
			continue;
		attempt(w, "replace", name);
		snprintf(waiting, sizeof(waiting), NEW_LINK_PREFIX "%s", name);
		if (renameat(w->dir_fd, waiting, w->dir_fd, name) < 0)
			return -errno;
	}
	return 0;
}

static bool has_file(const struct generation *generation, const char *name)
{
	for (size_t i = 0; i < generation->count; i++)
		if (strcmp(generation->files[i].name, name) == 0)
			return true;
	return false;
}

/* Links of ours to files that the set has no more. */
static void remove_stale_links(struct writer *w)
{
	int fd = openat(w->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && !has_file(w->generation, entry->d_name) &&
		    is_our_link(w->dir_fd, entry->d_name))
			unlinkat(w->dir_fd, entry->d_name, 0);
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
}

/* --- in force --- */

static int put_into_force(struct writer *w)
{
	attempt(w, "put into force", NULL);
	if (symlinkat(w->next, w->dir_fd, NEW_DATA) < 0)
		return -errno;
	/* From here on the old set may go when its time is over; a clock of its own, not the
	 * files'. */
	if (w->current[0])
		utimensat(w->dir_fd, w->current, NULL, AT_SYMLINK_NOFOLLOW);
	return renameat(w->dir_fd, NEW_DATA, w->dir_fd, DATA) < 0 ? -errno : 0;
}

static int explain(const struct writer *w, int code, struct err_text *err)
{
	const char *hint = code == -EBUSY    ? ": another process writes there"
			   : code == -EROFS  ? ": is it in the unit's ReadWritePaths=?"
			   : code == -EISDIR ? ": a directory is in its place"
			   : code == -EPERM  ? ": for that the agent has to be root"
					     : "";

	return err_set(err, code, "can not %s %s%s%s: %s%s", w->doing, w->generation->directory,
		       w->name ? "/" : "", w->name ? w->name : "", strerror(-code), hint);
}

int generation_write(const struct generation *generation, struct err_text *err)
{
	struct writer w = { .generation = generation, .dir_fd = -1 };
	bool in_force = false;
	int r = open_directory(&w);

	if (r == 0) {
		read_current(w.dir_fd, w.current);
		sweep(w.dir_fd, w.current, generation->keep_s);
		r = name_next(&w);
	}
	if (r == 0)
		r = write_set(&w);
	if (r == 0)
		r = prepare_links(&w);
	if (r == 0)
		r = put_into_force(&w);
	if (r == 0) {
		in_force = true;
		r = replace_by_links(&w);
	}
	if (r == 0) {
		remove_stale_links(&w);
		attempt(&w, "sync", NULL);
		r = fsync(w.dir_fd) < 0 ? -errno : 0;
	}
	if (w.dir_fd >= 0) {
		if (!in_force && w.next[0])
			remove_tree(w.dir_fd, w.next);
		sweep(w.dir_fd, in_force ? w.next : w.current, generation->keep_s);
		close(w.dir_fd);
	}
	return r < 0 ? explain(&w, r, err) : 0;
}

/* --- who has been told --- */

int generation_told(const char *directory)
{
	cleanup_close int fd = lock_directory(directory);
	char current[NAME_MAX + 1];

	if (fd < 0)
		return fd;
	read_current(fd, current);
	unlinkat(fd, NEW_TOLD, 0);
	if (symlinkat(current, fd, NEW_TOLD) < 0 || renameat(fd, NEW_TOLD, fd, TOLD) < 0)
		return -errno;
	return 0;
}

bool generation_is_told(const char *directory)
{
	cleanup_close int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char current[NAME_MAX + 1], told[NAME_MAX + 1];
	ssize_t n;

	if (fd < 0)
		return false;
	read_current(fd, current);
	n = readlinkat(fd, TOLD, told, NAME_MAX);
	told[n > 0 ? n : 0] = 0;
	return n > 0 && strcmp(current, told) == 0;
}

/* --- looking --- */

void generation_path(const char *directory, const char *name, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%s/%s%s", directory, name[0] == '.' ? LINK_PREFIX : "", name);
}

bool generation_file_stands(const struct generation *generation, const struct generation_file *file)
{
	char path[PATH_MAX];
	struct stat st;

	generation_path(generation->directory, file->name, path);
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       (st.st_mode & 07777) == mode_of(generation, file) &&
	       (generation->uid == (uid_t)-1 || st.st_uid == generation->uid) &&
	       (generation->gid == (gid_t)-1 || st.st_gid == generation->gid);
}

int generation_read(const char *path, size_t max, struct pki_bytes *ret)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct pki_bytes bytes = { 0 };
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size < 0 || (uint64_t)st.st_size > max)
		return -EFBIG;
	bytes.bytes = malloc((size_t)st.st_size + 1);
	if (!bytes.bytes)
		return -ENOMEM;
	while (bytes.len < (size_t)st.st_size) {
		n = read(fd, bytes.bytes + bytes.len, (size_t)st.st_size - bytes.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		bytes.len += (size_t)n;
	}
	bytes.bytes[bytes.len] = 0;
	*ret = bytes;
	return 0;
}
