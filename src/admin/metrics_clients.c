/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Families of clients and their groups. A client's name is the peer's choice, within what its
 * certificate was signed for: client_series.h bounds how many there are.
 */
#include "admin/metrics_impl.h"

#include "admin/admin_impl.h"
#include "base/util.h"

static const char *const directions[CLIENT_DIRECTION_COUNT] = {
	[CLIENT_PRODUCE] = "produce",
	[CLIENT_CONSUME] = "consume",
};

/* Calls `write` for each row, the one for all others last. */
static void each_row(const struct scrape *scrape,
		     void (*write)(const struct scrape *scrape, const char *name,
				   const struct client_row *row))
{
	for (size_t i = 0; i < scrape->clients->count; i++)
		write(scrape, scrape->clients->rows[i].name, &scrape->clients->rows[i]);
	write(scrape, CLIENT_SERIES_OTHER, &scrape->clients->other);
}

static void write_bytes(const struct scrape *scrape, const char *name, const struct client_row *row)
{
	for (int i = 0; i < CLIENT_DIRECTION_COUNT; i++)
		exposition_count(scrape->out, scrape->family->name,
				 LABELS({ "client", name }, { "direction", directions[i] }),
				 row->counts.bytes[i]);
}

void metrics_client_bytes(const struct scrape *scrape)
{
	each_row(scrape, write_bytes);
}

static void write_limited(const struct scrape *scrape, const char *name,
			  const struct client_row *row)
{
	for (int i = 0; i < CLIENT_DIRECTION_COUNT; i++)
		exposition_seconds(scrape->out, scrape->family->name,
				   LABELS({ "client", name }, { "direction", directions[i] }),
				   row->counts.limited_ns[i]);
}

void metrics_client_limited(const struct scrape *scrape)
{
	each_row(scrape, write_limited);
}

static void write_refused(const struct scrape *scrape, const char *name,
			  const struct client_row *row)
{
	for (int i = 0; i < CLIENT_REFUSAL_COUNT; i++)
		exposition_count(scrape->out, scrape->family->name,
				 LABELS({ "client", name }, { "reason", client_refusal_words[i] }),
				 row->counts.refused[i]);
}

void metrics_client_refused(const struct scrape *scrape)
{
	each_row(scrape, write_refused);
}

static void write_connections(const struct scrape *scrape, const char *name,
			      const struct client_row *row)
{
	exposition_count(scrape->out, scrape->family->name, LABELS({ "client", name }),
			 row->connections);
}

void metrics_client_connections(const struct scrape *scrape)
{
	each_row(scrape, write_connections);
}

static void write_at_limit(const struct scrape *scrape, const char *name,
			   const struct client_row *row)
{
	for (int i = 0; i < CLIENT_DIRECTION_COUNT; i++)
		exposition_count(scrape->out, scrape->family->name,
				 LABELS({ "client", name }, { "direction", directions[i] }),
				 row->at_limit[i]);
}

void metrics_client_at_limit(const struct scrape *scrape)
{
	each_row(scrape, write_at_limit);
}

void metrics_clients_known(const struct scrape *scrape)
{
	exposition_count(scrape->out, scrape->family->name, NULL, scrape->clients->known);
}

/* --- groups: they are the configuration's --- */

static void write_group_bytes(const struct client_group *group, void *arg)
{
	const struct scrape *scrape = arg;

	for (int i = 0; i < CLIENT_DIRECTION_COUNT; i++)
		exposition_count(scrape->out, scrape->family->name,
				 LABELS({ "group", group->name }, { "direction", directions[i] }),
				 client_read(&group->account.usage[i].bytes));
}

void metrics_group_bytes(const struct scrape *scrape)
{
	clients_visit_groups(proxy_clients(scrape->source->proxy), write_group_bytes,
			     (void *)scrape);
}

static void write_group_limited(const struct client_group *group, void *arg)
{
	const struct scrape *scrape = arg;

	for (int i = 0; i < CLIENT_DIRECTION_COUNT; i++)
		exposition_seconds(scrape->out, scrape->family->name,
				   LABELS({ "group", group->name }, { "direction", directions[i] }),
				   client_read(&group->account.usage[i].limited_ns));
}

void metrics_group_limited(const struct scrape *scrape)
{
	clients_visit_groups(proxy_clients(scrape->source->proxy), write_group_limited,
			     (void *)scrape);
}

static void write_group_connections(const struct client_group *group, void *arg)
{
	const struct scrape *scrape = arg;

	exposition_count(scrape->out, scrape->family->name, LABELS({ "group", group->name }),
			 client_read(&group->account.connections));
}

void metrics_group_connections(const struct scrape *scrape)
{
	clients_visit_groups(proxy_clients(scrape->source->proxy), write_group_connections,
			     (void *)scrape);
}
