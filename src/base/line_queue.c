/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue (line_queue.h): a ring of bytes, in it one entry after the other: length, number, text.
 * One mutex, held for a copy and never for I/O. Any number of writers, one reader.
 */
#include "base/line_queue.h"

#include <errno.h>
#include <string.h>

#include "base/thread.h"
#include "base/util.h"

struct entry {
	uint64_t number;
	size_t len;
};

void line_queue_init(struct line_queue *queue, char *ring, size_t size, uint64_t first)
{
	*queue = (struct line_queue){ .ring = ring, .size = size, .next = first };
	pthread_mutex_init(&queue->mutex, NULL);
	thread_cond_init(&queue->changed);
}

void line_queue_fini(struct line_queue *queue)
{
	pthread_cond_destroy(&queue->changed);
	pthread_mutex_destroy(&queue->mutex);
}

static void ring_write(struct line_queue *queue, const void *bytes, size_t len)
{
	size_t at = (queue->start + queue->used) % queue->size;
	size_t first = MIN(len, queue->size - at);

	memcpy(queue->ring + at, bytes, first);
	memcpy(queue->ring, (const char *)bytes + first, len - first);
	queue->used += len;
}

static void ring_skip(struct line_queue *queue, size_t len)
{
	queue->start = (queue->start + len) % queue->size;
	queue->used -= len;
	/* From the start again, so that a queue that is never long touches little memory. */
	if (!queue->used)
		queue->start = 0;
}

static void ring_read(struct line_queue *queue, void *ret, size_t len)
{
	size_t first = MIN(len, queue->size - queue->start);

	memcpy(ret, queue->ring + queue->start, first);
	memcpy((char *)ret + first, queue->ring, len - first);
	ring_skip(queue, len);
}

bool line_queue_put(struct line_queue *queue, const char *line, size_t len)
{
	struct entry entry = { .len = len };
	bool fits;

	pthread_mutex_lock(&queue->mutex);
	entry.number = queue->next++;
	fits = !queue->stopped && sizeof(entry) + len <= queue->size - queue->used;
	if (fits) {
		ring_write(queue, &entry, sizeof(entry));
		ring_write(queue, line, len);
		pthread_cond_signal(&queue->changed);
	}
	pthread_mutex_unlock(&queue->mutex);
	return fits;
}

void line_queue_skip(struct line_queue *queue)
{
	pthread_mutex_lock(&queue->mutex);
	queue->next++;
	pthread_mutex_unlock(&queue->mutex);
}

size_t line_queue_used(struct line_queue *queue)
{
	size_t used;

	pthread_mutex_lock(&queue->mutex);
	used = queue->used;
	pthread_mutex_unlock(&queue->mutex);
	return used;
}

uint64_t line_queue_next(struct line_queue *queue)
{
	uint64_t next;

	pthread_mutex_lock(&queue->mutex);
	next = queue->next;
	pthread_mutex_unlock(&queue->mutex);
	return next;
}

void line_queue_stop(struct line_queue *queue)
{
	pthread_mutex_lock(&queue->mutex);
	queue->stopped = true;
	pthread_cond_signal(&queue->changed);
	pthread_mutex_unlock(&queue->mutex);
}

static void wait_for_line(struct line_queue *queue, unsigned int wait_ms)
{
	struct timespec until = thread_deadline(wait_ms);

	while (!queue->used && !queue->stopped)
		if (pthread_cond_timedwait(&queue->changed, &queue->mutex, &until) == ETIMEDOUT)
			break;
}

enum line_queue_result line_queue_take(struct line_queue *queue, unsigned int wait_ms, char *ret,
				       size_t size, size_t *ret_len, uint64_t *ret_number)
{
	enum line_queue_result result = LINE_QUEUE_LINE;
	struct entry entry;

	pthread_mutex_lock(&queue->mutex);
	wait_for_line(queue, wait_ms);
	if (queue->used) {
		ring_read(queue, &entry, sizeof(entry));
		*ret_len = MIN(entry.len, size);
		ring_read(queue, ret, *ret_len);
		ring_skip(queue, entry.len - *ret_len);
		*ret_number = entry.number;
	} else {
		result = queue->stopped ? LINE_QUEUE_STOPPED : LINE_QUEUE_IDLE;
		*ret_len = 0;
		*ret_number = queue->next;
	}
	pthread_mutex_unlock(&queue->mutex);
	return result;
}
