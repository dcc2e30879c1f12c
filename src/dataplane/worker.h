/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: one thread, one loop, and what its connections share: the large buffer, the pipes, the
 * cipher contexts, the counters.
 */
#ifndef SALLYPORT_DATAPLANE_WORKER_H
#define SALLYPORT_DATAPLANE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "dataplane/gate.h"
#include "dataplane/pipe_pool.h"
#include "dataplane/snapshot.h"
#include "dataplane/stats.h"
#include "dataplane/throttle.h"
#include "dataplane/turnstile.h"
#include "limits/limits.h"
#include "loop/loop.h"
#include "tls/aead.h"

/* Room for a batch of full records with their gaps, plus an incomplete record before it. */
#define WORKER_BUFFER_BYTES (RELAY_BATCH_BYTES + 16 * 64 + 2 * TLS_RECORD_BYTES_MAX)

struct audit;
struct identity;

struct worker {
	unsigned int index;
	pthread_t thread;
	struct loop *loop;
	struct gate *gate; /* the process's: borrowed */
	struct turnstile turnstile;
	struct throttle throttle;
	uint8_t *buffer; /* WORKER_BUFFER_BYTES; nobody's across two callbacks */
	struct aead_cache *aead_cache;
	struct pipe_pool pipes;
	struct audit *audit;	   /* the proxy's, NULL: none */
	struct identity *identity; /* the proxy's, NULL: none */
	enum config_pacing pacing; /* what there is */
	struct list_node conns;	   /* live, oldest first */
	struct list_node walks;	   /* who goes through them in slices: conn_walk.c */
	uint64_t conn_count, next_conn_id;
	struct list_node listeners, ending; /* struct worker_listener: worker_listen.c */
	atomic_uint_fast64_t generation;    /* of the snapshot that new connections get */
	struct stats stats; /* written by this thread, read by others when it has stopped, or as
			       approximate */
	struct loop_msg question; /* worker_ask() */
	atomic_bool asked, ended;
	struct loop_timer drain_timer;
	uint64_t drain_ns, drain_deadline_ms; /* when the order came, and the longest it allows */
	bool draining;
	bool stopping; /* … and the last connection has gone */
};

/* Creates the loop and the buffers; it listens to nothing yet. `gate` is borrowed. 0 or -errno with
 * `err`. */
int worker_new(unsigned int index, enum loop_kind kind, struct gate *gate, struct worker **ret,
	       struct err_text *err);
int worker_start(struct worker *worker);
/* Any thread: stop accepting, let connections finish, end the rest after their listener's
 * timeouts.drain, or `deadline_ms` if that is less (0: at once). */
void worker_drain(struct worker *worker, uint64_t deadline_ms);
/* Any thread, several at a time too: asks the loop for a sign of life, unless it owes one already.
 */
void worker_ask(struct worker *worker);
bool worker_answered(const struct worker *worker); /* owes none */
bool worker_ended(const struct worker *worker);	   /* its thread has run to its end */
void worker_join(struct worker *worker);
void worker_free(struct worker *worker);

/* A connection or a listener has gone: the last one ends a draining worker. */
void worker_check_end(struct worker *worker);

#endif
