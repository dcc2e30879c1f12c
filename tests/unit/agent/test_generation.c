/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of files that change as one: what readers see is whole, whichever call fails and at
 * whichever the writer is killed; what it left is gone after the next write. The calls are wrapped
 * by the linker (meson.build) and counted all together.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/generation.h"
#include "base/clock.h"
#include "base/util.h"

static char parent[64], dir[96];
static struct err_text err;

/* --- the seam --- */

static unsigned long calls, stop_at; /* counted from 1; 0: none */
static bool kill_there;

static bool fails(void)
{
	if (!stop_at || ++calls != stop_at)
		return false;
	if (kill_there)
		raise(SIGKILL);
	errno = ENOSPC;
	return true;
}

#define WRAPPED(type, name, parameters, arguments)                                                 \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		return fails() ? (type) - 1 : __real_##name arguments;                             \
	}

WRAPPED(int, mkdir, (const char *path, mode_t mode), (path, mode))
WRAPPED(int, mkdirat, (int fd, const char *path, mode_t mode), (fd, path, mode))
WRAPPED(ssize_t, write, (int fd, const void *bytes, size_t len), (fd, bytes, len))
WRAPPED(int, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
WRAPPED(int, fchmod, (int fd, mode_t mode), (fd, mode))
WRAPPED(int, fsync, (int fd), (fd))
WRAPPED(int, renameat, (int from_fd, const char *from, int to_fd, const char *to),
	(from_fd, from, to_fd, to))
WRAPPED(int, symlinkat, (const char *target, int fd, const char *path), (target, fd, path))
WRAPPED(int, flock, (int fd, int operation), (fd, operation))
WRAPPED(int, utimensat, (int fd, const char *path, const struct timespec *times, int flags),
	(fd, path, times, flags))

DIR *__real_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd)
{
	return fails() ? NULL : __real_fdopendir(fd);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	return fails() ? -1 : __real_open(path, flags, 0600);
}

int __real_openat(int fd, const char *path, int flags, ...);
int __wrap_openat(int fd, const char *path, int flags, ...);
int __wrap_openat(int fd, const char *path, int flags, ...)
{
	return fails() ? -1 : __real_openat(fd, path, flags, 0600);
}

/* --- a directory --- */

