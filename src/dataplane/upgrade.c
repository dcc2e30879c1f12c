/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replacing the running process by a new one of itself (a newer version of the program, or one with
 * other settings) without refusing a connection. The old one starts the new one as it was started
 * itself and gives it copies of all listening sockets; for a moment both accept from them; then the
 * old one stops accepting and drains. If the new one does not come to serve, it is ended and the
 * old one goes on as if nothing had been.
 *
 * Main thread; proxy_upgrade() lets other threads order it. Owns the new process until it serves.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/util.h"
#include "dataplane/handover.h"
#include "dataplane/proxy_impl.h"

#define START_WAIT_NS	   (60 * NSEC_PER_SEC) /* for the new one to serve */
#define ORDER_WAIT_SEC	   90
#define ARGUMENT_BYTES_MAX (128 * 1024)

/* The path by which the program was started, so that what has been put there since is what is run;
 * found by PATH: where it was. NULL: out of memory. */
static char *find_program(const char *argv0)
{
	cleanup_free char *here = NULL;
	char *path = NULL;

	if (argv0[0] == '/')
		return strdup(argv0);
	if (!strchr(argv0, '/'))
		return realpath("/proc/self/exe", NULL);
	here = getcwd(NULL, 0);
	return here && asprintf(&path, "%s/%s", here, argv0) >= 0 ? path : NULL;
}

/* The command line as the kernel has it: strings one behind the other. */
static int read_command_line(struct upgrade *upgrade)
{
	cleanup_close int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	size_t count = 0;
	char *at, *end;
	ssize_t n;

	upgrade->arguments = calloc(1, ARGUMENT_BYTES_MAX + 1);
	if (!upgrade->arguments)
		return -ENOMEM;
	n = fd < 0 ? -1 : read(fd, upgrade->arguments, ARGUMENT_BYTES_MAX);
	if (n <= 0)
		return n < 0 ? -errno : -ENODATA;
	end = upgrade->arguments + n;
	for (at = upgrade->arguments; at < end; at += strlen(at) + 1)
		count++;
	upgrade->argv = calloc(count + 1, sizeof(*upgrade->argv));
	if (!upgrade->argv)
		return -ENOMEM;
	count = 0;
	for (at = upgrade->arguments; at < end; at += strlen(at) + 1)
		upgrade->argv[count++] = at;
	upgrade->program = find_program(upgrade->argv[0]);
	return upgrade->program ? 0 : -ENOMEM;
}

void upgrade_init(struct upgrade *upgrade)
{
	orders_init(&upgrade->orders);
	upgrade->fd = -1;
	/* Without /proc, for instance: whoever wants an upgrade is told. */
	upgrade->unknown = -read_command_line(upgrade);
}

void upgrade_fini(struct upgrade *upgrade)
{
	orders_fini(&upgrade->orders);
	free(upgrade->program);
	free(upgrade->argv);
	free(upgrade->arguments);
}

/* Ours, with the number of the descriptor, and without what is for this process only. NULL: out of
 * memory. The strings are the caller's to leave alone, but for the first, `own`. */
static char **environment(char *own)
{
	size_t count = 0, kept = 0;
	char **env;

	while (environ[count])
		count++;
	env = calloc(count + 2, sizeof(*env));
	if (!env)
		return NULL;
	env[kept++] = own;
	for (size_t i = 0; i < count; i++)
		/* Without it the watchdog's interval is for whoever has the variable. */
		if (strncmp(environ[i], "WATCHDOG_PID=", strlen("WATCHDOG_PID=")) != 0)
			env[kept++] = environ[i];
	return env;
}

/* As a shell would start it: no signal blocked, none ignored; only `their_end` goes along. */
static int spawn(struct upgrade *upgrade, int their_end)
{
	char variable[sizeof(HANDOVER_FD_VARIABLE) + 16];
	cleanup_free char **env = NULL;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, defaults;
	int r;

	snprintf(variable, sizeof(variable), HANDOVER_FD_VARIABLE "=%d", their_end);
	env = environment(variable);
	if (!env)
		return -ENOMEM;
	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	/* On itself: takes close-on-exec away, in the new process only. */
	r = posix_spawn_file_actions_adddup2(&actions, their_end, their_end);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (r == 0)
		r = posix_spawn(&upgrade->pid, upgrade->program, &actions, &attr, upgrade->argv,
				env);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* Waits a second for it. False: it is still there. */
static bool wait_for_end(pid_t pid, int *ret_status)
{
	for (int i = 0; i < 100; i++) {
		if (waitpid(pid, ret_status, WNOHANG) != 0)
			return true;
		poll(NULL, 0, 10);
	}
	return false;
}

/* Ends the new one, which nobody needs any more, and says what became of it. `is_ending`: it is on
 * its way by itself, and its exit code is of interest. */
static void end_process(struct upgrade *upgrade, bool is_ending, char *ret, size_t size)
{
	pid_t pid = upgrade->pid;
	int status = 0;

	upgrade->pid = 0;
	if (!is_ending || !wait_for_end(pid, &status)) {
		kill(pid, SIGTERM);
		if (!wait_for_end(pid, &status)) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
		}
	}
	if (WIFEXITED(status))
		snprintf(ret, size, "ended with code %d", WEXITSTATUS(status));
	else
		snprintf(ret, size, "was ended by signal %d", WTERMSIG(status));
}

static void close_end(struct upgrade *upgrade)
{
	if (upgrade->fd >= 0)
		close(TAKE_FD(upgrade->fd));
}

