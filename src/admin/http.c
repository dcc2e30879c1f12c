/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small HTTP server (http.h). libmicrohttpd reads the requests and writes the answers;
 * accepting, limits and deadlines are ours. The server's thread owns everything here but the
 * eventfd that tells it to stop.
 *
 * Out of descriptors, one that was kept for this makes room for a client, since that is when people
 * ask. Without it we stop accepting for a moment instead of asking in a circle: the backlog waits
 * in the kernel. The data plane does the same with its own sockets.
 */
#include "admin/http.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/util.h"
#include "limits/limits.h"

#define ACCEPT_PAUSE_NS (1 * NSEC_PER_SEC)
#define TICK_MS		500 /* how late a deadline or the end of a pause may be noticed */

static const char refused_answer[] = "HTTP/1.1 403 Forbidden\r\n"
				     "Content-Type: text/plain; charset=utf-8\r\n"
				     "Content-Length: 10\r\n"
				     "Connection: close\r\n"
				     "\r\n"
				     "forbidden\n";

struct http_server {
	struct http_options options;
	struct MHD_Daemon *daemon;
	pthread_t thread;
	int stop_fd;
	int spare_fd;		/* -1: given up for a client, or never had */
	struct list_node conns; /* the oldest first */
	unsigned int conn_count;
	uint64_t accept_after_ns; /* 0: now */
	uint64_t handling_ns;	  /* spent in handlers so far */
};

struct http_conn {
	struct list_node node;
	uint64_t deadline_ns; /* of clients_now_ns() */
	int fd;		      /* the library's */
};

struct http_request {
	struct MHD_Connection *connection;
};

static struct http_conn *conn_of(struct MHD_Connection *connection)
{
	return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
		->socket_context;
}

static int fd_of(struct MHD_Connection *connection)
{
	return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

int http_request_fd(const struct http_request *request)
{
	return fd_of(request->connection);
}

const char *http_request_query(const struct http_request *request, const char *key)
{
	const char *value = NULL;

	/* A bare key is found with the value NULL. */
	if (MHD_lookup_connection_value_n(request->connection, MHD_GET_ARGUMENT_KIND, key,
					  strlen(key), &value, NULL) == MHD_NO)
		return NULL;
	return value ? value : "";
}

/* Takes `body`. */
static enum MHD_Result send_answer(struct MHD_Connection *connection,
				   const struct http_answer *answer, char *body, size_t len)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(len, body, MHD_RESPMEM_MUST_FREE);
	enum MHD_Result r;

	if (!response) {
		free(body);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->content_type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	r = MHD_queue_response(connection, answer->status, response);
	MHD_destroy_response(response);
	return r;
}

static bool has_body(struct MHD_Connection *connection)
{
	const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
							 MHD_HTTP_HEADER_CONTENT_LENGTH);

	return (length && strcmp(length, "0") != 0) ||
	       MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
					   MHD_HTTP_HEADER_TRANSFER_ENCODING);
}

static bool method_fits(const struct http_route *route, const char *method)
{
	return !strcmp(route->method, method) || (!strcmp(route->method, MHD_HTTP_METHOD_GET) &&
						  !strcmp(method, MHD_HTTP_METHOD_HEAD));
}

static void answer_request(struct http_server *server, struct MHD_Connection *connection,
			   const char *path, const char *method, struct http_answer *answer)
{
	const struct http_request request = { .connection = connection };
	const struct http_options *options = &server->options;
	bool found = false;

	if (has_body(connection)) {
		answer->status = MHD_HTTP_CONTENT_TOO_LARGE;
		fputs("requests have no body here\n", answer->body);
		return;
	}
	for (size_t i = 0; i < options->route_count; i++) {
		if (strcmp(options->routes[i].path, path) != 0)
			continue;
		found = true;
		if (!method_fits(&options->routes[i], method))
			continue;
		options->routes[i].handle(&request, answer, options->arg);
		return;
	}
	answer->status = found ? MHD_HTTP_METHOD_NOT_ALLOWED : MHD_HTTP_NOT_FOUND;
	fputs(found ? "no such method on this path; known are:\n" : "no such path; known are:\n",
	      answer->body);
	for (size_t i = 0; i < options->route_count; i++)
		fprintf(answer->body, "%s %s\n", options->routes[i].method,
			options->routes[i].path);
}

/* The clock of the deadlines: it stands still while a handler makes all clients wait. */
static uint64_t clients_now_ns(const struct http_server *server)
{
	return clock_monotonic_ns() - server->handling_ns;
}

/* The list stays in the order of deadlines. */
static void start_deadline(struct http_server *server, struct http_conn *conn)
{
	conn->deadline_ns = clients_now_ns(server) + server->options.connection_ms * NSEC_PER_MSEC;
	list_remove(&conn->node);
	list_append(&server->conns, &conn->node);
}

/* Called once the headers are there. MHD_NO closes the connection. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_len, void **request_arg)
{
	struct http_answer answer = { .status = MHD_HTTP_OK,
				      .content_type = "text/plain; charset=utf-8" };
	struct http_conn *conn = conn_of(connection);
	uint64_t started_ns = clock_monotonic_ns();
	struct http_server *server = arg;
	char *body = NULL;
	size_t len = 0;
	bool failed;

	if (!conn)
		return MHD_NO;
	answer.body = open_memstream(&body, &len);
	if (!answer.body)
		return MHD_NO;
	answer_request(server, connection, path, method, &answer);
	server->handling_ns += clock_monotonic_ns() - started_ns;
	failed = ferror(answer.body);
	/* An answer that is not whole is none. */
	if (fclose(answer.body) != 0 || failed) {
		free(body);
		return MHD_NO;
	}
	start_deadline(server, conn);
	return send_answer(connection, &answer, body, len);
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **conn_arg,
			  enum MHD_ConnectionNotificationCode code)
{
	struct http_server *server = arg;
	struct http_conn *conn = *conn_arg;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (conn)
			list_remove(&conn->node);
		free(conn);
		server->conn_count--;
		return;
	}
	server->conn_count++;
	*conn_arg = conn = calloc(1, sizeof(*conn));
	if (!conn) {
		/* Without it there would be no deadline. */
		shutdown(fd_of(connection), SHUT_RDWR);
		return;
	}
	conn->fd = fd_of(connection);
	list_init(&conn->node);
	start_deadline(server, conn);
}

