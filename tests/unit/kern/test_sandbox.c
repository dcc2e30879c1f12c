/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox, tried from the inside: what the program needs goes on working, a forbidden system
 * call and a forbidden path fail. Seccomp is expected of every machine that runs tests; Landlock
 * where this kernel has it, and where it has not the facts must say so and the path be open.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "loop/loop.h"
#include "unit/kern/confined.h"

#ifdef SALLYPORT_SANITIZED
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

/* A user whom every Debian has. */
#define OTHER_USER "nobody"
/* What main() is called with when the program has been executed anew. */
#define EXECUTED_AGAIN "executed-again"
#define EXECUTED_CODE  42

static int folders_make(void **state)
{
	struct confined_folders *folders = calloc(1, sizeof(*folders));

	assert_non_null(folders);
	confined_folders_make(folders);
	*state = folders;
	return 0;
}

static int folders_remove(void **state)
{
	confined_folders_remove(*state);
	free(*state);
	return 0;
}

/* open() as a caller would, closed again; 0 or -errno. */
static int try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* What a forbidden path comes to on this kernel. */
static int denied(void)
{
	return confined_fact(SANDBOX_PART_LANDLOCK).in_force ? -EACCES : 0;
}

/* --- what is said is what is --- */

static uint64_t status_number(const char *key, int base)
{
	FILE *in = fopen("/proc/self/status", "r");
	char line[256];
	uint64_t value = UINT64_MAX;

	CHECK(in);
	while (fgets(line, sizeof(line), in))
		if (strncmp(line, key, strlen(key)) == 0)
			value = strtoull(line + strlen(key), NULL, base);
	fclose(in);
	CHECK(value != UINT64_MAX);
	return value;
}

static void check_facts(const struct confined_folders *folders, const void *arg)
{
	int abi = confined_landlock_abi();
	struct rlimit core;

	confined_enter(folders);
	CHECK(confined_fact(SANDBOX_PART_USER).in_force == (geteuid() != 0));
	CHECK(confined_fact(SANDBOX_PART_CAPABILITIES).in_force);
	CHECK(status_number("CapEff:", 16) == 0);
	CHECK(status_number("CapPrm:", 16) == 0);
	CHECK(status_number("CapInh:", 16) == 0);
	CHECK(status_number("CapAmb:", 16) == 0);
	CHECK(geteuid() != 0 || status_number("CapBnd:", 16) == 0);
	CHECK(confined_fact(SANDBOX_PART_NO_NEW_PRIVILEGES).in_force);
	CHECK(status_number("NoNewPrivs:", 10) == 1);
	CHECK(confined_fact(SANDBOX_PART_SECCOMP).in_force);
	CHECK(status_number("Seccomp:", 10) == 2);
	CHECK(confined_fact(SANDBOX_PART_LANDLOCK).in_force == (abi > 0));
	CHECK(confined_fact(SANDBOX_PART_NO_CORE).in_force);
	CHECK(prctl(PR_GET_DUMPABLE) == 0);
	CHECK(getrlimit(RLIMIT_CORE, &core) == 0);
	for (int i = 0; i < SANDBOX_PART_COUNT; i++)
		CHECK(confined_fact((enum sandbox_part)i).text[0]);
}

static void test_facts(void **state)
{
	print_message("Landlock of this kernel: ABI %d\n", confined_landlock_abi());
	confined_check(check_facts, *state, NULL);
}

static void check_off(const struct confined_folders *folders, const void *arg)
{
	struct sandbox_plan plan = { .mode = SANDBOX_OFF };
	uint64_t capabilities = status_number("CapEff:", 16),
		 seccomp = status_number("Seccomp:", 10);
	struct err_text err;

	CHECK(sandbox_apply(&plan, &err) == 0);
	CHECK(status_number("CapEff:", 16) == capabilities);
	CHECK(status_number("Seccomp:", 10) == seccomp);
	CHECK(try_open(confined_path(folders->closed, "file"), O_RDONLY) == 0);
	CHECK(!confined_fact(SANDBOX_PART_SECCOMP).in_force);
	CHECK(strstr(confined_fact(SANDBOX_PART_LANDLOCK).text, "off"));
	CHECK(confined_fact(SANDBOX_PART_NO_CORE).in_force);
}

