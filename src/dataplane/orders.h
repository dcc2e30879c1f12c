/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders of other threads to the main thread that they wait for. Orders that come while none has
 * been begun yet are carried out at one stroke.
 */
#ifndef SALLYPORT_DATAPLANE_ORDERS_H
#define SALLYPORT_DATAPLANE_ORDERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct orders {
	pthread_mutex_t mutex;
	pthread_cond_t done_cond;
	uint64_t placed, done;
	int result; /* of the last one */
	struct err_text text;
};

void orders_init(struct orders *orders);
void orders_fini(struct orders *orders);

/* Any thread but the main one: wakes the main thread through `wake_fd` (an eventfd) and waits: the
 * outcome, or -ETIMEDOUT after `seconds`. */
int orders_place(struct orders *orders, int wake_fd, int seconds, struct err_text *err);

/* Main thread. Whether there are any; the number up to which they are carried out now; and that it
 * is done. After orders_end() each is answered at once, in this way. */
bool orders_pending(struct orders *orders);
uint64_t orders_begin(struct orders *orders);
void orders_done(struct orders *orders, uint64_t number, int result, const struct err_text *text);
void orders_end(struct orders *orders, int result, const char *text);

#endif
