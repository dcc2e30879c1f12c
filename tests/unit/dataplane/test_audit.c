/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit's file, record by record: numbers, gaps, what a full disk leaves behind, and the end
 * while nothing can be written.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/util.h"
#include "dataplane/audit.h"

static char folder[] = "/tmp/sallyport-test-XXXXXX", path[64];
static struct config_audit config;
static struct audit *audit;

static int set_up(void **state)
{
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	log_init(STDERR_FILENO, LOG_ERROR, LOG_FORMAT_TEXT);
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/audit.log", folder);
	config = (struct config_audit){ .file = path, .queue_kib = 64 };
	return 0;
}

static int tear_down(void **state)
{
	unlink(path);
	return rmdir(folder);
}

static void start(void)
{
	struct err_text err = { "" };

	if (audit_new(&config, &audit, &err) < 0)
		fail_msg("%s", err.text);
	assert_non_null(audit);
}

static void put(const char *name)
{
	char text[256];
	struct log_line line;

	log_record(&line, text, sizeof(text), "test");
	log_str(&line, "name", name);
	audit_put(audit, text, log_record_end(&line));
}

/* The file, without its times and our pid; the caller's until the next call. */
static const char *content(void)
{
	static char text[1 << 16];
	FILE *file = fopen(path, "r");
	char line[1024], pid[32];
	size_t used = 0;

	assert_non_null(file);
	snprintf(pid, sizeof(pid), ",\"pid\":%d", (int)getpid());
	text[0] = 0;
	while (fgets(line, sizeof(line), file)) {
		char *ts = strstr(line, "\"ts\":\""), *rest = ts ? strchr(ts + 6, '"') : NULL;
		char *at_pid = strstr(line, pid);

		if (at_pid)
			memmove(at_pid, at_pid + strlen(pid), strlen(at_pid + strlen(pid)) + 1);
		if (rest)
			memmove(ts, rest + 2, strlen(rest + 2) + 1);
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s", line);
	}
	fclose(file);
	return text;
}

static void wait_until_failing(void)
{
	struct audit_stats stats;

	for (unsigned int tries = 0;; tries++) {
		audit_stats(audit, &stats);
		if (stats.failing)
			break;
		assert_true(tries < 6000);
		poll(NULL, 0, 10);
	}
}

static void test_numbers_and_gaps(void **state)
{
	struct audit_stats stats;

	/* The thread can write nothing before all of it is there. */
	assert_int_equal(symlink("/dev/full", path), 0);
	start();
	wait_until_failing();
	put("a");
	audit_skip(audit);
	audit_skip(audit);
	audit_skip(audit);
	put("b");
	put("c");
	audit_skip(audit);
	audit_stats(audit, &stats);
	assert_int_equal(stats.records, 8);
	assert_int_equal(stats.lost, 4);
	unlink(path);
	audit_free(audit);
	assert_string_equal(content(),
			    "{\"seq\":1,\"event\":\"started\"}\n"
			    "{\"seq\":2,\"event\":\"test\",\"name\":\"a\"}\n"
			    "{\"seq\":5,\"event\":\"gap\",\"lost\":3,\"first\":3,\"last\":5}\n"
			    "{\"seq\":6,\"event\":\"test\",\"name\":\"b\"}\n"
			    "{\"seq\":7,\"event\":\"test\",\"name\":\"c\"}\n"
			    "{\"seq\":8,\"event\":\"gap\",\"lost\":1,\"first\":8,\"last\":8}\n"
			    "{\"seq\":9,\"event\":\"stopped\"}\n");
}

static bool has_gap(void)
{
	return strstr(content(), "\"gap\"");
}

/* A gap with nothing after it is told all the same. */
static void test_gap_at_the_end(void **state)
{
	start();
	audit_skip(audit);
	for (unsigned int tries = 0; !has_gap(); tries++) {
		assert_true(tries < 6000);
		poll(NULL, 0, 10);
	}
	audit_free(audit);
	assert_string_equal(content(),
			    "{\"seq\":1,\"event\":\"started\"}\n"
			    "{\"seq\":2,\"event\":\"gap\",\"lost\":1,\"first\":2,\"last\":2}\n"
			    "{\"seq\":3,\"event\":\"stopped\"}\n");
}

/* What somebody else left half written does not spoil our first record. */
static void test_torn_file(void **state)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, "{\"half", 6), 6);
	close(fd);
	start();
	audit_free(audit);
	assert_string_equal(content(), "{\"half\n"
				       "{\"seq\":1,\"event\":\"started\"}\n"
				       "{\"seq\":2,\"event\":\"stopped\"}\n");
}

/* The queue takes what it can; the end does not wait for a disk that is full. */
static void test_full_disk(void **state)
{
	struct audit_stats stats;

	assert_int_equal(symlink("/dev/full", path), 0);
	config.on_failure = CONFIG_AUDIT_REFUSE;
	log_set_level(LOG_ERROR);
	start();
	wait_until_failing();
	assert_true(audit_refuses(audit));
	for (int i = 0; i < 2000; i++)
		put("x");
	audit_stats(audit, &stats);
	assert_int_equal(stats.records, 2001);
	assert_true(stats.lost > 100 && stats.lost < 2000);
	assert_true(stats.waiting_bytes > 60 * 1024);
	audit_free(audit);
}

static void test_continue_lets_in(void **state)
{
	assert_int_equal(symlink("/dev/full", path), 0);
	start();
	wait_until_failing();
	assert_false(audit_refuses(audit));
	audit_free(audit);
}

static void test_without_audit(void **state)
{
	struct audit_stats stats;
	struct err_text err;

	config.file = NULL;
	assert_int_equal(audit_new(&config, &audit, &err), 0);
	assert_null(audit);
	put("x");
	audit_skip(audit);
	audit_reopen(audit);
	assert_false(audit_refuses(audit));
	audit_stats(audit, &stats);
	assert_int_equal(stats.records, 0);
	audit_free(audit);
}

static void test_no_such_folder(void **state)
{
	struct err_text err;

	config.file = (char *)"/nowhere/audit.log";
	assert_int_equal(audit_new(&config, &audit, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nowhere/audit.log: No such file"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_numbers_and_gaps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_gap_at_the_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_torn_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_disk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_continue_lets_in, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_without_audit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_such_folder, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
