/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipes for splice, lent to a flow while bytes are inside and taken back when it is empty: an idle
 * connection holds none. One pool a worker.
 */
#ifndef SALLYPORT_DATAPLANE_PIPE_POOL_H
#define SALLYPORT_DATAPLANE_PIPE_POOL_H

#include <stddef.h>
#include <stdint.h>

struct pipe_pair {
	int read_fd, write_fd;
	size_t capacity; /* bytes */
	size_t bytes;	 /* inside */
	struct pipe_pair *next;
};

struct pipe_pool {
	struct pipe_pair *idle;
	/* Any thread may read these: base/counter.h. */
	uint64_t idle_count, lent_count;
	uint64_t refused;  /* times no useful pipe could be had */
	uint64_t retry_ns; /* not before: after a refusal */
};

void pipe_pool_init(struct pipe_pool *pool);
void pipe_pool_fini(struct pipe_pool *pool);
/* An empty pipe of at least PIPE_BYTES_MIN, or NULL: then copy instead. */
struct pipe_pair *pipe_pool_get(struct pipe_pool *pool, uint64_t now_ns);
/* A pipe that still holds bytes is closed, not kept. NULL is fine. */
void pipe_pool_put(struct pipe_pool *pool, struct pipe_pair *pipe);

#endif
