/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of this process (process_stats.h), from /proc and getrusage(2). The thread that answers
 * HTTP requests; what can not be read is left out and no error. */
#include "admin/process_stats.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"

#define STARTTIME_FIELD 22 /* of /proc/PID/stat, from 1; the second is "(name)" */

/* Ticks after boot, as the kernel knows it; 0: not known. */
static uint64_t start_ticks(void)
{
	cleanup_close int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	char text[1024], *at;
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	at = strrchr(text, ')'); /* there may be blanks in the name */
	for (int field = 2; at && field < STARTTIME_FIELD; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

static uint64_t started_ms(void)
{
	uint64_t ticks = start_ticks(), now_ms = clock_realtime_ns() / NSEC_PER_MSEC, age_ms;
	struct timespec since_boot;

	if (!ticks)
		return now_ms;
	clock_gettime(CLOCK_BOOTTIME, &since_boot);
	age_ms = (uint64_t)since_boot.tv_sec * 1000 + (uint64_t)since_boot.tv_nsec / NSEC_PER_MSEC -
		 ticks * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
	return now_ms - age_ms;
}

void process_files_open(struct process_files *files)
{
	files->fds = opendir("/proc/self/fd");
	files->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	files->started_ms = started_ms();
}

void process_files_close(struct process_files *files)
{
	if (files->fds)
		closedir(files->fds);
	if (files->statm_fd >= 0)
		close(files->statm_fd);
}

static int64_t count_fds(DIR *fds)
{
	int64_t count = 0;
	struct dirent *entry;
	struct stat st;

	if (!fds)
		return -1;
	/* From Linux 6.2 on the folder knows how many there are. */
	if (fstat(dirfd(fds), &st) == 0 && st.st_size > 0)
		return st.st_size;
	rewinddir(fds);
	while ((entry = readdir(fds)))
		count += entry->d_name[0] != '.';
	return count;
}

static void read_memory(int fd, struct process_stats *ret)
{
	char text[128], *resident;
	ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
	long page = sysconf(_SC_PAGESIZE);

	if (n <= 0)
		return;
	text[n] = '\0';
	ret->virtual_bytes = (int64_t)strtoull(text, &resident, 10) * page;
	ret->resident_bytes = (int64_t)strtoull(resident, NULL, 10) * page;
}

void process_stats_read(const struct process_files *files, struct process_stats *ret)
{
	struct rlimit limit;
	struct rusage usage;

	*ret = (struct process_stats){
		.resident_bytes = -1, .virtual_bytes = -1, .open_fds = -1, .max_fds = -1
	};
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		ret->cpu_ns =
			(uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NSEC_PER_SEC +
			(uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
	read_memory(files->statm_fd, ret);
	ret->open_fds = count_fds(files->fds);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		ret->max_fds = (int64_t)limit.rlim_cur;
}
