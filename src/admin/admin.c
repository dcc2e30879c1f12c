/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life of the admin side (admin.h). Two threads: the server's, where the handlers run, and the
 * watcher, which looks at the proxy every few seconds, so that conditions know since when they
 * hold, and takes back what was ordered for a while: a log level, limits. Both end before the
 * proxy does.
 */
#include "admin/admin.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "admin/admin_impl.h"
#include "admin/health_checks.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/thread.h"
#include "base/util.h"
#include "dataplane/handover.h"
#include "limits/clients.h"

#define WATCH_PERIOD_NS (5 * NSEC_PER_SEC)

static const struct http_route routes[] = {
	{ "GET", "/v1/status", api_status },
	{ "GET", "/v1/conns", api_conns },
	{ "POST", "/v1/kill", api_kill },
	{ "POST", "/v1/reload", api_reload },
	{ "POST", "/v1/renew", api_renew },
	{ "POST", "/v1/upgrade", api_upgrade },
	{ "POST", "/v1/drain", api_drain },
	{ "GET", "/v1/log-level", api_log_level },
	{ "POST", "/v1/log-level", api_set_log_level },
	{ "GET", "/v1/limits", api_limits },
	{ "POST", "/v1/limits", api_set_limits },
	{ "POST", "/v1/limits/clear", api_clear_limits },
};

void api_fail(struct http_answer *answer, unsigned int status, const char *fmt, ...)
{
	char text[ERR_TEXT_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	answer->status = status;
	answer->content_type = "application/json";
	fputs("{\"error\":", answer->body);
	json_write_string(answer->body, text);
	fputs("}\n", answer->body);
}

void api_string(FILE *out, const char *key, const char *value, bool first)
{
	fprintf(out, "%s\"%s\":", first ? "" : ",", key);
	json_write_string(out, value);
}

void api_log_order(struct log_line *line, const struct http_request *request, const char *order)
{
	struct ucred who = { 0 };
	socklen_t len = sizeof(who);

	log_begin(line, LOG_INFO, "order");
	log_str(line, "order", order);
	if (getsockopt(http_request_fd(request), SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		return;
	log_u64(line, "by_uid", who.uid);
	log_u64(line, "by_pid", (uint64_t)who.pid);
}

static bool admit(int fd, void *arg)
{
	const struct admin *admin = arg;

	return admin_socket_admits(&admin->socket, fd);
}

/* --- the watcher --- */

void admin_check(struct admin *admin)
{
	pthread_mutex_lock(&admin->check_mutex);
	health_check(admin->health, admin->proxy);
	pthread_mutex_unlock(&admin->check_mutex);
}

/* With the mutex held. */
static void revert_log_level(struct admin *admin, uint64_t now_ns)
{
	if (!admin->revert_ns || now_ns < admin->revert_ns)
		return;
	admin->revert_ns = 0;
	log_set_level(admin->revert_to);
	log_msg(LOG_INFO, "log_level", "back at %s", log_level_name(admin->revert_to));
}

void admin_wake(struct admin *admin)
{
	pthread_mutex_lock(&admin->mutex);
	pthread_cond_signal(&admin->changed);
	pthread_mutex_unlock(&admin->mutex);
}

/* Waits until the next look is due; false: the admin side stops. */
static bool watcher_wait(struct admin *admin)
{
	uint64_t due_ns = clock_monotonic_ns() + WATCH_PERIOD_NS;
	bool go_on;

	pthread_mutex_lock(&admin->mutex);
	for (;;) {
		uint64_t now_ns = clock_monotonic_ns(), until_ns = due_ns;
		struct timespec until;

		revert_log_level(admin, now_ns);
		admin_end_orders(admin);
		if (admin->stopping || now_ns >= due_ns)
			break;
		if (admin->revert_ns)
			until_ns = MIN(until_ns, admin->revert_ns);
		until_ns = MIN(until_ns, clients_next_expiry(proxy_clients(admin->proxy)));
		until.tv_sec = (time_t)(until_ns / NSEC_PER_SEC);
		until.tv_nsec = (long)(until_ns % NSEC_PER_SEC);
		pthread_cond_timedwait(&admin->changed, &admin->mutex, &until);
	}
	go_on = !admin->stopping;
	pthread_mutex_unlock(&admin->mutex);
	return go_on;
}

static void *watcher_main(void *arg)
{
	struct admin *admin = arg;

	pthread_setname_np(pthread_self(), "watcher");
	do
		admin_check(admin);
	while (watcher_wait(admin));
	return NULL;
}

/* --- life --- */

static void init_locks(struct admin *admin)
{
	pthread_mutex_init(&admin->check_mutex, NULL);
	pthread_mutex_init(&admin->mutex, NULL);
	thread_cond_init(&admin->changed);
}

int admin_new(const struct admin_options *options, struct admin **ret, struct err_text *err)
{
	const struct admin_socket_options socket = {
		.config = options->config,
		.usual = ADMIN_SOCKET_DEFAULT,
		.whose = "proxy",
		.user = options->user,
		.replaces = getenv(HANDOVER_FD_VARIABLE) != NULL,
	};
	struct admin *admin = calloc(1, sizeof(*admin));
	int r;

	if (!admin)
		return err_set(err, -ENOMEM, "out of memory");
	admin->config_file = options->config_file;
	admin->version = options->version;
	admin->socket.listen_fd = -1;
	init_locks(admin);
	admin->health = health_new();
	r = admin->health ? admin_socket_open(&admin->socket, &socket, err)
			  : err_set(err, -ENOMEM, "out of memory");
	if (r < 0) {
		admin_free(admin);
		return r;
	}
	*ret = admin;
	return 0;
}

static int start_server(struct admin *admin, struct err_text *err)
{
	struct http_options options = {
		.name = "admin",
		.listen_fd = TAKE_FD(admin->socket.listen_fd),
		.routes = routes,
		.route_count = ARRAY_SIZE(routes),
		.admit = admit,
		.arg = admin,
	};

	int r;

	if (options.listen_fd < 0)
		return 0;
	r = http_start(&options, &admin->server, err);
	if (r == 0)
		r = admin_socket_publish(&admin->socket, err);
	if (r == 0)
		log_msg(LOG_INFO, "admin_socket", "listening on %s", admin->socket.path);
	return r;
}

int admin_start(struct admin *admin, struct proxy *proxy, struct err_text *err)
{
	int r;

	admin->proxy = proxy;
	r = start_server(admin, err);
	if (r < 0)
		return r;
	r = -pthread_create(&admin->watcher, NULL, watcher_main, admin);
	if (r < 0)
		return err_set(err, r, "can not start a thread: %s", strerror(-r));
	admin->watched = true;
	return 0;
}

static void stop_watcher(struct admin *admin)
{
	if (!admin->watched)
		return;
	pthread_mutex_lock(&admin->mutex);
	admin->stopping = true;
	pthread_cond_signal(&admin->changed);
	pthread_mutex_unlock(&admin->mutex);
	pthread_join(admin->watcher, NULL);
}

void admin_free(struct admin *admin)
{
	if (!admin)
		return;
	http_stop(admin->server);
	stop_watcher(admin);
	admin_socket_close(&admin->socket);
	health_free(admin->health);
	pthread_cond_destroy(&admin->changed);
	pthread_mutex_destroy(&admin->mutex);
	pthread_mutex_destroy(&admin->check_mutex);
	free(admin);
}
