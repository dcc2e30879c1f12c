/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching files (file_watch.h). inotify only says that it is time to look: what counts is whether
 * the contents differ, so that a touch does nothing and a storm of events costs one look. Watched
 * are the directories in which the files lie, and those of each symbolic link on the way to them;
 * of what is missing, the nearest directory that is there. Every look sets the watches anew,
 * because links lead elsewhere now and then; what no event tells (a file system without them, a
 * directory moved away) is found by a look every half minute. Main thread.
 */
#include "dataplane/file_watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "pki/file_digest.h"

#define QUIET_NS    (200 * NSEC_PER_MSEC) /* nothing has happened for so long: they are done */
#define PATIENCE_NS (2 * NSEC_PER_SEC)	  /* or are they never? */
#define LOOK_NS	    (30 * NSEC_PER_SEC)
#define LINKS_MAX   40
#define WATCH_EVENTS                                                                               \
	(IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB |        \
	 IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

struct watched_file {
	char *path; /* absolute */
	uint8_t digest[FILE_DIGEST_BYTES];
};

struct file_watch {
	struct watched_file *files; /* the configuration first */
	size_t count;
	int fd;			    /* inotify, or -1 */
	bool told;		    /* that there is no inotify */
	uint64_t first_ns, last_ns; /* events since the last look; 0: none */
	uint64_t look_ns;	    /* the next look, whatever happens */
};

/* --- watches --- */

static void watch_directory(struct file_watch *watch, const char *directory)
{
	if (watch->fd < 0 ||
	    inotify_add_watch(watch->fd, directory[0] ? directory : "/", WATCH_EVENTS) >= 0)
		return;
	if ((errno != ENOSPC && errno != ENOMEM) || watch->told)
		return;
	watch->told = true;
	log_msg(LOG_WARNING, "file_watch",
		"can not watch %s: %s; changes are seen within %d s only (raise "
		"fs.inotify.max_user_watches)",
		directory, strerror(errno), (int)(LOOK_NS / NSEC_PER_SEC));
}

/* Puts what a link leads to before what is left of the path. False: too long. */
static bool follow_link(char *rest, const char *target, const char *behind)
{
	char joined[PATH_MAX];
	int n = snprintf(joined, sizeof(joined), "%s/%s", target, behind);

	if (n < 0 || n >= PATH_MAX)
		return false;
	memcpy(rest, joined, (size_t)n + 1);
	return true;
}

/* Takes the next part of `rest` away and puts it into `ret`; false at the end. */
static bool next_part(char *rest, char ret[NAME_MAX + 1])
{
	char *at = rest + strspn(rest, "/");
	size_t len = strcspn(at, "/");

	if (!len || len > NAME_MAX)
		return false;
	memcpy(ret, at, len);
	ret[len] = 0;
	memmove(rest, at + len, strlen(at + len) + 1);
	return true;
}

static void go_up(char *at)
{
	char *slash = strrchr(at, '/');

	if (slash)
		*slash = 0;
}

/* Walks from the root to the file as the kernel would, and watches each place that decides where
 * the walk leads. `at` is free of links and has no slash at its end: "" is the root. */
static void watch_path(struct file_watch *watch, const char *path)
{
	char at[PATH_MAX] = "", rest[PATH_MAX], part[NAME_MAX + 1], target[PATH_MAX];
	int links = 0;

	snprintf(rest, sizeof(rest), "%s", path);
	while (next_part(rest, part)) {
		size_t used = strlen(at);
		struct stat st;
		ssize_t n;

		if (!strcmp(part, "."))
			continue;
		if (!strcmp(part, "..")) {
			go_up(at);
			continue;
		}
		if (snprintf(at + used, sizeof(at) - used, "/%s", part) >= (int)(sizeof(at) - used))
			return;
		if (lstat(at, &st) == 0 && S_ISDIR(st.st_mode))
			continue;
		n = readlink(at, target, sizeof(target) - 1);
		at[used] = 0;
		watch_directory(watch, at); /* here a link may change, a file come and go */
		if (n <= 0 || ++links > LINKS_MAX)
			return;
		target[n] = 0;
		if (target[0] == '/')
			at[0] = 0;
		if (!follow_link(rest, target, rest))
			return;
	}
}

/* All watches anew. */
static void set_watches(struct file_watch *watch)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (fd < 0 && !watch->told) {
		watch->told = true;
		log_msg(LOG_WARNING, "file_watch",
			"no inotify: %s; changes of files are seen within %d s only",
			strerror(errno), (int)(LOOK_NS / NSEC_PER_SEC));
	}
	if (watch->fd >= 0)
		close(watch->fd);
	watch->fd = fd;
	for (size_t i = 0; i < watch->count; i++)
		watch_path(watch, watch->files[i].path);
	watch->first_ns = watch->last_ns = 0;
	watch->look_ns = clock_monotonic_ns() + LOOK_NS;
}