static void failed(struct proxy *proxy, bool is_ending, const char *why)
{
	struct upgrade *upgrade = &proxy->upgrade;
	struct err_text err;
	char end[64] = "was not started";

	close_end(upgrade);
	if (upgrade->pid)
		end_process(upgrade, is_ending, end, sizeof(end));
	err_set(&err, 0, "the new process %s (%s); this one goes on", end, why);
	log_msg(LOG_ERROR, "upgrade_failed", "%s", err.text);
	notify_send("STATUS=upgrade failed: %s", err.text);
	orders_done(&upgrade->orders, upgrade->number, -EIO, &err);
}

void upgrade_start(struct proxy *proxy)
{
	struct upgrade *upgrade = &proxy->upgrade;
	struct err_text err = { "" };
	int their_end, r;

	/* If one is under way its outcome is the answer to this order too. */
	upgrade->number = orders_begin(&upgrade->orders);
	if (upgrade_under_way(proxy))
		return;
	if (proxy->drains) {
		err_set(&err, 0, "the proxy is draining");
		log_msg(LOG_WARNING, "upgrade_failed", "%s", err.text);
		orders_done(&upgrade->orders, upgrade->number, -ESHUTDOWN, &err);
		return;
	}
	if (upgrade->unknown) {
		err_set(&err, 0, "how this one was started is not known: %s",
			strerror(upgrade->unknown));
		failed(proxy, false, err.text);
		return;
	}
	r = handover_pair(&upgrade->fd, &their_end);
	if (r == 0) {
		r = spawn(upgrade, their_end);
		close(their_end);
	}
	if (r < 0) {
		err_set(&err, 0, "%s: %s", upgrade->program, strerror(-r));
		failed(proxy, false, err.text);
		return;
	}
	log_msg(LOG_INFO, "upgrade", "process %d is started as %s", (int)upgrade->pid,
		upgrade->program);
	upgrade->deadline_ns = clock_monotonic_ns() + START_WAIT_NS;
	r = handover_send_sockets(upgrade->fd, &proxy->table, proxy->snapshot->config, &err);
	if (r < 0)
		failed(proxy, false, err.text);
}

bool upgrade_under_way(const struct proxy *proxy)
{
	return proxy->upgrade.pid > 0;
}

bool proxy_is_successor(void)
{
	return getenv(HANDOVER_FD_VARIABLE);
}

void proxy_when_replaced(struct proxy *proxy, void (*give_way)(void *arg), void *arg)
{
	proxy->upgrade.give_way = give_way;
	proxy->upgrade.give_way_arg = arg;
}

/* It serves. From here on the service is its own. */
static void succeeded(struct proxy *proxy)
{
	struct upgrade *upgrade = &proxy->upgrade;
	struct err_text err = { "" };
	struct log_line line;

	notify_send("MAINPID=%d", (int)upgrade->pid);
	notify_end();
	for (size_t i = 0; i < proxy->table.count; i++)
		proxy->table.groups[i]->owns_path = false;
	log_begin(&line, LOG_INFO, "upgraded");
	log_u64(&line, "new_pid", (uint64_t)upgrade->pid);
	log_end(&line);
	if (upgrade->give_way)
		upgrade->give_way(upgrade->give_way_arg);
	handover_send(upgrade->fd, HANDOVER_TAKEN);
	close_end(upgrade);
	upgrade->pid = 0;
	orders_done(&upgrade->orders, upgrade->number, 0, &err);
	proxy_drain_now(proxy);
}

void upgrade_turn(struct proxy *proxy, bool readable)
{
	struct upgrade *upgrade = &proxy->upgrade;
	int r;

	if (!upgrade_under_way(proxy))
		return;
	if (!readable) {
		if (clock_monotonic_ns() > upgrade->deadline_ns)
			failed(proxy, false, "it did not come to serve within a minute");
		return;
	}
	r = handover_expect(upgrade->fd, HANDOVER_READY);
	if (r < 0)
		failed(proxy, r == -EPIPE, r == -EPIPE ? "its log says why" : strerror(-r));
	else
		succeeded(proxy);
}

void upgrade_abandon(struct proxy *proxy)
{
	if (upgrade_under_way(proxy))
		failed(proxy, false, "the proxy is to stop");
}

void upgrade_on_order(struct proxy *proxy)
{
	if (orders_pending(&proxy->upgrade.orders))
		upgrade_start(proxy);
}

int proxy_upgrade(struct proxy *proxy, struct err_text *err)
{
	return orders_place(&proxy->upgrade.orders, proxy->order_fd, ORDER_WAIT_SEC, err);
}

/* --- the new one's side --- */

int upgrade_take_over(struct proxy *proxy, struct err_text *err)
{
	proxy->upgrade.predecessor_fd = handover_inherited_end();
	if (proxy->upgrade.predecessor_fd < 0)
		return 0;
	return handover_receive_sockets(proxy->upgrade.predecessor_fd, &proxy->inherited, err);
}

void upgrade_taken_over(struct proxy *proxy)
{
	cleanup_close int fd = TAKE_FD(proxy->upgrade.predecessor_fd);
	int r;

	if (fd < 0)
		return;
	r = handover_send(fd, HANDOVER_READY);
	if (r == 0)
		r = handover_expect(fd, HANDOVER_TAKEN);
	/* One that has changed its mind would end us; one that has died leaves us the service. */
	if (r < 0)
		log_msg(LOG_WARNING, "upgrade", "nothing more is heard of the process before: %s",
			strerror(-r));
	for (size_t i = 0; i < proxy->table.count; i++)
		proxy->table.groups[i]->owns_path |= proxy->table.groups[i]->inherits_path;
}
