/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel says of this process: the numbers that every Prometheus client library gives.
 */
#ifndef SALLYPORT_ADMIN_PROCESS_STATS_H
#define SALLYPORT_ADMIN_PROCESS_STATS_H

#include <dirent.h>
#include <stdint.h>

/* Open from the start on, so that the numbers are there when no descriptor is left, or no path may
 * be opened any more. */
struct process_files {
	DIR *fds;	     /* NULL: can not be had */
	int statm_fd;	     /* -1: … */
	uint64_t started_ms; /* since the epoch */
};

struct process_stats {
	uint64_t cpu_ns;
	int64_t resident_bytes, virtual_bytes; /* -1: not known */
	int64_t open_fds, max_fds;	       /* -1: not known */
};

void process_files_open(struct process_files *files);
void process_files_close(struct process_files *files);
/* One thread at a time. */
void process_stats_read(const struct process_files *files, struct process_stats *ret);

#endif
