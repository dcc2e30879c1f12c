/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pacing (pacing.h) where the program is built in: it comes as bytes of this binary, libbpf gives
 * it to the kernel once, and from then on sockets are told whose they are by an option that the
 * program itself takes. So nobody needs the bpf system call later, and the sandbox goes on
 * forbidding it. The program stays as long as this process or one that has taken over from it.
 */
#include "kern/pacing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "base/util.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

/* ELF, as clang has made it. */
static const _Alignas(8) unsigned char object_bytes[] = {
#include "pacing_object.inc"
};

bool pacing_is_built(void)
{
	return true;
}

/* Of this process in the unified hierarchy: a line "0::/path". 0 or -errno. */
static int cgroup_path(char *ret, size_t size)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[4096];
	int r = -ENOENT;

	if (!file)
		return -errno;
	while (r < 0 && fgets(line, sizeof(line), file)) {
		if (strncmp(line, "0::/", 4) != 0)
			continue;
		line[strcspn(line, "\n")] = 0;
		r = snprintf(ret, size, CGROUP_ROOT "%s", line + 3) < (int)size ? 0 : -ENAMETOOLONG;
	}
	fclose(file);
	return r;
}

static int open_cgroup(struct err_text *err)
{
	char path[4096 + sizeof(CGROUP_ROOT)];
	struct statfs fs;
	int fd, r = cgroup_path(path, sizeof(path));

	if (r < 0)
		return err_set(err, r, "this process is in no cgroup of version 2");
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "can not open cgroup %s: %s", path, strerror(errno));
	if (fstatfs(fd, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC) {
		close(fd);
		return err_set(err, -ENOENT, "%s is no cgroup of version 2", path);
	}
	return fd;
}

/* Reasons are told by return codes; libbpf's own lines would go to standard error. */
static int say_nothing(enum libbpf_print_level level, const char *fmt, va_list args)
{
	return 0;
}

/* What holds a program where it is: a descriptor that a process which takes over from this one has
 * too, without doing anything. A proxy executes nothing else. */
static int attach(const struct bpf_program *program, int cgroup, struct err_text *err)
{
	struct bpf_link *link = bpf_program__attach_cgroup(program, cgroup);
	int r = 0;

	if (!link || fcntl(bpf_link__fd(link), F_DUPFD, 0) < 0)
		r = err_set(err, -errno, "the kernel does not attach %s: %s",
			    bpf_program__name(program), strerror(errno));
	bpf_link__destroy(link);
	return r;
}

static int attach_all(struct bpf_object *object, int cgroup, struct err_text *err)
{
	struct bpf_program *program = NULL;
	int r = 0;

	while (r == 0 && (program = bpf_object__next_program(object, program)))
		r = attach(program, cgroup, err);
	return r;
}

int pacing_attach(struct err_text *err)
{
	cleanup_close int cgroup = open_cgroup(err);
	struct bpf_object *object;
	int r;

	if (cgroup < 0)
		return cgroup;
	libbpf_set_print(say_nothing);
	object = bpf_object__open_mem(object_bytes, sizeof(object_bytes), NULL);
	if (!object)
		return err_set(err, -errno, "can not read the program: %s", strerror(errno));
	r = bpf_object__load(object);
	if (r == -EPERM)
		err_set(err, r, "not permitted: it takes CAP_BPF and CAP_NET_ADMIN at start");
	else if (r < 0)
		err_set(err, r, "the kernel does not take the program: %s", strerror(-r));
	else
		r = attach_all(object, cgroup, err);
	/* What is attached keeps what it needs. */
	bpf_object__close(object);
	return r;
}
