/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From one configuration to the next (proxy_impl.h), the first one included: a snapshot, the
 * listening sockets, a plan for each worker. All of it is prepared before anything is touched, and
 * then put in force without a step that could fail. Main thread.
 */
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "dataplane/proxy_impl.h"

int change_prepare(struct proxy *proxy, struct config *config, struct change *ret,
		   struct err_text *err)
{
	struct change change = { .plan_count = 0 };
	struct config *limits;
	int r = snapshot_new(config, proxy->snapshot, proxy->supply, &change.snapshot, err);

	if (r < 0) {
		config_free(config);
		return r;
	}
	r = gate_policy_new(supply_clients(proxy->supply, config, &limits), &change.policy);
	config_free(limits);
	if (r < 0)
		err_set(err, r, "out of memory");
	else
		r = listen_table_open(&proxy->table, config, proxy->worker_count, &proxy->inherited,
				      &change.table, err);
	for (unsigned int i = 0; i < proxy->worker_count && r == 0; i++) {
		r = worker_plan_new(proxy->workers[i], proxy->worker_count, change.snapshot,
				    &change.table, &change.plans[i], err);
		change.plan_count += r == 0;
	}
	if (r < 0) {
		change_discard(proxy, &change);
		return r;
	}
	*ret = change;
	return 0;
}

void change_discard(struct proxy *proxy, struct change *change)
{
	for (unsigned int i = 0; i < change->plan_count; i++)
		worker_plan_free(change->plans[i]);
	listen_table_close(&change->table, &proxy->table);
	client_policy_free(change->policy);
	snapshot_unref(change->snapshot);
}

/* The fields of a line about a door that is begun; ends it. */
static void log_door(struct log_line *line, const struct config_listener *listener)
{
	log_str(line, "listener", listener->name);
	log_str(line, "role", listener->role == CONFIG_ROLE_FRONT ? "front" : "egress");
	log_str(line, "listen", listener->listen_text);
	log_str(line, "upstream", listener->upstream_text);
	log_end(line);
}

static bool has_group(const struct listen_table *table, const struct listen_group *group)
{
	for (size_t i = 0; i < table->count; i++)
		if (table->groups[i] == group)
			return true;
	return false;
}

/* Which doors open and which close. */
static void log_doors(const struct proxy *proxy, const struct change *change)
{
	struct log_line line;

	for (size_t i = 0; i < proxy->table.count; i++) {
		if (has_group(&change->table, proxy->table.groups[i]))
			continue;
		log_begin(&line, LOG_INFO, "listening_ended");
		log_door(&line, proxy->snapshot->routes[i].config);
	}
	for (size_t i = 0; i < change->table.count; i++) {
		if (change->table.groups[i]->workers_have_it)
			continue;
		log_begin(&line, LOG_INFO, "listening");
		log_door(&line, change->snapshot->routes[i].config);
	}
}

void change_apply(struct proxy *proxy, struct change *change)
{
	struct snapshot *before;

	log_doors(proxy, change);
	gate_configure(proxy->gate, change->snapshot->config, change->policy);
	for (unsigned int i = 0; i < change->plan_count; i++)
		worker_plan_post(change->plans[i], proxy->applied_fd);
	for (size_t i = 0; i < change->table.count; i++)
		change->table.groups[i]->workers_have_it = true;
	listen_table_close(&proxy->table, &change->table);
	proxy->table = change->table;
	pthread_mutex_lock(&proxy->snapshot_mutex);
	before = proxy->snapshot;
	proxy->snapshot = change->snapshot;
	pthread_mutex_unlock(&proxy->snapshot_mutex);
	snapshot_unref(before);
}

struct snapshot *proxy_snapshot(struct proxy *proxy)
{
	struct snapshot *snapshot;

	pthread_mutex_lock(&proxy->snapshot_mutex);
	snapshot = snapshot_ref(proxy->snapshot);
	pthread_mutex_unlock(&proxy->snapshot_mutex);
	return snapshot;
}