static void test_off(void **state)
{
	confined_check(check_off, *state, NULL);
}

static void *wait_for_ever(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* A thread that was there before keeps what Landlock and capabilities took from the others: that
 * must not go unnoticed. */
static void check_thread_too_early(const struct confined_folders *folders, const void *arg)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
	confined_enter(folders);
	CHECK(!confined_fact(SANDBOX_PART_LANDLOCK).in_force);
	CHECK(!confined_fact(SANDBOX_PART_CAPABILITIES).in_force);
	CHECK(strstr(confined_fact(SANDBOX_PART_LANDLOCK).text, "1 threads"));
	CHECK(confined_fact(SANDBOX_PART_SECCOMP).in_force);
}

static void test_thread_too_early(void **state)
{
	confined_check(check_thread_too_early, *state, NULL);
}

/* --- what must go on working --- */

static void *touch(void *arg)
{
	char *bytes = malloc(1 << 20);

	if (bytes)
		memset(bytes, 1, 1 << 20);
	free(bytes);
	return bytes ? arg : NULL;
}

static void check_program_works(const struct confined_folders *folders, const void *arg)
{
	struct addrinfo *list = NULL;
	struct err_text err;
	struct loop *loop;
	pthread_t thread;
	void *ret = NULL;

	confined_enter(folders);
	CHECK(pthread_create(&thread, NULL, touch, &loop) == 0);
	CHECK(pthread_join(thread, &ret) == 0 && ret == &loop);
	CHECK(getaddrinfo("localhost", "80", NULL, &list) == 0);
	freeaddrinfo(list);
	/* No server answers there; what matters is that it is asked. */
	getaddrinfo("name.invalid", "80", NULL, &list);
	for (int kind = LOOP_IO_URING; kind <= LOOP_EPOLL; kind++) {
		if (kind == LOOP_IO_URING && !loop_io_uring_usable(&err))
			continue;
		CHECK(loop_new((enum loop_kind)kind, &loop, &err) == 0);
		loop_free(loop);
	}
	CHECK(try_open("/dev/null", O_WRONLY) == 0);
	CHECK(try_open("/dev/urandom", O_RDONLY) == 0);
	CHECK(try_open("/proc/self/stat", O_RDONLY) == 0);
	CHECK(getpwuid(0));
}

static void test_program_works(void **state)
{
	confined_check(check_program_works, *state, NULL);
}

