/* SPDX-License-Identifier: Apache-2.0 */
/* The journal (journal.h). No state; the descriptors are the callers'. */
#include "base/journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/util.h"

bool journal_is_stream(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat st;

	if (!stream || fstat(fd, &st) < 0)
		return false;
	snprintf(own, sizeof(own), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	return strcmp(stream, own) == 0;
}

int journal_open(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval wait = { .tv_sec = 1 };
	cleanup_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int journal_send(int fd, const char *identifier, int priority, const char *message, size_t len)
{
	char fields[128];
	int n = snprintf(fields, sizeof(fields),
			 "SYSLOG_IDENTIFIER=%s\nPRIORITY=%d\nMESSAGE=", identifier, priority);
	struct iovec parts[] = {
		{ fields, (size_t)n },
		{ (void *)message, len },
		{ (void *)"\n", 1 },
	};
	struct msghdr entry = { .msg_iov = parts, .msg_iovlen = ARRAY_SIZE(parts) };

	while (sendmsg(fd, &entry, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}
