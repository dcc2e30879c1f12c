/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of admin/ only: what the paths of the admin socket share.
 */
#ifndef SALLYPORT_ADMIN_ADMIN_IMPL_H
#define SALLYPORT_ADMIN_ADMIN_IMPL_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "admin/admin.h"
#include "admin/admin_socket.h"
#include "admin/http.h"
#include "base/log.h"

struct admin {
	const char *config_file, *version; /* admin_options */
	struct proxy *proxy;
	struct health *health;
	struct admin_socket socket;
	struct http_server *server; /* NULL: not started, or no socket */

	bool watched; /* the thread is there */
	pthread_t watcher;
	pthread_mutex_t check_mutex; /* one look at the proxy at a time */
	pthread_mutex_t mutex;	     /* what follows */
	pthread_cond_t changed;
	bool stopping;
	uint64_t revert_ns; /* clock_monotonic_ns() at which the log level goes back; 0: never */
	enum log_level revert_to;
};

/* Handlers (http_route.handle); `arg` is the struct admin. */
void api_status(const struct http_request *request, struct http_answer *answer, void *arg);
void api_conns(const struct http_request *request, struct http_answer *answer, void *arg);
void api_kill(const struct http_request *request, struct http_answer *answer, void *arg);
void api_reload(const struct http_request *request, struct http_answer *answer, void *arg);
void api_renew(const struct http_request *request, struct http_answer *answer, void *arg);
void api_upgrade(const struct http_request *request, struct http_answer *answer, void *arg);
void api_drain(const struct http_request *request, struct http_answer *answer, void *arg);
void api_log_level(const struct http_request *request, struct http_answer *answer, void *arg);
void api_limits(const struct http_request *request, struct http_answer *answer, void *arg);
void api_set_limits(const struct http_request *request, struct http_answer *answer, void *arg);
void api_clear_limits(const struct http_request *request, struct http_answer *answer, void *arg);
void api_set_log_level(const struct http_request *request, struct http_answer *answer, void *arg);

/* By enum client_refusal. */
extern const char *const client_refusal_words[];

/* The answer becomes {"error": TEXT}. */
void api_fail(struct http_answer *answer, unsigned int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* `, "KEY": "VALUE"`, without the comma if `first`; NULL is null. */
void api_string(FILE *out, const char *key, const char *value, bool first);
/* An order that was given, with who gave it; the caller adds what it is and ends the line. */
void api_log_order(struct log_line *line, const struct http_request *request, const char *order);

/* Limits by order that have run off end. */
void admin_end_orders(struct admin *admin);
/* The watcher is to look when it is to do something next. */
void admin_wake(struct admin *admin);

/* One look at everything, by whoever asks. */
void admin_check(struct admin *admin);

#endif
