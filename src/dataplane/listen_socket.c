/* SPDX-License-Identifier: Apache-2.0 */
/* Opens listening sockets (listen_socket.h). Main thread. */
#include "dataplane/listen_socket.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

static int fail(const struct config_listener *config, int err, const char *what,
		struct err_text *text)
{
	bool is_unix = config->listen.is_unix;
	const char *hint =
		err == EADDRINUSE && is_unix
			? "another program listens there (ss -lxp shows which), or a file is there"
		: err == EADDRINUSE	    ? "another program listens there (ss -ltnp shows which)"
		: err == EACCES && !is_unix ? "ports below 1024 need CAP_NET_BIND_SERVICE"
		: err == EADDRNOTAVAIL	    ? "no interface has this address"
					    : "";

	return err_set(text, -err, "listener %s: can not %s %s: %s%s%s", config->name, what,
		       config->listen_text, strerror(err), *hint ? ": " : "", hint);
}

/* A socket file without a listener behind it is left from a crash. */
static void remove_stale_unix_socket(const struct sockaddr_storage *addr, socklen_t len,
				     const char *path)
{
	/* Non-blocking: one whose backlog is full is alive, and would keep us waiting. */
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct stat st;

	if (fd < 0 || lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	if (connect(fd, (const struct sockaddr *)addr, len) < 0 && errno == ECONNREFUSED)
		unlink(path);
}

static int bind_socket(const struct config_listener *config, const struct sockaddr_storage *addr,
		       socklen_t len, bool share, struct err_text *err)
{
	cleanup_close int fd =
		socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;

	if (fd < 0)
		return fail(config, errno, "open a socket for", err);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (share && addr->ss_family != AF_UNIX &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0)
		return fail(config, errno, "share", err);
	if (bind(fd, (const struct sockaddr *)addr, len) < 0)
		return fail(config, errno, "listen on", err);
	if (share && listen(fd, LISTEN_BACKLOG) < 0)
		return fail(config, errno, "listen on", err);
	return TAKE_FD(fd);
}

int listen_socket_open(const struct config_listener *config, bool exclusive, struct err_text *err)
{
	struct sockaddr_storage addr;
	socklen_t len;
	int fd;

	if (endpoint_sockaddr(&config->listen, &addr, &len) < 0)
		return fail(config, EINVAL, "listen on", err);
	if (config->listen.is_unix) {
		remove_stale_unix_socket(&addr, len, config->listen.host);
	} else if (exclusive) {
		fd = bind_socket(config, &addr, len, false, err);
		if (fd < 0)
			return fd;
		close(fd);
	}
	return bind_socket(config, &addr, len, true, err);
}
