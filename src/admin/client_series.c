/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of clients (client_series.h). One walk over the table sums everything and updates the rows
 * that are there; of the others those who moved most are remembered, for the places that are free.
 */
#include "admin/client_series.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

struct candidate {
	char *name;
	uint64_t bytes;
};

struct update {
	struct client_series *series;
	uint64_t now_ns;
	struct client_row total;
	struct candidate *candidates; /* who moved most first */
	size_t count, most;
};

static struct client_row *find_row(struct client_series *series, const char *name)
{
	for (size_t i = 0; i < series->count; i++)
		if (strcmp(series->rows[i].name, name) == 0)
			return &series->rows[i];
	return NULL;
}

/* Adds what the client is now to a row. */
static void add(struct client_row *row, const struct client *client, uint64_t now_ns)
{
	client_counts_add(&row->counts, &client->account);
	row->connections += client_read(&client->account.connections);
	for (int i = 0; i < CLIENT_DIRECTION_COUNT; i++)
		row->at_limit[i] += client_at_limit_ns(&client->account.usage[i], now_ns) != 0;
}

/* The one who moved least makes room. */
static void consider(struct update *update, const struct client *client)
{
	uint64_t bytes = client_read(&client->account.usage[CLIENT_PRODUCE].bytes) +
			 client_read(&client->account.usage[CLIENT_CONSUME].bytes);
	size_t at = update->count;
	char *name;

	while (at && update->candidates[at - 1].bytes < bytes)
		at--;
	if (at == update->most || !(name = strdup(client->name)))
		return;
	if (update->count == update->most)
		free(update->candidates[--update->count].name);
	memmove(&update->candidates[at + 1], &update->candidates[at],
		(update->count - at) * sizeof(*update->candidates));
	update->candidates[at] = (struct candidate){ .name = name, .bytes = bytes };
	update->count++;
}

static void reset(struct client_row *row)
{
	*row = (struct client_row){ .name = row->name, .busy_ns = row->busy_ns };
}

static void see(const struct client *client, void *arg)
{
	struct update *update = arg;
	struct client_row *row = find_row(update->series, client->name);

	update->series->known++;
	add(&update->total, client, update->now_ns);
	if (!row && strcmp(client->name, CLIENT_SERIES_OTHER) != 0)
		consider(update, client);
	if (!row)
		return;
	reset(row);
	row->seen = true;
	add(row, client, update->now_ns);
	if (row->connections)
		row->busy_ns = update->now_ns;
}

static void drop(struct client_series *series, size_t i)
{
	free(series->rows[i].name);
	series->rows[i] = series->rows[--series->count];
}

/* Who is gone, who is one too many, and who has been idle for long where somebody wants the place.
 */
static void drop_rows(struct client_series *series, const struct update *update)
{
	size_t wanted = update->count;

	for (size_t i = series->count; i-- > 0;) {
		bool idle = update->now_ns - series->rows[i].busy_ns > CLIENT_SERIES_IDLE_NS;

		if (!series->rows[i].seen || i >= update->most) {
			drop(series, i);
		} else if (idle && series->count + wanted > update->most && wanted) {
			drop(series, i);
			wanted--;
		}
	}
}

static void take_candidate(const struct client *client, void *arg)
{
	struct update *update = arg;
	struct client_series *series = update->series;
	char *name = NULL;

	for (size_t i = 0; i < update->count && series->count < update->most && !name; i++)
		if (update->candidates[i].name &&
		    strcmp(update->candidates[i].name, client->name) == 0)
			name = TAKE_PTR(update->candidates[i].name);
	if (!name)
		return;
	series->rows[series->count] =
		(struct client_row){ .name = name, .busy_ns = update->now_ns };
	add(&series->rows[series->count++], client, update->now_ns);
}

/* A new row is made of what the client is when it is seen again. */
static void fill_places(struct client_series *series, struct update *update,
			struct clients *clients)
{
	size_t places = update->most - MIN(series->count, update->most);

	while (update->count > places)
		free(update->candidates[--update->count].name);
	if (update->count)
		clients_visit(clients, update->now_ns, take_candidate, update);
	for (size_t i = 0; i < update->count; i++)
		free(update->candidates[i].name);
}

static uint64_t rest(uint64_t before, uint64_t total, uint64_t named)
{
	return MAX(before, total > named ? total - named : 0);
}

static void sum_up(struct client_series *series, const struct update *update)
{
	struct client_row named = { 0 }, *other = &series->other;
	const struct client_row *total = &update->total;

	for (size_t i = 0; i < series->count; i++) {
		const struct client_row *row = &series->rows[i];

		named.connections += row->connections;
		for (int d = 0; d < CLIENT_DIRECTION_COUNT; d++) {
			named.counts.bytes[d] += row->counts.bytes[d];
			named.counts.limited_ns[d] += row->counts.limited_ns[d];
			named.at_limit[d] += row->at_limit[d];
		}
		for (int r = 0; r < CLIENT_REFUSAL_COUNT; r++)
			named.counts.refused[r] += row->counts.refused[r];
	}
	other->connections = rest(0, total->connections, named.connections);
	for (int d = 0; d < CLIENT_DIRECTION_COUNT; d++) {
		other->counts.bytes[d] =
			rest(other->counts.bytes[d], total->counts.bytes[d], named.counts.bytes[d]);
		other->counts.limited_ns[d] =
			rest(other->counts.limited_ns[d], total->counts.limited_ns[d],
			     named.counts.limited_ns[d]);
		other->at_limit[d] = rest(0, total->at_limit[d], named.at_limit[d]);
		series->at_limit[d] = total->at_limit[d];
	}
	for (int r = 0; r < CLIENT_REFUSAL_COUNT; r++)
		other->counts.refused[r] = rest(other->counts.refused[r], total->counts.refused[r],
						named.counts.refused[r]);
}

static bool make_room(struct client_series *series, size_t most)
{
	struct client_row *rows;

	if (most <= series->room)
		return true;
	rows = reallocarray(series->rows, most, sizeof(*rows));
	if (!rows)
		return false;
	series->rows = rows;
	series->room = most;
	return true;
}

void client_series_update(struct client_series *series, struct clients *clients, size_t most,
			  uint64_t now_ns)
{
	struct update update = { .series = series, .now_ns = now_ns };

	update.most = make_room(series, most) ? most : MIN(most, series->room);
	update.candidates = calloc(update.most + 1, sizeof(*update.candidates));
	if (!update.candidates)
		return;
	for (size_t i = 0; i < series->count; i++)
		series->rows[i].seen = false;
	series->known = 0;
	clients_gone(clients, &update.total.counts);
	clients_visit(clients, now_ns, see, &update);
	drop_rows(series, &update);
	fill_places(series, &update, clients);
	sum_up(series, &update);
	free(update.candidates);
}

void client_series_fini(struct client_series *series)
{
	for (size_t i = 0; i < series->count; i++)
		free(series->rows[i].name);
	free(series->rows);
}
