/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seccomp part of the sandbox (sandbox.h): a list of the system calls that the program, the C
 * library and OpenSSL make from here on, with their arguments where those matter. The list also has
 * what a fresh start of the program needs, because an upgrade executes it under this very filter.
 *
 * Others fail with EPERM, which a library may survive, and are written to the kernel's audit log;
 * those that only an intruder would make end the process. To see what was refused:
 * docs/hardening.md. Main thread.
 */
#include <errno.h>
#include <linux/sched.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <seccomp.h>

#include "base/util.h"
#include "kern/sandbox_impl.h"

/* Arguments are of type int: the kernel does not look at the upper half of the register. */
#define LOW_HALF		0xffffffffULL
#define ARG_IS(number, value)	SCMP_CMP64(number, SCMP_CMP_MASKED_EQ, LOW_HALF, (uint32_t)(value))
#define ARG_HAS_NONE(number, m) SCMP_CMP64(number, SCMP_CMP_MASKED_EQ, m, 0)

#define NEW_NAMESPACES                                                                             \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)

/* A name that this architecture or this libseccomp does not know is left out. */
static const char *const allowed[] = {
	/* sockets, pipes and what is waited for */
	"accept",
	"accept4",
	"bind",
	"connect",
	"epoll_create",
	"epoll_create1",
	"epoll_ctl",
	"epoll_pwait",
	"epoll_pwait2",
	"epoll_wait",
	"eventfd2",
	"getpeername",
	"getsockname",
	"getsockopt",
	"inotify_add_watch",
	"inotify_init1",
	"inotify_rm_watch",
	"io_uring_enter",
	"io_uring_register",
	"io_uring_setup",
	"listen",
	"pipe",
	"pipe2",
	"poll",
	"ppoll",
	"pselect6",
	"recvfrom",
	"recvmmsg",
	"recvmsg",
	"select",
	"sendmmsg",
	"sendmsg",
	"sendto",
	"setsockopt",
	"shutdown",
	"signalfd4",
	"splice",
	"timerfd_create",
	"timerfd_gettime",
	"timerfd_settime",
	/* files, which ones is Landlock's business */
	"access",
	"close",
	"close_range",
	"dup",
	"dup2",
	"dup3",
	"faccessat",
	"faccessat2",
	"fcntl",
	"fdatasync",
	"flock",
	"fstat",
	"fstatfs",
	"fsync",
	"ftruncate",
	"getcwd",
	"getdents64",
	"lseek",
	"lstat",
	"newfstatat",
	"open",
	"openat",
	"pread64",
	"preadv",
	"pwrite64",
	"pwritev",
	"read",
	"readlink",
	"readlinkat",
	"readv",
	"rename",
	"renameat",
	"renameat2",
	"stat",
	"statfs",
	"statx",
	"umask",
	"unlink",
	"unlinkat",
	"write",
	"writev",
	/* memory */
	"brk",
	"madvise",
	"membarrier",
	"mlock",
	"mlock2",
	"mremap",
	"munlock",
	"munmap",
	/* threads, time, signals */
	"clock_getres",
	"clock_gettime",
	"clock_nanosleep",
	"exit",
	"exit_group",
	"futex",
	"futex_waitv",
	"get_robust_list",
	"getcpu",
	"getrandom",
	"gettid",
	"gettimeofday",
	"kill",
	"nanosleep",
	"pause",
	"restart_syscall",
	"rseq",
	"rt_sigaction",
	"rt_sigpending",
	"rt_sigprocmask",
	"rt_sigreturn",
	"rt_sigsuspend",
	"rt_sigtimedwait",
	"sched_get_priority_max",
	"sched_get_priority_min",
	"sched_getaffinity",
	"sched_getparam",
	"sched_getscheduler",
	"sched_setaffinity",
	"sched_yield",
	"set_robust_list",
	"set_tid_address",
	"sigaltstack",
	"tgkill",
	"time",
	/* who and what we are */
	"getegid",
	"geteuid",
	"getgid",
	"getgroups",
	"getpgrp",
	"getpid",
	"getppid",
	"getresgid",
	"getresuid",
	"getrlimit",
	"getrusage",
	"getsid",
	"getuid",
	"sysinfo",
	"times",
	"uname",
	/* the program started anew in an upgrade; the last ones can only take away */
	"arch_prctl",
	"execve",
	"fork",
	"pidfd_open",
	"setrlimit",
	"vfork",
	"wait4",
	"waitid",
	"capget",
	"capset",
	"landlock_add_rule",
	"landlock_create_ruleset",
	"landlock_restrict_self",
	"seccomp",
};

