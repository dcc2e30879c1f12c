/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of clients on the admin socket: who has which, who is held back by them and for how long;
 * and orders that change some for a while. On the server's thread. What is shown is copied under
 * the table's mutex, a few clients at a time, and written after that.
 */
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin_impl.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/util.h"
#include "limits/client_orders.h"
#include "limits/clients.h"

#define ROWS_DEFAULT 1000
#define FOR_MS_MAX   ((uint64_t)30 * 86400 * 1000)

/* Of a client or a group, at the moment it was looked at. */
struct row {
	const char *name, *group, *pattern; /* owned; NULL: none */
	bool is_group;
	struct client_limits limits;
	struct client_counts counts;
	uint64_t connections;
	uint64_t at_limit_ns[CLIENT_DIRECTION_COUNT];
};

struct rows {
	struct row *items;
	size_t count, room;
	bool no_memory;
	/* What is asked for. */
	const char *glob; /* NULL: everybody */
	bool at_limit;
	uint64_t now_ns;
	/* Everybody, shown or not. */
	uint64_t clients, limited;
};

static void row_fini(struct row *row)
{
	free((char *)row->name);
	free((char *)row->group);
	free((char *)row->pattern);
}

static void rows_fini(struct rows *rows)
{
	for (size_t i = 0; i < rows->count; i++)
		row_fini(&rows->items[i]);
	free(rows->items);
}

static struct row *add_row(struct rows *rows)
{
	if (rows->count == rows->room) {
		size_t room = MAX(rows->room * 2, (size_t)64);
		struct row *items = reallocarray(rows->items, room, sizeof(*items));

		if (!items)
			return NULL;
		rows->items = items;
		rows->room = room;
	}
	rows->items[rows->count] = (struct row){ 0 };
	return &rows->items[rows->count++];
}

static const char *copy(struct rows *rows, const char *text)
{
	const char *it = text ? strdup(text) : NULL;

	rows->no_memory = rows->no_memory || (text && !it);
	return it;
}

/* The account is read under the table's mutex. NULL: not wanted, or no memory. */
static struct row *see_account(struct rows *rows, const char *name,
			       const struct client_account *account)
{
	uint64_t at_limit_ns[CLIENT_DIRECTION_COUNT];
	struct row *row;

	for (int i = 0; i < CLIENT_DIRECTION_COUNT; i++)
		at_limit_ns[i] = client_at_limit_ns(&account->usage[i], rows->now_ns);
	if (rows->at_limit && !at_limit_ns[CLIENT_PRODUCE] && !at_limit_ns[CLIENT_CONSUME])
		return NULL;
	if (rows->glob && fnmatch(rows->glob, name, 0) != 0)
		return NULL;
	row = add_row(rows);
	if (!row) {
		rows->no_memory = true;
		return NULL;
	}
	row->name = copy(rows, name);
	row->limits = account->limits;
	row->connections = client_read(&account->connections);
	memcpy(row->at_limit_ns, at_limit_ns, sizeof(at_limit_ns));
	client_counts_add(&row->counts, account);
	return row;
}

static bool has_limits(const struct client_limits *limits)
{
	static const struct client_limits none = { 0 };

	return memcmp(limits, &none, sizeof(none)) != 0;
}

static void see_client(const struct client *client, void *arg)
{
	const struct client_group *group = atomic_load(&client->group);
	struct rows *rows = arg;
	struct row *row;

	rows->clients++;
	rows->limited += has_limits(&client->account.limits) || group;
	row = see_account(rows, client->name, &client->account);
	if (!row)
		return;
	row->group = copy(rows, group ? group->name : NULL);
	row->pattern = copy(rows, client->pattern);
}

static void see_group(const struct client_group *group, void *arg)
{
	struct row *row = see_account(arg, group->name, &group->account);

	if (row)
		row->is_group = true;
}

/* Who is held back first, for longest; then by bytes. Groups last. */
static int compare_rows(const void *one, const void *other)
{
	const struct row *a = one, *b = other;
	uint64_t held[2] = { MAX(a->at_limit_ns[0], a->at_limit_ns[1]),
			     MAX(b->at_limit_ns[0], b->at_limit_ns[1]) };
	uint64_t bytes[2] = { a->counts.bytes[0] + a->counts.bytes[1],
			      b->counts.bytes[0] + b->counts.bytes[1] };

	if (a->is_group != b->is_group)
		return a->is_group - b->is_group;
	if (held[0] != held[1])
		return held[0] < held[1] ? 1 : -1;
	if (bytes[0] != bytes[1])
		return bytes[0] < bytes[1] ? 1 : -1;
	return strcmp(a->name ? a->name : "", b->name ? b->name : "");
}

