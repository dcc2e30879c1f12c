/* SPDX-License-Identifier: Apache-2.0 */
/* Making a ring, for loop_io_uring.c and its probe. Inside of loop/ only. */
#ifndef SALLYPORT_LOOP_LOOP_IO_URING_SETUP_H
#define SALLYPORT_LOOP_LOOP_IO_URING_SETUP_H

#include <liburing.h>

/*
 * A ring with the best flags that the kernel takes. With IORING_SETUP_R_DISABLED in `flags` it
 * belongs to the thread that enables it and does only what the loop asks of it (a restricted ring:
 * other operations end with EACCES), else to the caller's. Sizes are clamped by the kernel.
 * 0 or -errno.
 */
int loop_io_uring_setup(struct io_uring *ring, unsigned cq_entries, unsigned flags);

#endif
