/* SPDX-License-Identifier: Apache-2.0 */
/* How many descriptors this process has, to see that none is left behind. After cmocka.h. */
#ifndef SALLYPORT_TESTS_LIB_OPEN_FDS_H
#define SALLYPORT_TESTS_LIB_OPEN_FDS_H

#include <dirent.h>
#include <stddef.h>

/* With the one that looks, each time. */
static inline size_t open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

#endif
