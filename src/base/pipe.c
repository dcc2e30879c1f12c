/* SPDX-License-Identifier: Apache-2.0 */
/* Making a large pipe (pipe.h). No state; any thread. */
#include "base/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int pipe_open(int ret[2], int flags, int bytes, int bytes_min)
{
	int fds[2], capacity = -1;

	if (pipe2(fds, flags) < 0)
		return -errno;
	for (int want = bytes; want > bytes_min && capacity < 0; want /= 4)
		capacity = fcntl(fds[1], F_SETPIPE_SZ, want);
	capacity = fcntl(fds[1], F_GETPIPE_SZ);
	if (capacity < bytes_min) {
		close(fds[0]);
		close(fds[1]);
		return -ENOSPC;
	}
	ret[0] = fds[0];
	ret[1] = fds[1];
	return capacity;
}
