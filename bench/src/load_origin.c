/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The origin: the plain server behind the proxy under test. One thread, level-triggered epoll, no
 * buffer a connection: all data is the pattern, so that what is to be sent is found by position and
 * what arrives is checked in one shared buffer. A wrong byte is printed, answered (produce) or ends
 * the connection (round trips), and makes the exit status 1.
 */
#include "load.h"
#include "pattern.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct origin_conn {
	struct origin_conn *next;	/* subscribers */
	int fd;
	bool want_out;
	uint32_t request_len;
	uint32_t echoes;	/* LOAD_OP_ECHO bytes still to be answered */
	struct load_request request;
	uint64_t in_pos, in_end;	/* what the client still sends */
	uint64_t out_pos, out_end;	/* what we still send */
	uint64_t wrong;
	size_t verdict_left;
	struct load_verdict verdict;
};

struct origin {
	int epoll_fd, listen_fd, signal_fd, pattern_fd;
	bool sendfile;
	bool stop;
	struct origin_conn *subscribers;
	uint64_t topic, published;	/* one topic at a time; its end in the pattern */
	uint64_t connections, bytes_in, bytes_out, wrong, resets;
	unsigned char buffer[PATTERN_CHUNK];
};

static void origin_close(struct origin *origin, struct origin_conn *conn)
{
	struct origin_conn **at = &origin->subscribers;

	while (*at && *at != conn)
		at = &(*at)->next;
	if (*at)
		*at = conn->next;
	close(conn->fd);
	free(conn);
}

static void origin_interest(struct origin *origin, struct origin_conn *conn, bool want_out)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = conn };

	if (conn->want_out == want_out)
		return;
	conn->want_out = want_out;
	if (want_out)
		event.events |= EPOLLOUT;
	epoll_ctl(origin->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
}

static ssize_t origin_send_pattern(struct origin *origin, struct origin_conn *conn)
{
	uint64_t left = conn->out_end - conn->out_pos;
	uint64_t most = conn->request.op == LOAD_OP_CONSUME && conn->request.size < PATTERN_CHUNK ?
				conn->request.size : PATTERN_CHUNK;
	size_t n = (size_t)(left < most ? left : most);
	off_t offset;

	if (origin->sendfile) {
		offset = (off_t)(conn->out_pos % PATTERN_PERIOD);
		return sendfile(conn->fd, origin->pattern_fd, &offset, n);
	}
	return send(conn->fd, pattern_at(conn->out_pos), n, MSG_NOSIGNAL);
}

/* Sends what is due. 0: all went out or the socket is full; -errno: the connection is dead. */
static int origin_send(struct origin *origin, struct origin_conn *conn)
{
	const unsigned char echo = LOAD_OP_ECHO, *verdict;
	ssize_t n;

	while (conn->echoes || conn->out_pos < conn->out_end || conn->verdict_left) {
		verdict = (const unsigned char *)(&conn->verdict + 1) - conn->verdict_left;
		if (conn->echoes)
			n = send(conn->fd, &echo, 1, MSG_NOSIGNAL);
		else if (conn->out_pos < conn->out_end)
			n = origin_send_pattern(origin, conn);
		else
			n = send(conn->fd, verdict, conn->verdict_left, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			origin_interest(origin, conn, true);
			return 0;
		}
		if (n < 0)
			return -errno;
		origin->bytes_out += (uint64_t)n;
		if (conn->echoes)
			conn->echoes--;
		else if (conn->out_pos < conn->out_end)
			conn->out_pos += (uint64_t)n;
		else
			conn->verdict_left -= (size_t)n;
	}
	origin_interest(origin, conn, false);
	return 0;
}

/* Consumers come before their producer or after: who is first begins the topic. */
static void origin_topic(struct origin *origin, const struct load_request *r)
{
	if (origin->topic == r->count)
		return;
	origin->topic = r->count;
	origin->published = r->seed;
}

/* More has been published: the others' share of it. A dead one is found by its own event. */
static void origin_publish(struct origin *origin, const struct origin_conn *producer)
{
	struct origin_conn *conn;

	origin->published = producer->in_pos;
	for (conn = origin->subscribers; conn; conn = conn->next) {
		if (conn->request.count != origin->topic)
			continue;
		conn->out_end = origin->published;
		(void)origin_send(origin, conn);
	}
}

/* The request is complete: what will come in, what must go out. */
static int origin_begin(struct origin *origin, struct origin_conn *conn)
{
	struct load_request *r = &conn->request;

	conn->in_pos = conn->in_end = conn->out_pos = conn->out_end = r->seed;
	switch (r->op) {
	case LOAD_OP_CONSUME:
		conn->out_end += r->bytes;
		return r->size ? 0 : -EINVAL;
	case LOAD_OP_PUBLISH:
		origin_topic(origin, r);
		/* fall through */
	case LOAD_OP_PRODUCE:
		conn->in_end += r->bytes;
		return 0;
	case LOAD_OP_SUBSCRIBE:
		origin_topic(origin, r);
		conn->out_end = origin->published;
		conn->next = origin->subscribers;
		origin->subscribers = conn;
		return 0;
	case LOAD_OP_RTT:
		if (r->size == 0 || r->size > PATTERN_CHUNK)
			return -EINVAL;
		conn->in_end += r->count * r->size;
		return 0;
	default:
		return -EINVAL;
	}
}