/* --- the list of files --- */

static void list_free(struct watched_file *files, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(files[i].path);
	free(files);
}

/* Takes `path`. */
static int list_add(struct watched_file *files, size_t *count, char *path)
{
	if (!path)
		return -ENOMEM;
	files[*count].path = path;
	file_digest(path, files[*count].digest);
	(*count)++;
	return 0;
}

static size_t files_of(const struct config *config)
{
	size_t count = 0;

	for (size_t i = 0; i < config->listener_count; i++)
		count += 2 + config->listeners[i].tls.roots.count;
	return count;
}

static int list_add_tls(struct watched_file *files, size_t *count, const struct config_tls *tls)
{
	int r = 0;

	if (tls->certificate)
		r = list_add(files, count, strdup(tls->certificate));
	if (r == 0 && tls->key)
		r = list_add(files, count, strdup(tls->key));
	for (size_t i = 0; i < tls->roots.count && r == 0; i++)
		r = list_add(files, count, strdup(tls->roots.items[i]));
	return r;
}

int file_watch_follow(struct file_watch *watch, const struct config *config)
{
	struct watched_file *files = calloc(1 + files_of(config), sizeof(*files));
	size_t count = 0;
	int r = files ? 0 : -ENOMEM;

	if (r == 0) {
		/* The configuration has been read already: as it was then is how it is known. */
		files[0] = watch->files[0];
		files[0].path = strdup(watch->files[0].path);
		r = files[0].path ? 0 : -ENOMEM;
		count = 1;
	}
	for (size_t i = 0; i < config->listener_count && r == 0; i++)
		r = list_add_tls(files, &count, &config->listeners[i].tls);
	if (r < 0) {
		list_free(files, count);
		return r;
	}
	list_free(watch->files, watch->count);
	watch->files = files;
	watch->count = count;
	set_watches(watch);
	return 0;
}

void file_watch_reading(struct file_watch *watch)
{
	for (size_t i = 0; i < watch->count; i++)
		file_digest(watch->files[i].path, watch->files[i].digest);
}

/* --- life --- */

static char *absolute(const char *file)
{
	cleanup_free char *here = NULL;
	char *path = NULL;

	if (file[0] == '/')
		return strdup(file);
	here = getcwd(NULL, 0);
	return here && asprintf(&path, "%s/%s", here, file) >= 0 ? path : NULL;
}

struct file_watch *file_watch_new(const char *config_file)
{
	struct file_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->fd = -1;
	watch->files = calloc(1, sizeof(*watch->files));
	if (!watch->files || list_add(watch->files, &watch->count, absolute(config_file)) < 0) {
		file_watch_free(watch);
		return NULL;
	}
	set_watches(watch);
	return watch;
}

void file_watch_free(struct file_watch *watch)
{
	if (!watch)
		return;
	if (watch->fd >= 0)
		close(watch->fd);
	list_free(watch->files, watch->count);
	free(watch);
}

int file_watch_fd(const struct file_watch *watch)
{
	return watch->fd;
}

void file_watch_on_readable(struct file_watch *watch, uint64_t now_ns)
{
	char events[4096] __attribute__((aligned(8)));

	while (read(watch->fd, events, sizeof(events)) > 0)
		;
	watch->last_ns = now_ns;
	if (!watch->first_ns)
		watch->first_ns = now_ns;
}

uint64_t file_watch_due_ns(const struct file_watch *watch)
{
	if (!watch->first_ns)
		return watch->look_ns;
	return MIN(watch->last_ns + QUIET_NS, watch->first_ns + PATIENCE_NS);
}

bool file_watch_changed(struct file_watch *watch, uint64_t now_ns)
{
	bool changed = false;

	if (now_ns < file_watch_due_ns(watch))
		return false;
	/* First, so that what changes from here on is told again. */
	set_watches(watch);
	for (size_t i = 0; i < watch->count; i++) {
		struct watched_file *file = &watch->files[i];
		uint8_t digest[FILE_DIGEST_BYTES];

		if (file_digest(file->path, digest) < 0 ||
		    memcmp(digest, file->digest, sizeof(digest)) == 0)
			continue;
		memcpy(file->digest, digest, sizeof(digest));
		changed = true;
	}
	return changed;
}
