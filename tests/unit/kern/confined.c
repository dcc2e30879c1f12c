/* SPDX-License-Identifier: Apache-2.0 */
/* Children in the sandbox (confined.h). */
#include "unit/kern/confined.h"

#include <errno.h>
#include <ftw.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void confined_fail(const char *file, int line, const char *what)
{
	dprintf(STDERR_FILENO, "%s:%d: not so: %s (errno %s)\n", file, line, what,
		strerrorname_np(errno));
	_exit(1);
}

const char *confined_path(const char *folder, const char *name)
{
	static char paths[16][256];
	static unsigned int turn;
	char *path = paths[turn++ % 16];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

void confined_write(const char *path, const char *text)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
}

void confined_folders_make(struct confined_folders *ret)
{
	snprintf(ret->top, sizeof(ret->top), "/tmp/sallyport-sandbox-XXXXXX");
	assert_non_null(mkdtemp(ret->top));
	/* Others than root shall get in too. */
	assert_int_equal(chmod(ret->top, 0755), 0);
	snprintf(ret->open, sizeof(ret->open), "%s/open", ret->top);
	snprintf(ret->closed, sizeof(ret->closed), "%s/closed", ret->top);
	assert_int_equal(mkdir(ret->open, 0777), 0);
	assert_int_equal(mkdir(ret->closed, 0777), 0);
	confined_write(confined_path(ret->open, "file"), "open\n");
	confined_write(confined_path(ret->closed, "file"), "closed\n");
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	return remove(path);
}

void confined_folders_remove(const struct confined_folders *folders)
{
	assert_int_equal(nftw(folders->top, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

int confined_run(void (*body)(const struct confined_folders *folders, const void *arg),
		 const struct confined_folders *folders, const void *arg)
{
	pid_t child = fork();
	int status = -1;

	assert_true(child >= 0);
	if (child == 0) {
		body(folders, arg);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

void confined_check(void (*body)(const struct confined_folders *folders, const void *arg),
		    const struct confined_folders *folders, const void *arg)
{
	assert_int_equal(confined_run(body, folders, arg), 0);
}

void confined_enter(const struct confined_folders *folders)
{
	struct sandbox_plan plan = { .mode = SANDBOX_AUTO };
	struct err_text err = { "" };

	sandbox_allow_path(&plan, confined_path(folders->open, "file"), SANDBOX_READ_REPLACED);
	CHECK(sandbox_apply(&plan, &err) == 0);
	sandbox_plan_fini(&plan);
}

struct sandbox_fact confined_fact(enum sandbox_part part)
{
	struct sandbox_fact facts[SANDBOX_PART_COUNT];

	sandbox_facts(facts);
	return facts[part];
}

int confined_landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return abi > 0 ? (int)abi : 0;
}
