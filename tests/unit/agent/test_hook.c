/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks: what they get, how they end, when they are run again. Real processes, a real clock. */
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
#include <unistd.h>

#include <cmocka.h>

#include "agent/hook.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"

#define PATIENCE_NS (30 * NSEC_PER_SEC)
#define LONG_MS	    60000

static struct hook hook;
static struct jitter jitter;
static unsigned int outcomes[HOOK_OUTCOME_COUNT], ends;
static bool given_up;
static char last_text[256], file[64];

static void on_ended(void *arg, const struct hook_options *options, enum hook_outcome outcome,
		     const char *text, bool last)
{
	outcomes[outcome]++;
	ends++;
	given_up = last && outcome != HOOK_DONE;
	snprintf(last_text, sizeof(last_text), "%s", text);
}

static int set_up(void **state)
{
	int fd;

	memset(outcomes, 0, sizeof(outcomes));
	ends = 0;
	given_up = false;
	jitter_init(&jitter, 1);
	snprintf(file, sizeof(file), "/tmp/sallyport-hook-XXXXXX");
	fd = mkstemp(file);
	close(fd);
	setenv("FILE", file, 1);
	setenv("NOTIFY_SOCKET", "@secret", 1);
	return 0;
}

static int tear_down(void **state)
{
	hook_fini(&hook);
	unlink(file);
	return 0;
}

static void start(const char *const *command, uint64_t timeout_ms, unsigned int attempts)
{
	static const char *const environment[] = { "SALLYPORT_REASON=renewed", NULL };

	hook_init(&hook, &(struct hook_options){ "broker", command, timeout_ms, attempts, &jitter,
						 on_ended, NULL });
	assert_int_equal(hook_trigger(&hook, environment), 0);
}

/* Turns until `count` runs have ended, or nothing is to be done. */
static void turn_until(unsigned int count)
{
	uint64_t end_ns = clock_monotonic_ns() + PATIENCE_NS;
	struct pollfd fds[HOOK_FDS_MAX];

	while (ends < count && hook_is_busy(&hook)) {
		uint64_t now_ns = clock_monotonic_ns(), due_ns = hook_turn(&hook, now_ns);
		int wait_ms = due_ns == UINT64_MAX ? 1000
			      : due_ns <= now_ns   ? 0
						   : (int)((due_ns - now_ns) / NSEC_PER_MSEC) + 1;

		assert_true(now_ns < end_ns);
		if (ends < count)
			poll(fds, hook_fds(&hook, fds), MIN(wait_ms, 1000));
	}
}

static void check_file(const char *expected)
{
	char text[512];
	FILE *in = fopen(file, "re");
	size_t n = fread(text, 1, sizeof(text) - 1, in);

	fclose(in);
	text[n] = 0;
	assert_string_equal(text, expected);
}

static void test_environment(void **state)
{
	static const char *const command[] = {
		"sh",
		"-c",
		"echo $SALLYPORT_REASON-$NOTIFY_SOCKET-$1 >$FILE; cat; "
		"test ! -e /proc/$$/fd/50",
		"sh",
		"a b",
		NULL
	};

	assert_int_equal(dup2(STDERR_FILENO, 50), 50); /* one that would be inherited */
	start(command, LONG_MS, 1);
	turn_until(1);
	assert_int_equal(outcomes[HOOK_DONE], 1);
	assert_false(hook_is_busy(&hook));
	close(50);
	check_file("renewed--a b\n");
}

static void test_retries(void **state)
{
	static const char *const command[] = { "sh", "-c",
					       "echo x >>$FILE; [ $(wc -l <$FILE) = 2 ]", NULL };

	start(command, LONG_MS, 5);
	turn_until(9);
	assert_int_equal(outcomes[HOOK_FAILED], 1);
	assert_int_equal(outcomes[HOOK_DONE], 1);
	check_file("x\nx\n");
}

static void test_gives_up(void **state)
{
	static const char *const command[] = { "sh", "-c", "exit 7", NULL };

	start(command, LONG_MS, 2);
	turn_until(9);
	assert_int_equal(outcomes[HOOK_FAILED], 2);
	assert_true(given_up);
	assert_string_equal(last_text, "exit code 7");
}

static void test_not_there(void **state)
{
	static const char *const command[] = { "/nowhere/at/all", NULL };

	start(command, LONG_MS, 1);
	turn_until(1);
	assert_int_equal(outcomes[HOOK_FAILED], 1);
	assert_non_null(strstr(last_text, "No such file"));
	assert_int_equal(hook_fds(&hook, (struct pollfd[HOOK_FDS_MAX]){ { 0 } }), 0);
}

/* Its child holds the pipe and the file, and goes too. */
static void test_hangs(void **state)
{
	static const char *const command[] = { "sh", "-c", "(sleep 1000) & echo $! >$FILE; wait",
					       NULL };
	uint64_t end_ns = clock_monotonic_ns() + PATIENCE_NS;
	char text[32] = "";
	FILE *in;
	pid_t child;

	start(command, 1000, 1);
	turn_until(1);
	assert_int_equal(outcomes[HOOK_TIMED_OUT], 1);
	in = fopen(file, "re");
	assert_non_null(in);
	if (!fgets(text, sizeof(text), in))
		text[0] = 0; /* a machine so slow that it had no time to say */
	fclose(in);
	child = (pid_t)strtol(text, NULL, 10);
	/* An orphan that nobody waits for here may stay as a zombie: that is dead enough. */
	for (bool gone = child <= 0; !gone;) {
		char path[64], state_text[256] = "";

		snprintf(path, sizeof(path), "/proc/%d/stat", (int)child);
		in = fopen(path, "re");
		gone = !in || !fgets(state_text, sizeof(state_text), in) ||
		       strstr(state_text, ") Z");
		if (in)
			fclose(in);
		assert_true(clock_monotonic_ns() < end_ns);
	}
}

static void test_much_output(void **state)
{
	static const char *const command[] = { "sh", "-c", "seq 100000; echo done >$FILE", NULL };

	start(command, LONG_MS, 1);
	turn_until(1);
	assert_int_equal(outcomes[HOOK_DONE], 1);
	assert_true(hook.lines > HOOK_OUTPUT_LINES_MAX);
	check_file("done\n");
}

/* A change while it runs: once more, with the new one's environment. */
static void test_again(void **state)
{
	static const char *const command[] = { "sh", "-c", "echo $SALLYPORT_REASON >>$FILE", NULL };
	static const char *const environment[] = { "SALLYPORT_REASON=ordered", NULL };

	start(command, LONG_MS, 1);
	hook_turn(&hook, clock_monotonic_ns());
	assert_int_not_equal(hook.pid, 0);
	assert_int_equal(hook_trigger(&hook, environment), 0);
	turn_until(9);
	assert_int_equal(outcomes[HOOK_DONE], 2);
	check_file("renewed\nordered\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_environment, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_retries, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_gives_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hangs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_much_output, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_again, set_up, tear_down),
	};

	log_init(STDERR_FILENO, LOG_ERROR, LOG_FORMAT_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
