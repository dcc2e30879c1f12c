/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of the loop. Each behaviour is one function and runs on both back ends; the tables are
 * at the end of each file. Nothing is asserted about how long something took, but that a timer is
 * never early.
 */
#include "unit/loop/fixture.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

int main(void)
{
	struct rlimit files;
	int failed = 0;

	/* Some tests hold 2,000 sockets. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	failed +=
		_cmocka_run_group_tests("loop: watches", watch_tests, watch_test_count, NULL, NULL);
	failed += _cmocka_run_group_tests("loop: accepts", accept_tests, accept_test_count, NULL,
					  NULL);
	failed +=
		_cmocka_run_group_tests("loop: timers", timer_tests, timer_test_count, NULL, NULL);
	failed += _cmocka_run_group_tests("loop: tasks and threads", thread_tests,
					  thread_test_count, NULL, NULL);
	failed += _cmocka_run_group_tests("loop: what the kernel may do", kernel_tests,
					  kernel_test_count, NULL, NULL);
	return failed ? 1 : 0;
}
