/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that runs out at a chosen allocation of the program's own code: malloc, calloc, realloc,
 * secret memory, and the objects that it asks OpenSSL for. What libraries allocate inside
 * themselves is not touched. The seam is the linker: FAILING_ALLOC_WRAPS of
 * tests/unit/dataplane/meson.build. One thread.
 */
#ifndef SALLYPORT_TESTS_LIB_FAILING_ALLOC_H
#define SALLYPORT_TESTS_LIB_FAILING_ALLOC_H

#include <stdbool.h>

enum failing_alloc_mode {
	FAILING_ALLOC_ONE,  /* the n-th fails, the next one works again */
	FAILING_ALLOC_FROM, /* the n-th and all that follow fail */
};

/* From now on, while not suspended; n counts from 1. 0: none fails, they are only counted. */
void failing_alloc_arm(unsigned long n, enum failing_alloc_mode mode);
/* The end of it. True if one has failed. */
bool failing_alloc_disarm(void);
/* While the test itself allocates. */
void failing_alloc_suspend(bool suspended);
/* Allocations since the last arming. */
unsigned long failing_alloc_count(void);

#endif
