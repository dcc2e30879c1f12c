/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching what was laid out. inotify only says that it is time to look; what counts is whether the
 * files are as they were. Where there is no inotify, and for what no event tells, there is a look
 * every half minute, which also removes old sets. Our own writes cause a look, too: it finds
 * nothing. Main thread.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "agent/agent_impl.h"
#include "base/util.h"

#define QUIET_NS (200 * NSEC_PER_MSEC) /* after the first event: more are likely to follow */
#define LOOK_NS	 (30 * NSEC_PER_SEC)
#define EVENTS                                                                                     \
	(IN_CLOSE_WRITE | IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |        \
	 IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

static void watch_directory(struct agent *agent, const char *directory)
{
	static bool told;

	if (agent->watch_fd < 0 || inotify_add_watch(agent->watch_fd, directory, EVENTS) >= 0 ||
	    errno == ENOENT || told)
		return;
	told = true;
	log_msg(LOG_WARNING, "file_watch",
		"can not watch %s: %m; changes are seen within %d s only", directory,
		(int)(LOOK_NS / NSEC_PER_SEC));
}

void agent_watch(struct agent *agent, const struct agent_certificate *certificate)
{
	char set[PATH_MAX];

	for (size_t i = 0; i < certificate->config->layout_count; i++) {
		const char *directory = certificate->config->layouts[i].directory;

		watch_directory(agent, directory);
		/* The set in force: the link is followed. */
		snprintf(set, sizeof(set), "%s/..data", directory);
		watch_directory(agent, set);
	}
}

void agent_watch_readable(struct agent *agent, uint64_t now_ns)
{
	char events[4096] __attribute__((aligned(8)));

	while (read(agent->watch_fd, events, sizeof(events)) > 0)
		;
	if (!agent->touched_ns)
		agent->touched_ns = now_ns;
}

uint64_t agent_watch_turn(struct agent *agent, uint64_t now_ns)
{
	uint64_t due_ns = agent->look_ns;

	if (agent->touched_ns)
		due_ns = MIN(due_ns, agent->touched_ns + QUIET_NS);
	if (now_ns < due_ns)
		return due_ns;
	agent->touched_ns = 0;
	agent->look_ns = now_ns + LOOK_NS;
	for (size_t i = 0; i < agent->count; i++) {
		/* First, so that what changes from here on is told again. */
		agent_watch(agent, &agent->certificates[i]);
		agent_certificate_look(&agent->certificates[i]);
	}
	return agent->look_ns;
}
