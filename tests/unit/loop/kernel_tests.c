/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel may do to us: no io_uring at all, a queue that overflows, completions lost. */
#include "unit/loop/fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loop/loop_io_uring_setup.h"

static void reasons_name_cause_and_remedy(void **state)
{
	static const struct {
		int error, disabled;
		const char *word;
	} rows[] = {
		{ -EPERM, 2, "kernel.io_uring_disabled = 2" },
		{ -EPERM, 1, "kernel.io_uring_group" },
		{ -EPERM, 0, "seccomp" },
		{ -EPERM, -1, "seccomp" },
		{ -EACCES, -1, "seccomp" },
		{ -ENOSYS, -1, "5.19" },
		{ -ENOMEM, -1, "RLIMIT_MEMLOCK" },
		{ -EMFILE, -1, "RLIMIT_NOFILE" },
		{ -EINVAL, -1, "5.19" },
		{ -EIO, -1, "Input/output error" },
	};
	struct err_text err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(loop_io_uring_explain(rows[i].error, rows[i].disabled, &err),
				 rows[i].error);
		assert_non_null(strstr(err.text, rows[i].word));
	}
}

static void auto_takes_what_there_is(void **state)
{
	struct err_text err;
	struct loop *loop;

	(void)state;
	assert_int_equal(loop_new(LOOP_AUTO, &loop, &err), 0);
	assert_int_equal(loop_kind(loop), loop_io_uring_usable(&err) ? LOOP_IO_URING : LOOP_EPOLL);
	assert_string_equal(loop_kind_name(LOOP_EPOLL), "epoll");
	assert_string_equal(loop_kind_name(LOOP_IO_URING), "io_uring");
	loop_free(loop);
	loop_free(NULL);
}

enum { ENDS = 64 };

static struct endpoint_watch ends[ENDS];
static int peers[ENDS];

static void ends_open(struct fixture *fx)
{
	memset(ends, 0, sizeof(ends));
	for (int i = 0; i < ENDS; i++) {
		int fds[2];

		fixture_socketpair(fds);
		peers[i] = fds[1];
		endpoint_start(fx, &ends[i], fds[0]);
	}
	fixture_turns(fx, 50);
}

static void ends_close(struct fixture *fx)
{
	for (int i = 0; i < ENDS; i++) {
		loop_watch_close(fx->loop, &ends[i].watch);
		fixture_until(fx, fixture_peer_gone, &peers[i]);
		close(peers[i]);
	}
}

static bool ends_all_readable(void *arg)
{
	(void)arg;
	for (int i = 0; i < ENDS; i++)
		if (!(ends[i].seen & LOOP_IN))
			return false;
	return true;
}

/* One byte to each, and each must be told. */
static void ends_check(struct fixture *fx)
{
	char c;

	for (int i = 0; i < ENDS; i++) {
		ends[i].seen = 0;
		assert_int_equal(write(peers[i], "x", 1), 1);
	}
	fixture_until(fx, ends_all_readable, NULL);
	for (int i = 0; i < ENDS; i++)
		assert_int_equal(recv(ends[i].watch.fd, &c, 1, 0), 1);
}

static void overflow_loses_no_event(void **state)
{
	struct fixture *fx = *state;

	if (!fx)
		skip();
	ends_open(fx);
	for (int i = 0; i < 20; i++)
		ends_check(fx);
	assert_true(loop_stats(fx->loop)->cq_overflows > 0);
	ends_close(fx);
}

static void resync_goes_unnoticed(void **state)
{
	struct fixture *fx = *state;

	if (!fx)
		skip();
	ends_open(fx);
	for (int i = 0; i < 5; i++) {
		loop_io_uring_resync(fx->loop);
		ends_check(fx);
	}
	ends_close(fx);
}

/* The answer that ends a request was lost: the slot thinks that the kernel still has it. */
static void lost_completion_is_found_by_resync(void **state)
{
	struct fixture *fx = *state;

	if (!fx)
		skip();
	ends_open(fx);
	for (int i = 0; i < ENDS; i++)
		fx->loop->slots[ends[i].watch.slot].generation += 1000;
	loop_io_uring_resync(fx->loop);
	fixture_turns(fx, 20);
	ends_check(fx);
	for (int i = 0; i < ENDS; i++) {
		loop_watch_close(fx->loop, &ends[i].watch);
		close(peers[i]);
	}
}

/* Seccomp does not see what a ring does: the ring itself refuses what the loop does not need. */
static void ring_refuses_what_the_loop_does_not_need(void **state)
{
	static const struct {
		uint8_t opcode, flags;
		int result;
	} rows[] = {
		{ IORING_OP_OPENAT, 0, -EACCES },
		{ IORING_OP_CONNECT, 0, -EACCES },
		{ IORING_OP_URING_CMD, 0, -EACCES },
		{ IORING_OP_ASYNC_CANCEL, IOSQE_IO_LINK, -EACCES },
		{ IORING_OP_ASYNC_CANCEL, 0, -ENOENT },
	};
	struct io_uring_cqe *cqe;
	struct io_uring ring;

	if (!*state)
		skip();
	assert_int_equal(loop_io_uring_setup(&ring, 8, IORING_SETUP_R_DISABLED), 0);
	assert_int_equal(syscall(__NR_io_uring_register, ring.ring_fd, IORING_REGISTER_ENABLE_RINGS,
				 NULL, 0),
			 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

		io_uring_prep_rw(rows[i].opcode, sqe, -1, NULL, 0, 0);
		sqe->flags = rows[i].flags;
		assert_int_equal(io_uring_submit_and_wait(&ring, 1), 1);
		assert_int_equal(io_uring_peek_cqe(&ring, &cqe), 0);
		assert_int_equal(cqe->res, rows[i].result);
		io_uring_cqe_seen(&ring, cqe);
	}
	io_uring_queue_exit(&ring);
}

const struct CMUnitTest kernel_tests[] = {
	cmocka_unit_test(reasons_name_cause_and_remedy),
	cmocka_unit_test(auto_takes_what_there_is),
	IO_URING_WITH(overflow_loses_no_event, fixture_setup_small_cq),
	IO_URING_WITH(resync_goes_unnoticed, fixture_setup),
	IO_URING_WITH(resync_goes_unnoticed, fixture_setup_small_cq),
	IO_URING_WITH(lost_completion_is_found_by_resync, fixture_setup),
	IO_URING_WITH(ring_refuses_what_the_loop_does_not_need, fixture_setup),
};
const size_t kernel_test_count = ARRAY_SIZE(kernel_tests);
