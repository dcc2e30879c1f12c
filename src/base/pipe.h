/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes that hold more than the kernel gives by itself. */
#ifndef SALLYPORT_BASE_PIPE_H
#define SALLYPORT_BASE_PIPE_H

/* A pipe for `bytes` if the user may still have such a one (fs.pipe-user-pages-soft), else for a
 * quarter of it, and so on, down to `bytes_min`. `flags` as for pipe2(2). Its capacity, and both
 * ends in `ret`, owned by the caller; or -errno, -ENOSPC if it would hold less than `bytes_min`. */
int pipe_open(int ret[2], int flags, int bytes, int bytes_min);

#endif
