/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contradictions between limits of clients (verify.h): entries that never count, or not where
 * somebody might expect it; limits that can not be reached. Pure.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "base/util.h"
#include "config/schema.h"
#include "config/verify.h"
#include "limits/limits.h"
#include "limits/pattern.h"

static const char *const rate_names[] = { "produce", "consume" };

struct item_path {
	char text[sizeof(((struct config_problem *)NULL)->path)];
};

static struct item_path item_path(const char *list, size_t index, const char *key,
				  const char *suffix)
{
	struct item_path path;

	snprintf(path.text, sizeof(path.text), "clients.%s[%zu].%s%s", list, index, key, suffix);
	return path;
}

/* A burst must hold what is earned between two times that a thread looks. */
static void verify_burst(const struct config_client *client, const char *list, size_t index,
			 enum client_direction direction, struct config_problems *problems)
{
	uint64_t rate = client->limits.rate[direction], burst = client->limits.burst[direction];
	struct item_path path = item_path(list, index, rate_names[direction], "_burst");
	struct config_mark at = client->marks.burst[direction];
	char least[32];

	if (!burst)
		return;
	if (!rate) {
		/* Not judged where the rate could not be read: its mark is then elsewhere. */
		if (client->marks.rate[direction].line == client->marks.start.line &&
		    client->marks.rate[direction].column == client->marks.start.column)
			config_error_add(problems, at, path.text, "a burst without %s",
					 rate_names[direction]);
		return;
	}
	schema_bytes_text(rate * CLIENT_BURST_MS_MIN / 1000, least, sizeof(least));
	if (burst < rate * CLIENT_BURST_MS_MIN / 1000)
		config_error_add(problems, at, path.text,
				 "less than %d ms of %s (%s): the rate could not be reached",
				 CLIENT_BURST_MS_MIN, rate_names[direction], least);
	else if (burst / 60 > rate)
		config_warning_add(problems, at, path.text,
				   "more than a minute of %s: after a pause that long there is no "
				   "limit for another",
				   rate_names[direction]);
}

static void verify_bursts(const struct config_client *client, const char *list, size_t index,
			  struct config_problems *problems)
{
	verify_burst(client, list, index, CLIENT_PRODUCE, problems);
	verify_burst(client, list, index, CLIENT_CONSUME, problems);
}

static const struct config_client *find_group(const struct config_clients *clients,
					      const char *name)
{
	for (size_t i = 0; i < clients->group_count; i++)
		if (clients->groups[i].name && strcmp(clients->groups[i].name, name) == 0)
			return &clients->groups[i];
	return NULL;
}

static void refuse_group(const struct config_clients *clients, const struct config_client *client,
			 size_t index, struct config_problems *problems)
{
	const char *names[CLIENT_GROUPS_MAX + 1] = { NULL }, *near;
	struct item_path path = item_path("limits", index, "group", "");

	for (size_t i = 0; i < clients->group_count; i++)
		names[i] = clients->groups[i].name ? clients->groups[i].name : "";
	near = parse_nearest_word(client->group, names);
	if (near)
		config_error_add(problems, client->marks.group, path.text,
				 "there is no group '%s'; did you mean '%s'?", client->group, near);
	else
		config_error_add(problems, client->marks.group, path.text,
				 "there is no group '%s' in clients.groups", client->group);
}

/* `key`: a limit of the client that its group's makes useless. */
static void warn_above(const struct config_client *client, size_t index, struct config_mark at,
		       const char *key, struct config_problems *problems)
{
	config_warning_add(problems, at, item_path("limits", index, key, "").text,
			   "more than group '%s' has for all of its clients: never reached",
			   client->group);
}

static void verify_group(const struct config_clients *clients, size_t index,
			 struct config_problems *problems)
{
	const struct config_client *client = &clients->limits[index], *group;
	const struct client_limits *own = &client->limits, *all;

