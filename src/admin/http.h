/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP/1.1 server for operators and their tools: a table of routes on a listening socket,
 * TCP or unix. One thread of its own for each server; never a worker's. Answers are built whole in
 * memory, requests have no body, and every connection carries one request and then ends: request
 * and answer have a deadline each, so that a slow or silent client can not keep others out.
 */
#ifndef SALLYPORT_ADMIN_HTTP_H
#define SALLYPORT_ADMIN_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"

struct http_server;
struct http_request;

/* What a handler fills in. Preset: 200, "text/plain; charset=utf-8", an empty body. */
struct http_answer {
	unsigned int status;
	const char *content_type; /* a literal */
	FILE *body;		  /* written to in memory; nobody but the server closes it */
};

struct http_route {
	const char *method; /* "GET" takes HEAD too */
	const char *path;   /* the whole path, without the query */
	/* On the server's thread: while it runs, the server's other clients wait. */
	void (*handle)(const struct http_request *request, struct http_answer *answer, void *arg);
};

struct http_options {
	const char *name; /* of the thread; at most 15 bytes */
	int listen_fd;	  /* listening and non-blocking; taken, by a failed start too */
	const struct http_route *routes; /* borrowed for the server's life */
	size_t route_count;
	/* NULL: everybody. Called for each new connection before a byte of it is read; who is not
	 * admitted gets 403 and is closed. SO_PEERCRED is there to be asked on a unix socket. */
	bool (*admit)(int fd, void *arg);
	void *arg;		    /* for handlers and admit */
	unsigned int connection_ms; /* for the request, and again for the answer; 0:
				       HTTP_CONNECTION_MS_MAX */
};

/* 0, or -errno with `err`. The signals that the caller blocks are blocked in the thread. */
int http_start(const struct http_options *options, struct http_server **ret, struct err_text *err);
/* Ends the thread, after the handler that it may be in, and closes everything. NULL is fine. */
void http_stop(struct http_server *server);

/* The client's socket: to look at, not to read from, write to or keep. */
int http_request_fd(const struct http_request *request);
/* The decoded value of `key` in the query ("" for a bare key), or NULL; valid in the handler. */
const char *http_request_query(const struct http_request *request, const char *key);

#endif