static void put_seconds(FILE *out, const char *key, uint64_t ns)
{
	fprintf(out, ",\"%s\":%" PRIu64 ".%03" PRIu64, key, (uint64_t)(ns / NSEC_PER_SEC),
		(uint64_t)(ns / NSEC_PER_MSEC % 1000));
}

/* 0, no limit, is null. */
static void put_limit(FILE *out, const char *key, uint64_t value)
{
	if (value)
		fprintf(out, ",\"%s\":%" PRIu64, key, value);
	else
		fprintf(out, ",\"%s\":null", key);
}

static void put_direction(FILE *out, const char *key, const struct row *row, int direction)
{
	fprintf(out, ",\"%s\":{\"bytes\":%" PRIu64, key, row->counts.bytes[direction]);
	put_limit(out, "bytes_per_second", row->limits.rate[direction]);
	put_limit(out, "burst", row->limits.burst[direction]);
	put_seconds(out, "limited_seconds", row->counts.limited_ns[direction]);
	if (row->at_limit_ns[direction])
		put_seconds(out, "at_limit_seconds", row->at_limit_ns[direction]);
	else
		fputs(",\"at_limit_seconds\":null", out);
	fputc('}', out);
}

const char *const client_refusal_words[CLIENT_REFUSAL_COUNT] = {
	[CLIENT_REFUSED_UNNAMED] = "unnamed",
	[CLIENT_REFUSED_HANDSHAKES] = "handshakes_per_second",
	[CLIENT_REFUSED_CONNECTIONS] = "connections",
	[CLIENT_REFUSED_CONNECTION_RATE] = "connections_per_second",
	[CLIENT_REFUSED_NO_MEMORY] = "no_memory",
};

static void put_row(FILE *out, const struct row *row)
{
	fputc('{', out);
	api_string(out, "name", row->name, true);
	if (!row->is_group) {
		api_string(out, "group", row->group, false);
		api_string(out, "entry", row->pattern, false);
	}
	fprintf(out, ",\"live_connections\":%" PRIu64, row->connections);
	put_direction(out, "produce", row, CLIENT_PRODUCE);
	put_direction(out, "consume", row, CLIENT_CONSUME);
	put_limit(out, "connections", row->limits.connections);
	put_limit(out, "connections_per_second", row->limits.connections_per_second);
	put_limit(out, "handshakes_per_second", row->limits.handshakes_per_second);
	fputs(",\"refused\":{", out);
	for (int i = 0; i < CLIENT_REFUSAL_COUNT; i++)
		fprintf(out, "%s\"%s\":%" PRIu64, i ? "," : "", client_refusal_words[i],
			row->counts.refused[i]);
	fputs("}}", out);
}

/* Rows of one kind, the first `most` of them; returns how many there are. */
static size_t put_rows(FILE *out, const char *key, const struct rows *rows, bool groups,
		       uint64_t most)
{
	size_t count = 0;

	fprintf(out, ",\"%s\":[", key);
	for (size_t i = 0; i < rows->count; i++) {
		if (rows->items[i].is_group != groups || count++ >= most)
			continue;
		fputs(count > 1 ? ",\n" : "\n", out);
		put_row(out, &rows->items[i]);
	}
	fputc(']', out);
	return count;
}

/* --- orders --- */

/* The words in a query and in an answer, and where the limit is; bursts follow their rates. */
static const struct {
	const char *query, *key;
	enum client_order_field field;
	size_t offset;
	bool is_rate;
} order_keys[] = {
	{ "produce", "produce", CLIENT_ORDER_PRODUCE,
	  offsetof(struct client_limits, rate[CLIENT_PRODUCE]), true },
	{ "consume", "consume", CLIENT_ORDER_CONSUME,
	  offsetof(struct client_limits, rate[CLIENT_CONSUME]), true },
	{ "connections", "connections", CLIENT_ORDER_CONNECTIONS,
	  offsetof(struct client_limits, connections), false },
	{ "connections-per-second", "connections_per_second", CLIENT_ORDER_CONNECTION_RATE,
	  offsetof(struct client_limits, connections_per_second), false },
	{ "handshakes-per-second", "handshakes_per_second", CLIENT_ORDER_HANDSHAKE_RATE,
	  offsetof(struct client_limits, handshakes_per_second), false },
};

