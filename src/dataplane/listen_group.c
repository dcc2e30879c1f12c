/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of listening sockets (listen_group.h). Main thread. */
#include "dataplane/listen_group.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/util.h"
#include "dataplane/listen_socket.h"

static uint64_t last_id;

static void group_close(struct listen_group *group)
{
	for (size_t i = 0; i < group->count; i++)
		close(group->fds[i]);
	if (group->owns_path)
		unlink(group->address.host);
	free(group->fds);
	free(group);
}

static bool has_group(const struct listen_table *table, const struct listen_group *group)
{
	for (size_t i = 0; table && i < table->count; i++)
		if (table->groups[i] == group)
			return true;
	return false;
}

static struct listen_group *find(const struct listen_table *table, const struct endpoint *address)
{
	for (size_t i = 0; i < table->count; i++)
		if (endpoint_equal(&table->groups[i]->address, address))
			return table->groups[i];
	return NULL;
}

/* A socket of our own on another address of this port is no stranger, though it overlaps. */
static bool port_is_ours(const struct listen_table *current, const struct endpoint *address)
{
	for (size_t i = 0; i < current->count; i++)
		if (!current->groups[i]->address.is_unix &&
		    current->groups[i]->address.port == address->port)
			return true;
	return false;
}

static struct listen_group *group_new(const struct config_listener *config, size_t room)
{
	struct listen_group *group = calloc(1, sizeof(*group));

	if (!group)
		return NULL;
	group->fds = calloc(room, sizeof(*group->fds));
	if (!group->fds) {
		free(group);
		return NULL;
	}
	group->id = ++last_id;
	group->address = config->listen;
	return group;
}

static int group_open(const struct config_listener *config, unsigned int workers, bool exclusive,
		      struct listen_group **ret, struct err_text *err)
{
	size_t count = config->listen.is_unix ? 1 : workers;
	struct listen_group *group = group_new(config, count);

	if (!group)
		return err_set(err, -ENOMEM, "out of memory");
	while (group->count < count) {
		/* With SO_REUSEPORT alone a second instance would silently take half of the first
		 * one's clients. */
		int fd = listen_socket_open(config, exclusive && group->count == 0, err);

		if (fd < 0) {
			group_close(group);
			return fd;
		}
		group->fds[group->count++] = fd;
		group->owns_path = config->listen.is_unix;
	}
	*ret = group;
	return 0;
}

/* NULL: there are none, or there is no memory (then an attempt to open them will tell). */
static struct listen_group *group_inherit(const struct config_listener *config,
					  struct inherited_sockets *inherited)
{
	struct listen_group *group = inherited->count ? group_new(config, inherited->count) : NULL;

	if (!group)
		return NULL;
	group->count = inherited_take(inherited, config, group->fds, inherited->count,
				      &group->by_name, &group->inherits_path);
	if (!group->count) {
		group_close(group);
		return NULL;
	}
	return group;
}

int listen_table_open(const struct listen_table *current, const struct config *config,
		      unsigned int workers, struct inherited_sockets *inherited,
		      struct listen_table *ret, struct err_text *err)
{
	struct listen_table table = { .count = 0 };

	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];
		struct listen_group *group = find(current, &listener->listen);
		bool exclusive = !port_is_ours(current, &listener->listen);
		int r = 0;

		if (!group)
			group = group_inherit(listener, inherited);
		if (!group)
			r = group_open(listener, workers, exclusive, &group, err);

		if (r < 0) {
			listen_table_close(&table, current);
			return r;
		}
		table.groups[table.count++] = group;
	}
	*ret = table;
	return 0;
}

void listen_table_close(struct listen_table *table, const struct listen_table *keep)
{
	for (size_t i = 0; i < table->count; i++)
		if (!has_group(keep, table->groups[i]))
			group_close(table->groups[i]);
	table->count = 0;
}

size_t listen_group_share(const struct listen_group *group, unsigned int index,
			  unsigned int workers)
{
	size_t turns = MAX(group->count, (size_t)workers);

	return (turns - index + workers - 1) / workers;
}

int listen_group_copy(const struct listen_group *group, unsigned int index, unsigned int workers,
		      size_t n)
{
	int fd = fcntl(group->fds[(index + n * workers) % group->count], F_DUPFD_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}
