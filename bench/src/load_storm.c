/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storm: so many bad handshakes a second, of three kinds in turn: a client without a
 * certificate (the whole handshake, up to the alert), bytes that are no TLS, and a ClientHello
 * after which nothing comes for a second. One thread, non-blocking; whatever the proxy does to such
 * a connection is right. Runs until the end of stdin.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define STORM_STALL_NS 1000000000ULL
#define STORM_EVENTS   256

enum storm_kind { STORM_NO_CERTIFICATE, STORM_GARBAGE, STORM_STALL, STORM_KINDS };

struct storm_conn {
	struct storm_conn *next;	/* stalled ones, oldest first */
	SSL *ssl;
	uint64_t until_ns;
	int fd;
	enum storm_kind kind;
	bool connected;
};

struct storm {
	const struct load_options *options;
	SSL_CTX *ctx;
	int epoll_fd;
	unsigned char hello[4096];
	size_t hello_bytes;
	struct storm_conn *oldest, **newest;
	uint64_t number, failed;	/* begun; of these, not connected */
};

/* One ClientHello serves all who stall: the server cannot know. */
static void storm_make_hello(struct storm *storm)
{
	SSL *ssl = SSL_new(storm->ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	int n;

	if (!ssl || !in || !out)
		load_die("no memory");
	SSL_set_bio(ssl, in, out);
	SSL_connect(ssl);
	n = BIO_read(out, storm->hello, sizeof(storm->hello));
	if (n <= 0)
		load_die("no ClientHello");
	storm->hello_bytes = (size_t)n;
	SSL_free(ssl);
	ERR_clear_error();
}

static void storm_close(struct storm *storm, struct storm_conn *conn)
{
	SSL_free(conn->ssl);
	ERR_clear_error();
	close(conn->fd);
	free(conn);
}

static void storm_begin(struct storm *storm, enum storm_kind kind)
{
	const struct load_address *address = &storm->options->address;
	struct storm_conn *conn = calloc(1, sizeof(*conn));
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				     .data.ptr = conn };

	if (!conn)
		load_die("no memory");
	conn->kind = kind;
	conn->fd = socket(address->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (conn->fd < 0 || (connect(conn->fd, (const struct sockaddr *)&address->sa,
				     address->len) && errno != EINPROGRESS) ||
	    epoll_ctl(storm->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event)) {
		storm->failed++;
		if (conn->fd >= 0)
			close(conn->fd);
		free(conn);
		return;
	}
}

/* Whom to close later: it stays on the list until then, whatever the proxy does. */
static void storm_stall(struct storm *storm, struct storm_conn *conn)
{
	conn->until_ns = load_now_ns() + STORM_STALL_NS;
	*storm->newest = conn;
	storm->newest = &conn->next;
}

static void storm_close_stalled(struct storm *storm, uint64_t now_ns)
{
	while (storm->oldest && storm->oldest->until_ns <= now_ns) {
		struct storm_conn *conn = storm->oldest;

		storm->oldest = conn->next;
		if (!storm->oldest)
			storm->newest = &storm->oldest;
		storm_close(storm, conn);
	}
}

static void storm_handshake(struct storm *storm, struct storm_conn *conn)
{
	char byte;
	int n;

	if (!conn->ssl) {
		conn->ssl = SSL_new(storm->ctx);
		if (!conn->ssl || !SSL_set_fd(conn->ssl, conn->fd))
			load_die("no memory");
		SSL_set_connect_state(conn->ssl);
	}
	n = SSL_read(conn->ssl, &byte, 1);
	n = SSL_get_error(conn->ssl, n);
	if (n != SSL_ERROR_WANT_READ && n != SSL_ERROR_WANT_WRITE)
		storm_close(storm, conn);
}

static void storm_garbage(struct storm *storm, struct storm_conn *conn)
{
	static const char garbage[] = "\x17\x2a garbage, and nothing of it is a TLS record at all";
	char bytes[256];
	ssize_t n;

	if (!conn->connected && send(conn->fd, garbage, sizeof(garbage), MSG_NOSIGNAL) < 0) {
		storm_close(storm, conn);
		return;
	}
	conn->connected = true;
	do {
		n = recv(conn->fd, bytes, sizeof(bytes), 0);
	} while (n > 0);
	if (n == 0 || errno != EAGAIN)
		storm_close(storm, conn);
}

static void storm_ready(struct storm *storm, struct storm_conn *conn, uint32_t events)
{
	if (!conn->connected && !conn->ssl && !(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return;
	switch (conn->kind) {
	case STORM_NO_CERTIFICATE:
		storm_handshake(storm, conn);
		break;
	case STORM_GARBAGE:
		storm_garbage(storm, conn);
		break;
	default:
		if (conn->connected)
			break;
		conn->connected = true;
		if (send(conn->fd, storm->hello, storm->hello_bytes, MSG_NOSIGNAL) < 0)
			storm_close(storm, conn);
		else
			storm_stall(storm, conn);
	}
}

static void storm_print(const struct storm *storm, uint64_t ns)
{
	printf("{\"mode\": \"storm\", \"seconds\": %.6f, \"begun\": %llu, \"failed\": %llu, "
	       "\"per_second\": %.1f, \"verified\": true}\n",
	       (double)ns / 1e9, (unsigned long long)storm->number,
	       (unsigned long long)storm->failed, (double)storm->number * 1e9 / (double)ns);
	fflush(stdout);
}

/* As many as are due by now. What is late for more than a burst is left out, so that the storm is
 * never worse than it says. */
static uint64_t storm_begin_due(struct storm *storm, uint64_t due_ns, uint64_t now_ns)
{
	uint64_t each_ns = storm->options->burst * 1000000000ULL / storm->options->rate;

	if (due_ns + each_ns < now_ns)
		due_ns = now_ns - each_ns;
	for (; due_ns <= now_ns; due_ns += each_ns)
		for (uint64_t i = 0; i < storm->options->burst; i++)
			storm_begin(storm, (enum storm_kind)(storm->number++ % STORM_KINDS));
	return due_ns;
}

int load_storm_run(const struct load_options *options)
{
	struct storm storm = { .options = options, .ctx = load_conn_context(options) };
	struct epoll_event events[STORM_EVENTS], stdin_event = { .events = EPOLLIN };
	uint64_t start_ns, due_ns, now_ns;
	bool stop = false;

	storm.newest = &storm.oldest;
	storm.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (storm.epoll_fd < 0 ||
	    epoll_ctl(storm.epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &stdin_event))
		load_die("epoll: %s (stdin must be a pipe)", strerror(errno));
	storm_make_hello(&storm);
	start_ns = due_ns = now_ns = load_now_ns();
	while (!stop) {
		int n = epoll_wait(storm.epoll_fd, events, STORM_EVENTS, 1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				storm_ready(&storm, events[i].data.ptr, events[i].events);
			else
				stop = true;
		}
		now_ns = load_now_ns();
		storm_close_stalled(&storm, now_ns);
		due_ns = storm_begin_due(&storm, due_ns, now_ns);
	}
	storm_print(&storm, now_ns - start_ns);
	SSL_CTX_free(storm.ctx);
	close(storm.epoll_fd);
	return 0;
}
