/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Set-up of a ring, and the probe that tells a person why there can be none. The probe does not
 * look at version numbers: it makes a ring and asks it for the two operations that the loop lives
 * on, in a way that tells a kernel that knows them from one that does not.
 *
 * No state; any thread.
 */
#include "loop/loop_io_uring_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/util.h"
#include "loop/loop_backend.h"

#define SQ_ENTRIES_MAX	256u
#define PROBE_WAIT_SECS 2

/* What a ring does is out of seccomp's sight, so that the ring itself is told what the loop needs;
 * all else, such as opening files, it then refuses with EACCES. */
static int restrict_ring(const struct io_uring *ring)
{
	static const struct io_uring_restriction allowed[] = {
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_ACCEPT },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_POLL_ADD },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_ASYNC_CANCEL },
		{ .opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
		  .sqe_flags = IOSQE_CQE_SKIP_SUCCESS },
		{ .opcode = IORING_RESTRICTION_REGISTER_OP,
		  .register_op = IORING_REGISTER_RING_FDS },
		{ .opcode = IORING_RESTRICTION_REGISTER_OP,
		  .register_op = IORING_UNREGISTER_RING_FDS },
	};

	/* By hand: liburing 2.3 declares a function for it but does not export it. */
	if (syscall(__NR_io_uring_register, ring->ring_fd, IORING_REGISTER_RESTRICTIONS, allowed,
		    ARRAY_SIZE(allowed)) < 0)
		return -errno;
	return 0;
}

int loop_io_uring_setup(struct io_uring *ring, unsigned cq_entries, unsigned flags)
{
	/* From the cheapest way of completing (work is done when we ask for it, on our thread) to
	 * what every kernel with multishot accept has. */
	static const unsigned ways[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL,
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
		IORING_SETUP_SUBMIT_ALL,
	};
	int r = -EINVAL;

	for (size_t i = 0; i < ARRAY_SIZE(ways) && r == -EINVAL; i++) {
		struct io_uring_params params = {
			.flags = ways[i] | flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
			.cq_entries = cq_entries,
		};

		r = io_uring_queue_init_params(MIN(SQ_ENTRIES_MAX, cq_entries), ring, &params);
	}
	if (r < 0 || !(flags & IORING_SETUP_R_DISABLED))
		return r;
	r = restrict_ring(ring);
	if (r < 0)
		io_uring_queue_exit(ring);
	return r;
}

/* kernel.io_uring_disabled: 0, 1 or 2; -1 if this kernel has no such switch. */
static int probe_disabled_sysctl(void)
{
	cleanup_close int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
	char digit;

	if (fd < 0 || read(fd, &digit, 1) != 1 || digit < '0' || digit > '9')
		return -1;
	return digit - '0';
}

int loop_io_uring_explain(int error, int disabled, struct err_text *err)
{
	switch (error) {
	case -EPERM:
	case -EACCES:
		if (disabled == 2)
			return err_set(err, error,
				       "io_uring is switched off on this host "
				       "(kernel.io_uring_disabled = 2); "
				       "`sysctl kernel.io_uring_disabled=0` allows it");
		if (disabled == 1)
			return err_set(err, error,
				       "io_uring is for privileged processes only on this host "
				       "(kernel.io_uring_disabled = 1); put this process into the "
				       "group of kernel.io_uring_group, or "
				       "`sysctl kernel.io_uring_disabled=0`");
		return err_set(err, error,
			       "io_uring is forbidden to this process, most likely by the seccomp "
			       "profile of its container or unit; allow io_uring_setup, "
			       "io_uring_enter and io_uring_register there");
	case -ENOSYS:
		return err_set(err, error,
			       "this kernel has no io_uring (CONFIG_IO_URING is off, it is older "
			       "than 5.1, or a seccomp profile hides it); it takes 5.19 or newer");
	case -ENOMEM:
		return err_set(err, error,
			       "no memory for an io_uring ring: on kernels before 5.12 it counts "
			       "as locked memory; raise RLIMIT_MEMLOCK (LimitMEMLOCK=)");
	case -EMFILE:
	case -ENFILE:
		return err_set(err, error,
			       "no file descriptor left for an io_uring ring; raise "
			       "RLIMIT_NOFILE (LimitNOFILE=)");
	case -EINVAL:
		return err_set(err, error,
			       "this kernel's io_uring is too old; it takes 5.19 or "
			       "newer");
	default:
		return err_set(err, error, "io_uring_setup failed: %s", strerror(-error));
	}
}

/* What is missing in the answers to the two requests of the probe, or NULL. */
static const char *probe_missing(struct io_uring *ring)
{
	const char *missing = NULL;
	struct io_uring_cqe *cqe;
	unsigned head, answers = 0;

	io_uring_for_each_cqe(ring, head, cqe)
	{
		answers++;
		if (cqe->user_data == LOOP_SLOT_WATCH &&
		    (cqe->res < 0 || !(cqe->flags & IORING_CQE_F_MORE)))
			missing = "multishot poll (kernel 5.13)";
		/* It is no socket, but only a kernel that does not know the flag says EINVAL. */
		if (cqe->user_data == LOOP_SLOT_ACCEPT && cqe->res == -EINVAL)
			missing = "multishot accept (kernel 5.19)";
	}
	return answers < 2 ? "answers to multishot poll and accept" : missing;
}

static int probe_operations(struct io_uring *ring, int event_fd, struct err_text *err)
{
	struct __kernel_timespec timeout = { .tv_sec = PROBE_WAIT_SECS };
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	const char *missing;
	int r;

	if (!(ring->features & IORING_FEAT_EXT_ARG) || !(ring->features & IORING_FEAT_CQE_SKIP))
		return err_set(err, -EOPNOTSUPP,
			       "this kernel's io_uring is too old; it takes 5.19 or newer");
	sqe = io_uring_get_sqe(ring);
	io_uring_prep_multishot_accept(sqe, event_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	sqe->user_data = LOOP_SLOT_ACCEPT;
	sqe = io_uring_get_sqe(ring);
	io_uring_prep_poll_multishot(sqe, event_fd, POLLIN);
	sqe->user_data = LOOP_SLOT_WATCH;
	r = io_uring_submit_and_wait_timeout(ring, &cqe, 2, &timeout, NULL);
	if (r < 0 && r != -ETIME && r != -EINTR)
		return err_set(err, r, "io_uring_enter failed: %s", strerror(-r));
	missing = probe_missing(ring);
	if (missing)
		return err_set(err, -EOPNOTSUPP, "this kernel's io_uring lacks %s", missing);
	return 0;
}

int loop_io_uring_check(struct err_text *err)
{
	struct io_uring ring;
	int event_fd;
	int r = loop_io_uring_setup(&ring, 8, 0);

	if (r < 0)
		return loop_io_uring_explain(r, probe_disabled_sysctl(), err);
	event_fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	if (event_fd < 0) {
		r = err_set(err, -errno, "can't make an eventfd: %m");
	} else {
		r = probe_operations(&ring, event_fd, err);
		close(event_fd);
	}
	io_uring_queue_exit(&ring);
	return r;
}

bool loop_io_uring_usable(struct err_text *ret_why)
{
	return loop_io_uring_check(ret_why) == 0;
}
