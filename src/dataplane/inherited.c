/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets from outside (inherited.h). Main thread, at start; owns what nobody has taken.
 */
#include "dataplane/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/util.h"

#define FIRST_FD 3 /* of LISTEN_FDS: SD_LISTEN_FDS_START */
#define FDS_MAX	 65536

static bool is_listening_stream(int fd)
{
	int type = 0, listening = 0;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening;
}

int inherited_add(struct inherited_sockets *sockets, int fd, const char *name, struct err_text *err)
{
	struct inherited_socket *items;
	char *copy;

	if (!is_listening_stream(fd)) {
		err_set(err, -EINVAL,
			"descriptor %d (%s) that was handed over is no listening stream socket", fd,
			name ? name : "no name");
		close(fd);
		return -EINVAL;
	}
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	items = realloc(sockets->items, (sockets->count + 1) * sizeof(*items));
	if (items)
		sockets->items = items;
	copy = strdup(name ? name : "");
	if (!items || !copy) {
		free(copy);
		close(fd);
		return err_set(err, -ENOMEM, "out of memory");
	}
	items[sockets->count++] = (struct inherited_socket){ .fd = fd, .name = copy };
	return 0;
}

/* The next of a list with colons; cuts it there. NULL: there are no more. */
static char *next_name(char **names)
{
	return *names ? strsep(names, ":") : NULL;
}

int inherited_from_manager(struct inherited_sockets *sockets, struct err_text *err)
{
	const char *pid_text = getenv("LISTEN_PID"), *count_text = getenv("LISTEN_FDS");
	const char *names_text = getenv("LISTEN_FDNAMES");
	cleanup_free char *names = strdup(names_text ? names_text : "");
	char *rest = names;
	uint64_t pid = 0, count = 0;
	int r = 0;

	if (pid_text && count_text && parse_u64(pid_text, 1, INT32_MAX, &pid) == 0 &&
	    (pid_t)pid == getpid() && parse_u64(count_text, 0, FDS_MAX, &count) < 0)
		r = err_set(err, -EINVAL, "LISTEN_FDS=%s: a number is expected", count_text);
	/* The descriptors first: a name that is missing is no reason to leak one. */
	for (int fd = FIRST_FD; fd < FIRST_FD + (int)count && r == 0; fd++)
		r = inherited_add(sockets, fd, next_name(&rest), err);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return r;
}

static bool same_address(int fd, const struct endpoint *listen)
{
	struct sockaddr_storage ours = { 0 }, theirs;
	const struct sockaddr_in *in = (const void *)&ours, *to = (const void *)&theirs;
	const struct sockaddr_in6 *in6 = (const void *)&ours, *to6 = (const void *)&theirs;
	const struct sockaddr_un *un = (const void *)&ours, *to_un = (const void *)&theirs;
	socklen_t len = sizeof(ours), their_len;

	if (getsockname(fd, (struct sockaddr *)&ours, &len) < 0 ||
	    endpoint_sockaddr(listen, &theirs, &their_len) < 0 ||
	    ours.ss_family != theirs.ss_family)
		return false;
	if (ours.ss_family == AF_INET)
		return in->sin_port == to->sin_port && in->sin_addr.s_addr == to->sin_addr.s_addr;
	if (ours.ss_family == AF_INET6)
		return in6->sin6_port == to6->sin6_port &&
		       IN6_ARE_ADDR_EQUAL(&in6->sin6_addr, &to6->sin6_addr);
	return ours.ss_family == AF_UNIX &&
	       !strncmp(un->sun_path, to_un->sun_path, sizeof(un->sun_path));
}

static bool is_of(const struct inherited_socket *item, const struct config_listener *config,
		  bool by_name)
{
	if (item->fd < 0)
		return false;
	return by_name ? strcmp(item->name, config->name) == 0
		       : same_address(item->fd, &config->listen);
}

size_t inherited_take(struct inherited_sockets *sockets, const struct config_listener *config,
		      int *ret_fds, size_t room, bool *ret_by_name, bool *ret_owns_path)
{
	size_t taken = 0;

	for (int pass = 0; pass < 2 && !taken; pass++) {
		*ret_by_name = pass == 0;
		for (size_t i = 0; i < sockets->count && taken < room; i++) {
			struct inherited_socket *item = &sockets->items[i];

			if (!is_of(item, config, *ret_by_name))
				continue;
			*ret_owns_path = item->owns_path;
			ret_fds[taken++] = TAKE_FD(item->fd);
		}
	}
	return taken;
}

void inherited_fini(struct inherited_sockets *sockets)
{
	for (size_t i = 0; i < sockets->count; i++) {
		struct inherited_socket *item = &sockets->items[i];

		if (item->fd >= 0) {
			log_msg(LOG_WARNING, "inherited",
				"a listening socket that was handed over (%s) is no listener's, by "
				"name or by address: closed",
				item->name[0] ? item->name : "no name");
			close(item->fd);
		}
		free(item->name);
	}
	free(sockets->items);
	*sockets = (struct inherited_sockets){ .count = 0 };
}
