/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin socket (admin_socket.h). Its file is made so that nobody else can reach it for a
 * moment, taken over from a process that has died, never from one that lives, unless this process
 * is to replace it: then its file waits under another name until it serves.
 */
#include "admin/admin_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/util.h"

#define BACKLOG		  128
#define FOLDER_MODE	  0755
#define REFUSED_PERIOD_NS NSEC_PER_SEC
/* Of the file while the process that is replaced still answers on the real one. */
#define REPLACING_SUFFIX ".new"

static int fail(struct err_text *err, int error, const char *path, const char *what)
{
	const char *hint = error == EADDRINUSE ? ": another process answers there"
			   : error == ENOENT   ? ": its folder is not there"
			   : error == EEXIST   ? ": something that is no socket is there"
					       : "";

	return err_set(err, -error, "admin.socket %s: can not %s: %s%s", path, what,
		       strerror(error), hint);
}

/* A process that becomes another user has this user own what it made as root: else it could neither
 * be reached as that user nor remove its socket. */
static void give_to_user(const char *user, const char *path)
{
	const struct passwd *entry = user && geteuid() == 0 ? getpwnam(user) : NULL;

	if (entry && chown(path, entry->pw_uid, entry->pw_gid) < 0)
		log_msg(LOG_WARNING, "admin_socket", "%s can not be given to user %s: %m", path,
			user);
}

/* The folder of the socket, locked against others who start; -errno. */
static int lock_folder(const char *path, bool make, const char *user)
{
	char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	char *slash;
	int fd;

	memcpy(folder, path, strlen(path) + 1);
	slash = strrchr(folder, '/');
	slash[slash == folder] = 0;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && make) {
		if (mkdir(folder, FOLDER_MODE) < 0 && errno != EEXIST)
			return -errno;
		give_to_user(user, folder);
		fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

/* 0: the path is free now. */
static int make_way(const struct sockaddr_un *address)
{
	/* Non-blocking: one whose backlog is full is alive, and would keep us waiting. */
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
		return -EADDRINUSE;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(address->sun_path) < 0 ? -errno : 0;
}

/* Its mode is the kernel's doing, so that there is no moment in which it is another one; and a
 * sandbox, in which an upgrade starts, changes no modes. */
static int bind_with_mode(int fd, const struct sockaddr_un *address, mode_t mode)
{
	mode_t before = umask(0777 & ~mode);
	int r = bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;

	umask(before);
	return r;
}

static int listen_at(struct admin_socket *admin, const char *path, bool make_folder,
		     const struct admin_socket_options *options, struct err_text *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	cleanup_close int folder = -1, fd = -1;
	struct stat st;
	int r;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s%s", path,
		 options->replaces ? REPLACING_SUFFIX : "");
	folder = lock_folder(path, make_folder, options->user);
	if (folder < 0)
		return fail(err, -folder, path, "use its folder");
	r = make_way(&address);
	if (r < 0)
		return fail(err, -r, path, "listen there");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	r = fd < 0 ? -errno : bind_with_mode(fd, &address, admin->allowed_count ? 0666 : 0600);
	if (r < 0)
		return fail(err, -r, path, "make the socket");
	give_to_user(options->user, address.sun_path);
	if (listen(fd, BACKLOG) < 0 || lstat(address.sun_path, &st) < 0) {
		r = fail(err, errno, path, "make the socket");
		unlink(address.sun_path);
		return r;
	}
	memcpy(admin->path, address.sun_path, sizeof(admin->path));
	admin->dev = st.st_dev;
	admin->ino = st.st_ino;
	admin->listen_fd = TAKE_FD(fd);
	return 0;
}

static void take_uids(struct admin_socket *admin, const struct config_strings *uids)
{
	uint64_t uid;

	for (size_t i = 0; i < uids->count; i++)
		/* The configuration has been checked. */
		if (parse_u64(uids->items[i], 0, UINT32_MAX - 1, &uid) == 0)
			admin->allowed_uids[admin->allowed_count++] = (uid_t)uid;
}

int admin_socket_open(struct admin_socket *admin, const struct admin_socket_options *options,
		      struct err_text *err)
{
	const char *wanted = options->config->socket;
	struct err_text why;

	*admin = (struct admin_socket){ .listen_fd = -1 };
	take_uids(admin, &options->config->allow_uids);
	if (strcmp(wanted, "off") == 0)
		return 0;
	if (strcmp(wanted, "auto") != 0)
		return listen_at(admin, wanted, false, options, err);
	if (listen_at(admin, options->usual, true, options, &why) < 0)
		log_msg(LOG_WARNING, "admin_socket",
			"%s; there is none, so that no command can reach this %s: set admin.socket "
			"to another path, or to off",
			why.text, options->whose);
	return 0;
}

int admin_socket_publish(struct admin_socket *admin, struct err_text *err)
{
	size_t len = strlen(admin->path), suffix = strlen(REPLACING_SUFFIX);
	char path[sizeof(admin->path)];

	if (len <= suffix || strcmp(admin->path + len - suffix, REPLACING_SUFFIX) != 0)
		return 0;
	memcpy(path, admin->path, sizeof(path));
	path[len - suffix] = 0;
	if (rename(admin->path, path) < 0)
		return fail(err, errno, path, "take its place");
	memcpy(admin->path, path, sizeof(path));
	return 0;
}

void admin_socket_close(struct admin_socket *admin)
{
	struct stat st;

	if (admin->listen_fd >= 0)
		close(TAKE_FD(admin->listen_fd));
	if (admin->path[0] && lstat(admin->path, &st) == 0 && st.st_dev == admin->dev &&
	    st.st_ino == admin->ino)
		unlink(admin->path);
	admin->path[0] = 0;
}

/* --- who may ask --- */

static void log_stranger(const struct ucred *who)
{
	static uint64_t next_ns; /* the server's thread alone */
	uint64_t now_ns = clock_monotonic_ns();
	struct log_line line;

	if (now_ns < next_ns)
		return;
	next_ns = now_ns + REFUSED_PERIOD_NS;
	log_begin(&line, LOG_WARNING, "admin_refused");
	log_u64(&line, "by_uid", who->uid);
	log_u64(&line, "by_pid", (uint64_t)who->pid);
	log_str(&line, "msg", "not root, not the process's user, not in admin.allow_uids");
	log_end(&line);
}

bool admin_socket_admits(const struct admin_socket *admin, int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		return false;
	if (who.uid == 0 || who.uid == geteuid())
		return true;
	for (size_t i = 0; i < admin->allowed_count; i++)
		if (admin->allowed_uids[i] == who.uid)
			return true;
	log_stranger(&who);
	return false;
}
