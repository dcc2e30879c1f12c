/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting that fails: nothing is lost, the loop goes on, and it does not spin while the kernel is
 * out of something. The seam is the linker (-Wl,--wrap of what the back ends wait with).
 */
#include "unit/loop/fixture.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <liburing.h>

#define ROUNDS 200

/* Of `every` waits the last fails with `error`; 0: none. */
static unsigned int every, waits;
static int error;

static bool fails(void)
{
	return every && ++waits % every == 0;
}

int __real_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
					    unsigned wait_nr, struct __kernel_timespec *ts,
					    sigset_t *sigmask);
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
					    unsigned wait_nr, struct __kernel_timespec *ts,
					    sigset_t *sigmask);
int __real_io_uring_submit_and_get_events(struct io_uring *ring);
int __wrap_io_uring_submit_and_get_events(struct io_uring *ring);
int __real_epoll_wait(int fd, struct epoll_event *events, int count, int timeout);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int count, int timeout);
int __real_epoll_pwait2(int fd, struct epoll_event *events, int count,
			const struct timespec *timeout, const sigset_t *sigmask);
int __wrap_epoll_pwait2(int fd, struct epoll_event *events, int count,
			const struct timespec *timeout, const sigset_t *sigmask);

int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
					    unsigned wait_nr, struct __kernel_timespec *ts,
					    sigset_t *sigmask)
{
	if (fails())
		return -error;
	return __real_io_uring_submit_and_wait_timeout(ring, cqe, wait_nr, ts, sigmask);
}

int __wrap_io_uring_submit_and_get_events(struct io_uring *ring)
{
	return fails() ? -error : __real_io_uring_submit_and_get_events(ring);
}

int __wrap_epoll_wait(int fd, struct epoll_event *events, int count, int timeout)
{
	if (!fails())
		return __real_epoll_wait(fd, events, count, timeout);
	errno = error;
	return -1;
}

int __wrap_epoll_pwait2(int fd, struct epoll_event *events, int count,
			const struct timespec *timeout, const sigset_t *sigmask)
{
	if (!fails())
		return __real_epoll_pwait2(fd, events, count, timeout, sigmask);
	errno = error;
	return -1;
}

static void read_all(struct endpoint_watch *end, uint32_t events)
{
	char c;

	(void)events;
	while (read(end->watch.fd, &c, 1) == 1)
		end->received++;
}

static size_t wanted;

static bool has_come(void *arg)
{
	return ((struct endpoint_watch *)arg)->received == wanted;
}

static void bytes_come_through(struct fixture *fx)
{
	struct endpoint_watch end = { .then = read_all };
	int fds[2];

	fixture_socketpair(fds);
	endpoint_start(fx, &end, fds[0]);
	for (wanted = 1; wanted <= ROUNDS; wanted++) {
		assert_int_equal(write(fds[1], "x", 1), 1);
		fixture_until(fx, has_come, &end);
	}
	loop_watch_close(fx->loop, &end.watch);
	close(fds[1]);
	fixture_turns(fx, 2);
}

static void waits_that_fail(void **state)
{
	/* Of io_uring_enter(2); epoll knows only the first. */
	static const int errors[] = { EINTR, EAGAIN, EBUSY, EBADR };
	struct fixture *fx = *state;

	if (!fx)
		skip();
	for (size_t i = 0; i < (fx->kind == LOOP_EPOLL ? 1 : ARRAY_SIZE(errors)); i++) {
		error = errors[i];
		every = 2;
		waits = 0;
		bytes_come_through(fx);
		assert_true(waits > ROUNDS);
		every = 0;
	}
}

static void stop_on_fire(struct loop_timer *timer)
{
	struct fixture *fx = container_of(timer, struct fixture, guard);

	loop_stop(fx->loop);
}

/* A tenth of a second in which every wait fails at once: the loop looks a few times, not a hundred
 * thousand times. */
static void does_not_spin_without_memory(void **state)
{
	struct fixture *fx = *state;
	uint64_t before;

	if (!fx)
		skip();
	fixture_turns(fx, 1);
	before = loop_stats(fx->loop)->iterations;
	error = EAGAIN;
	every = 1;
	fx->guard.on_fire = stop_on_fire;
	loop_timer_set(fx->loop, &fx->guard, clock_monotonic_ns() + NSEC_PER_SEC / 10);
	assert_int_equal(loop_run(fx->loop), 0);
	every = 0;
	assert_in_range(loop_stats(fx->loop)->iterations - before, 1, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(waits_that_fail),
		IO_URING_WITH(does_not_spin_without_memory, fixture_setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