struct put_orders {
	FILE *out;
	uint64_t now_ns;
	bool some;
};

static void put_order(const struct client_order *order, void *arg)
{
	struct put_orders *put = arg;
	FILE *out = put->out;

	fputs(put->some ? ",\n{" : "\n{", out);
	put->some = true;
	api_string(out, order->of_group ? "group" : "name", order->name, true);
	for (size_t i = 0; i < ARRAY_SIZE(order_keys); i++)
		if (order->fields & order_keys[i].field)
			put_limit(out, order_keys[i].key,
				  *(const uint64_t *)((const char *)order->limits +
						      order_keys[i].offset));
	if (order->expires_ns == UINT64_MAX)
		fputs(",\"expires_in_seconds\":null}", out);
	else
		fprintf(out, ",\"expires_in_seconds\":%" PRIu64 "}",
			(uint64_t)((order->expires_ns - MIN(order->expires_ns, put->now_ns) +
				    NSEC_PER_SEC - 1) /
				   NSEC_PER_SEC));
}

static void put_orders(struct clients *clients, FILE *out, uint64_t now_ns)
{
	struct put_orders put = { .out = out, .now_ns = now_ns };

	fputs(",\"orders\":[", out);
	clients_visit_orders(clients, put_order, &put);
	fputc(']', out);
}

/* --- handlers --- */

void api_limits(const struct http_request *request, struct http_answer *answer, void *arg)
{
	struct clients *clients = proxy_clients(((struct admin *)arg)->proxy);
	const char *most_text = http_request_query(request, "limit");
	uint64_t most = ROWS_DEFAULT;
	struct rows rows = {
		.glob = http_request_query(request, "cn"),
		.at_limit = http_request_query(request, "at-limit") != NULL,
		.now_ns = clock_monotonic_ns(),
	};
	size_t matched;

	if (most_text && parse_u64(most_text, 1, CONN_LIST_MAX, &most) < 0) {
		api_fail(answer, 400, "limit '%.32s': a number from 1 to %d is expected", most_text,
			 CONN_LIST_MAX);
		return;
	}
	clients_visit(clients, rows.now_ns, see_client, &rows);
	clients_visit_groups(clients, see_group, &rows);
	if (rows.count)
		qsort(rows.items, rows.count, sizeof(*rows.items), compare_rows);
	answer->content_type = "application/json";
	fprintf(answer->body, "{\"known\":%" PRIu64 ",\"limited\":%" PRIu64, rows.clients,
		rows.limited);
	matched = put_rows(answer->body, "clients", &rows, false, most);
	put_rows(answer->body, "groups", &rows, true, most);
	put_orders(clients, answer->body, rows.now_ns);
	fprintf(answer->body, ",\"matched\":%zu,\"shown\":%zu,\"out_of_memory\":%s}\n", matched,
		MIN(matched, (size_t)most), rows.no_memory ? "true" : "false");
	rows_fini(&rows);
}

/* Whom an order is about: true, or the request has been answered. */
static bool take_whom(const struct http_request *request, struct http_answer *answer,
		      struct client_order *order)
{
	const char *name = http_request_query(request, "name"),
		   *group = http_request_query(request, "group");

	order->name = group ? group : name;
	order->of_group = group != NULL;
	if (!name == !group) {
		api_fail(answer, 400, "whom? either name or group is needed");
		return false;
	}
	if (strlen(order->name) <= PEER_NAME_BYTES_MAX && (!group || group[0]))
		return true;
	api_fail(answer, 400, "no client and no group has such a name");
	return false;
}

static bool take_value(struct http_answer *answer, size_t key, const char *text,
		       struct client_limits *limits)
{
	uint64_t *at = (uint64_t *)((char *)limits + order_keys[key].offset);
	bool rate = order_keys[key].is_rate;

	*at = 0;
	if (strcmp(text, "off") == 0)
		return true;
	if (rate && parse_rate(text, at) == 0 && *at >= CLIENT_RATE_MIN && *at <= CLIENT_RATE_MAX)
		return true;
	if (!rate && parse_u64(text, 1, CONNECTIONS_MAX, at) == 0)
		return true;
	if (rate)
		api_fail(answer, 400, "%s '%.32s': off, or 10kB/s to 100GB/s, is expected",
			 order_keys[key].query, text);
	else
		api_fail(answer, 400, "%s '%.32s': off, or a number from 1 to %d, is expected",
			 order_keys[key].query, text, CONNECTIONS_MAX);
	return false;
}

