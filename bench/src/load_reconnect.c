/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reconnect storm: all clients of a proxy lose their connection at one moment, when it is
 * restarted, and all come back. Holds the connections, says so, and waits for their ends; each
 * client connects again at once and, when refused, after 50 ms, then twice as long each time up to
 * a second, as Kafka's clients do. A client is back when a byte has gone through to the origin and
 * come again. One thread.
 */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define RECONNECT_OPENING_MAX 64 /* at once while we set up; later all of them */
#define RECONNECT_EVENTS      256
#define RECONNECT_FIRST_NS    50000000ULL
#define RECONNECT_LAST_NS     1000000000ULL

struct reconnect_conn {
	struct load_async io;
	bool asked, live, returned;
	uint64_t ended_ns; /* when its first connection was lost */
	uint64_t retry_ns; /* not 0: when to try again */
	uint64_t backoff_ns;
};

struct reconnect {
	const struct load_options *options;
	SSL_CTX *ctx;
	struct reconnect_conn *conns;
	int epoll_fd;
	uint32_t opened, live, back;
	bool storm; /* all had been there; from now on ends are what we wait for */
	uint64_t first_end_ns, retries, next_retry_ns;
	struct load_hist hist;
};

static void reconnect_open(struct reconnect *all, struct reconnect_conn *conn);

/* Lost, or refused: tries again, at once after a loss. */
static void reconnect_again(struct reconnect *all, struct reconnect_conn *conn)
{
	uint64_t now_ns = load_now_ns();
	bool lost = conn->live;

	if (!all->storm)
		load_die("a connection ended before the storm");
	load_async_close(&conn->io);
	conn->asked = conn->live = false;
	if (lost) {
		if (conn->returned)
			load_die("a connection ended twice");
		conn->ended_ns = now_ns;
		conn->backoff_ns = RECONNECT_FIRST_NS;
		if (!all->first_end_ns)
			all->first_end_ns = now_ns;
		reconnect_open(all, conn);
		return;
	}
	all->retries++;
	conn->retry_ns = now_ns + conn->backoff_ns;
	conn->backoff_ns *= 2;
	if (conn->backoff_ns > RECONNECT_LAST_NS)
		conn->backoff_ns = RECONNECT_LAST_NS;
}

static void reconnect_open(struct reconnect *all, struct reconnect_conn *conn)
{
	conn->retry_ns = 0;
	if (load_async_open(&conn->io, all->ctx, all->options, all->epoll_fd, conn))
		reconnect_again(all, conn);
}

static void reconnect_is_live(struct reconnect *all, struct reconnect_conn *conn)
{
	conn->live = true;
	if (!all->storm) {
		all->live++;
		return;
	}
	conn->returned = true;
	all->back++;
	load_hist_add(&all->hist, load_now_ns() - conn->ended_ns);
}

static void reconnect_event(struct reconnect *all, struct reconnect_conn *conn)
{
	unsigned char byte = LOAD_OP_ECHO;
	int state = conn->io.fd < 0 ? 0 : load_async_step(&conn->io);
	ssize_t n = 0;

	if (state > 0 && !conn->asked) {
		conn->asked = true;
		n = load_async_write(&conn->io, &byte, 1) == 1 ? 0 : -1;
	}
	if (state > 0 && n == 0)
		n = load_async_read(&conn->io, &byte, 1);
	if (state < 0 || n < 0) {
		reconnect_again(all, conn);
		return;
	}
	if (n == 1 && (byte != LOAD_OP_ECHO || conn->live))
		load_die("WRONG BYTE in an echo");
	if (n == 1)
		reconnect_is_live(all, conn);
}

/* Those whose time has come; a look at all of them, a hundred times a second at most. */
static void reconnect_retry(struct reconnect *all)
{
	uint64_t now_ns = load_now_ns();

	if (now_ns < all->next_retry_ns)
		return;
	all->next_retry_ns = now_ns + 10000000;
	for (uint32_t i = 0; i < all->options->connections; i++)
		if (all->conns[i].retry_ns && all->conns[i].retry_ns <= now_ns)
			reconnect_open(all, &all->conns[i]);
}

static void reconnect_wait(struct reconnect *all, uint64_t deadline_ns)
{
	struct epoll_event events[RECONNECT_EVENTS];
	int n = epoll_wait(all->epoll_fd, events, RECONNECT_EVENTS, 10);

	for (int i = 0; i < n; i++)
		reconnect_event(all, events[i].data.ptr);
	if (load_now_ns() > deadline_ns)
		load_die("only %u of %u are %s", all->storm ? all->back : all->live,
			 all->options->connections, all->storm ? "back" : "connected");
}

static void reconnect_set_up(struct reconnect *all, uint64_t deadline_ns)
{
	while (all->live < all->options->connections) {
		while (all->opened < all->options->connections &&
		       all->opened - all->live < RECONNECT_OPENING_MAX)
			reconnect_open(all, &all->conns[all->opened++]);
		reconnect_wait(all, deadline_ns);
	}
}

int load_reconnect_run(const struct load_options *options)
{
	struct reconnect *all = calloc(1, sizeof(*all));
	uint64_t limit_ns = options->timeout_s * 1000000000ULL;
	struct load_report report = { .options = options };

	if (!all || !(all->conns = calloc(options->connections, sizeof(*all->conns))))
		load_die("no memory");
	all->options = options;
	all->ctx = load_conn_context(options);
	all->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	reconnect_set_up(all, load_now_ns() + limit_ns);
	all->storm = true;
	report.cpu_ns = load_cpu_ns();
	load_say_ready(options);
	limit_ns += load_now_ns();
	while (all->back < options->connections) {
		reconnect_wait(all, limit_ns);
		reconnect_retry(all);
	}
	report.ns = load_now_ns() - all->first_end_ns;
	report.cpu_ns = load_cpu_ns() - report.cpu_ns;
	report.totals.ops = all->back;
	report.totals.retries = all->retries;
	report.latency = &all->hist;
	load_report_print(&report);
	for (uint32_t i = 0; i < options->connections; i++)
		load_async_close(&all->conns[i].io);
	SSL_CTX_free(all->ctx);
	close(all->epoll_fd);
	free(all->conns);
	free(all);
	return 0;
}
