/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock part of the sandbox (sandbox.h): which files may be opened and executed, and for
 * `required` which TCP ports may be bound and connected to. By raw system calls: the C library has
 * none for them, and a build machine's headers may be older than the kernel it will run on, hence
 * the names of our own for what came later. Main thread; what it opens it closes.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "kern/sandbox_impl.h"

/* Values of the kernel's interface (linux/landlock.h) by the ABI that brought them. */
#define FS_TRUNCATE	    (1ULL << 14) /* 3 */
#define FS_IOCTL_DEV	    (1ULL << 15) /* 5 */
#define NET_BIND_TCP	    (1ULL << 0)	 /* 4 */
#define NET_CONNECT_TCP	    (1ULL << 1)	 /* 4 */
#define SCOPE_ABSTRACT_UNIX (1ULL << 0)	 /* 6 */
#define SCOPE_SIGNAL	    (1ULL << 1)	 /* 6 */
#define RULE_NET_PORT	    2

#define ABI_REFER    2
#define ABI_TRUNCATE 3
#define ABI_NET	     4
#define ABI_IOCTL    5
#define ABI_SCOPE    6

struct ruleset_attr {
	uint64_t handled_access_fs, handled_access_net, scoped;
};

struct net_port_attr {
	uint64_t allowed_access, port;
};

static_assert(offsetof(struct ruleset_attr, handled_access_fs) ==
		      offsetof(struct landlock_ruleset_attr, handled_access_fs),
	      "as the kernel has it");
static_assert(sizeof(struct ruleset_attr) == 24, "three words without gaps");
static_assert(sizeof(struct net_port_attr) == 16, "two words without gaps");

#define READ_FILE   (uint64_t)LANDLOCK_ACCESS_FS_READ_FILE
#define READ	    (READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE	    (LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE)
#define EXECUTE	    (uint64_t)LANDLOCK_ACCESS_FS_EXECUTE
#define MAKE_FILE   (uint64_t)LANDLOCK_ACCESS_FS_MAKE_REG
#define REMOVE_FILE (uint64_t)LANDLOCK_ACCESS_FS_REMOVE_FILE
/* The folder itself is opened to be locked: admin/admin_socket.c. */
#define SOCKETS                                                                                    \
	(LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE |                           \
	 LANDLOCK_ACCESS_FS_READ_DIR)
/* What a rule about one file may say: the others are about what is in a folder. */
#define OF_FILES (READ_FILE | WRITE | EXECUTE | FS_IOCTL_DEV)

/* A folder that holds only the program, so that all of it may be executed: see allow_program(). */
#define OWN_FOLDER    "sallyport"
#define RESOLVER_FILE "/etc/resolv.conf"

/* What the program reads by itself, directly or through the C library and OpenSSL. Of /etc only
 * files, so that nothing else of it can be read by root. */
static const struct {
	const char *path;
	enum sandbox_access access;
} system_paths[] = {
	{ "/usr/lib", SANDBOX_READ },
	{ "/usr/lib64", SANDBOX_READ },
	{ "/lib", SANDBOX_READ },
	{ "/lib64", SANDBOX_READ },
	{ "/usr/local/lib", SANDBOX_READ },
	{ "/etc/ld.so.cache", SANDBOX_READ },
	{ "/etc/ld.so.preload", SANDBOX_READ },
	{ "/etc/ssl/openssl.cnf", SANDBOX_READ },
	{ "/etc/hosts", SANDBOX_READ },
	{ "/etc/host.conf", SANDBOX_READ },
	{ "/etc/nsswitch.conf", SANDBOX_READ },
	{ "/etc/gai.conf", SANDBOX_READ },
	{ "/etc/services", SANDBOX_READ },
	{ "/etc/passwd", SANDBOX_READ },
	{ "/etc/group", SANDBOX_READ },
	{ "/etc/localtime", SANDBOX_READ },
	{ "/proc", SANDBOX_READ },
	{ "/sys/devices/system/cpu", SANDBOX_READ },
	{ "/dev/null", SANDBOX_READ_WRITE },
	{ "/dev/random", SANDBOX_READ },
	{ "/dev/urandom", SANDBOX_READ },
};

static int ruleset_create(const struct ruleset_attr *attr, uint32_t flags)
{
	return (int)syscall(SYS_landlock_create_ruleset, attr, attr ? sizeof(*attr) : 0, flags);
}

static uint64_t handled_fs(int abi)
{
	/* All of ABI 1 are the bits up to MAKE_SYM. */
	uint64_t handled = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;

	if (abi >= ABI_REFER)
		handled |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= ABI_TRUNCATE)
		handled |= FS_TRUNCATE;
	if (abi >= ABI_IOCTL)
		handled |= FS_IOCTL_DEV;
	return handled;
}

