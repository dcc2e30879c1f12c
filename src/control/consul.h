/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Follows one key of Consul's by blocking queries, as its documentation wants it: the index of an
 * answer goes into the next question, and begins anew when it goes backwards; waits are jittered,
 * and queries no more than a few a second however fast the answers come. On the thread of the HTTP
 * client.
 */
#ifndef SALLYPORT_CONTROL_CONSUL_H
#define SALLYPORT_CONTROL_CONSUL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/backoff.h"
#include "control/cause.h"
#include "control/http_client.h"

struct consul;

struct consul_events {
	/* The key has this value now: anew or still. `value` NULL: it is not there. */
	void (*value)(const char *value, size_t bytes, void *arg);
	/* A query's outcome; CAUSE_NONE: it worked. */
	void (*note)(enum cause cause, const struct err_text *why, void *arg);
	void *arg;
};

/* Follows `key`. Everything borrowed for as long as it lives. 0 or -ENOMEM. */
int consul_new(const struct config_consul *config, const char *key, struct http_client *http,
	       struct jitter *jitter, const struct consul_events *events, struct consul **ret);
void consul_free(struct consul *consul); /* NULL is fine */
/* Starts the next query when it is time; when to be called again at the latest. */
uint64_t consul_turn(struct consul *consul, uint64_t now_ns);
bool consul_circuit_open(const struct consul *consul);

/* The index for the next query after an answer with `index` (`has`: it had one): 0 begins anew.
 * Pure. */
uint64_t consul_next_index(uint64_t last, bool has, uint64_t index);

#endif
