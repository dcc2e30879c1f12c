/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directory store (store.h). The lock is flock(2) on the directory itself: it needs no file of its
 * own and goes with the process. Under the lock every temporary file is a leftover of a writer that
 * was killed, and is removed. Names are used relative to the open directory, so that swapping the
 * directory under us changes nothing. Any thread, one store each.
 */
#include "pki/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"

#define TEMPORARY_PREFIX ".new-"
#define LOCK_WAIT_MS	 10000
#define LOCK_POLL_MS	 20
#define NAME_BYTES_MAX	 256

static int fail(struct err_text *err, int code, const char *doing, const char *dir,
		const char *name)
{
	return err_set(err, code, "can not %s %s%s%s: %s", doing, dir, name ? "/" : "",
		       name ? name : "", strerror(-code));
}

static void remove_leftovers(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (strncmp(entry->d_name, TEMPORARY_PREFIX, strlen(TEMPORARY_PREFIX)) == 0)
			unlinkat(dir_fd, entry->d_name, 0);
	closedir(dir);
}

static int lock(int fd)
{
	const struct timespec pause = { .tv_nsec = LOCK_POLL_MS * 1000000L };

	for (int waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited_ms += LOCK_POLL_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (waited_ms >= LOCK_WAIT_MS)
			return -EWOULDBLOCK;
		nanosleep(&pause, NULL);
	}
	return 0;
}

int store_open(struct store *store, const char *dir, bool create, struct err_text *err)
{
	cleanup_close int fd = -1;
	int r;

	if (create && mkdir(dir, 0755) < 0 && errno != EEXIST)
		return fail(err, -errno, "make the directory", dir, NULL);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail(err, -errno, "open the directory", dir, NULL);
	r = lock(fd);
	if (r == -EWOULDBLOCK)
		return err_set(err, -EBUSY, "%s is in use by another process", dir);
	if (r < 0)
		return fail(err, r, "lock the directory", dir, NULL);
	remove_leftovers(fd);
	store->fd = TAKE_FD(fd);
	store->dir = dir;
	return 0;
}

void store_close(struct store *store)
{
	if (store->fd >= 0)
		close(store->fd);
	store->fd = -1;
}

bool store_has(const struct store *store, const char *name)
{
	struct stat st;

	return fstatat(store->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int write_all(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static void temporary_name(const struct store_file *file, char ret[NAME_BYTES_MAX])
{
	snprintf(ret, NAME_BYTES_MAX, TEMPORARY_PREFIX "%s", file->name);
}

static int write_temporary(struct store *store, const struct store_file *file)
{
	char name[NAME_BYTES_MAX];
	cleanup_close int fd = -1;
	int r;

	temporary_name(file, name);
	fd = openat(store->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    file->mode);
	if (fd < 0)
		return -errno;
	r = write_all(fd, file->bytes, file->len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r;
}

/* Gives a temporary file its name. Without `replace` atomically refuses a name that is taken. */
static int settle(struct store *store, const struct store_file *file, bool replace)
{
	char name[NAME_BYTES_MAX];

	temporary_name(file, name);
	if (replace)
		return renameat(store->fd, name, store->fd, file->name) < 0 ? -errno : 0;
	if (renameat2(store->fd, name, store->fd, file->name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* A file system without RENAME_NOREPLACE; a second name refuses just as well. */
	if (linkat(store->fd, name, store->fd, file->name, 0) < 0)
		return -errno;
	unlinkat(store->fd, name, 0);
	return 0;
}

static int settle_all(struct store *store, const struct store_file *files, size_t count,
		      bool replace, size_t *ret_failed)
{
	for (size_t i = 0; i < count; i++) {
		int r = settle(store, &files[i], replace);

		if (r == 0)
			continue;
		/* Ours, made a moment ago: half a set is worse than none. */
		for (size_t j = 0; !replace && j < i; j++)
			unlinkat(store->fd, files[j].name, 0);
		*ret_failed = i;
		return r;
	}
	return 0;
}

int store_write(struct store *store, const struct store_file *files, size_t count, bool replace,
		struct err_text *err)
{
	char name[NAME_BYTES_MAX];
	size_t failed = 0;
	int r = 0;

	for (size_t i = 0; i < count; i++) {
		if (strlen(TEMPORARY_PREFIX) + strlen(files[i].name) >= NAME_BYTES_MAX)
			return fail(err, -ENAMETOOLONG, "write", store->dir, files[i].name);
		if (!replace && store_has(store, files[i].name))
			return err_set(err, -EEXIST, "%s/%s exists already", store->dir,
				       files[i].name);
	}
	for (failed = 0; failed < count && r == 0; failed++)
		r = write_temporary(store, &files[failed]);
	if (r == 0)
		r = settle_all(store, files, count, replace, &failed);
	else
		failed--;
	if (r == 0 && fsync(store->fd) < 0)
		r = -errno;
	if (r == 0)
		return 0;
	for (size_t i = 0; i < count; i++) {
		temporary_name(&files[i], name);
		unlinkat(store->fd, name, 0);
	}
	return fail(err, r, "write", store->dir, failed < count ? files[failed].name : NULL);
}

int store_append(struct store *store, const char *name, const char *line, struct err_text *err)
{
	cleanup_close int fd = openat(store->fd, name,
				      O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0644);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(err, -errno, "open", store->dir, name);
	r = write_all(fd, line, strlen(line));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0)
		return 0;
	/* Half a line would spoil the next one. */
	if (ftruncate(fd, st.st_size) < 0)
		return fail(err, -errno, "undo a write to", store->dir, name);
	return fail(err, r, "write", store->dir, name);
}