/* A supervisor that listens on an abstract socket could not be told that we are ready. */
static bool notifies_abstract_socket(void)
{
	const char *notify = getenv("NOTIFY_SOCKET");

	return notify && notify[0] == '@';
}

static struct ruleset_attr ruleset_of(const struct sandbox_plan *plan, int abi)
{
	struct ruleset_attr attr = { .handled_access_fs = handled_fs(abi) };

	if (abi >= ABI_NET && plan->mode == SANDBOX_REQUIRED)
		attr.handled_access_net = NET_BIND_TCP | NET_CONNECT_TCP;
	if (abi >= ABI_SCOPE)
		attr.scoped = SCOPE_SIGNAL | (notifies_abstract_socket() ? 0 : SCOPE_ABSTRACT_UNIX);
	return attr;
}

/* A path that is not there, or that we may not reach anyhow, needs no rule. */
static int allow(int ruleset, uint64_t handled, const char *path, uint64_t access)
{
	cleanup_close int fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr attr = { .parent_fd = fd };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	attr.allowed_access = access & handled & (S_ISDIR(st.st_mode) ? UINT64_MAX : OF_FILES);
	if (!attr.allowed_access)
		return 0;
	/* EBADFD: it is in no file system, such as a pipe behind /dev/stdout, and so free anyhow.
	 */
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &attr, 0) < 0 &&
	    errno != EBADFD)
		return -errno;
	return 0;
}

/* The folder of an absolute path; nothing for one in the root folder, or the whole system would be
 * open. False then. */
static bool folder_of(const char *path, char ret[PATH_MAX])
{
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path || slash - path >= PATH_MAX)
		return false;
	memmove(ret, path, (size_t)(slash - path));
	ret[slash - path] = 0;
	return true;
}

static int allow_folder_of(int ruleset, uint64_t handled, const char *path, uint64_t access)
{
	char folder[PATH_MAX];

	return folder_of(path, folder) ? allow(ruleset, handled, folder, access)
				       : allow(ruleset, handled, path, access);
}

/* Where a folder on the way is a link (…/current/tls.crt), whoever changes the link needs no more
 * than the folder that it is in; unless that is one like /var, with everybody's files. */
static int allow_links_on_the_way(int ruleset, uint64_t handled, const char *path)
{
	char folder[PATH_MAX], parent[PATH_MAX];
	struct stat st;
	int r = 0;

	for (const char *at = path; r == 0 && folder_of(at, folder); at = folder) {
		if (lstat(folder, &st) < 0 || !S_ISLNK(st.st_mode))
			continue;
		if (folder_of(folder, parent) && strchr(parent + 1, '/'))
			r = allow(ruleset, handled, parent, READ);
	}
	return r;
}

static int allow_replaced(int ruleset, uint64_t handled, const char *path)
{
	char real[PATH_MAX];
	struct stat st;
	int r;

	/* A pipe is read once; and /dev/stdin must not open all of /dev. */
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	r = allow_folder_of(ruleset, handled, path, READ);
	if (r == 0)
		r = allow_links_on_the_way(ruleset, handled, path);
	if (r == 0 && realpath(path, real))
		r = allow_folder_of(ruleset, handled, real, READ);
	return r;
}

static int allow_written(int ruleset, uint64_t handled, const char *path)
{
	struct stat st;
	int r = 0;

	/* A pipe or a device: it stays where it is, though a link to it may be replaced. */
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		r = allow(ruleset, handled, path, READ_FILE | WRITE);
	if (r == 0 && strncmp(path, "/dev/", 5) != 0)
		r = allow_folder_of(ruleset, handled, path, READ_FILE | WRITE | MAKE_FILE);
	return r;
}

/* Where it is a link, a service replaces what it points to whenever the network changes. */
static int allow_resolver(int ruleset, uint64_t handled)
{
	char real[PATH_MAX];
	int r = allow(ruleset, handled, RESOLVER_FILE, READ);

	if (r == 0 && realpath(RESOLVER_FILE, real) && strcmp(real, RESOLVER_FILE) != 0)
		r = allow_folder_of(ruleset, handled, real, READ);
	return r;
}

