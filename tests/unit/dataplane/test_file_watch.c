/* SPDX-License-Identifier: Apache-2.0 */
/* When files are looked at, and what counts as a change; the clock is turned by hand. */
#include "unit/dataplane/rig.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "dataplane/file_watch.h"
#include "pki/file_digest.h"

#define MS NSEC_PER_MSEC

struct scene {
	char folder[64], path[96], key[96];
	struct config_listener listener;
	struct config config;
	struct clock_fake clock;
	struct file_watch *watch;
};

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	log_init(2, LOG_ERROR, LOG_FORMAT_TEXT);
	strcpy(s->folder, "/tmp/sallyport-watch-XXXXXX");
	assert_non_null(mkdtemp(s->folder));
	snprintf(s->path, sizeof(s->path), "%s/config", s->folder);
	snprintf(s->key, sizeof(s->key), "%s/key", s->folder);
	write_file(s->path, "config");
	write_file(s->key, "key");
	s->listener.tls.key = s->key;
	s->config.listeners = &s->listener;
	s->config.listener_count = 1;
	s->clock.monotonic_ns = 1000 * NSEC_PER_SEC;
	clock_set_fake(&s->clock);
	s->watch = file_watch_new(s->path);
	assert_non_null(s->watch);
	assert_int_equal(file_watch_follow(s->watch, &s->config), 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;

	clock_set_fake(NULL);
	file_watch_free(s->watch);
	unlink(s->path);
	unlink(s->key);
	rmdir(s->folder);
	free(s);
	return 0;
}

/* Takes the events that are there; whether there were any. */
static bool events(struct scene *s)
{
	struct pollfd p = { .fd = file_watch_fd(s->watch), .events = POLLIN };

	if (poll(&p, 1, 0) < 1)
		return false;
	file_watch_on_readable(s->watch, s->clock.monotonic_ns);
	return true;
}

static bool changed_after(struct scene *s, uint64_t ms)
{
	s->clock.monotonic_ns += ms * MS;
	return file_watch_changed(s->watch, s->clock.monotonic_ns);
}

static void test_quiet_comes_first(void **state)
{
	struct scene *s = *state;

	assert_false(events(s));
	write_file(s->key, "other");
	assert_true(events(s));
	assert_false(changed_after(s, 150));
	write_file(s->path, "other"); /* they are still at it */
	assert_true(events(s));
	assert_false(changed_after(s, 150));
	assert_true(changed_after(s, 60));
	assert_false(changed_after(s, 40000)); /* once */
}

static void test_patience_ends(void **state)
{
	struct scene *s = *state;
	int rounds = 0;

	write_file(s->key, "other");
	do {
		write_file(s->path, "config");
		assert_true(events(s));
		assert_true(++rounds < 30);
	} while (!changed_after(s, 100));
	assert_int_equal(rounds, 20);
}

static void test_no_change(void **state)
{
	struct scene *s = *state;

	write_file(s->key, "key");
	assert_true(events(s));
	assert_false(changed_after(s, 250));
	/* Events are over and done with. */
	assert_true(file_watch_due_ns(s->watch) > s->clock.monotonic_ns + 1000 * MS);
}

/* A key that its owner has made private may be right now; one that is gone may be wrong. */
static void test_mode_and_absence(void **state)
{
	struct scene *s = *state;

	assert_int_equal(chmod(s->key, 0644), 0);
	assert_true(events(s));
	assert_true(changed_after(s, 250));
	unlink(s->key);
	assert_true(events(s));
	assert_true(changed_after(s, 250));
	assert_false(changed_after(s, 31000));
	write_file(s->key, "key");
	assert_true(events(s));
	assert_true(changed_after(s, 250));
}

/* What no event tells is found after half a minute. */
static void test_looks_now_and_then(void **state)
{
	struct scene *s = *state;

	write_file(s->key, "other"); /* nobody reads the events */
	assert_false(changed_after(s, 29000));
	assert_true(changed_after(s, 1001));
	assert_false(changed_after(s, 31000));
}

/* What is read after an order is known; the events of it are for nothing. */
static void test_read_by_order(void **state)
{
	struct scene *s = *state;

	write_file(s->key, "other");
	write_file(s->path, "other");
	file_watch_reading(s->watch);
	assert_int_equal(file_watch_follow(s->watch, &s->config), 0);
	assert_false(changed_after(s, 31000));
	/* Changed between the reading of the configuration and that of the files: not known. */
	file_watch_reading(s->watch);
	write_file(s->path, "later");
	assert_int_equal(file_watch_follow(s->watch, &s->config), 0);
	assert_true(changed_after(s, 31000));
}

/* Links that go round, and paths that get too long, end somewhere. */
static void test_strange_links(void **state)
{
	struct scene *s = *state;
	char target[PATH_MAX];

	unlink(s->key);
	assert_int_equal(symlink("key", s->key), 0);
	assert_int_equal(file_watch_follow(s->watch, &s->config), 0);
	unlink(s->key);
	for (size_t i = 0; i < sizeof(target) - 1; i++)
		target[i] = i % 200 == 199 ? '/' : 'x';
	target[sizeof(target) - 2] = 0;
	assert_int_equal(symlink(target, s->key), 0);
	assert_int_equal(file_watch_follow(s->watch, &s->config), 0);
	unlink(s->key);
	assert_int_equal(symlink("/../../.././tmp/../nowhere/at/all", s->key), 0);
	assert_int_equal(file_watch_follow(s->watch, &s->config), 0);
	assert_false(events(s));
	unlink(s->key);
	write_file(s->key, "key");
	assert_true(events(s));
	assert_true(changed_after(s, 250));
}

/* Content, kind and absence: all of it counts. */
static void test_digest(void **state)
{
	struct scene *s = *state;
	uint8_t a[FILE_DIGEST_BYTES], b[FILE_DIGEST_BYTES];

	assert_int_equal(file_digest(s->key, a), 0);
	assert_int_equal(file_digest(s->key, b), 0);
	assert_memory_equal(a, b, sizeof(a));
	assert_int_equal(file_digest(s->folder, b), 0); /* a directory: its own thing */
	assert_memory_not_equal(a, b, sizeof(a));
	write_file(s->key, "");
	assert_int_equal(file_digest(s->key, a), 0);
	unlink(s->key);
	assert_int_equal(file_digest(s->key, b), 0);
	assert_memory_not_equal(a, b, sizeof(a));
	assert_int_equal(mkfifo(s->key, 0600), 0);
	assert_int_equal(file_digest(s->key, a), 0); /* does not hang */
}

#define WATCH_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WATCH_TEST(test_quiet_comes_first),  WATCH_TEST(test_patience_ends),
		WATCH_TEST(test_no_change),	     WATCH_TEST(test_mode_and_absence),
		WATCH_TEST(test_looks_now_and_then), WATCH_TEST(test_read_by_order),
		WATCH_TEST(test_strange_links),	     WATCH_TEST(test_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
