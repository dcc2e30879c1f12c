/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The running proxy (proxy.h). The main thread owns configuration and workers, waits for signals
 * and for orders of other threads, and does what costs a little now and then: has upstream names
 * looked up again, gives memory back after a wave of handshakes.
 *
 * Signals: TERM, INT drain (a second one stops at once); HUP reloads, and opens the audit's file
 * again; USR2 starts the new process that takes over; USR1 writes the totals to the log.
 */
#include "dataplane/proxy.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/secret.h"
#include "base/thread.h"
#include "base/util.h"
#include "dataplane/audit.h"
#include "dataplane/confine.h"
#include "dataplane/identity.h"
#include "dataplane/proxy_impl.h"
#include "kern/pacing.h"
#include "kern/probe.h"

#define RESOLVE_PERIOD_NS (30 * NSEC_PER_SEC)
#define TRIM_PERIOD_NS	  (5 * NSEC_PER_SEC)
#define SUPPLY_START_MS	  2000 /* that a start waits for certificates that are not on disk */
#define SUPPLY_UPGRADE_MS 10000

static void raise_limits(void)
{
	struct rlimit limit;

	/* No core, no ptrace by others of our uid: the process holds everybody's plaintext and
	 * keys. */
	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	/* Root may have all of it, and will be root no more when the memory is needed. */
	if (setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){ RLIM_INFINITY, RLIM_INFINITY }) < 0 &&
	    getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_MEMLOCK, &limit);
	}
}

static void signals_of(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGHUP);
	sigaddset(ret, SIGUSR1);
	sigaddset(ret, SIGUSR2);
}

void proxy_block_signals(void)
{
	sigset_t signals;

	signals_of(&signals);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is an error like a full disk */
}

static enum loop_kind choose_loop(const struct config *config, struct err_text *ret_why)
{
	if (config->loop == CONFIG_LOOP_EPOLL)
		return LOOP_EPOLL;
	if (config->loop == CONFIG_LOOP_IO_URING || loop_io_uring_usable(ret_why))
		return LOOP_IO_URING;
	log_msg(LOG_INFO, "loop", "epoll instead of io_uring: %s", ret_why->text);
	return LOOP_EPOLL;
}

