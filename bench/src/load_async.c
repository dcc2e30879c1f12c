/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One of many client connections of a single thread: non-blocking, on an edge-triggered epoll that
 * belongs to the caller. Small buffers (what OpenSSL needs while a record is being read), since
 * there may be ten thousand. A failure is a return value: whoever makes a reconnect storm expects
 * it.
 */
#include "load.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <unistd.h>

int load_async_open(struct load_async *conn, SSL_CTX *ctx, const struct load_options *options,
		    int epoll_fd, void *tag)
{
	const struct load_address *address = &options->address;
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				     .data.ptr = tag };
	int one = 1;

	*conn = (struct load_async){ .fd = socket(address->sa.ss_family,
						  SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) };
	if (conn->fd < 0)
		return -errno;
	setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if ((connect(conn->fd, (const struct sockaddr *)&address->sa, address->len) &&
	     errno != EINPROGRESS) ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, conn->fd, &event)) {
		int err = -errno;

		load_async_close(conn);
		return err;
	}
	if (ctx)
		conn->ssl = load_conn_session(ctx, options);
	if (conn->ssl && !SSL_set_fd(conn->ssl, conn->fd))
		load_die("no memory");
	return 0;
}

int load_async_step(struct load_async *conn)
{
	int error = 0, n;
	socklen_t len = sizeof(error);

	if (conn->ready)
		return 1;
	if (!conn->connected) {
		struct sockaddr_storage peer;
		socklen_t peer_len = sizeof(peer);

		if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) || error)
			return -1;
		if (getpeername(conn->fd, (struct sockaddr *)&peer, &peer_len))
			return errno == ENOTCONN ? 0 : -1;
		conn->connected = true;
	}
	if (conn->ssl) {
		n = SSL_connect(conn->ssl);
		if (n != 1) {
			n = SSL_get_error(conn->ssl, n);
			ERR_clear_error();
			return n == SSL_ERROR_WANT_READ || n == SSL_ERROR_WANT_WRITE ? 0 : -1;
		}
	}
	conn->ready = true;
	return 1;
}

static ssize_t load_async_result(struct load_async *conn, int n)
{
	int error;

	if (n > 0)
		return n;
	error = SSL_get_error(conn->ssl, n);
	ERR_clear_error();
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

ssize_t load_async_write(struct load_async *conn, const void *data, size_t len)
{
	ssize_t n;

	if (conn->ssl)
		return load_async_result(conn, SSL_write(conn->ssl, data, (int)len));
	n = send(conn->fd, data, len, MSG_NOSIGNAL);
	return n < 0 && errno == EAGAIN ? 0 : n;
}

ssize_t load_async_read(struct load_async *conn, void *data, size_t len)
{
	ssize_t n;

	if (conn->ssl)
		return load_async_result(conn, SSL_read(conn->ssl, data, (int)len));
	n = recv(conn->fd, data, len, 0);
	if (n < 0 && errno == EAGAIN)
		return 0;
	return n > 0 ? n : -1;
}

void load_async_close(struct load_async *conn)
{
	if (conn->ssl && conn->ready)
		SSL_shutdown(conn->ssl);
	SSL_free(conn->ssl);
	ERR_clear_error();
	if (conn->fd >= 0)
		close(conn->fd);
	*conn = (struct load_async){ .fd = -1 };
}
