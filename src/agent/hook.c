/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hooks (hook.h). The command is a process group of its own, so that its children end with it; a
 * pidfd tells its end to poll(2), so that no signal handler is needed. Its output is taken line by
 * line until it ends; who holds the pipe open after that is not waited for. Main thread.
 */
#include "agent/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"

#define RETRY_FIRST_NS (1 * NSEC_PER_SEC)
#define RETRY_LAST_NS  (60 * NSEC_PER_SEC)

extern char **environ;

static const char *const outcome_names[HOOK_OUTCOME_COUNT] = {
	[HOOK_DONE] = "done",
	[HOOK_FAILED] = "failed",
	[HOOK_TIMED_OUT] = "timeout",
};

const char *hook_outcome_name(enum hook_outcome outcome)
{
	return outcome_names[outcome];
}

static void environment_clear(struct hook *hook)
{
	for (char **entry = hook->environment; *entry; entry++)
		free(TAKE_PTR(*entry));
}

void hook_init(struct hook *hook, const struct hook_options *options)
{
	*hook = (struct hook){ .options = *options, .pid_fd = -1, .output_fd = -1 };
}

static void close_fds(struct hook *hook)
{
	if (hook->pid_fd >= 0)
		close(TAKE_FD(hook->pid_fd));
	if (hook->output_fd >= 0)
		close(TAKE_FD(hook->output_fd));
}

void hook_fini(struct hook *hook)
{
	if (hook->pid) {
		kill(-hook->pid, SIGKILL);
		waitpid(hook->pid, NULL, 0);
	}
	close_fds(hook);
	environment_clear(hook);
}

int hook_trigger(struct hook *hook, const char *const *environment)
{
	size_t count = 0;

	environment_clear(hook);
	for (; *environment && count < HOOK_ENVIRONMENT_MAX; environment++, count++) {
		hook->environment[count] = strdup(*environment);
		if (!hook->environment[count])
			return -ENOMEM;
	}
	hook->due = true;
	hook->attempt = 0;
	backoff_succeeded(&hook->backoff);
	return 0;
}

bool hook_is_busy(const struct hook *hook)
{
	return hook->due || hook->pid;
}

size_t hook_fds(const struct hook *hook, struct pollfd ret[HOOK_FDS_MAX])
{
	size_t count = 0;

	if (hook->pid_fd >= 0)
		ret[count++] = (struct pollfd){ .fd = hook->pid_fd, .events = POLLIN };
	if (hook->output_fd >= 0)
		ret[count++] = (struct pollfd){ .fd = hook->output_fd, .events = POLLIN };
	return count;
}

/* --- output --- */

static void tell_line(struct hook *hook)
{
	struct log_line line;

	if (!hook->line_used)
		return;
	if (++hook->lines <= HOOK_OUTPUT_LINES_MAX) {
		log_begin(&line, LOG_INFO, "hook_output");
		log_str(&line, "certificate", hook->options.certificate);
		log_str(&line, "hook", hook->options.command[0]);
		log_bytes(&line, "text", hook->line, hook->line_used);
		if (hook->lines == HOOK_OUTPUT_LINES_MAX)
			log_bool(&line, "cut", true);
		log_end(&line);
	}
	hook->line_used = 0;
}

