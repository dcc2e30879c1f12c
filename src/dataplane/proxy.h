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
#include "dataplane/stats.h"

struct proxy;

/* Blocks the signals that proxy_run() takes, in this thread and those it starts: call before any
 * thread is made. */
void proxy_block_signals(void);

/* Opens all sockets and starts the workers. Takes `config` in any case. 0, or -errno with `err`. */
int proxy_new(struct config *config, struct proxy **ret, struct err_text *err);
/* Serves until a signal or proxy_drain() ends it and the last connection has gone. Main thread. */
void proxy_run(struct proxy *proxy);
/* Not running. NULL is fine. */
void proxy_free(struct proxy *proxy);

/* Any thread: sums of all workers' counters, approximate while they run. */
void proxy_stats(const struct proxy *proxy, struct stats *ret);
/* Any thread: as SIGTERM does; at once: as a second one does. */
void proxy_drain(struct proxy *proxy, bool at_once);

#endif
