/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small HTTP server: routes, answers, who is admitted, and what rude clients can not do. The
 * clients here are plain sockets, so that they can say what no HTTP library would.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "admin/http.h"
#include "base/util.h"
#include "lib/open_fds.h"
#include "limits/limits.h"

#define ANSWER_BYTES 65536
#define BIG_BYTES    (32 * 1024 * 1024)

struct fixture {
	struct http_server *server;
	struct sockaddr_storage address;
	socklen_t address_len;
	atomic_bool admits;
	atomic_uint calls;
};

static struct fixture fixture;

static void on_hello(const struct http_request *request, struct http_answer *answer, void *arg)
{
	const char *name = http_request_query(request, "name");

	atomic_fetch_add(&((struct fixture *)arg)->calls, 1);
	fprintf(answer->body, "hello %s, loud %s\n", name ? name : "nobody",
		http_request_query(request, "loud") ? "yes" : "no");
}

static void on_order(const struct http_request *request, struct http_answer *answer, void *arg)
{
	answer->status = 503;
	answer->content_type = "application/json";
	fputs("{\"ok\":false}", answer->body);
}

static void on_who(const struct http_request *request, struct http_answer *answer, void *arg)
{
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);

	getsockopt(http_request_fd(request), SOL_SOCKET, SO_PEERCRED, &peer, &len);
	fprintf(answer->body, "pid %d\n", (int)peer.pid);
}

static void on_big(const struct http_request *request, struct http_answer *answer, void *arg)
{
	static char block[65536];

	memset(block, 'x', sizeof(block));
	for (size_t i = 0; i < BIG_BYTES / sizeof(block); i++)
		fwrite(block, sizeof(block), 1, answer->body);
}

static const struct http_route routes[] = {
	{ "GET", "/hello", on_hello },
	{ "POST", "/order", on_order },
	{ "GET", "/who", on_who },
	{ "GET", "/big", on_big },
};

static bool admit(int fd, void *arg)
{
	return atomic_load(&((struct fixture *)arg)->admits);
}

static int start(const struct sockaddr *address, socklen_t len, unsigned int connection_ms)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct http_options options = {
		.name = "http-test",
		.listen_fd = fd,
		.routes = routes,
		.route_count = ARRAY_SIZE(routes),
		.admit = admit,
		.arg = &fixture,
		.connection_ms = connection_ms,
	};
	struct err_text err;

	assert_int_equal(bind(fd, address, len), 0);
	assert_int_equal(listen(fd, 128), 0);
	fixture.address_len = sizeof(fixture.address);
	getsockname(fd, (struct sockaddr *)&fixture.address, &fixture.address_len);
	atomic_store(&fixture.admits, true);
	atomic_store(&fixture.calls, 0);
	return http_start(&options, &fixture.server, &err);
}

static int start_tcp(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr = { htonl(INADDR_LOOPBACK) } };

	return start((struct sockaddr *)&address, sizeof(address), 0);
}

static int start_impatient(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr = { htonl(INADDR_LOOPBACK) } };

	return start((struct sockaddr *)&address, sizeof(address), 50);
}

static int start_unix(void **state)
{
	/* An abstract name, chosen by the kernel: nothing to clean up. */
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	return start((struct sockaddr *)&address, sizeof(sa_family_t), 0);
}

static int stop(void **state)
{
	http_stop(TAKE_PTR(fixture.server));
	return 0;
}

static int dial(void)
{
	int fd = socket(fixture.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&fixture.address, fixture.address_len), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* All that comes until the end of the stream; a reset is an end too. */
static const char *hear(int fd)
{
	static char answer[ANSWER_BYTES];
	size_t used = 0;
	ssize_t n;

	while (used < sizeof(answer) - 1 &&
	       (n = recv(fd, answer + used, sizeof(answer) - 1 - used, 0)) > 0)
		used += (size_t)n;
	answer[used] = '\0';
	return answer;
}

static const char *ask(const char *request)
{
	cleanup_close int fd = dial();

	say(fd, request);
	return hear(fd);
}

static void assert_starts(const char *text, const char *start_of_it)
{
	if (strncmp(text, start_of_it, strlen(start_of_it)) != 0)
		fail_msg("\"%s\" does not start with \"%s\"", text, start_of_it);
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" has no \"%s\"", text, part);
}

