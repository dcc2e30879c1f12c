/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocking queries on one key (consul.h). The next query begins when the last has been answered,
 * but never more than CONSUL_QUERIES_PER_SECOND, so that a server that answers at once, for
 * whatever reason, is not flooded. A failure waits with the breaker and then asks without an index,
 * because whoever answers next may be another server. On the thread of the HTTP client.
 */
#include "control/consul.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/util.h"
#include "control/secret_file.h"
#include "limits/limits.h"

#define ANSWER_EXTRA_MS 10000 /* Consul adds up to 1/16 of the wait, and there is the way */
#define PATH_BYTES	1024
#define VALUE_BYTES_MAX (512 * 1024) /* as large as Consul takes them */

struct consul {
	const struct config_consul *config;
	const char *key;
	struct http_client *http;
	struct jitter *jitter;
	struct consul_events events;
	struct http_transfer *transfer;
	struct breaker breaker;
	uint64_t index;
	uint64_t begun_ns; /* of the last query */
};

uint64_t consul_next_index(uint64_t last, bool has, uint64_t index)
{
	/* Backwards: the servers' data were restored, or are others'. 0 is no index. */
	if (!has || !index || index < last)
		return 0;
	return index;
}

int consul_new(const struct config_consul *config, const char *key, struct http_client *http,
	       struct jitter *jitter, const struct consul_events *events, struct consul **ret)
{
	struct consul *consul = calloc(1, sizeof(*consul));

	if (!consul)
		return -ENOMEM;
	consul->config = config;
	consul->key = key;
	consul->http = http;
	consul->jitter = jitter;
	consul->events = *events;
	*ret = consul;
	return 0;
}

void consul_free(struct consul *consul)
{
	if (!consul)
		return;
	http_client_cancel(consul->transfer);
	free(consul);
}

bool consul_circuit_open(const struct consul *consul)
{
	return breaker_is_open(&consul->breaker);
}

static void failed(struct consul *consul, enum cause cause, const struct err_text *why,
		   uint64_t retry_after_ms)
{
	consul->index = 0;
	breaker_failed(&consul->breaker, retry_after_ms * NSEC_PER_MSEC, consul->jitter,
		       clock_monotonic_ns());
	consul->events.note(cause, why, consul->events.arg);
}

static enum cause status_cause(const struct http_reply *reply, struct err_text *why)
{
	int len = (int)MIN(reply->bytes, (size_t)200);

	err_set(why, 0, "HTTP %ld: %.*s", reply->status, len, reply->body);
	switch (reply->status) {
	case 400:
		return CAUSE_REJECTED;
	case 401:
	case 403:
		return CAUSE_DENIED;
	case 429:
		return CAUSE_RATE_LIMITED;
	default:
		return reply->status >= 500 ? CAUSE_SERVER_ERROR : CAUSE_UNEXPECTED;
	}
}

static void on_reply(const struct http_reply *reply, void *arg)
{
	struct consul *consul = arg;
	struct err_text why = reply->why;
	enum cause cause = reply->cause;

	consul->transfer = NULL;
	if (cause == CAUSE_NONE && reply->status != 200 && reply->status != 404)
		cause = status_cause(reply, &why);
	if (cause != CAUSE_NONE) {
		failed(consul, cause, &why, reply->retry_after_ms);
		return;
	}
	if (!reply->has_index) {
		err_set(&why, 0, "the answer has no X-Consul-Index: is this a Consul agent?");
		failed(consul, CAUSE_MALFORMED, &why, 0);
		return;
	}
	breaker_succeeded(&consul->breaker);
	consul->index = consul_next_index(consul->index, reply->has_index, reply->index);
	consul->events.note(CAUSE_NONE, NULL, consul->events.arg);
	consul->events.value(reply->status == 200 ? reply->body : NULL, reply->bytes,
			     consul->events.arg);
}

static struct http_transfer *start(struct consul *consul, const char *token)
{
	const struct config_consul *config = consul->config;
	/* Up to a tenth less than configured, so that instances do not ask in step. */
	uint64_t wait_ms = config->wait_ms - jitter_up_to(consul->jitter, config->wait_ms / 10);
	char path[PATH_BYTES];
	struct http_call call = {
		.method = "GET",
		.base = config->address,
		.path = path,
		.tls = &config->tls,
		.headers = { { "X-Consul-Token", token } },
		.timeout_ms = ANSWER_EXTRA_MS,
		.answer_bytes_max = VALUE_BYTES_MAX,
	};
	int used = snprintf(path, sizeof(path), "/v1/kv/%s?raw", consul->key);

	if (config->datacenter)
		used += snprintf(path + used, sizeof(path) - (size_t)used, "&dc=%s",
				 config->datacenter);
	if (consul->index) {
		snprintf(path + used, sizeof(path) - (size_t)used, "&index=%llu&wait=%llums",
			 (unsigned long long)consul->index, (unsigned long long)wait_ms);
		call.timeout_ms += wait_ms + wait_ms / 16;
	}
	return http_client_start(consul->http, &call, on_reply, consul);
}

static void begin(struct consul *consul)
{
	struct err_text why = { "" };
	char *token = NULL;

	if (consul->config->token_file &&
	    secret_file_read(consul->config->token_file, &token, &why) < 0) {
		failed(consul, CAUSE_NO_CREDENTIALS, &why, 0);
		return;
	}
	breaker_begin(&consul->breaker);
	consul->transfer = start(consul, token);
	secret_file_free(token);
	if (consul->transfer)
		return;
	err_set(&why, 0, "the request could not be made: out of memory, or a token that is none");
	failed(consul, CAUSE_LOCAL, &why, 0);
}

uint64_t consul_turn(struct consul *consul, uint64_t now_ns)
{
	uint64_t due_ns = breaker_due_ns(&consul->breaker);

	if (consul->transfer)
		return UINT64_MAX;
	if (consul->begun_ns)
		due_ns = MAX(due_ns, consul->begun_ns + NSEC_PER_SEC / CONSUL_QUERIES_PER_SECOND);
	if (now_ns < due_ns)
		return due_ns;
	consul->begun_ns = now_ns;
	begin(consul);
	return consul->transfer ? UINT64_MAX : MAX(breaker_due_ns(&consul->breaker), now_ns + 1);
}
