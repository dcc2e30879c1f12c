/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipes for splice (pipe_pool.h). A large pipe (PIPE_BYTES) makes full records and few system
 * calls; where the user's quota (fs.pipe-user-pages-soft) or pipe-max-size does not allow it,
 * smaller ones are tried. Below PIPE_BYTES_MIN a splice out of kernel TLS could lose data on
 * kernels before 6.1.189 / 6.12.112, and gains nothing: such a pipe is not used. Owned by one
 * worker.
 */
#include "dataplane/pipe_pool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/pipe.h"
#include "base/util.h"
#include "limits/limits.h"

#define PIPES_IDLE_MAX 16
#define PIPE_RETRY_NS  (100 * NSEC_PER_MSEC)

void pipe_pool_init(struct pipe_pool *pool)
{
	*pool = (struct pipe_pool){ 0 };
}

static void pipe_free(struct pipe_pair *pipe)
{
	close(pipe->read_fd);
	close(pipe->write_fd);
	free(pipe);
}

void pipe_pool_fini(struct pipe_pool *pool)
{
	while (pool->idle) {
		struct pipe_pair *pipe = pool->idle;

		pool->idle = pipe->next;
		pipe_free(pipe);
	}
	counter_sub(&pool->idle_count, pool->idle_count);
}

static struct pipe_pair *pipe_new(void)
{
	struct pipe_pair *pipe = calloc(1, sizeof(*pipe));
	int fds[2], capacity;

	if (!pipe)
		return NULL;
	capacity = pipe_open(fds, O_NONBLOCK | O_CLOEXEC, PIPE_BYTES, PIPE_BYTES_MIN);
	if (capacity < 0) {
		free(pipe);
		return NULL;
	}
	pipe->read_fd = fds[0];
	pipe->write_fd = fds[1];
	pipe->capacity = (size_t)capacity;
	return pipe;
}

struct pipe_pair *pipe_pool_get(struct pipe_pool *pool, uint64_t now_ns)
{
	struct pipe_pair *pipe = pool->idle;

	if (pipe) {
		pool->idle = pipe->next;
		counter_sub(&pool->idle_count, 1);
	} else {
		if (now_ns < pool->retry_ns)
			return NULL;
		pipe = pipe_new();
		if (!pipe) {
			counter_add(&pool->refused, 1);
			pool->retry_ns = now_ns + PIPE_RETRY_NS;
			return NULL;
		}
	}
	pipe->next = NULL;
	counter_add(&pool->lent_count, 1);
	return pipe;
}

void pipe_pool_put(struct pipe_pool *pool, struct pipe_pair *pipe)
{
	if (!pipe)
		return;
	counter_sub(&pool->lent_count, 1);
	if (pipe->bytes || pool->idle_count >= PIPES_IDLE_MAX) {
		pipe_free(pipe);
		return;
	}
	pipe->next = pool->idle;
	pool->idle = pipe;
	counter_add(&pool->idle_count, 1);
}
