/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded queue of lines between threads that must never wait (workers) and the one thread that
 * writes them, which may. Each line has a number; one that finds no room uses up its number all
 * the same, so that the reader sees by the gap how many were lost, and where.
 */
#ifndef SALLYPORT_BASE_LINE_QUEUE_H
#define SALLYPORT_BASE_LINE_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct line_queue {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	char *ring; /* borrowed */
	size_t size, start, used;
	uint64_t next; /* number of the next line */
	bool stopped;
};

enum line_queue_result {
	LINE_QUEUE_LINE = 0,
	LINE_QUEUE_IDLE = 1,	/* nothing came in time */
	LINE_QUEUE_STOPPED = 2, /* empty, and nothing will come any more */
};

/* `ring`: `size` bytes, the caller's for the queue's life. The first line has the number `first`.
 */
void line_queue_init(struct line_queue *queue, char *ring, size_t size, uint64_t first);
void line_queue_fini(struct line_queue *queue);

/* Any thread, never waits for the reader. False: no room (or stopped), the line is lost. */
bool line_queue_put(struct line_queue *queue, const char *line, size_t len);
/* Uses up a number without a line: something is lost on purpose. */
void line_queue_skip(struct line_queue *queue);
/* Bytes that wait, and the number that the next line will have. */
size_t line_queue_used(struct line_queue *queue);
uint64_t line_queue_next(struct line_queue *queue);
/* From now on nothing is taken in; what is there can still be read. */
void line_queue_stop(struct line_queue *queue);

/* The reader: the oldest line into `ret` (at most `size` bytes, what is longer is cut) and its
 * number. Waits `wait_ms` at most. IDLE, STOPPED: a length of 0, and the number of the line that
 * would be next. */
enum line_queue_result line_queue_take(struct line_queue *queue, unsigned int wait_ms, char *ret,
				       size_t size, size_t *ret_len, uint64_t *ret_number);

#endif