static int make_workers(struct proxy *proxy, const struct config *config, struct err_text *err)
{
	enum loop_kind kind = choose_loop(config, &proxy->loop_why);
	unsigned int count = config->workers;

	if (!count)
		count = probe_cores();
	count = MIN(count, (unsigned int)WORKERS_MAX);
	for (; proxy->worker_count < count; proxy->worker_count++) {
		int r = worker_new(proxy->worker_count, kind, proxy->gate,
				   &proxy->workers[proxy->worker_count], err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* What there is of what is wanted. A process that takes over is in the sandbox from its first
 * instruction: there, the system call that attaches the program would end it. */
static enum config_pacing pacing_start(const struct config_clients *config, bool is_successor)
{
	struct err_text err = { "" };
	struct log_line line;
	char devices[256];
	int r = 0;

	if (config->pacing != CONFIG_PACING_BPF)
		return config->pacing;
	if (!is_successor)
		r = pacing_attach(&err);
	else if (!pacing_is_inherited())
		r = err_set(&err, -EPERM, "the process before had none; restart the service");
	pacing_devices(devices, sizeof(devices));
	if (r == 0 && devices[0])
		log_begin(&line, LOG_INFO, "pacing");
	else
		log_begin(&line, LOG_WARNING, "pacing");
	log_str(&line, "by", r == 0 ? "bpf" : "socket");
	if (r < 0)
		log_str(&line, "why", err.text);
	log_str(&line, "fq", devices[0] ? devices : "none: tc qdisc replace dev DEVICE root fq");
	log_end(&line);
	return r == 0 ? CONFIG_PACING_BPF : CONFIG_PACING_SOCKET;
}

/* Everything is open. What is given up now, all threads inherit: these are the first. The audit's
 * file is opened as whom it will be opened again. */
static int start_threads(struct proxy *proxy, const struct config *config, struct err_text *err)
{
	int r = identity_make_folder(config, err);

	if (r < 0)
		return r;
	proxy->pacing = pacing_start(&config->clients, proxy->upgrade.predecessor_fd >= 0);
	r = confine(config, err);
	if (r < 0)
		return r;
	r = log_start();
	if (r < 0)
		return err_set(err, r, "can not start the thread of the log: %s", strerror(-r));
	r = audit_new(&config->audit, &proxy->audit, err);
	if (r == 0)
		r = identity_open(&config->identity, &proxy->identity, err);
	if (r < 0)
		return r;
	r = supply_start(proxy->supply, proxy->audit);
	if (r < 0)
		return err_set(err, r, "can not start a thread: %s", strerror(-r));
	for (; proxy->started_count < proxy->worker_count; proxy->started_count++) {
		struct worker *worker = proxy->workers[proxy->started_count];

		worker->audit = proxy->audit;
		worker->identity = proxy->identity;
		worker->pacing = proxy->pacing;
		r = worker_start(worker);
		if (r < 0)
			return err_set(err, r, "can not start a thread: %s", strerror(-r));
	}
	return 0;
}

static void log_started(const struct proxy *proxy)
{
	struct log_line line;

	log_begin(&line, LOG_INFO, "started");
	log_u64(&line, "pid", (uint64_t)getpid());
	log_u64(&line, "workers", proxy->worker_count);
	log_str(&line, "loop", loop_kind_name(loop_kind(proxy->workers[0]->loop)));
	log_bool(&line, "keys_locked", secret_locked());
	log_end(&line);
}

void proxy_notify_ready(const struct proxy *proxy)
{
	notify_send("READY=1\nSTATUS=serving %zu listeners with %u workers",
		    proxy->snapshot->route_count, proxy->worker_count);
}

void proxy_stats(const struct proxy *proxy, struct stats *ret)
{
	*ret = (struct stats){ 0 };
	for (unsigned int i = 0; i < proxy->worker_count; i++)
		stats_sum(ret, &proxy->workers[i]->stats);
}

void proxy_audit_stats(const struct proxy *proxy, struct audit_stats *ret)
{
	audit_stats(proxy->audit, ret);
}

void proxy_visit_workers(const struct proxy *proxy,
			 void (*visit)(const struct worker *worker, void *arg), void *arg)
{
	for (unsigned int i = 0; i < proxy->worker_count; i++)
		visit(proxy->workers[i], arg);
}

/* Until it answers, or has ended, or time is up. */
static void await_answer(const struct worker *worker, uint64_t deadline_ns)
{
	static const struct timespec a_while = { .tv_nsec = 1000 * 1000 };

	while (!worker_answered(worker) && !worker_ended(worker) &&
	       clock_monotonic_ns() < deadline_ns)
		nanosleep(&a_while, NULL);
}

bool proxy_alive(const struct proxy *proxy, unsigned int timeout_ms, struct err_text *ret_why)
{
	uint64_t deadline_ns = clock_monotonic_ns() + timeout_ms * NSEC_PER_MSEC;

	for (unsigned int i = 0; i < proxy->worker_count; i++)
		worker_ask(proxy->workers[i]);
	for (unsigned int i = 0; i < proxy->worker_count; i++) {
		const struct worker *worker = proxy->workers[i];

		await_answer(worker, deadline_ns);
		/* The loop of one that has ended answers nothing any more. */
		if (worker_ended(worker) ? proxy->drains > 0 : worker_answered(worker))
			continue;
		err_set(ret_why, 0,
			worker_ended(worker) ? "worker %u has ended" : "worker %u does not answer",
			i);
		return false;
	}
	return true;
}

struct clients *proxy_clients(const struct proxy *proxy)
{
	return gate_clients(proxy->gate);
}

bool proxy_limits_refused(const struct proxy *proxy, struct err_text *ret_why)
{
	return supply_limits_refused(proxy->supply, ret_why);
}

struct control *proxy_control(const struct proxy *proxy)
{
	return supply_control(proxy->supply);
}

/* The name of a listener that can not take anybody in yet, or "". */
struct waiting {
	char listener[LISTENER_NAME_MAX + 1];
};

static void note_waiting(const struct route *route, void *arg)
{
	struct waiting *waiting = arg;

	if (route->awaiting)
		snprintf(waiting->listener, sizeof(waiting->listener), "%s", route->config->name);
}

bool proxy_ready(struct proxy *proxy, struct err_text *ret_why)
{
	struct waiting waiting = { "" };

	if (proxy->drains) {
		err_set(ret_why, 0, "draining: no new connections are taken");
		return false;
	}
	proxy_visit_routes(proxy, note_waiting, &waiting);
	if (waiting.listener[0]) {
		err_set(ret_why, 0, "listener %s has no certificate, or no roots, yet",
			waiting.listener);
		return false;
	}
	return true;
}

bool proxy_identity_failing(const struct proxy *proxy, struct err_text *ret_why)
{
	return identity_failing(proxy->identity, ret_why);
}

int proxy_ask_conns(const struct proxy *proxy, const struct conn_query *query,
		    struct conn_list *ret)
{
	return conn_walk(proxy->workers, proxy->worker_count, query, ret);
}

void proxy_visit_routes(struct proxy *proxy, void (*visit)(const struct route *route, void *arg),
			void *arg)
{
	struct snapshot *snapshot = proxy_snapshot(proxy);

	for (size_t i = 0; i < snapshot->route_count; i++)
		visit(&snapshot->routes[i], arg);
	snapshot_unref(snapshot);
}

void proxy_facts(const struct proxy *proxy, struct proxy_facts *ret)
{
	*ret = (struct proxy_facts){
		.workers = proxy->worker_count,
		.loop = loop_kind(proxy->workers[0]->loop),
		.loop_why = proxy->loop_why,
		.started_ns = proxy->started_ns,
		.draining = proxy->drains > 0,
	};
}

static void housekeeping(struct proxy *proxy)
{
	uint64_t now_ns = clock_monotonic_ns();
	bool resolve = now_ns - proxy->resolved_ns >= RESOLVE_PERIOD_NS;
	struct stats stats;

	identity_turn(proxy->identity);
	if (resolve)
		proxy->resolved_ns = now_ns;
	for (size_t i = 0; i < proxy->snapshot->route_count; i++) {
		struct err_text why;

		upstream_probe_turn(&proxy->snapshot->routes[i], now_ns);
		if (route_renew(&proxy->snapshot->routes[i], resolve, &why) < 0)
			log_msg(LOG_WARNING, "unresolved",
				"%s; the last known addresses stay in use", why.text);
	}
	if (now_ns - proxy->trimmed_ns < TRIM_PERIOD_NS)
		return;
	proxy->trimmed_ns = now_ns;
	proxy_stats(proxy, &stats);
	if (stats.handshakes == proxy->trimmed_handshakes)
		return;
	proxy->trimmed_handshakes = stats.handshakes;
	/* A handshake needs some hundred times the memory of the connection that comes of it. */
	malloc_trim(0);
}

void proxy_drain_now(struct proxy *proxy)
{
	bool at_once = proxy->drains > 0;
	uint64_t deadline_ms = 0;

	if (proxy->drains++ > 1)
		return;
	upgrade_abandon(proxy);
	for (size_t i = 0; i < proxy->snapshot->config->listener_count && !at_once; i++)
		deadline_ms =
			MAX(deadline_ms, proxy->snapshot->config->listeners[i].timeouts.drain_ms);
	notify_send("STOPPING=1\nSTATUS=draining: no new connections");
	log_msg(LOG_INFO, "drain", "no new connections; live ones have %llu ms to finish",
		(unsigned long long)deadline_ms);
	for (unsigned int i = 0; i < proxy->started_count; i++)
		worker_drain(proxy->workers[i], deadline_ms);
	listen_table_close(&proxy->table, NULL);
}

void proxy_drain(struct proxy *proxy, bool at_once)
{
	atomic_fetch_add(&proxy->drains_ordered, at_once ? 2 : 1);
	eventfd_write(proxy->order_fd, 1);
}

/* True once every worker has gone; waits for a tenth of a second at most. */
static bool workers_gone(struct proxy *proxy)
{
	while (proxy->started_count) {
		if (!thread_join_within(proxy->workers[proxy->started_count - 1]->thread, 100))
			return false;
		proxy->started_count--;
	}
	return true;
}

static void on_signal(struct proxy *proxy)
{
	struct signalfd_siginfo info;
	struct stats stats;

	if (read(proxy->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGTERM:
	case SIGINT:
		proxy_drain_now(proxy);
		break;
	case SIGUSR1:
		proxy_stats(proxy, &stats);
		stats_log(&stats);
		break;
	case SIGUSR2:
		upgrade_start(proxy);
		break;
	case SIGHUP:
		audit_reopen(proxy->audit);
		reload(proxy);
		break;
	}
}

static void on_order(struct proxy *proxy)
{
	unsigned int drains = atomic_exchange(&proxy->drains_ordered, 0);
	eventfd_t count;

	eventfd_read(proxy->order_fd, &count);
	while (drains--)
		proxy_drain_now(proxy);
	reload_on_order(proxy);
	upgrade_on_order(proxy);
}

/* Not while another process takes over: what changes then is that one's to see, and ours again if
 * nothing comes of it. */
static bool is_watching(const struct proxy *proxy)
{
	return proxy->watch && !proxy->drains && !upgrade_under_way(proxy);
}

/* For poll(): until the next thing that is due, a second at most. */
static int wait_ms(const struct proxy *proxy)
{
	uint64_t now_ns = clock_monotonic_ns(), due_ns = now_ns + NSEC_PER_SEC;

	/* While draining it is workers_gone() that waits. */
	if (proxy->drains)
		return 0;
	if (is_watching(proxy))
		due_ns = MIN(due_ns, file_watch_due_ns(proxy->watch));
	if (proxy->watchdog.period_ns)
		due_ns = MIN(due_ns, proxy->watchdog.due_ns);
	if (due_ns <= now_ns)
		return 0;
	return (int)((due_ns - now_ns) / NSEC_PER_MSEC) + 1;
}

static void look_at_files(struct proxy *proxy, bool readable)
{
	uint64_t now_ns = clock_monotonic_ns();

	if (!is_watching(proxy))
		return;
	if (readable)
		file_watch_on_readable(proxy->watch, now_ns);
	if (file_watch_changed(proxy->watch, now_ns)) {
		log_msg(LOG_INFO, "files_changed", "the configuration is read again");
		reload(proxy);
	}
}

void proxy_run(struct proxy *proxy)
{
	struct stats stats;

	do {
		struct pollfd fds[] = {
			{ .fd = proxy->signal_fd, .events = POLLIN },
			{ .fd = proxy->order_fd, .events = POLLIN },
			{ .fd = is_watching(proxy) ? file_watch_fd(proxy->watch) : -1,
			  .events = POLLIN },
			{ .fd = proxy->upgrade.fd, .events = POLLIN },
		};

		if (poll(fds, ARRAY_SIZE(fds), wait_ms(proxy)) == 0)
			housekeeping(proxy);
		watchdog_turn(&proxy->watchdog, proxy->workers, proxy->worker_count,
			      proxy->drains > 0, clock_monotonic_ns());
		look_at_files(proxy, fds[2].revents & POLLIN);
		upgrade_turn(proxy, fds[3].revents);
		if (fds[0].revents & POLLIN)
			on_signal(proxy);
		if (fds[1].revents & POLLIN)
			on_order(proxy);
		reload_supplied(proxy);
	} while (!proxy->drains || !workers_gone(proxy));
	orders_end(&proxy->reloads, -ESHUTDOWN, "the proxy has stopped");
	orders_end(&proxy->upgrade.orders, -ESHUTDOWN, "the proxy has stopped");
	proxy_stats(proxy, &stats);
	stats_log(&stats);
	log_msg(LOG_INFO, "stopped", "all connections are closed");
}

static int open_fds(struct proxy *proxy, struct err_text *err)
{
	sigset_t signals;

	signals_of(&signals);
	proxy->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	proxy->order_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	proxy->applied_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (proxy->signal_fd < 0 || proxy->order_fd < 0 || proxy->applied_fd < 0)
		return err_set(err, -errno, "can not wait for signals: %s", strerror(errno));
	return 0;
}

/* Takes `config` in any case. */
static int start(struct proxy *proxy, struct config *config, struct err_text *err)
{
	struct change change;
	int r = upgrade_take_over(proxy, err);

	if (r == 0)
		r = gate_new(config, &proxy->gate, err);
	if (r == 0)
		r = inherited_from_manager(&proxy->inherited, err);
	if (r == 0)
		r = make_workers(proxy, config, err);
	if (r < 0) {
		config_free(config);
		return r;
	}
	reload_watch(proxy, config);
	r = supply_new(config, proxy->order_fd, &proxy->supply, err);
	if (r < 0) {
		config_free(config);
		return r;
	}
	/* All sockets are bound before the first connection is taken. */
	r = change_prepare(proxy, config, &change, err);
	inherited_fini(&proxy->inherited);
	if (r < 0)
		return r;
	r = start_threads(proxy, config, err);
	if (r < 0) {
		change_discard(proxy, &change);
		return r;
	}
	/* So that who has all servers at hand is ready from the start. Nobody is served meanwhile;
	 * by the process that we replace, if there is one. */
	supply_wait(proxy->supply, proxy_is_successor() ? SUPPLY_UPGRADE_MS : SUPPLY_START_MS);
	change_apply(proxy, &change);
	r = reload_started(proxy, err);
	if (r < 0)
		return r;
	reload_supplied(proxy);
	log_started(proxy);
	upgrade_taken_over(proxy);
	return 0;
}

int proxy_new(const char *config_file, struct config *config, struct proxy **ret,
	      struct err_text *err)
{
	struct proxy *proxy = calloc(1, sizeof(*proxy));
	int r;

	if (!proxy) {
		config_free(config);
		return err_set(err, -ENOMEM, "out of memory");
	}
	proxy->signal_fd = proxy->order_fd = proxy->applied_fd = -1;
	proxy->upgrade.predecessor_fd = -1;
	upgrade_init(&proxy->upgrade);
	reload_init(proxy);
	raise_limits();
	notify_init();
	proxy->config_file = strdup(config_file);
	r = proxy->config_file ? open_fds(proxy, err) : err_set(err, -ENOMEM, "out of memory");
	if (r < 0)
		config_free(config);
	else
		r = start(proxy, config, err);
	if (r < 0) {
		proxy_free(proxy);
		return r;
	}
	proxy->started_ns = clock_realtime_ns();
	watchdog_init(&proxy->watchdog, notify_watchdog_ns());
	proxy_notify_ready(proxy);
	*ret = proxy;
	return 0;
}

void proxy_free(struct proxy *proxy)
{
	if (!proxy)
		return;
	for (unsigned int i = 0; i < proxy->started_count; i++)
		worker_drain(proxy->workers[i], 0);
	while (!workers_gone(proxy))
		;
	for (unsigned int i = 0; i < proxy->worker_count; i++)
		worker_free(proxy->workers[i]);
	supply_free(proxy->supply);
	audit_free(proxy->audit);
	identity_free(proxy->identity);
	listen_table_close(&proxy->table, NULL);
	inherited_fini(&proxy->inherited);
	snapshot_unref(proxy->snapshot);
	gate_free(proxy->gate);
	if (proxy->signal_fd >= 0)
		close(proxy->signal_fd);
	if (proxy->order_fd >= 0)
		close(proxy->order_fd);
	if (proxy->applied_fd >= 0)
		close(proxy->applied_fd);
	if (proxy->upgrade.predecessor_fd >= 0)
		close(proxy->upgrade.predecessor_fd);
	upgrade_fini(&proxy->upgrade);
	reload_fini(proxy);
	free(proxy->config_file);
	free(proxy);
}