static void test_routes(void **state)
{
	const char *answer = ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");

	assert_starts(answer, "HTTP/1.1 200 ");
	assert_has(answer, "Content-Type: text/plain; charset=utf-8\r\n");
	assert_has(answer, "Connection: close\r\n");
	assert_has(answer, "\r\n\r\nhello nobody, loud no\n");
	answer = ask("GET /hello?name=a%20%22b&loud HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_has(answer, "\r\n\r\nhello a \"b, loud yes\n");
	answer = ask("POST /order HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
	assert_starts(answer, "HTTP/1.1 503 ");
	assert_has(answer, "Content-Type: application/json\r\n");
	assert_has(answer, "\r\n\r\n{\"ok\":false}");
	answer = ask("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_starts(answer, "HTTP/1.1 200 ");
	assert_has(answer, "Content-Length: 22\r\n");
	assert_null(strstr(answer, "hello nobody"));
}

static void test_wrong_requests(void **state)
{
	assert_starts(ask("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 404 ");
	assert_has(ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "GET /hello\n");
	assert_starts(ask("POST /hello HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 405 ");
	assert_starts(ask("POST /order HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"),
		      "HTTP/1.1 413 ");
	assert_starts(ask("POST /order HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"),
		      "HTTP/1.1 413 ");
	assert_int_equal(atomic_load(&fixture.calls), 0);
}

/* One request a connection: what is sent behind it is not looked at. */
static void test_one_request_each(void **state)
{
	const char *answer = ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
				 "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");

	assert_null(strstr(strstr(answer, "hello nobody") + 1, "hello nobody"));
	assert_int_equal(atomic_load(&fixture.calls), 1);
}

static void test_huge_header(void **state)
{
	cleanup_close int fd = dial();
	char line[1024];
	size_t sent = 0;

	memset(line, 'x', sizeof(line));
	say(fd, "GET /hello HTTP/1.1\r\nHost: x\r\nX-Long: ");
	/* Until it is cut off: far behind what it may send, with room for socket buffers. */
	while (send(fd, line, sizeof(line), MSG_NOSIGNAL) > 0 && sent < 1024 * 1024 * 1024)
		sent += sizeof(line);
	assert_true(sent < 1024 * 1024 * 1024);
	assert_int_equal(atomic_load(&fixture.calls), 0);
	assert_starts(ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 ");
}

static size_t count_until_end(int fd)
{
	size_t total = 0;
	char chunk[4096];
	ssize_t n;

	while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0)
		total += (size_t)n;
	return total;
}

static void test_answer_larger_than_socket_buffers(void **state)
{
	cleanup_close int fd = dial();

	say(fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(count_until_end(fd) > BIG_BYTES);
}

static void test_not_admitted(void **state)
{
	const char *answer;
	int fd;

	atomic_store(&fixture.admits, false);
	fd = dial();
	answer = hear(fd); /* not even asked */
	assert_starts(answer, "HTTP/1.1 403 ");
	close(fd);
	atomic_store(&fixture.admits, true);
	assert_starts(ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 ");
}

static void test_who_asks_on_a_unix_socket(void **state)
{
	char expected[32];

	snprintf(expected, sizeof(expected), "\r\n\r\npid %d\n", (int)getpid());
	assert_has(ask("GET /who HTTP/1.1\r\nHost: x\r\n\r\n"), expected);
}

/* Silent ones, one that does not end its request and one that does not read its answer take every
 * place; the deadline throws them out, and who waits in the backlog is served. */
static void test_slow_clients_make_room(void **state)
{
	size_t ours = open_fds() + HTTP_CONNECTIONS_MAX;
	int fds[HTTP_CONNECTIONS_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = dial();
	say(fds[0], "GET /hello HTTP/1.1\r\nHost:");
	say(fds[1], "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_starts(ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 ");
	assert_string_equal(hear(fds[0]), "");
	/* Who reads before the server has let go is no slow client any more. */
	for (int i = 0; i < 10000 && open_fds() > ours; i++)
		usleep(1000);
	assert_int_equal(open_fds(), ours);
	assert_true(count_until_end(fds[1]) < BIG_BYTES);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

/* One descriptor is kept, so that somebody can ask what has become of the others. */
static void test_no_descriptors(void **state)
{
	static int fds[4096];
	size_t count = 0;
	int client;

	ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"); /* the spare one is there by now */
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(client >= 0);
	while (count < ARRAY_SIZE(fds) && (fds[count] = dup(client)) >= 0)
		count++;
	assert_true(count < ARRAY_SIZE(fds));
	assert_int_equal(connect(client, (struct sockaddr *)&fixture.address, fixture.address_len),
			 0);
	say(client, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_starts(hear(client), "HTTP/1.1 200 ");
	while (count)
		close(fds[--count]);
	close(client);
	assert_starts(ask("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 ");
}

static void test_stops_with_clients(void **state)
{
	cleanup_close int silent = dial();
	cleanup_close int deaf = dial();

	say(deaf, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	http_stop(TAKE_PTR(fixture.server));
	assert_string_equal(hear(silent), "");
}

int main(void)
{
	struct rlimit few = { 256, 256 };

#define OVER(start, test) cmocka_unit_test_setup_teardown(test, start, stop)
	const struct CMUnitTest tests[] = {
		OVER(start_tcp, test_routes),
		OVER(start_unix, test_routes),
		OVER(start_tcp, test_wrong_requests),
		OVER(start_tcp, test_one_request_each),
		OVER(start_tcp, test_huge_header),
		OVER(start_tcp, test_answer_larger_than_socket_buffers),
		OVER(start_unix, test_answer_larger_than_socket_buffers),
		OVER(start_tcp, test_not_admitted),
		OVER(start_unix, test_not_admitted),
		OVER(start_unix, test_who_asks_on_a_unix_socket),
		OVER(start_impatient, test_slow_clients_make_room),
		OVER(start_tcp, test_no_descriptors),
		OVER(start_tcp, test_stops_with_clients),
	};

	setrlimit(RLIMIT_NOFILE, &few);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