static void take_output(struct hook *hook)
{
	char bytes[4096];
	ssize_t n;

	while ((n = read(hook->output_fd, bytes, sizeof(bytes))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (bytes[i] == '\n' || hook->line_used == sizeof(hook->line))
				tell_line(hook);
			if (bytes[i] != '\n')
				hook->line[hook->line_used++] = bytes[i];
		}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	close(TAKE_FD(hook->output_fd));
}

/* --- a run --- */

/* Words to the service manager are ours alone. */
static bool is_ours(const char *entry)
{
	static const char *const names[] = { "NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_",
					     "JOURNAL_STREAM=", "SALLYPORT_" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strncmp(entry, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* Our environment and that of the change; the array is the caller's to free. */
static char **make_environment(struct hook *hook)
{
	size_t count = 0;
	char **all;

	while (environ[count])
		count++;
	all = calloc(count + HOOK_ENVIRONMENT_MAX + 1, sizeof(*all));
	if (!all)
		return NULL;
	count = 0;
	for (char **entry = environ; *entry; entry++)
		if (!is_ours(*entry))
			all[count++] = *entry;
	for (char **entry = hook->environment; *entry; entry++)
		all[count++] = *entry;
	return all;
}

static int spawn(struct hook *hook, int output)
{
	cleanup_free char **environment = make_environment(hook);
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int r;

	if (!environment)
		return -ENOMEM;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&files, output, STDERR_FILENO);
	/* Libraries do not mark all of theirs. */
	posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	r = -posix_spawnp(&hook->pid, hook->options.command[0], &files, &attributes,
			  (char *const *)hook->options.command, environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	if (r < 0)
		hook->pid = 0;
	return r;
}

static int start(struct hook *hook, uint64_t now_ns)
{
	cleanup_close int output = -1;
	int ends[2], r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	hook->output_fd = ends[0];
	output = ends[1];
	fcntl(hook->output_fd, F_SETFL, O_NONBLOCK);
	hook->lines = 0;
	hook->line_used = 0;
	hook->timed_out = false;
	hook->deadline_ns = now_ns + hook->options.timeout_ms * NSEC_PER_MSEC;
	r = spawn(hook, output);
	if (r < 0)
		return r;
	hook->pid_fd = pidfd_open(hook->pid, 0);
	return hook->pid_fd < 0 ? -errno : 0;
}

static void tell_end(struct hook *hook, enum hook_outcome outcome, const char *text, bool last)
{
	struct log_line line;

	if (outcome == HOOK_DONE)
		log_begin(&line, LOG_INFO, "hook_done");
	else if (!last)
		log_begin(&line, LOG_WARNING, "hook_failed");
	else
		log_begin(&line, LOG_ERROR, "hook_given_up");
	log_str(&line, "certificate", hook->options.certificate);
	log_str(&line, "hook", hook->options.command[0]);
	log_str(&line, "outcome", outcome_names[outcome]);
	log_str(&line, "msg", text);
	log_u64(&line, "attempt", hook->attempt);
	log_u64(&line, "attempts", hook->options.attempts);
	log_end(&line);
	if (hook->options.ended)
		hook->options.ended(hook->options.arg, &hook->options, outcome, text, last);
}

/* A run is over, or could not begin. */
static void on_end(struct hook *hook, enum hook_outcome outcome, const char *text, uint64_t now_ns)
{
	const struct backoff_bounds bounds = { RETRY_FIRST_NS, RETRY_LAST_NS };
	bool retry = outcome != HOOK_DONE && hook->attempt < hook->options.attempts;

	close_fds(hook);
	hook->pid = 0;
	/* A change that came meanwhile has its own attempts. */
	tell_end(hook, outcome, text, !retry);
	if (hook->due || !retry)
		return;
	hook->due = true;
	backoff_failed(&hook->backoff, bounds, 0, hook->options.jitter, now_ns);
}

static void begin(struct hook *hook, uint64_t now_ns)
{
	char text[256];
	int r;

	hook->due = false;
	hook->attempt++;
	r = start(hook, now_ns);
	if (r == 0)
		return;
	if (hook->pid) {
		kill(-hook->pid, SIGKILL);
		waitpid(hook->pid, NULL, 0);
	}
	snprintf(text, sizeof(text), "can not be started: %s", strerror(-r));
	on_end(hook, HOOK_FAILED, text, now_ns);
}

static void on_exit_of(struct hook *hook, int status, uint64_t now_ns)
{
	char text[128];

	if (hook->output_fd >= 0)
		take_output(hook);
	tell_line(hook);
	if (hook->timed_out)
		snprintf(text, sizeof(text), "ended after %llu ms",
			 (unsigned long long)hook->options.timeout_ms);
	else if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "ended by signal %d", WTERMSIG(status));
	else
		snprintf(text, sizeof(text), "exit code %d", WEXITSTATUS(status));
	on_end(hook,
	       hook->timed_out				   ? HOOK_TIMED_OUT
	       : WIFEXITED(status) && !WEXITSTATUS(status) ? HOOK_DONE
							   : HOOK_FAILED,
	       text, now_ns);
}

uint64_t hook_turn(struct hook *hook, uint64_t now_ns)
{
	int status;

	if (hook->output_fd >= 0)
		take_output(hook);
	if (hook->pid && !hook->timed_out && now_ns >= hook->deadline_ns) {
		hook->timed_out = true;
		kill(-hook->pid, SIGKILL);
	}
	if (hook->pid && waitpid(hook->pid, &status, WNOHANG) == hook->pid)
		on_exit_of(hook, status, now_ns);
	if (!hook->pid && hook->due && backoff_allows(&hook->backoff, now_ns))
		begin(hook, now_ns);
	if (hook->pid)
		return hook->timed_out ? UINT64_MAX : hook->deadline_ns;
	return hook->due ? hook->backoff.not_before_ns : UINT64_MAX;
}