/* Takes bytes of the request; -EINVAL if it makes no sense. */
static int origin_take_request(struct origin *origin, struct origin_conn *conn,
			       const unsigned char **data, size_t *len)
{
	unsigned char *request = (unsigned char *)&conn->request;

	while (*len > 0 && conn->request_len < sizeof(conn->request)) {
		if (conn->request_len == 0 && **data == LOAD_OP_ECHO)
			conn->echoes++;
		else
			request[conn->request_len++] = **data;
		(*data)++;
		(*len)--;
		if (conn->request_len == sizeof(conn->request))
			return origin_begin(origin, conn);
	}
	return 0;
}

static int origin_take(struct origin *origin, struct origin_conn *conn, const unsigned char *data,
		       size_t len)
{
	const struct load_request *r = &conn->request;
	long wrong;
	int err;

	err = origin_take_request(origin, conn, &data, &len);
	if (err || len == 0)
		return err;
	if (len > conn->in_end - conn->in_pos) {
		fprintf(stderr, "sallyport-load: origin: more data than announced\n");
		origin->wrong++;
		return -EINVAL;
	}
	wrong = pattern_first_wrong(conn->in_pos, data, len);
	if (wrong >= 0) {
		fprintf(stderr, "sallyport-load: origin: WRONG BYTE at pattern position %llu\n",
			(unsigned long long)conn->in_pos + (unsigned long long)wrong);
		conn->wrong++;
		origin->wrong++;
		if (r->op == LOAD_OP_RTT)
			return -EINVAL;
	}
	conn->in_pos += len;
	if (r->op == LOAD_OP_RTT)
		conn->out_end = conn->in_pos - (conn->in_pos - r->seed) % r->size;
	if (r->op == LOAD_OP_PUBLISH)
		origin_publish(origin, conn);
	if (r->op != LOAD_OP_RTT && conn->in_pos == conn->in_end) {
		conn->verdict.bytes = r->bytes;
		conn->verdict.wrong = conn->wrong;
		conn->verdict_left = sizeof(conn->verdict);
	}
	return 0;
}

static void origin_on_event(struct origin *origin, struct origin_conn *conn, uint32_t events)
{
	ssize_t n = 0;
	int err = 0;

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		n = recv(conn->fd, origin->buffer, sizeof(origin->buffer), 0);
		if (n == 0 || (n < 0 && errno != EAGAIN)) {
			if (n < 0)
				origin->resets++;
			origin_close(origin, conn);
			return;
		}
		if (n > 0) {
			origin->bytes_in += (uint64_t)n;
			err = origin_take(origin, conn, origin->buffer, (size_t)n);
		}
	}
	if (!err)
		err = origin_send(origin, conn);
	if (err)
		origin_close(origin, conn);
}

static void origin_accept(struct origin *origin)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct origin_conn *conn;
	int fd, one = 1;

	fd = accept4(origin->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	conn = calloc(1, sizeof(*conn));
	if (!conn)
		load_die("no memory");
	conn->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	event.data.ptr = conn;
	if (epoll_ctl(origin->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		load_die("epoll: %s", strerror(errno));
	origin->connections++;
}

static void origin_watch(struct origin *origin, int fd, void *tag)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = tag };

	if (fd < 0 || epoll_ctl(origin->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		load_die("epoll: %s", strerror(errno));
}

static void origin_open_pattern(struct origin *origin)
{
	size_t len = PATTERN_PERIOD + PATTERN_CHUNK;

	origin->pattern_fd = memfd_create("pattern", MFD_CLOEXEC);
	if (origin->pattern_fd < 0 ||
	    write(origin->pattern_fd, pattern_at(0), len) != (ssize_t)len)
		load_die("memfd: %s", strerror(errno));
}

static void origin_open(struct origin *origin, const struct load_options *options)
{
	const struct load_address *address = &options->address;
	sigset_t signals;
	int one = 1;

	origin->sendfile = options->sendfile;
	if (origin->sendfile)
		origin_open_pattern(origin);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	origin->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	origin->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	origin->listen_fd = socket(address->sa.ss_family,
				   SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(origin->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(origin->listen_fd, (const struct sockaddr *)&address->sa, address->len) ||
	    listen(origin->listen_fd, 4096))
		load_die("listen: %s", strerror(errno));
	origin_watch(origin, origin->listen_fd, &origin->listen_fd);
	origin_watch(origin, origin->signal_fd, &origin->signal_fd);
}

int load_origin_run(const struct load_options *options)
{
	struct origin *origin = calloc(1, sizeof(*origin));
	struct epoll_event events[64];
	int i, n;

	if (!origin)
		load_die("no memory");
	origin_open(origin, options);
	printf("{\"listening\": true}\n");
	fflush(stdout);
	while (!origin->stop) {
		n = epoll_wait(origin->epoll_fd, events, 64, -1);
		for (i = 0; i < n; i++) {
			if (events[i].data.ptr == &origin->listen_fd)
				origin_accept(origin);
			else if (events[i].data.ptr == &origin->signal_fd)
				origin->stop = true;
			else
				origin_on_event(origin, events[i].data.ptr, events[i].events);
		}
	}
	printf("{\"connections\": %llu, \"bytes_in\": %llu, \"bytes_out\": %llu, \"wrong\": %llu, "
	       "\"resets\": %llu}\n",
	       (unsigned long long)origin->connections, (unsigned long long)origin->bytes_in,
	       (unsigned long long)origin->bytes_out, (unsigned long long)origin->wrong,
	       (unsigned long long)origin->resets);
	n = origin->wrong ? 1 : 0;
	free(origin);
	return n;
}