/* As kubelet and certbot change files: the file itself, a link to a folder, a link to elsewhere. */
static void check_replaced(const struct confined_folders *folders, const void *arg)
{
	struct sandbox_plan plan = { .mode = SANDBOX_AUTO };
	struct err_text err;
	int to_child[2], to_parent[2];
	pid_t child;
	char byte;

	CHECK(pipe(to_child) == 0 && pipe(to_parent) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		sandbox_allow_path(&plan, confined_path(folders->open, "link/file"),
				   SANDBOX_READ_REPLACED);
		sandbox_allow_path(&plan, confined_path(folders->top, "live/file"),
				   SANDBOX_READ_REPLACED);
		CHECK(sandbox_apply(&plan, &err) == 0);
		CHECK(write(to_parent[1], "", 1) == 1 && read(to_child[0], &byte, 1) == 1);
		CHECK(try_open(confined_path(folders->open, "link/file"), O_RDONLY) == 0);
		CHECK(try_open(confined_path(folders->top, "live/file"), O_RDONLY) == 0);
		CHECK(try_open(confined_path(folders->closed, "file"), O_RDONLY) == denied());
		_exit(0);
	}
	CHECK(read(to_parent[0], &byte, 1) == 1);
	/* …/open/link -> first becomes …/open/link -> second */
	CHECK(symlink("second", confined_path(folders->open, "new")) == 0);
	CHECK(rename(confined_path(folders->open, "new"), confined_path(folders->open, "link")) ==
	      0);
	/* …/live/file -> ../archive/1 becomes …/live/file -> ../archive/2, which is new */
	confined_write(confined_path(folders->top, "archive/2"), "2");
	CHECK(symlink("../archive/2", confined_path(folders->top, "live/new")) == 0);
	CHECK(rename(confined_path(folders->top, "live/new"),
		     confined_path(folders->top, "live/file")) == 0);
	CHECK(write(to_child[1], "", 1) == 1);
	int status = -1;

	CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void test_replaced(void **state)
{
	const struct confined_folders *folders = *state;

	assert_int_equal(mkdir(confined_path(folders->open, "first"), 0755), 0);
	assert_int_equal(mkdir(confined_path(folders->open, "second"), 0755), 0);
	confined_write(confined_path(folders->open, "first/file"), "1");
	confined_write(confined_path(folders->open, "second/file"), "2");
	assert_int_equal(symlink("first", confined_path(folders->open, "link")), 0);
	assert_int_equal(mkdir(confined_path(folders->top, "live"), 0755), 0);
	assert_int_equal(mkdir(confined_path(folders->top, "archive"), 0755), 0);
	confined_write(confined_path(folders->top, "archive/1"), "1");
	assert_int_equal(symlink("../archive/1", confined_path(folders->top, "live/file")), 0);
	confined_check(check_replaced, folders, NULL);
}

static int bind_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	CHECK(fd >= 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static void check_unix_sockets(const struct confined_folders *folders, const void *arg)
{
	struct sandbox_plan plan = { .mode = SANDBOX_AUTO };
	struct err_text err;

	sandbox_allow_path(&plan, confined_path(folders->open, "a.sock"), SANDBOX_SOCKET);
	CHECK(sandbox_apply(&plan, &err) == 0);
	CHECK(bind_unix(confined_path(folders->open, "a.sock")) == 0);
	CHECK(bind_unix(confined_path(folders->closed, "a.sock")) == denied());
	CHECK(unlink(confined_path(folders->open, "a.sock")) == 0);
	/* The folder of a socket is not one to read or to write in. */
	CHECK(try_open(confined_path(folders->open, "file"), O_RDONLY) == denied());
	CHECK(try_open(confined_path(folders->open, "new"), O_WRONLY | O_CREAT) == denied());
}

static void test_unix_sockets(void **state)
{
	confined_check(check_unix_sockets, *state, NULL);
}

/* A log that is rotated: written, moved away by somebody else, made again. */
static void check_written(const struct confined_folders *folders, const void *arg)
{
	struct sandbox_plan plan = { .mode = SANDBOX_AUTO };
	const char *file = confined_path(folders->open, "log");
	struct err_text err;

	sandbox_allow_path(&plan, file, SANDBOX_WRITE_REPLACED);
	sandbox_allow_path(&plan, "/dev/full", SANDBOX_WRITE_REPLACED);
	CHECK(sandbox_apply(&plan, &err) == 0);
	CHECK(try_open(file, O_WRONLY | O_APPEND | O_CREAT) == 0);
	CHECK(try_open(file, O_RDONLY) == 0);
	CHECK((unlink(file) ? -errno : 0) == denied());
	CHECK(try_open("/dev/full", O_WRONLY) == 0);
	/* The folder of a device is everybody's. */
	CHECK(try_open("/dev/zero", O_WRONLY) == denied());
	CHECK(try_open(confined_path(folders->closed, "log"), O_WRONLY | O_CREAT) == denied());
}

static void test_written(void **state)
{
	confined_check(check_written, *state, NULL);
}

/* Keys that are renewed: written aside, renamed over, old ones removed; nothing beside them. */
static void check_store(const struct confined_folders *folders, const void *arg)
{
	struct sandbox_plan plan = { .mode = SANDBOX_AUTO };
	const char *aside = confined_path(folders->open, ".new-keys");
	const char *file = confined_path(folders->open, "keys");
	struct err_text err;

	sandbox_allow_path(&plan, folders->open, SANDBOX_STORE);
	CHECK(sandbox_apply(&plan, &err) == 0);
	CHECK(try_open(folders->open, O_RDONLY | O_DIRECTORY) == 0);
	for (int i = 0; i < 2; i++) {
		CHECK(try_open(aside, O_WRONLY | O_CREAT | O_EXCL) == 0);
		CHECK(rename(aside, file) == 0);
		CHECK(try_open(file, O_RDONLY) == 0);
	}
	CHECK(unlink(file) == 0);
	CHECK(try_open(confined_path(folders->closed, "keys"), O_WRONLY | O_CREAT) == denied());
}

static void test_store(void **state)
{
	confined_check(check_store, *state, NULL);
}

/* --- what must not --- */

static void check_paths(const struct confined_folders *folders, const void *arg)
{
	const char *file = confined_path(folders->open, "file");

	confined_enter(folders);
	CHECK(try_open(file, O_RDONLY) == 0);
	CHECK(try_open(confined_path(folders->closed, "file"), O_RDONLY) == denied());
	CHECK(try_open("/root", O_RDONLY | O_DIRECTORY) == (geteuid() ? -EACCES : denied()));
	CHECK(try_open("/etc", O_RDONLY | O_DIRECTORY) == denied());
	CHECK(try_open("/etc/fstab", O_RDONLY) != 0 || denied() == 0);
	CHECK(try_open(file, O_WRONLY) == denied());
	CHECK(try_open(confined_path(folders->open, "new"), O_WRONLY | O_CREAT) == denied());
	CHECK((rename(file, confined_path(folders->open, "moved")) ? -errno : 0) == denied());
}

static void test_paths(void **state)
{
	confined_check(check_paths, *state, NULL);
}

/* Each fails with EPERM and changes nothing. */
static void check_calls(const struct confined_folders *folders, const void *arg)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	confined_enter(folders);
#define REFUSED(call)                                                                              \
	do {                                                                                       \
		errno = 0;                                                                         \
		CHECK((call) == -1 && errno == EPERM);                                             \
	} while (0)
	REFUSED(socket(AF_PACKET, SOCK_RAW, 0));
	REFUSED(socket(AF_VSOCK, SOCK_STREAM, 0));
	REFUSED(socket(AF_ALG, SOCK_SEQPACKET, 0));
	REFUSED(socket(AF_NETLINK, SOCK_RAW, 9 /* NETLINK_AUDIT */));
	REFUSED(memfd_create("x", 0));
	REFUSED(mprotect(page, 4096, PROT_READ | PROT_EXEC));
	REFUSED(mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
	REFUSED((intptr_t)mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0));
	REFUSED(setuid(0));
	REFUSED(setgid(0));
	REFUSED(chmod("/tmp", 0777));
	REFUSED(chown("/tmp", 0, 0));
	REFUSED(link("/etc/passwd", "/tmp/x"));
	REFUSED(mkdir(confined_path(folders->open, "folder"), 0700));
	REFUSED(ioctl(STDIN_FILENO, TIOCSTI, "x"));
	REFUSED(prctl(PR_SET_DUMPABLE, 1));
	REFUSED(prctl(PR_SET_PTRACER, -1L));
	REFUSED(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL));
	REFUSED(prlimit(getppid(), RLIMIT_NOFILE, NULL, &(struct rlimit){ 0 }));
	REFUSED(syscall(SYS_execveat, 0, "/bin/true", NULL, NULL, 0));
	errno = 0;
	CHECK(syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS);
	CHECK(prctl(PR_GET_DUMPABLE) == 0);
}

