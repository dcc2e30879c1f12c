/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager's notification socket (notify.h). By hand and not by libsystemd: the protocol
 * is a promise (sd_notify(3), "stable"), and a library for one datagram is one more to trust. One
 * socket for the process, opened at start. Main thread.
 */
#include "base/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/util.h"

#define SEND_TIMEOUT_SEC 2 /* a manager that hangs must not hang us */
#define USEC_NS		 1000ULL
#define TEXT_BYTES	 2048

static int notify_fd = -1;

void notify_init(void)
{
	struct timeval timeout = { .tv_sec = SEND_TIMEOUT_SEC };
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t len = name ? strlen(name) : 0;
	int fd;

	if (notify_fd >= 0 || !len || len >= sizeof(un.sun_path) ||
	    (name[0] != '/' && name[0] != '@'))
		return;
	memcpy(un.sun_path, name, len);
	if (name[0] == '@')
		un.sun_path[0] = 0; /* an abstract name */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (const struct sockaddr *)&un,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0) {
		close(fd);
		return;
	}
	notify_fd = fd;
}

void notify_end(void)
{
	if (notify_fd >= 0)
		close(notify_fd);
	notify_fd = -1;
}

bool notify_enabled(void)
{
	return notify_fd >= 0;
}

void notify_send(const char *fmt, ...)
{
	char text[TEXT_BYTES];
	va_list ap;

	if (notify_fd < 0)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	while (send(notify_fd, text, strlen(text), MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

uint64_t notify_watchdog_ns(void)
{
	const char *usec_text = getenv("WATCHDOG_USEC"), *pid_text = getenv("WATCHDOG_PID");
	uint64_t usec, pid;

	if (notify_fd < 0 || !usec_text || parse_u64(usec_text, 1, UINT64_MAX / USEC_NS, &usec) < 0)
		return 0;
	if (pid_text && (parse_u64(pid_text, 1, INT32_MAX, &pid) < 0 || (pid_t)pid != getpid()))
		return 0;
	return usec * USEC_NS;
}
