/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gathering for `sallyport probe` (probe.h). Each feature is tried by the module that would use it;
 * here they are only asked, and numbers of /proc and of the process's limits are added. Main
 * thread; nothing is kept.
 */
#include "kern/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/pipe.h"
#include "base/secret.h"
#include "base/util.h"
#include "kern/pacing.h"
#include "kern/sandbox.h"
#include "limits/limits.h"
#include "loop/loop.h"

#define ALL_SUITES ((1U << TLS_CIPHER_COUNT) - 1)

static uint64_t read_number(const char *path)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[64];
	uint64_t value;
	ssize_t n;

	if (fd < 0)
		return PROBE_UNKNOWN;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return PROBE_UNKNOWN;
	text[n] = 0;
	text[strcspn(text, "\n")] = 0;
	return parse_u64(text, 0, UINT64_MAX - 1, &value) == 0 ? value : PROBE_UNKNOWN;
}

static struct probe_limit read_limit(int resource)
{
	struct probe_limit limit = { PROBE_UNKNOWN, PROBE_UNKNOWN };
	struct rlimit value;

	if (getrlimit((__rlimit_resource_t)resource, &value) < 0)
		return limit;
	if (value.rlim_cur != RLIM_INFINITY)
		limit.soft = value.rlim_cur;
	if (value.rlim_max != RLIM_INFINITY)
		limit.hard = value.rlim_max;
	return limit;
}

static bool can_have_full_pipe(void)
{
	int fds[2], capacity = pipe_open(fds, O_CLOEXEC, PIPE_BYTES, PIPE_BYTES_MIN);

	if (capacity < 0)
		return false;
	close(fds[0]);
	close(fds[1]);
	return capacity >= PIPE_BYTES;
}

unsigned int probe_cores(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return (unsigned int)CPU_COUNT(&set);
	return (unsigned int)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L);
}

static bool can_lock_secrets(void)
{
	void *secret = secret_alloc(1);

	secret_free(secret, 1);
	return secret && secret_locked();
}

static void calibrate(struct probe *probe)
{
	struct ktls_suites wanted = { { 0 } };
	struct err_text unsaid;

	for (uint16_t version = TLS_VERSION_1_2; version <= TLS_VERSION_1_3; version++)
		if (ktls_is_fit(&probe->ktls, version, ALL_SUITES, &unsaid))
			wanted.of[ktls_version_index(version)] = ALL_SUITES;
	ktls_calibrate(&probe->calibration, &probe->ktls, &wanted, KTLS_CALIBRATION_MS_MAX);
}

void probe_gather(struct probe *ret)
{
	struct probe probe = { 0 };
	struct utsname name;

	if (uname(&name) == 0)
		snprintf(probe.kernel, sizeof(probe.kernel), "%s", name.release);
	probe.cores = probe_cores();
	probe.io_uring = loop_io_uring_usable(&probe.io_uring_why);
	if (probe.io_uring)
		probe.io_uring_why.text[0] = 0;
	ktls_probe(&probe.ktls);
	calibrate(&probe);
	probe.landlock_abi = MAX(sandbox_landlock_abi(&probe.landlock_why), 0);
	probe.pipe_bytes_max = read_number("/proc/sys/fs/pipe-max-size");
	probe.pipe_user_pages_soft = read_number("/proc/sys/fs/pipe-user-pages-soft");
	probe.pipe_full_size = can_have_full_pipe();
	probe.open_files = read_limit(RLIMIT_NOFILE);
	probe.locked_bytes = read_limit(RLIMIT_MEMLOCK);
	probe.secrets_locked = can_lock_secrets();
	if (pacing_attach(&probe.pacing_why) == 0)
		probe.pacing_why.text[0] = 0;
	pacing_devices(probe.fq, sizeof(probe.fq));
	*ret = probe;
}

enum ktls_use probe_ktls_use(const struct probe *probe, uint16_t version, enum tls_cipher cipher,
			     struct err_text *ret_why)
{
	const struct ktls_ways ways = KTLS_WAYS_USUAL;

	if (!ktls_is_fit(&probe->ktls, version, ALL_SUITES, ret_why))
		return KTLS_USE_NONE;
	return ktls_choose(&probe->calibration.costs[ktls_version_index(version)][cipher], &ways,
			   ret_why);
}