static void test_calls(void **state)
{
	confined_check(check_calls, *state, NULL);
}

static void make_deadly_call(const struct confined_folders *folders, const void *arg)
{
	confined_enter(folders);
	syscall(*(const long *)arg, 0, 0, 0, 0, 0, 0);
}

static void test_deadly_calls(void **state)
{
	static const struct {
		const char *name;
		long number;
	} rows[] = {
		{ "ptrace", SYS_ptrace },
		{ "process_vm_readv", SYS_process_vm_readv },
		{ "process_vm_writev", SYS_process_vm_writev },
		{ "bpf", SYS_bpf },
		{ "kexec_load", SYS_kexec_load },
		{ "init_module", SYS_init_module },
		{ "finit_module", SYS_finit_module },
		{ "mount", SYS_mount },
		{ "fsopen", SYS_fsopen },
		{ "setns", SYS_setns },
		{ "unshare", SYS_unshare },
		{ "keyctl", SYS_keyctl },
		{ "add_key", SYS_add_key },
		{ "userfaultfd", SYS_userfaultfd },
		{ "perf_event_open", SYS_perf_event_open },
		{ "chroot", SYS_chroot },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int status = confined_run(make_deadly_call, *state, &rows[i].number);

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("%s: wait status %#x", rows[i].name, (unsigned int)status);
	}
}