static int allow_path(int ruleset, uint64_t handled, const char *path, enum sandbox_access access)
{
	switch (access) {
	case SANDBOX_READ:
		return allow(ruleset, handled, path, READ);
	case SANDBOX_READ_WRITE:
		return allow(ruleset, handled, path, READ | WRITE);
	case SANDBOX_READ_REPLACED:
		return allow_replaced(ruleset, handled, path);
	case SANDBOX_WRITE_REPLACED:
		return allow_written(ruleset, handled, path);
	case SANDBOX_STORE:
		return allow(ruleset, handled, path, READ | WRITE | MAKE_FILE | REMOVE_FILE);
	case SANDBOX_SOCKET:
		return allow_folder_of(ruleset, handled, path, SOCKETS);
	}
	return -EINVAL;
}

/* The program interpreter (ld.so) that this program names. */
static int find_loader(struct dl_phdr_info *info, size_t size, void *ret)
{
	(void)size;
	for (size_t i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_INTERP)
			*(const char **)ret =
				(const char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	return 1; /* the first object is the program itself */
}

/* An upgrade executes the program anew, as a file that may have come since. Where it lies in a
 * folder of its own, whatever is there may be executed; elsewhere only this very file: a folder
 * such as /usr/bin has a shell in it. */
static int allow_program(int ruleset, uint64_t handled)
{
	const char *loader = NULL;
	char program[PATH_MAX], folder[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	int r = 0;

	dl_iterate_phdr(find_loader, &loader);
	if (loader)
		r = allow(ruleset, handled, loader, READ | EXECUTE);
	if (r < 0 || n < 0)
		return r;
	program[n] = 0;
	if (folder_of(program, folder) && strcmp(strrchr(folder, '/') + 1, OWN_FOLDER) == 0)
		return allow(ruleset, handled, folder, READ | EXECUTE);
	return allow(ruleset, handled, program, READ | EXECUTE);
}

static int allow_ports(int ruleset, const struct sandbox_plan *plan)
{
	for (size_t i = 0; i < plan->port_count; i++) {
		struct net_port_attr attr = {
			.allowed_access = plan->ports[i].bind ? NET_BIND_TCP : NET_CONNECT_TCP,
			.port = plan->ports[i].port,
		};

		if (syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &attr, 0) < 0)
			return -errno;
	}
	return 0;
}

static int add_rules(int ruleset, const struct ruleset_attr *attr, const struct sandbox_plan *plan)
{
	uint64_t handled = attr->handled_access_fs;
	int r = allow_program(ruleset, handled);

	if (r == 0)
		r = allow_resolver(ruleset, handled);
	for (size_t i = 0; i < ARRAY_SIZE(system_paths) && r == 0; i++)
		r = allow_path(ruleset, handled, system_paths[i].path, system_paths[i].access);
	for (size_t i = 0; i < plan->path_count && r == 0; i++)
		r = allow_path(ruleset, handled, plan->paths[i].path, plan->paths[i].access);
	if (r == 0 && attr->handled_access_net)
		r = allow_ports(ruleset, plan);
	return r;
}

static const char *reason(int error)
{
	switch (error) {
	case -ENOSYS:
		return "this kernel is built without it";
	case -EOPNOTSUPP:
		return "switched off on this host: add landlock to lsm= of the kernel's command "
		       "line";
	case -E2BIG:
		return "16 layers are in force already, as after many upgrades in a row: restart";
	case -EPERM:
		return "forbidden, most likely by the seccomp profile of a container";
	default:
		return strerror(-error);
	}
}

int sandbox_landlock_abi(struct err_text *err)
{
	int abi = ruleset_create(NULL, LANDLOCK_CREATE_RULESET_VERSION);

	return abi < 0 ? err_set(err, -errno, "%s", reason(-errno)) : abi;
}

static int restrict_files(const struct sandbox_plan *plan, const struct ruleset_attr *attr)
{
	cleanup_close int ruleset = ruleset_create(attr, 0);
	int r;

	if (ruleset < 0)
		return -errno;
	r = add_rules(ruleset, attr, plan);
	if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		r = -errno;
	return r;
}

void sandbox_landlock(const struct sandbox_plan *plan, struct sandbox_fact *fact)
{
	struct ruleset_attr attr;
	struct err_text why;
	int abi = sandbox_landlock_abi(&why), r;

	if (abi < 0) {
		sandbox_fact_set(fact, false, "%.150s", why.text);
		return;
	}
	attr = ruleset_of(plan, abi);
	r = restrict_files(plan, &attr);
	if (r < 0)
		sandbox_fact_set(fact, false, "%s", reason(r));
	else
		sandbox_fact_set(
			fact, true, "ABI %d: files%s%s%s", abi, abi >= ABI_IOCTL ? ", devices" : "",
			attr.handled_access_net ? ", ports" : "", attr.scoped ? ", signals" : "");
}