static void remove_all(const char *path)
{
	char sub[400];
	struct dirent *entry;
	DIR *d = opendir(path);

	while (d && (entry = readdir(d))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(sub, sizeof(sub), "%s/%s", path, entry->d_name);
		if (unlink(sub) < 0)
			remove_all(sub);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

static int set_up(void **state)
{
	snprintf(parent, sizeof(parent), "/tmp/sallyport-generation-XXXXXX");
	if (!mkdtemp(parent))
		return -1;
	snprintf(dir, sizeof(dir), "%s/tls", parent);
	stop_at = 0;
	return 0;
}

static int tear_down(void **state)
{
	stop_at = 0;
	clock_set_fake(NULL);
	remove_all(parent);
	return 0;
}

/* Two files that say which version they are of. */
static int write_version_as(int version, uint64_t keep_s, const char *second)
{
	struct generation generation = {
		.directory = dir,
		.count = 2,
		.uid = getuid(),
		.gid = getgid(),
		.keep_s = keep_s,
		.secret_mode = 0640,
	};
	char text[32];
	int r;

	snprintf(text, sizeof(text), "version %d\n", version);
	generation.files[0] =
		(struct generation_file){ "tls.crt", false, { strdup(text), strlen(text) } };
	generation.files[1] =
		(struct generation_file){ second, true, { strdup(text), strlen(text) } };
	r = generation_write(&generation, &err);
	generation_fini(&generation);
	return r;
}

static int write_version(int version)
{
	return write_version_as(version, 0, "tls.key");
}

static int read_file(const char *name)
{
	struct pki_bytes bytes = { 0 };
	char path[256];
	int version = -1;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (generation_read(path, 1024, &bytes) == 0)
		version = (int)strtol(bytes.bytes + strlen("version "), NULL, 10);
	pki_bytes_fini(&bytes);
	return version;
}

/* What a reader sees; -1: nothing. */
static int version_seen(void)
{
	unsigned long before = stop_at;
	int version;

	stop_at = 0;
	version = read_file("tls.crt");
	assert_int_equal(version, read_file("tls.key"));
	stop_at = before;
	return version;
}

static unsigned int count_entries(const char *prefix)
{
	struct dirent *entry;
	unsigned int count = 0;
	DIR *d = opendir(dir);

	while (d && (entry = readdir(d)))
		count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
	if (d)
		closedir(d);
	return count;
}

static mode_t mode_of_file(const char *name)
{
	struct stat st;
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

/* --- tests --- */

static void test_writes(void **state)
{
	mode_t before = umask(0777);

	assert_int_equal(write_version(1), 0);
	umask(before);
	assert_int_equal(version_seen(), 1);
	assert_int_equal(mode_of_file("tls.crt"), 0644);
	assert_int_equal(mode_of_file("tls.key"), 0640);
	assert_int_equal(mode_of_file("..data"), 0755);
	assert_int_equal(write_version(2), 0);
	assert_int_equal(version_seen(), 2);
	assert_int_equal(count_entries("..gen-"), 1);
	assert_int_equal(count_entries("..new-"), 0);
}

static void test_old_set_stays_for_a_while(void **state)
{
	struct clock_fake clock = { 0 };

	assert_int_equal(write_version_as(1, 3600, "tls.key"), 0);
	assert_int_equal(write_version_as(2, 3600, "tls.key"), 0);
	assert_int_equal(count_entries("..gen-"), 2);
	generation_sweep(dir, 3600);
	assert_int_equal(count_entries("..gen-"), 2);
	clock.realtime_ns = clock_realtime_ns() + 3601 * NSEC_PER_SEC;
	clock_set_fake(&clock);
	generation_sweep(dir, 3600);
	assert_int_equal(count_entries("..gen-"), 1);
	assert_int_equal(version_seen(), 2);
}

static void test_links(void **state)
{
	char path[256];
	FILE *file;

	assert_int_equal(mkdir(dir, 0755), 0);
	snprintf(path, sizeof(path), "%s/tls.key", dir);
	file = fopen(path, "we");
	assert_non_null(file);
	fclose(file);
	assert_int_equal(write_version(1), 0); /* somebody's own file gives way to the link */
	assert_int_equal(version_seen(), 1);
	assert_int_equal(write_version_as(2, 0, "other.key"), 0);
	assert_int_equal(read_file("other.key"), 2);
	assert_int_equal(access(path, F_OK), -1); /* a link to what is no more */
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(write_version(3), -EISDIR);
	assert_non_null(strstr(err.text, "tls.key"));
	assert_int_equal(read_file("other.key"), 2);
	assert_int_equal(count_entries("..gen-"), 1);
}

/* The directory is somebody else's, who would have us write where he may not. */
static void test_links_of_others(void **state)
{
	static const char *const names[] = { "tls.key", "..data", "..new-generation", "..new-data",
					     "..new-link-tls.key" };
	char victim[96], path[256], file[128];
	struct pki_bytes bytes = { 0 };
	struct stat before, after;
	FILE *out;

	snprintf(victim, sizeof(victim), "%s/victim", parent);
	snprintf(file, sizeof(file), "%s/tls.key", victim);
	assert_int_equal(mkdir(victim, 0755), 0);
	assert_int_equal(mkdir(dir, 0755), 0);
	out = fopen(file, "we");
	assert_non_null(out);
	fputs("precious", out);
	fclose(out);
	assert_int_equal(stat(victim, &before), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		assert_int_equal(symlink(i ? "../victim" : "../victim/tls.key", path), 0);
	}
	assert_int_equal(write_version(1), 0);
	assert_int_equal(version_seen(), 1);
	assert_int_equal(stat(victim, &after), 0);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	assert_int_equal(generation_read(file, 100, &bytes), 0);
	assert_string_equal(bytes.bytes, "precious");
	pki_bytes_fini(&bytes);
}

static void test_one_writer(void **state)
{
	cleanup_close int fd = -1;

	assert_int_equal(write_version(1), 0);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(write_version(2), -EBUSY);
	assert_int_equal(version_seen(), 1);
}

/* Every call fails once: the first time, and where there is a set already. */
static void check_failures(int before)
{
	int r;

	for (unsigned long n = 1;; n++) {
		stop_at = n;
		calls = 0;
		r = write_version(before + 1);
		if (calls < n)
			break;
		/* After the swap, and where it does not matter, it may be in force all the same. */
		if (r == 0)
			assert_int_equal(version_seen(), before + 1);
		else
			assert_true(version_seen() == before || version_seen() == before + 1);
		stop_at = 0;
		assert_int_equal(write_version(before + 2), 0);
		assert_int_equal(version_seen(), before + 2);
		assert_int_equal(count_entries("..new-"), 0);
		assert_int_equal(count_entries("..gen-"), 1);
		if (before < 0)
			remove_all(dir);
		else
			assert_int_equal(write_version(before), 0);
	}
	assert_true(calls > 15);
	assert_int_equal(r, 0);
}

static void test_first_write_fails(void **state)
{
	check_failures(-1);
}

static void test_write_fails(void **state)
{
	assert_int_equal(write_version(5), 0);
	check_failures(5);
}

static void check_kills(int before)
{
	int status = 0;

	for (unsigned long n = 1; !WIFEXITED(status) || n == 1; n++) {
		pid_t pid = fork();

		if (pid == 0) {
			kill_there = true;
			stop_at = n;
			_exit(write_version(before + 1) == 0 ? 0 : 1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL
						: WEXITSTATUS(status) == 0);
		assert_true(version_seen() == before || version_seen() == before + 1);
		assert_int_equal(write_version(before + 2), 0);
		assert_int_equal(version_seen(), before + 2);
		assert_int_equal(count_entries("..new-"), 0);
		assert_int_equal(count_entries("..gen-"), 1);
		if (before < 0)
			remove_all(dir);
		else
			assert_int_equal(write_version(before), 0);
	}
}

static void test_killed_in_first_write(void **state)
{
	check_kills(-1);
}

static void test_killed(void **state)
{
	assert_int_equal(write_version(5), 0);
	check_kills(5);
}

/* The disk takes a part of a file. */
static void test_disk_full(void **state)
{
	struct rlimit before, little;

	assert_int_equal(write_version(1), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	little = before;
	little.rlim_cur = 4;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
	assert_int_equal(write_version(2), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(version_seen(), 1);
	assert_int_equal(count_entries("..new-"), 0);
	assert_int_equal(count_entries("..gen-"), 1);
}

static void test_names(void **state)
{
	assert_null(generation_name_refuse("client.properties"));
	assert_non_null(generation_name_refuse("..data"));
	assert_non_null(generation_name_refuse("a/b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_writes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_old_set_stays_for_a_while, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links_of_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_one_writer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_first_write_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_write_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_killed_in_first_write, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_killed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_disk_full, set_up, tear_down),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
