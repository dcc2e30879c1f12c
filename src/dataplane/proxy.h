/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The running proxy: workers, signals, housekeeping, drain. The thread that calls proxy_run() is
 * the main thread; the others (admin/) see the proxy through the functions marked "any thread".
 */
#ifndef SALLYPORT_DATAPLANE_PROXY_H
#define SALLYPORT_DATAPLANE_PROXY_H

#include <stdbool.h>

#include "base/err.h"
#include "config/config.h"
#include "dataplane/audit.h"
#include "dataplane/conn_walk.h"
#include "dataplane/snapshot.h"
#include "dataplane/stats.h"
#include "dataplane/worker.h"
#include "loop/loop.h"

struct clients;
struct proxy;

#define RELOAD_KEYS_BYTES 192

/* What has become of the configuration's changes. Times are CLOCK_REALTIME, 0: never. */
struct reload_state {
	uint64_t generation; /* of what is in force: 1 at start, then one more with each change */
	uint64_t successes, failures; /* reloads, the start is none */
	uint64_t success_ns;	      /* when what is in force came into force */
	uint64_t failure_ns;
	struct err_text failure; /* why the last failure was one */
	bool failing;		 /* the last attempt failed: files and process differ */
	char restart_keys[RELOAD_KEYS_BYTES]; /* changed, but only a restart takes them up; "" */
};

/* Blocks the signals that proxy_run() takes, in this thread and those it starts: call before any
 * thread is made. */
void proxy_block_signals(void);

/* Opens all sockets, applies the sandbox (confine.h), and starts the threads of the log, the audit
 * and the workers; who opens things or starts threads beside them does the first before and the
 * second after this. log_stop() is the caller's, at the end. Takes `config` in any case; it is from
 * `config_file`, which is read again when it is to change. 0, or -errno with `err`. */
int proxy_new(const char *config_file, struct config *config, struct proxy **ret,
	      struct err_text *err);
/* Before proxy_new(): whether this process takes over from another one of the program, which holds
 * its own sockets until then. */
bool proxy_is_successor(void);
/* Before proxy_run(): `give_way` is called on the main thread once another process has taken over,
 * which waits for it. For sockets that are not the proxy's. */
void proxy_when_replaced(struct proxy *proxy, void (*give_way)(void *arg), void *arg);
/* Serves until a signal or proxy_drain() ends it and the last connection has gone. Main thread. */
void proxy_run(struct proxy *proxy);
/* Not running. NULL is fine. */
void proxy_free(struct proxy *proxy);

/* Any thread: sums of all workers' counters, approximate while they run. */
void proxy_stats(const struct proxy *proxy, struct stats *ret);
/* Any thread: asks all workers about their connections or ends some: conn_walk(). */
int proxy_ask_conns(const struct proxy *proxy, const struct conn_query *query,
		    struct conn_list *ret);
/* Any thread: each listener's route, borrowed while `visit` runs. */
void proxy_visit_routes(struct proxy *proxy, void (*visit)(const struct route *route, void *arg),
			void *arg);

/* Any thread but a worker's: whether all workers answer within `timeout_ms`, or have ended as they
 * were told to; else `ret_why` says how many do not. */
bool proxy_alive(const struct proxy *proxy, unsigned int timeout_ms, struct err_text *ret_why);

struct proxy_facts {
	unsigned int workers;
	enum loop_kind loop;
	struct err_text loop_why; /* why it is not io_uring; "" if it is, or was not asked for */
	uint64_t started_ns;	  /* clock_realtime_ns() */
	bool draining;
};
void proxy_facts(const struct proxy *proxy, struct proxy_facts *ret); /* any thread */

/* Any thread: the configuration in force with its routes; a reference, for snapshot_unref(). */
struct snapshot *proxy_snapshot(struct proxy *proxy);
/* Any thread: those who have limits by name (limits/clients.h), for as long as the proxy lives. */
struct clients *proxy_clients(const struct proxy *proxy);
/* Any thread: as SIGHUP does, and waits for it. 0, or -errno with `err`: all is as before
 * (-ETIMEDOUT: not yet known). */
int proxy_reload(struct proxy *proxy, struct err_text *err);
/* Any thread. */
void proxy_reload_state(struct proxy *proxy, struct reload_state *ret);
/* Any thread: as SIGUSR2 does, and waits for it: a new process of the program serves, and this one
 * drains. 0, or -errno with `err`: this one goes on. */
int proxy_upgrade(struct proxy *proxy, struct err_text *err);
/* Any thread: all 0 without an audit. */
void proxy_audit_stats(const struct proxy *proxy, struct audit_stats *ret);
/* Any thread: whether the keys that sign identities can not be renewed just now, and why. */
bool proxy_identity_failing(const struct proxy *proxy, struct err_text *ret_why);
/* Any thread: each worker, for its counters. */
void proxy_visit_workers(const struct proxy *proxy,
			 void (*visit)(const struct worker *worker, void *arg), void *arg);
/* Any thread: where certificates and roots come from; NULL if from files only. */
struct control *proxy_control(const struct proxy *proxy);
/* Any thread: whether what Consul says of limits can not be taken, and why. */
bool proxy_limits_refused(const struct proxy *proxy, struct err_text *ret_why);
/* Any thread: whether new connections are taken; else `ret_why` says why not. */
bool proxy_ready(struct proxy *proxy, struct err_text *ret_why);
/* Any thread: as SIGTERM does; at once: as a second one does. */
void proxy_drain(struct proxy *proxy, bool at_once);

#endif