static bool may_accept(const struct http_server *server)
{
	return server->conn_count < HTTP_CONNECTIONS_MAX &&
	       clock_monotonic_ns() >= server->accept_after_ns;
}

/* One of those that wait; whether there are more, poll() will say. The library counts a connection
 * only when it runs. */
static void accept_conn(struct http_server *server)
{
	const struct http_options *options = &server->options;
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	int fd = accept4(options->listen_fd, (struct sockaddr *)&address, &len,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 && errno == EMFILE && server->spare_fd >= 0) {
		close(TAKE_FD(server->spare_fd));
		fd = accept4(options->listen_fd, (struct sockaddr *)&address, &len,
			     SOCK_CLOEXEC | SOCK_NONBLOCK);
	}
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			server->accept_after_ns = clock_monotonic_ns() + ACCEPT_PAUSE_NS;
		return;
	}
	if (options->admit && !options->admit(fd, options->arg)) {
		/* It fits into any socket's empty buffer. */
		send(fd, refused_answer, strlen(refused_answer), MSG_NOSIGNAL);
		close(fd);
		return;
	}
	/* Takes the descriptor, also when it fails. */
	MHD_add_connection(server->daemon, fd, (struct sockaddr *)&address, len);
}

/* Ends those that are overdue: the library sees an end of stream. */
static void cut_overdue(struct http_server *server, uint64_t now_ns)
{
	struct list_node *it, *next;

	list_for_each_safe (it, next, &server->conns) {
		struct http_conn *conn = container_of(it, struct http_conn, node);

		if (conn->deadline_ns > now_ns)
			return;
		shutdown(conn->fd, SHUT_RDWR);
	}
}

/* Milliseconds that poll() may sleep: not longer than a deadline may be overrun. */
static int sleep_ms(const struct http_server *server)
{
	MHD_UNSIGNED_LONG_LONG library_ms;

	if (MHD_get_timeout(server->daemon, &library_ms) == MHD_YES)
		return (int)MIN(library_ms, (MHD_UNSIGNED_LONG_LONG)TICK_MS);
	return server->conn_count || !may_accept(server) ? TICK_MS : -1;
}

/* To be given up for a client when there are no others. */
static void take_spare(struct http_server *server)
{
	if (server->spare_fd < 0)
		server->spare_fd = fcntl(server->stop_fd, F_DUPFD_CLOEXEC, 0);
}

static void *server_main(void *arg)
{
	struct http_server *server = arg;
	struct pollfd fds[] = {
		{ .fd = server->stop_fd, .events = POLLIN },
		{ .fd = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
		  .events = POLLIN },
		{ .events = POLLIN },
	};

	pthread_setname_np(pthread_self(), server->options.name);
	while (!(fds[0].revents & POLLIN)) {
		take_spare(server);
		/* A negative descriptor is not looked at. */
		fds[2].fd = may_accept(server) ? server->options.listen_fd : -1;
		if (poll(fds, ARRAY_SIZE(fds), sleep_ms(server)) < 0 && errno != EINTR)
			break;
		if (fds[2].revents & POLLIN)
			accept_conn(server);
		MHD_run(server->daemon);
		cut_overdue(server, clients_now_ns(server));
	}
	return NULL;
}

static int start(struct http_server *server, struct err_text *err)
{
	int r;

	server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->stop_fd < 0)
		return err_set(err, -errno, "no eventfd: %s", strerror(errno));
	take_spare(server);
	server->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, server,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned int)HTTP_CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_CONNECTION_BYTES,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_END);
	if (!server->daemon)
		return err_set(err, -ENOMEM, "libmicrohttpd does not start");
	r = -pthread_create(&server->thread, NULL, server_main, server);
	if (r < 0) {
		MHD_stop_daemon(TAKE_PTR(server->daemon));
		return err_set(err, r, "can not start a thread: %s", strerror(-r));
	}
	return 0;
}

int http_start(const struct http_options *options, struct http_server **ret, struct err_text *err)
{
	struct http_server *server = calloc(1, sizeof(*server));
	int r;

	if (!server) {
		close(options->listen_fd);
		return err_set(err, -ENOMEM, "out of memory");
	}
	server->options = *options;
	if (!options->connection_ms)
		server->options.connection_ms = HTTP_CONNECTION_MS_MAX;
	server->stop_fd = server->spare_fd = -1;
	list_init(&server->conns);
	r = start(server, err);
	if (r < 0) {
		http_stop(server);
		return r;
	}
	*ret = server;
	return 0;
}

void http_stop(struct http_server *server)
{
	if (!server)
		return;
	if (server->daemon) {
		eventfd_write(server->stop_fd, 1);
		pthread_join(server->thread, NULL);
		MHD_stop_daemon(server->daemon);
	}
	close(server->options.listen_fd);
	if (server->stop_fd >= 0)
		close(server->stop_fd);
	if (server->spare_fd >= 0)
		close(server->spare_fd);
	free(server);
}
