/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP end of metrics and health (metrics_server.h). Handlers run on the HTTP server's thread
 * and see the proxy through its functions for any thread.
 */
#include "admin/metrics_server.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "admin/client_series.h"
#include "admin/exposition.h"
#include "admin/http.h"
#include "admin/metrics.h"
#include "base/log.h"
#include "base/util.h"

#define BACKLOG		128
#define LIVE_TIMEOUT_MS 2000 /* that a worker has to answer; kubelet asks every ten seconds */

struct metrics_server {
	const struct config_metrics *config; /* borrowed until the start */
	int listen_fd;			     /* until the start; -1: not to be had yet */
	struct http_server *http;
	struct metrics_source source;
	struct client_series clients;
};

static void on_metrics(const struct http_request *request, struct http_answer *answer, void *arg)
{
	const struct metrics_server *server = arg;

	answer->content_type = EXPOSITION_CONTENT_TYPE;
	metrics_write(answer->body, &server->source);
}

static void answer_health(struct http_answer *answer, bool well, const struct err_text *why)
{
	if (!well)
		answer->status = 503;
	fprintf(answer->body, "%s\n", well ? "ok" : why->text);
}

static void on_livez(const struct http_request *request, struct http_answer *answer, void *arg)
{
	const struct metrics_server *server = arg;
	struct err_text why;

	answer_health(answer, proxy_alive(server->source.proxy, LIVE_TIMEOUT_MS, &why), &why);
}

static void on_readyz(const struct http_request *request, struct http_answer *answer, void *arg)
{
	const struct metrics_server *server = arg;
	struct err_text why;

	answer_health(answer, proxy_ready(server->source.proxy, &why), &why);
}

static const struct http_route routes[] = {
	{ "GET", "/metrics", on_metrics },
	{ "GET", "/livez", on_livez },
	{ "GET", "/readyz", on_readyz },
};

/* The socket, or -errno. */
static int open_socket(const struct endpoint *endpoint)
{
	struct sockaddr_storage address;
	cleanup_close int fd = -1;
	socklen_t len;
	int one = 1;

	if (endpoint_sockaddr(endpoint, &address, &len) < 0)
		return -EINVAL;
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&address, len) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static void say_off(const struct config_metrics *config, int r)
{
	log_msg(LOG_WARNING, "metrics_off",
		"no metrics: %s: %s; set metrics.listen to another address, or to off",
		config->listen_text, strerror(-r));
}

int metrics_server_new(const struct config_metrics *config, const char *version,
		       struct metrics_server **ret, struct err_text *err)
{
	struct metrics_server *server;
	cleanup_close int fd = -1;

	*ret = NULL;
	if (!config->listen.port)
		return 0;
	fd = open_socket(&config->listen);
	if (fd < 0 && !(fd == -EADDRINUSE && proxy_is_successor())) {
		if (config_metrics_chosen(config))
			return err_set(
				err, fd, "metrics.listen: can not listen on %s: %s%s",
				config->listen_text, strerror(-fd),
				fd == -EADDRINUSE
					? ": another program listens there (ss -ltnp shows which)"
					: "");
		say_off(config, fd);
		return 0;
	}
	server = calloc(1, sizeof(*server));
	if (!server)
		return err_set(err, -ENOMEM, "out of memory");
	server->config = config;
	server->listen_fd = TAKE_FD(fd);
	server->source.version = version;
	server->source.clients = &server->clients;
	process_files_open(&server->source.process);
	*ret = server;
	return 0;
}

static void give_way(void *arg)
{
	struct metrics_server *server = arg;

	http_stop(TAKE_PTR(server->http));
}

int metrics_server_start(struct metrics_server *server, struct proxy *proxy, struct err_text *err)
{
	struct http_options options = {
		.name = "metrics",
		.routes = routes,
		.route_count = ARRAY_SIZE(routes),
		.arg = server,
	};

	if (!server)
		return 0;
	/* Who had it has given way by now. */
	if (server->listen_fd < 0)
		server->listen_fd = open_socket(&server->config->listen);
	if (server->listen_fd < 0) {
		say_off(server->config, server->listen_fd);
		return 0;
	}
	options.listen_fd = TAKE_FD(server->listen_fd);
	server->source.proxy = proxy;
	proxy_when_replaced(proxy, give_way, server);
	return http_start(&options, &server->http, err);
}

void metrics_server_free(struct metrics_server *server)
{
	if (!server)
		return;
	http_stop(server->http);
	if (server->listen_fd >= 0)
		close(server->listen_fd);
	process_files_close(&server->source.process);
	client_series_fini(&server->clients);
	free(server);
}