/* Nobody makes these by accident. */
static const char *const deadly[] = {
	"add_key",
	"bpf",
	"chroot",
	"create_module",
	"delete_module",
	"finit_module",
	"fsconfig",
	"fsmount",
	"fsopen",
	"fspick",
	"init_module",
	"ioperm",
	"iopl",
	"kexec_file_load",
	"kexec_load",
	"keyctl",
	"mount",
	"mount_setattr",
	"move_mount",
	"open_by_handle_at",
	"open_tree",
	"perf_event_open",
	"pivot_root",
	"process_vm_readv",
	"process_vm_writev",
	"ptrace",
	"reboot",
	"request_key",
	"setns",
	"swapoff",
	"swapon",
	"umount2",
	"unshare",
	"userfaultfd",
};

/* Allowed with these arguments only; of several rows for one call any will do. */
static const struct {
	const char *name;
	unsigned int count;
	struct scmp_arg_cmp args[2];
} conditional[] = {
	{ "socket", 1, { ARG_IS(0, AF_UNIX) } },
	{ "socket", 1, { ARG_IS(0, AF_INET) } },
	{ "socket", 1, { ARG_IS(0, AF_INET6) } },
	{ "socket", 2, { ARG_IS(0, AF_NETLINK), ARG_IS(2, 0 /* NETLINK_ROUTE */) } },
	{ "socketpair", 1, { ARG_IS(0, AF_UNIX) } },
	/* Memory is either written or executed. */
	{ "mmap", 1, { ARG_HAS_NONE(2, PROT_EXEC) } },
	{ "mmap", 1, { ARG_HAS_NONE(2, PROT_WRITE) } },
	{ "mprotect", 1, { ARG_HAS_NONE(2, PROT_EXEC) } },
	{ "clone", 1, { ARG_HAS_NONE(0, NEW_NAMESPACES) } },
	{ "prlimit64", 1, { ARG_IS(0, 0 /* ourselves */) } },
	{ "ioctl", 1, { ARG_IS(1, TCGETS) } },
	{ "ioctl", 1, { ARG_IS(1, FIONREAD) } },
	{ "ioctl", 1, { ARG_IS(1, FIONBIO) } },
	{ "ioctl", 1, { ARG_IS(1, SIOCOUTQ) } },
	{ "ioctl", 1, { ARG_IS(1, SIOCGIFNAME) } },
	{ "ioctl", 1, { ARG_IS(1, SIOCGIFINDEX) } },
	{ "prctl", 1, { ARG_IS(0, PR_SET_NAME) } },
	{ "prctl", 1, { ARG_IS(0, PR_GET_NAME) } },
	{ "prctl", 1, { ARG_IS(0, PR_SET_VMA) } },
	{ "prctl", 1, { ARG_IS(0, PR_GET_DUMPABLE) } },
	{ "prctl", 2, { ARG_IS(0, PR_SET_DUMPABLE), ARG_IS(1, 0) } },
	{ "prctl", 1, { ARG_IS(0, PR_SET_PDEATHSIG) } },
	{ "prctl", 1, { ARG_IS(0, PR_SET_NO_NEW_PRIVS) } },
	{ "prctl", 1, { ARG_IS(0, PR_GET_NO_NEW_PRIVS) } },
	{ "prctl", 1, { ARG_IS(0, PR_CAPBSET_READ) } },
	{ "prctl", 1, { ARG_IS(0, PR_CAPBSET_DROP) } },
	{ "prctl", 1, { ARG_IS(0, PR_CAP_AMBIENT) } },
	{ "prctl", 1, { ARG_IS(0, PR_SET_SECCOMP) } },
};

static int add_rule(scmp_filter_ctx filter, uint32_t action, const char *name, unsigned int count,
		    const struct scmp_arg_cmp *args)
{
	int number = seccomp_syscall_resolve_name(name);

	return number == __NR_SCMP_ERROR
		       ? 0
		       : seccomp_rule_add_array(filter, action, number, count, args);
}

static int add_rules(scmp_filter_ctx filter)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(allowed) && r == 0; i++)
		r = add_rule(filter, SCMP_ACT_ALLOW, allowed[i], 0, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(conditional) && r == 0; i++)
		r = add_rule(filter, SCMP_ACT_ALLOW, conditional[i].name, conditional[i].count,
			     conditional[i].args);
	for (size_t i = 0; i < ARRAY_SIZE(deadly) && r == 0; i++)
		r = add_rule(filter, SCMP_ACT_KILL_PROCESS, deadly[i], 0, NULL);
	/* Its flags can not be looked at: the C library then takes clone(). */
	return r == 0 ? add_rule(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL) : r;
}

static int load_filter(scmp_filter_ctx filter)
{
	int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (r < 0)
		return r;
	/* Nice to have: what is refused in the audit log, and a quick search. */
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	r = add_rules(filter);
	return r == 0 ? seccomp_load(filter) : r;
}

void sandbox_seccomp(struct sandbox_fact *fact)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = filter ? load_filter(filter) : -ENOMEM;

	if (filter)
		seccomp_release(filter);
	if (r < 0)
		sandbox_fact_set(fact, false, "%s",
				 r == -EINVAL ? "this kernel has no seccomp filters"
					      : strerror(-r));
	else
		sandbox_fact_set(fact, true, "a list of what is allowed");
}
