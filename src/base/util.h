/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small helpers that every file may use: array sizes, ownership by cleanup attributes,
 * saturating copies. No state, no I/O.
 */
#ifndef SALLYPORT_BASE_UTIL_H
#define SALLYPORT_BASE_UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
/* Names of their own for each use, so that one may stand within another without shadowing it. */
#define PICK(a, b, less)	     PICK_NUMBERED(a, b, less, __COUNTER__)
#define PICK_NUMBERED(a, b, less, n) PICK_NAMED(a, b, less, n)
#define PICK_NAMED(a, b, less, n)                                                                  \
	({                                                                                         \
		__auto_type _a##n = (a);                                                           \
		__auto_type _b##n = (b);                                                           \
		_a##n less _b##n ? _a##n : _b##n;                                                  \
	})
#define MIN(a, b)			PICK(a, b, <)
#define MAX(a, b)			PICK(a, b, >)
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define SHA256_BYTES 32

#define NSEC_PER_SEC  1000000000ULL
#define NSEC_PER_MSEC 1000000ULL

/* Ownership: a variable so marked releases what it still owns when it leaves its scope. */
static inline void cleanup_free_p(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close_p(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define cleanup_free  __attribute__((cleanup(cleanup_free_p)))
#define cleanup_close __attribute__((cleanup(cleanup_close_p)))

/* Hands an owned pointer or descriptor on to somebody else and forgets it here. */
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__auto_type _p = (p);                                                              \
		(p) = NULL;                                                                        \
		_p;                                                                                \
	})
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int _fd = (fd);                                                                    \
		(fd) = -1;                                                                         \
		_fd;                                                                               \
	})

#endif
