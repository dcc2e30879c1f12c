/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP requests to servers that may be slow, broken or hostile: several at once on one thread, each
 * with a deadline and a bound on its answer. No redirects, no proxies or passwords out of the
 * environment, no cookies. https only with a CA of the caller's.
 */
#ifndef SALLYPORT_CONTROL_HTTP_CLIENT_H
#define SALLYPORT_CONTROL_HTTP_CLIENT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "config/control.h"
#include "control/cause.h"

struct http_client;
struct http_transfer;

struct http_header {
	const char *name, *value; /* value NULL: left out; control characters: the request fails */
};

#define HTTP_CLIENT_HEADERS_MAX 8

struct http_call {
	const char *method;	 /* "GET", "POST", … */
	const char *base, *path; /* "https://host:port", "/v1/sys/health?standbyok=true" */
	const struct config_server_tls *tls; /* NULL: http */
	struct http_header headers[HTTP_CLIENT_HEADERS_MAX];
	const char *body;    /* JSON; NULL: none. Copied, and the copy wiped at the end */
	uint64_t timeout_ms; /* from now to the last byte */
	bool fresh;	     /* over a connection of its own, for which our files are read again */
	size_t answer_bytes_max;
};

/* Borrowed during the callback, then wiped. */
struct http_reply {
	enum cause cause; /* CAUSE_NONE: there is an answer, of whatever status */
	struct err_text why;
	long status;
	const char *body; /* with a NUL behind it; "" without an answer */
	size_t bytes;
	uint64_t retry_after_ms; /* 0: not said. More than a day is a day */
	bool has_index;		 /* X-Consul-Index */
	uint64_t index;
};

/* 0, or -ENOMEM. All below: the thread that turns it. */
int http_client_new(struct http_client **ret);
void http_client_free(struct http_client *client); /* no transfer may be left */

/* NULL without memory, or if the call can not be made of what it says; then nothing is called back.
 * Else `done` is called once, in a later http_client_turn(), and the transfer is gone. */
struct http_transfer *http_client_start(struct http_client *client, const struct http_call *call,
					void (*done)(const struct http_reply *reply, void *arg),
					void *arg);
/* `done` will not be called. NULL is fine. */
void http_client_cancel(struct http_transfer *transfer);

/* Waits at most `wait_ms`, for http_client_wake() or one of `fds` to be readable, and calls back
 * what is done. */
void http_client_turn(struct http_client *client, struct pollfd *fds, size_t fd_count,
		      unsigned int wait_ms);
void http_client_wake(struct http_client *client); /* any thread */

/* Retry-After's value in ms (seconds, or a date as of RFC 9110 5.6.7 against `now`), 0 if it can
 * not be told. Pure. */
uint64_t http_retry_after_ms(const char *value, int64_t now);

#endif
