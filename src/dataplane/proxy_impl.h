/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the running proxy: shared by the files that make up its main thread (proxy.c, reload.c)
 * and by nobody else. Unless it says otherwise, the main thread alone touches it.
 */
#ifndef SALLYPORT_DATAPLANE_PROXY_IMPL_H
#define SALLYPORT_DATAPLANE_PROXY_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "dataplane/file_watch.h"
#include "dataplane/gate.h"
#include "dataplane/listen_group.h"
#include "dataplane/orders.h"
#include "dataplane/proxy.h"
#include "dataplane/snapshot.h"
#include "dataplane/supply.h"
#include "dataplane/watchdog.h"
#include "dataplane/worker.h"
#include "dataplane/worker_listen.h"

/* A path and the numbers of ADMIN_UIDS_MAX users. */
#define SETTINGS_ADMIN_BYTES (128 + ADMIN_UIDS_MAX * 11)

/* What was read at start and stays in force until the next one. */
struct settings_at_start {
	unsigned int workers;
	enum config_loop loop;
	enum config_sandbox sandbox;
	char user[USER_BYTES_MAX + 1]; /* "": none */
	enum log_format log_format;
	char *audit_file;
	unsigned int audit_journald, audit_queue_kib;
	enum config_on_failure audit_on_failure;
	uint64_t penalty_sources;
	enum config_pacing pacing;
	struct endpoint metrics;
	char admin[SETTINGS_ADMIN_BYTES];     /* the section, as text */
	struct config_identity_keys identity; /* its directory is ours, "": none */
};

/* Of replacing this process by a new one: upgrade.c. */
struct upgrade {
	struct orders orders;
	uint64_t number;	 /* of the order that is carried out */
	char *arguments, **argv; /* our own command line */
	char *program;
	int unknown; /* errno: why these are not known */
	pid_t pid;   /* of the new one while it starts; 0: none */
	int fd;	     /* our end of what we say to each other, or -1 */
	uint64_t deadline_ns;
	int predecessor_fd;	     /* to the process that this one replaces, or -1 */
	void (*give_way)(void *arg); /* of proxy_when_replaced(); NULL: none */
	void *give_way_arg;
};

struct proxy {
	char *config_file;
	struct settings_at_start at_start;
	struct file_watch *watch; /* NULL: files are read again on order only */
	/* What new connections get; a reference. Only the main thread changes it, under the mutex.
	 */
	struct snapshot *snapshot;
	pthread_mutex_t snapshot_mutex;
	struct listen_table table;	    /* where they come in */
	struct inherited_sockets inherited; /* at start; empty later */
	struct audit *audit;		    /* NULL: none */
	struct identity *identity;	    /* NULL: brokers are told of nobody */
	struct supply *supply;		    /* of certificates and roots; NULL: none */
	bool supplied;			    /* it has brought something that no snapshot has yet */
	struct gate *gate;
	enum config_pacing pacing; /* what there is; fixed at start */
	struct worker *workers[WORKERS_MAX];
	unsigned int worker_count, started_count;
	int signal_fd, order_fd;    /* what the main thread waits for */
	int applied_fd;		    /* workers write when they have carried out a plan */
	atomic_uint drains_ordered; /* by other threads */
	atomic_uint drains;	    /* orders to drain so far, signals too; any thread may look */
	struct err_text loop_why;   /* why the loop is not io_uring; not changed after the start */
	uint64_t started_ns;	    /* clock_realtime_ns() */
	struct upgrade upgrade;
	struct orders reloads;
	pthread_mutex_t reload_state_mutex;
	struct reload_state reload_state; /* under the mutex */
	struct watchdog watchdog;
	uint64_t resolved_ns, trimmed_ns;
	uint64_t trimmed_handshakes; /* handshakes at the last trim */
};

/* All that the workers need to change to another configuration. */
struct change {
	struct snapshot *snapshot; /* a reference */
	struct client_policy *policy;
	struct listen_table table;
	struct worker_plan *plans[WORKERS_MAX];
	unsigned int plan_count;
};

/* Everything that may fail: files are read, sockets opened. Takes `config` in any case. 0, or
 * -errno with `err`; nothing has changed then. */
int change_prepare(struct proxy *proxy, struct config *config, struct change *ret,
		   struct err_text *err);
void change_discard(struct proxy *proxy, struct change *change);
/* Hands it to the workers, which must run, and closes what is not listened on any more. */
void change_apply(struct proxy *proxy, struct change *change);

/* Tells the service manager that we serve, and how. */
void proxy_notify_ready(const struct proxy *proxy);
/* As SIGTERM does. */
void proxy_drain_now(struct proxy *proxy);

void reload_init(struct proxy *proxy);
void reload_fini(struct proxy *proxy);
/* The first configuration is in force. 0, or -ENOMEM with `err`. */
int reload_started(struct proxy *proxy, struct err_text *err);
/* Reads the configuration and all its files again, and changes to it; or says why not, and all
 * stays as it was. */
void reload(struct proxy *proxy);
/* If the control plane has brought something: a new snapshot of the same configuration with it; if
 * none can be made of that, the old one stays. */
void reload_supplied(struct proxy *proxy);
/* From here on the files of `config` are watched, if it wants that: before they are read. */
void reload_watch(struct proxy *proxy, const struct config *config);
/* Carries out what other threads have ordered. */
void reload_on_order(struct proxy *proxy);

void upgrade_init(struct upgrade *upgrade);
void upgrade_fini(struct upgrade *upgrade);
/* Starts the new process; what becomes of it is seen by upgrade_turn(), called now and then, and
 * when upgrade.fd is readable. */
void upgrade_start(struct proxy *proxy);
void upgrade_turn(struct proxy *proxy, bool readable);
bool upgrade_under_way(const struct proxy *proxy);
void upgrade_abandon(struct proxy *proxy);
void upgrade_on_order(struct proxy *proxy);
/* If this process is the new one: takes the sockets of the old. 0, or -errno with `err`. */
int upgrade_take_over(struct proxy *proxy, struct err_text *err);
/* Likewise: tells the old one that this one serves, and waits until it has given way. */
void upgrade_taken_over(struct proxy *proxy);

#endif