static bool take_limits(const struct http_request *request, struct http_answer *answer,
			struct client_order *order, struct client_limits *limits)
{
	for (size_t i = 0; i < ARRAY_SIZE(order_keys); i++) {
		const char *text = http_request_query(request, order_keys[i].query);

		if (!text)
			continue;
		if (!take_value(answer, i, text, limits))
			return false;
		order->fields |= order_keys[i].field;
	}
	if (!order->fields)
		api_fail(answer, 400,
			 "which limit? produce, consume, connections, connections-per-second or "
			 "handshakes-per-second is needed");
	return order->fields != 0;
}

/* An order that nobody takes back ends by itself. */
static bool take_expiry(const struct http_request *request, struct http_answer *answer,
			uint64_t now_ns, struct client_order *order)
{
	const char *text = http_request_query(request, "for");
	uint64_t ms;

	if (text && parse_duration_ms(text, &ms) == 0 && ms && ms <= FOR_MS_MAX) {
		order->expires_ns = now_ns + ms * NSEC_PER_MSEC;
		return true;
	}
	api_fail(answer, 400,
		 "for '%.32s': a time such as 10m, 2h or 1d is needed, 30d at most; what is to "
		 "stay belongs in the configuration",
		 text ? text : "");
	return false;
}

static void log_order(const struct http_request *request, const char *what,
		      const struct client_order *order)
{
	struct log_line line;

	api_log_order(&line, request, what);
	log_str(&line, order->of_group ? "group" : "client", order->name);
	for (size_t i = 0; i < ARRAY_SIZE(order_keys); i++) {
		const char *text = http_request_query(request, order_keys[i].query);

		if (order->fields & order_keys[i].field)
			log_str(&line, order_keys[i].key, text);
	}
	if (order->fields)
		log_str(&line, "for", http_request_query(request, "for"));
	log_end(&line);
}

void api_set_limits(const struct http_request *request, struct http_answer *answer, void *arg)
{
	struct admin *admin = arg;
	uint64_t now_ns = clock_monotonic_ns();
	struct client_limits limits = { 0 };
	struct client_order order = { .limits = &limits };
	int r;

	if (!take_whom(request, answer, &order) || !take_limits(request, answer, &order, &limits) ||
	    !take_expiry(request, answer, now_ns, &order))
		return;
	r = clients_order(proxy_clients(admin->proxy), &order, now_ns);
	if (r == -ENOENT)
		api_fail(answer, 404, "the configuration has no group '%.64s'", order.name);
	else if (r == -ENOSPC)
		api_fail(answer, 409, "%d orders are in force already: clear some",
			 CLIENT_ORDERS_MAX);
	else if (r < 0)
		api_fail(answer, 503, "out of memory");
	if (r < 0)
		return;
	log_order(request, "limits_set", &order);
	admin_wake(admin);
	answer->content_type = "application/json";
	fputs("{\"set\":true", answer->body);
	put_orders(proxy_clients(admin->proxy), answer->body, now_ns);
	fputs("}\n", answer->body);
}

void api_clear_limits(const struct http_request *request, struct http_answer *answer, void *arg)
{
	struct admin *admin = arg;
	struct client_order order = { 0 };

	if (!take_whom(request, answer, &order))
		return;
	if (clients_withdraw(proxy_clients(admin->proxy), order.name, order.of_group,
			     clock_monotonic_ns()) < 0) {
		api_fail(answer, 404, "no order is in force for the %s '%.64s'",
			 order.of_group ? "group" : "client", order.name);
		return;
	}
	log_order(request, "limits_clear", &order);
	answer->content_type = "application/json";
	fputs("{\"cleared\":true}\n", answer->body);
}

void admin_end_orders(struct admin *admin)
{
	struct client_order *order;

	while ((order = clients_take_expired(proxy_clients(admin->proxy), clock_monotonic_ns()))) {
		log_msg(LOG_INFO, "limits_expired",
			"%s '%s' has the limits of the configuration again",
			order->of_group ? "group" : "client", order->name);
		client_order_free(order);
	}
}
