/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children that put themselves into the sandbox and then try things: each test's body runs in one
 * of its own, because what the sandbox takes does not come back.
 */
#ifndef SALLYPORT_TESTS_CONFINED_H
#define SALLYPORT_TESTS_CONFINED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kern/sandbox.h"

/* The folders of a test: what is in `open` may be read, `closed` is nobody's business. */
struct confined_folders {
	char top[64], open[80], closed[80];
};

/* In a child: what is false is said on standard error and fails the test. */
#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what))                                                                       \
			confined_fail(__FILE__, __LINE__, #what);                                  \
	} while (0)
void confined_fail(const char *file, int line, const char *what) __attribute__((noreturn));

/* Makes the folders, with a file "file" in each; removes them with all that is inside. */
void confined_folders_make(struct confined_folders *ret);
void confined_folders_remove(const struct confined_folders *folders);
/* "FOLDER/NAME", good for the next fifteen calls. */
const char *confined_path(const char *folder, const char *name);
void confined_write(const char *path, const char *text);

/* Runs `body` in a child; its wait status. */
int confined_run(void (*body)(const struct confined_folders *folders, const void *arg),
		 const struct confined_folders *folders, const void *arg);
/* The same, and the child must end well. */
void confined_check(void (*body)(const struct confined_folders *folders, const void *arg),
		    const struct confined_folders *folders, const void *arg);

/* In a child: applies a plan that has the file "open/file" as one to be read after replacement. */
void confined_enter(const struct confined_folders *folders);
/* What is in force of a part. */
struct sandbox_fact confined_fact(enum sandbox_part part);
/* Whether this kernel has Landlock, and since when: its ABI, or 0. Asked without the sandbox. */
int confined_landlock_abi(void);

#endif
