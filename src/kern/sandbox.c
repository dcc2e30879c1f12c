/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of the sandbox (sandbox.h) and the record of what came of it. The facts are written
 * once by the main thread before it starts others, and only read after that; what can change
 * (locked keys, whether there may be a core) is asked anew.
 *
 * Identity goes first, because everything after it can be done without privileges once
 * no-new-privileges is set; seccomp goes last, because it forbids what the others do.
 */
#include "kern/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/secret.h"
#include "base/util.h"
#include "kern/sandbox_impl.h"

#ifdef SALLYPORT_SANITIZED
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

static struct sandbox_fact facts[SANDBOX_PART_COUNT];

void sandbox_fact_set(struct sandbox_fact *fact, bool in_force, const char *fmt, ...)
{
	va_list ap;

	fact->in_force = in_force;
	va_start(ap, fmt);
	vsnprintf(fact->text, sizeof(fact->text), fmt, ap);
	va_end(ap);
}

const char *sandbox_part_name(enum sandbox_part part)
{
	static const char *const names[SANDBOX_PART_COUNT] = {
		[SANDBOX_PART_USER] = "user",
		[SANDBOX_PART_CAPABILITIES] = "capabilities",
		[SANDBOX_PART_NO_NEW_PRIVILEGES] = "no_new_privileges",
		[SANDBOX_PART_LANDLOCK] = "landlock",
		[SANDBOX_PART_SECCOMP] = "seccomp",
		[SANDBOX_PART_NO_CORE] = "no_core",
		[SANDBOX_PART_LOCKED_KEYS] = "locked_keys",
	};

	return names[part];
}

void sandbox_allow_path(struct sandbox_plan *plan, const char *path, enum sandbox_access access)
{
	struct sandbox_path *paths;
	char *copy;

	if (!path)
		return;
	paths = reallocarray(plan->paths, plan->path_count + 1, sizeof(*paths));
	if (paths)
		plan->paths = paths;
	copy = strdup(path);
	if (!paths || !copy) {
		free(copy);
		plan->out_of_memory = true;
		return;
	}
	paths[plan->path_count++] = (struct sandbox_path){ .path = copy, .access = access };
}

void sandbox_allow_port(struct sandbox_plan *plan, uint16_t port, bool bind)
{
	struct sandbox_port *ports =
		reallocarray(plan->ports, plan->port_count + 1, sizeof(*ports));

	if (!ports) {
		plan->out_of_memory = true;
		return;
	}
	plan->ports = ports;
	ports[plan->port_count++] = (struct sandbox_port){ .port = port, .bind = bind };
}

void sandbox_plan_fini(struct sandbox_plan *plan)
{
	for (size_t i = 0; i < plan->path_count; i++)
		free(plan->paths[i].path);
	free(plan->paths);
	free(plan->ports);
	*plan = (struct sandbox_plan){ 0 };
}

/* Threads of this process that are not the caller; the kernel's own workers for io_uring are of no
 * concern: they act for whoever asked. 0 if that can not be seen. */
static unsigned int count_other_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned int count = 0;
	struct dirent *entry;

	while (tasks && (entry = readdir(tasks))) {
		char path[64], name[16] = "";
		FILE *comm;

		if (entry->d_name[0] == '.' || strtol(entry->d_name, NULL, 10) == gettid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%.10s/comm", entry->d_name);
		comm = fopen(path, "re");
		if (comm && fgets(name, sizeof(name), comm) && strncmp(name, "iou-", 4) != 0)
			count++;
		if (comm)
			fclose(comm);
	}
	if (tasks)
		closedir(tasks);
	return count;
}

static void note_user(void)
{
	sandbox_fact_set(&facts[SANDBOX_PART_USER], geteuid() != 0,
			 geteuid() ? "uid %u" : "root: name a user of its own with `user:`",
			 (unsigned int)geteuid());
}

static void set_no_new_privileges(struct sandbox_fact *fact)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		sandbox_fact_set(fact, false, "%s", strerror(errno));
	else
		sandbox_fact_set(fact, true, "set");
}

static void nothing_because(const char *why)
{
	for (int i = SANDBOX_PART_CAPABILITIES; i <= SANDBOX_PART_SECCOMP; i++)
		sandbox_fact_set(&facts[i], false, "%s", why);
}

static void restrict_all(const struct sandbox_plan *plan)
{
	set_no_new_privileges(&facts[SANDBOX_PART_NO_NEW_PRIVILEGES]);
	sandbox_landlock(plan, &facts[SANDBOX_PART_LANDLOCK]);
	sandbox_seccomp(&facts[SANDBOX_PART_SECCOMP]);
}

/* Seccomp is given to all threads, what these two restrict can not be. */
static void note_other_threads(unsigned int others)
{
	static const enum sandbox_part parts[] = { SANDBOX_PART_CAPABILITIES,
						   SANDBOX_PART_LANDLOCK };

	for (size_t i = 0; i < ARRAY_SIZE(parts) && others; i++)
		sandbox_fact_set(&facts[parts[i]], false, "%u threads started too early", others);
}

void sandbox_facts(struct sandbox_fact ret[SANDBOX_PART_COUNT])
{
	bool core = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0;

	memcpy(ret, facts, sizeof(facts));
	sandbox_fact_set(&ret[SANDBOX_PART_NO_CORE], !core, "%s",
			 core ? "a core may be written" : "not dumpable");
	sandbox_fact_set(&ret[SANDBOX_PART_LOCKED_KEYS], secret_locked(), "%s",
			 secret_locked() ? "traffic keys are never swapped"
					 : "raise LimitMEMLOCK= of the unit, or ulimit -l");
}

static int demand_all(struct err_text *err)
{
	struct sandbox_fact now[SANDBOX_PART_COUNT];

	sandbox_facts(now);
	for (int i = 0; i < SANDBOX_PART_COUNT; i++)
		if (!now[i].in_force)
			return err_set(err, -EOPNOTSUPP, "sandbox: required, but %s is missing: %s",
				       sandbox_part_name((enum sandbox_part)i), now[i].text);
	return 0;
}

static const char *why_not(const struct sandbox_plan *plan)
{
	return plan->mode == SANDBOX_OFF ? "sandbox: off"
	       : IS_SANITIZED		 ? "built with sanitizers, which need more than it allows"
					 : NULL;
}

int sandbox_apply(const struct sandbox_plan *plan, struct err_text *err)
{
	unsigned int others = count_other_threads();
	const char *off = why_not(plan);
	void *secret;
	int r;

	if (plan->out_of_memory)
		return err_set(err, -ENOMEM, "out of memory");
	r = sandbox_become_user(plan, err);
	if (r < 0)
		return r;
	note_user();
	/* Whoever changes identity may be given a core again. */
	prctl(PR_SET_DUMPABLE, 0);
	/* The first page of key memory tells whether it can be locked. */
	secret = secret_alloc(1);
	secret_free(secret, 1);
	if (off)
		nothing_because(off);
	/* They belong to the identity that was given up, whatever the mode. */
	if (!off || plan->user) {
		r = sandbox_drop_capabilities(plan, &facts[SANDBOX_PART_CAPABILITIES]);
		if (r < 0 && plan->user)
			return err_set(err, r, "can not give up capabilities: %s", strerror(-r));
	}
	if (!off) {
		restrict_all(plan);
		note_other_threads(others);
	}
	return plan->mode == SANDBOX_REQUIRED ? demand_all(err) : 0;
}
