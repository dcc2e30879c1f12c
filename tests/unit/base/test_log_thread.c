/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log's own thread, and the journal: whoever logs does not wait for a reader, what is lost or
 * suppressed is told, priorities are there for the journal and for nobody else.
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/journal.h"
#include "base/log.h"
#include "base/util.h"

static int ends[2]; /* a pipe as standard error */

static int set_up(void **state)
{
	unsetenv("JOURNAL_STREAM");
	return pipe2(ends, O_CLOEXEC);
}

static int tear_down(void **state)
{
	log_init(STDERR_FILENO, LOG_INFO, LOG_FORMAT_AUTO);
	unsetenv("JOURNAL_STREAM");
	if (ends[0] >= 0)
		close(ends[0]);
	close(ends[1]);
	return 0;
}

/* All that is in the pipe now. */
static const char *read_all(void)
{
	static char text[1 << 20];
	size_t used = 0;
	ssize_t n;

	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	while ((n = read(ends[0], text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	text[used] = 0;
	return text;
}

static void test_writes_what_waits(void **state)
{
	struct log_stats before, after;
	const char *text;

	log_stats(&before);
	log_init(ends[1], LOG_INFO, LOG_FORMAT_TEXT);
	assert_int_equal(log_start(), 0);
	for (int i = 0; i < 100; i++)
		log_msg(LOG_INFO, "event", "number %d", i);
	log_msg(LOG_INFO, "event", "the last");
	log_stop();
	text = read_all();
	assert_non_null(strstr(text, "number 0\""));
	assert_string_equal(text + strlen(text) - 11, "\"the last\"\n");
	log_stats(&after);
	assert_int_equal(after.written - before.written, 101);
	assert_int_equal(after.lost, before.lost);
	/* and by itself afterwards */
	log_msg(LOG_INFO, "event", "after");
	assert_non_null(strstr(read_all(), "after"));
}

static uint64_t number_after(const char *text, const char *word)
{
	const char *at = text ? strstr(text, word) : NULL;

	return at ? strtoull(at + strlen(word), NULL, 10) : 0;
}

/* Nobody reads: many times what pipe and queue hold is logged without waiting, and the next that is
 * read says how much is missing, to the line. */
static void test_stalled_reader(void **state)
{
	struct log_stats before, after;
	const unsigned int count = 60000;
	uint64_t lines = 0, lost = 0;
	char line[LOG_LINE_BYTES_MAX];
	FILE *reader;

	log_stats(&before);
	log_init(ends[1], LOG_INFO, LOG_FORMAT_TEXT);
	assert_int_equal(log_start(), 0);
	for (unsigned int i = 0; i < count; i++)
		log_msg(LOG_INFO, "event", "nobody reads this line, number %u of many", i);
	log_stats(&after);
	assert_true(after.lost > before.lost);
	reader = fdopen(TAKE_FD(ends[0]), "r");
	assert_non_null(reader);
	while (lines + lost < count && fgets(line, sizeof(line), reader)) {
		if (strstr(line, " warning lines_lost "))
			lost += number_after(line, "count=");
		else
			lines++;
	}
	assert_int_equal(lines + lost, count);
	log_stats(&after);
	assert_int_equal(after.lost - before.lost, lost);
	log_stop();
	fclose(reader);
}

/* The end of the program is not held up either. */
static void test_stop_with_stalled_reader(void **state)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		alarm(60);
		log_init(ends[1], LOG_INFO, LOG_FORMAT_TEXT);
		if (log_start() < 0)
			_exit(1);
		for (int i = 0; i < 5000; i++)
			log_msg(LOG_INFO, "event", "nobody reads this line, number %d", i);
		log_stop();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_suppressed_is_told(void **state)
{
	const char *text;

	log_init(ends[1], LOG_INFO, LOG_FORMAT_JSON);
	log_set_rate(1);
	assert_int_equal(log_start(), 0);
	for (int i = 0; i < 500; i++)
		log_msg(LOG_INFO, "flood", "x");
	log_msg(LOG_INFO, "other", "is written");
	log_stop();
	text = read_all();
	assert_non_null(strstr(text, "is written"));
	assert_true(number_after(strstr(text, "\"event\":\"suppressed\",\"of\":\"flood\""),
				 "\"count\":") > 0);
}

static void test_level_changes_at_run_time(void **state)
{
	log_init(ends[1], LOG_WARNING, LOG_FORMAT_TEXT);
	log_msg(LOG_DEBUG, "first", "x");
	log_set_level(LOG_DEBUG);
	assert_int_equal(log_level(), LOG_DEBUG);
	log_msg(LOG_DEBUG, "second", "x");
	log_set_level(LOG_ERROR);
	log_msg(LOG_WARNING, "third", "x");
	assert_string_equal(strchr(read_all(), ' '), " debug second msg=x\n");
}

static void test_journal_priorities(void **state)
{
	char stream[64];
	struct stat st;

	assert_int_equal(fstat(ends[1], &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	assert_true(journal_is_stream(ends[1]));
	log_init(ends[1], LOG_DEBUG, LOG_FORMAT_AUTO);
	log_msg(LOG_ERROR, "e", "x");
	assert_memory_equal(read_all(), "<3>{\"ts\":", 9);
	log_msg(LOG_WARNING, "e", "x");
	assert_memory_equal(read_all(), "<4>{", 4);
	log_msg(LOG_INFO, "e", "x");
	assert_memory_equal(read_all(), "<6>{", 4);
	log_msg(LOG_DEBUG, "e", "x");
	assert_memory_equal(read_all(), "<7>{", 4);
	/* somebody else's stream: standard error has been redirected since */
	setenv("JOURNAL_STREAM", "1:2", 1);
	log_init(ends[1], LOG_DEBUG, LOG_FORMAT_AUTO);
	log_msg(LOG_ERROR, "e", "x");
	assert_int_equal(read_all()[0], '{');
}

static void test_journal_entry(void **state)
{
	char path[] = "/tmp/sallyport-test-XXXXXX", entry[256];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int server = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), fd;
	ssize_t n;

	assert_non_null(mkdtemp(path));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", path);
	assert_int_equal(journal_open(address.sun_path), -ENOENT);
	assert_int_equal(bind(server, (struct sockaddr *)&address, sizeof(address)), 0);
	fd = journal_open(address.sun_path);
	assert_true(fd >= 0);
	assert_int_equal(journal_send(fd, "sallyport-audit", 5, "{\"a\":1}", 7), 0);
	n = recv(server, entry, sizeof(entry) - 1, 0);
	assert_true(n > 0);
	entry[n] = 0;
	assert_string_equal(entry, "SYSLOG_IDENTIFIER=sallyport-audit\nPRIORITY=5\n"
				   "MESSAGE={\"a\":1}\n");
	close(server);
	assert_int_equal(journal_send(fd, "sallyport-audit", 5, "x", 1), -ECONNREFUSED);
	close(fd);
	unlink(address.sun_path);
	rmdir(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_writes_what_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stalled_reader, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stop_with_stalled_reader, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_suppressed_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_level_changes_at_run_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_journal_priorities, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_journal_entry, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