#ifdef __x86_64__
/* The 32-bit table of calls has other numbers: none of it is let in. */
static void make_foreign_call(const struct confined_folders *folders, const void *arg)
{
	long result;

	confined_enter(folders);
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20L /* getpid */) : "memory");
}

static void test_foreign_calls(void **state)
{
	int status = confined_run(make_foreign_call, *state, NULL);

	assert_true(WIFSIGNALED(status));
	/* SIGSEGV: a kernel without 32-bit calls has no such gate at all. */
	assert_true(WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV);
}
#endif

static int run_program(const char *path)
{
	pid_t child = fork();
	int status = -1;

	CHECK(child >= 0);
	if (child == 0) {
		execl(path, path, EXECUTED_AGAIN, NULL);
		_exit(errno);
	}
	CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* An upgrade executes this program; nobody executes another. */
static void check_execute(const struct confined_folders *folders, const void *arg)
{
	char self[256];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	CHECK(n > 0);
	self[n] = 0;
	confined_enter(folders);
	CHECK(run_program(self) == EXECUTED_CODE);
	CHECK(run_program("/bin/true") == -denied());
	CHECK(run_program(confined_path(folders->open, "true")) == -denied());
}

static void test_execute(void **state)
{
	const struct confined_folders *folders = *state;
	char command[256];

	snprintf(command, sizeof(command), "cp /bin/true %s", confined_path(folders->open, "true"));
	assert_int_equal(system(command), 0);
	confined_check(check_execute, folders, NULL);
}

/* --- another user --- */

static int bind_port(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	CHECK(fd >= 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static void check_user(const struct confined_folders *folders, const void *arg)
{
	const struct sandbox_plan *plan = arg;
	const struct passwd *entry = getpwnam(OTHER_USER);
	uint64_t capabilities = plan->keep_bind_service ? 1 << 10 : 0;
	gid_t groups[64];
	struct err_text err;
	uid_t uid;

	CHECK(entry);
	uid = entry->pw_uid;
	CHECK(sandbox_apply(plan, &err) == 0);
	CHECK(getuid() == uid && geteuid() == uid && getgid() == entry->pw_gid);
	for (int i = 0, count = getgroups(ARRAY_SIZE(groups), groups); i < count; i++)
		CHECK(groups[i] != 0);
	CHECK(confined_fact(SANDBOX_PART_USER).in_force);
	CHECK(status_number("CapEff:", 16) == capabilities);
	CHECK(status_number("CapPrm:", 16) == capabilities);
	CHECK(status_number("CapAmb:", 16) == capabilities);
	CHECK(setuid(0) == -1 && errno == EPERM);
	CHECK(prctl(PR_GET_DUMPABLE) == 0);
	/* In use is fine too: it was not forbidden. */
	CHECK((bind_port(1) == -EACCES) == !plan->keep_bind_service);
}

static void test_user(void **state)
{
	if (geteuid() != 0) {
		print_message("not root: a change of user can not be tried\n");
		return;
	}
	for (int mode = SANDBOX_AUTO; mode <= SANDBOX_OFF; mode++)
		for (int keep = 0; keep <= 1; keep++) {
			struct sandbox_plan plan = { .mode = (enum sandbox_mode)mode,
						     .user = OTHER_USER,
						     .keep_bind_service = keep };

			if (mode == SANDBOX_REQUIRED && !confined_landlock_abi())
				continue;
			/* The port must not be in the way of the capability. */
			sandbox_allow_port(&plan, 1, true);
			confined_check(check_user, *state, &plan);
			sandbox_plan_fini(&plan);
		}
}

static void check_unknown_user(const struct confined_folders *folders, const void *arg)
{
	struct sandbox_plan plan = { .mode = SANDBOX_AUTO, .user = "no-such-user" };
	struct err_text err;
	int r = sandbox_apply(&plan, &err);

	CHECK(geteuid() != 0 || (r == -ENOENT && strstr(err.text, "no-such-user")));
	CHECK(geteuid() == 0 || r == 0);
}

static void test_unknown_user(void **state)
{
	confined_check(check_unknown_user, *state, NULL);
}

/* --- required --- */

static void check_required(const struct confined_folders *folders, const void *arg)
{
	struct sandbox_plan plan = { .mode = SANDBOX_REQUIRED };
	int abi = confined_landlock_abi();
	struct err_text err = { "" };
	int r = sandbox_apply(&plan, &err);

	if (geteuid() == 0)
		CHECK(r == -EOPNOTSUPP && strstr(err.text, "user is missing"));
	else if (!abi)
		CHECK(r == -EOPNOTSUPP && strstr(err.text, "landlock is missing"));
	else
		CHECK(r == 0);
}

static void test_required(void **state)
{
	confined_check(check_required, *state, NULL);
}

static int connect_port(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	CHECK(fd >= 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	r = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/* Whatever listens there or not: a forbidden port says EACCES. */
static void check_ports(const struct confined_folders *folders, const void *arg)
{
	struct sandbox_plan plan = { .mode = SANDBOX_REQUIRED,
				     .user = geteuid() ? NULL : OTHER_USER };
	bool has_ports = confined_landlock_abi() >= 4;
	struct err_text err;

	sandbox_allow_port(&plan, 0, true);
	sandbox_allow_port(&plan, 2, false);
	CHECK(sandbox_apply(&plan, &err) == 0);
	CHECK(!strstr(confined_fact(SANDBOX_PART_LANDLOCK).text, "ports") == !has_ports);
	CHECK(bind_port(0) == 0);
	CHECK(connect_port(2) != -EACCES);
	CHECK((connect_port(3) == -EACCES) == has_ports);
	CHECK((bind_port(20001) == -EACCES) == has_ports);
}

static void test_ports(void **state)
{
	if (confined_landlock_abi())
		confined_check(check_ports, *state, NULL);
}

static void check_sanitized(const struct confined_folders *folders, const void *arg)
{
	confined_enter(folders);
	for (int i = SANDBOX_PART_CAPABILITIES; i <= SANDBOX_PART_SECCOMP; i++)
		CHECK(strstr(confined_fact((enum sandbox_part)i).text, "sanitizers"));
	CHECK(try_open(confined_path(folders->closed, "file"), O_RDONLY) == 0);
}

/* They read files and trace their own process: the sandbox stands aside, and says so. */
static void test_sanitized(void **state)
{
	confined_check(check_sanitized, *state, NULL);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, folders_make, folders_remove)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_off),		  TEST(test_unknown_user),
		TEST(test_facts),	  TEST(test_thread_too_early),
		TEST(test_program_works), TEST(test_replaced),
		TEST(test_unix_sockets),  TEST(test_written),
		TEST(test_store),	  TEST(test_paths),
		TEST(test_calls),	  TEST(test_deadly_calls),
#ifdef __x86_64__
		TEST(test_foreign_calls),
#endif
		TEST(test_execute),	  TEST(test_user),
		TEST(test_required),	  TEST(test_ports),
	};
	static const struct CMUnitTest sanitized_tests[] = {
		TEST(test_off),
		TEST(test_unknown_user),
		TEST(test_sanitized),
	};

	if (argc > 1 && strcmp(argv[1], EXECUTED_AGAIN) == 0)
		return EXECUTED_CODE;
	if (IS_SANITIZED)
		return cmocka_run_group_tests(sanitized_tests, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
