/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker listens on. The main thread makes a plan, where anything may fail; the worker
 * carries it out, where nothing does: listeners whose sockets go on get their new route, new ones
 * start, others end without losing a client whom the kernel has let in.
 */
#ifndef SALLYPORT_DATAPLANE_WORKER_LISTEN_H
#define SALLYPORT_DATAPLANE_WORKER_LISTEN_H

#include "dataplane/listen_group.h"
#include "dataplane/worker.h"

struct worker_plan;

/* For `worker`, one of `workers`: all of `snapshot`, whose listeners' groups are in `table` in the
 * same order. 0, or -errno with `err`. Main thread. */
int worker_plan_new(struct worker *worker, unsigned int workers, struct snapshot *snapshot,
		    const struct listen_table *table, struct worker_plan **ret,
		    struct err_text *err);
/* One that was not posted. NULL is fine. */
void worker_plan_free(struct worker_plan *plan);
/* Main thread: hands the plan to its worker, which has carried it out once worker_generation() is
 * the snapshot's; `done_fd` (an eventfd) is then written to. */
void worker_plan_post(struct worker_plan *plan, int done_fd);
/* Any thread: of the snapshot that new connections are served by; 0: of none yet. */
uint64_t worker_generation(const struct worker *worker);

/* The worker's thread: no new connections, but those whom the kernel has let in. */
void worker_listen_end(struct worker *worker);
/* Not running: frees what is left. */
void worker_listen_fini(struct worker *worker);

#endif