	if (!client->group)
		return;
	group = find_group(clients, client->group);
	if (!group) {
		refuse_group(clients, client, index, problems);
		return;
	}
	all = &group->limits;
	for (size_t i = 0; i < CLIENT_DIRECTION_COUNT; i++)
		if (all->rate[i] && own->rate[i] > all->rate[i])
			warn_above(client, index, client->marks.rate[i], rate_names[i], problems);
	if (all->connections && own->connections > all->connections)
		warn_above(client, index, client->marks.connections, "connections", problems);
	if (all->connections_per_second &&
	    own->connections_per_second > all->connections_per_second)
		warn_above(client, index, client->marks.connections_per_second,
			   "connections_per_second", problems);
	if (all->handshakes_per_second && own->handshakes_per_second > all->handshakes_per_second)
		warn_above(client, index, client->marks.handshakes_per_second,
			   "handshakes_per_second", problems);
}

/* Where neither pattern is a part of the other, which of them counts is not plain to see. */
static void verify_overlap(const struct config_clients *clients, size_t a, size_t b,
			   struct config_problems *problems)
{
	const struct config_client *first = &clients->limits[a], *second = &clients->limits[b];
	int order;

	if (!pattern_overlaps(first->name, second->name) ||
	    pattern_covers(first->name, second->name) || pattern_covers(second->name, first->name))
		return;
	order = pattern_compare(first->name, second->name);
	config_warning_add(
		problems, second->marks.name, item_path("limits", b, "cn", "").text,
		"overlaps with '%s' (line %u): for names that match both, '%s' counts, "
		"%s",
		first->name, first->marks.name.line, order <= 0 ? first->name : second->name,
		order ? "the more specific one" : "the first one, since neither is more specific");
}

static int compare_names(const void *one, const void *other)
{
	const struct config_client *a = *(const struct config_client *const *)one,
				   *b = *(const struct config_client *const *)other;
	int r = strcmp(a->name, b->name);

	return r ? r : (a > b) - (a < b);
}

/* The same pattern twice, or a name twice. `list` has those with a name. */
static void verify_twins(const struct config_client *items, size_t count, const char *list,
			 const char *key, struct config_problems *problems)
{
	cleanup_free const struct config_client **sorted = calloc(count + 1, sizeof(*sorted));
	size_t used = 0;

	for (size_t i = 0; sorted && i < count; i++)
		if (items[i].name)
			sorted[used++] = &items[i];
	if (used)
		qsort(sorted, used, sizeof(*sorted), compare_names);
	for (size_t i = 1; i < used; i++)
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			config_error_add(problems, sorted[i]->marks.name,
					 item_path(list, (size_t)(sorted[i] - items), key, "").text,
					 "'%s' is here already (line %u)", sorted[i]->name,
					 sorted[i - 1]->marks.name.line);
}

static void verify_patterns(const struct config_clients *clients, struct config_problems *problems)
{
	size_t globs[CLIENT_GLOBS_MAX], count = 0;

	for (size_t i = 0; i < clients->limit_count; i++) {
		if (!clients->limits[i].name || pattern_is_name(clients->limits[i].name))
			continue;
		if (count == CLIENT_GLOBS_MAX) {
			config_error_add(problems, clients->limits[i].marks.name,
					 item_path("limits", i, "cn", "").text,
					 "more than %d patterns; of plain names there may be %d",
					 CLIENT_GLOBS_MAX, CLIENT_LIMITS_MAX);
			return;
		}
		for (size_t j = 0; j < count; j++)
			verify_overlap(clients, globs[j], i, problems);
		globs[count++] = i;
	}
}

static void verify_group_is_used(const struct config_clients *clients, size_t index,
				 struct config_problems *problems)
{
	const struct config_client *group = &clients->groups[index];

	if (!group->name)
		return;
	for (size_t i = 0; i < clients->limit_count; i++)
		if (clients->limits[i].group && strcmp(clients->limits[i].group, group->name) == 0)
			return;
	config_warning_add(problems, group->marks.name, item_path("groups", index, "name", "").text,
			   "no entry of clients.limits is of this group");
}

void config_verify_clients(const struct config_clients *clients, struct config_problems *problems)
{
	verify_twins(clients->limits, clients->limit_count, "limits", "cn", problems);
	verify_twins(clients->groups, clients->group_count, "groups", "name", problems);
	verify_patterns(clients, problems);
	for (size_t i = 0; i < clients->limit_count; i++) {
		verify_bursts(&clients->limits[i], "limits", i, problems);
		verify_group(clients, i, problems);
	}
	for (size_t i = 0; i < clients->group_count; i++) {
		verify_bursts(&clients->groups[i], "groups", i, problems);
		verify_group_is_used(clients, i, problems);
	}
}
