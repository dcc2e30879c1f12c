/* SPDX-License-Identifier: Apache-2.0 */
/* `sallyport limits`: who is held back by limits, and orders that change some for a while. Main
 * thread. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/admin_client.h"
#include "cli/cli.h"
#include "cli/table.h"

#define RATE_BYTES 40

/* "50.0MB/s": decimal, as limits are written. */
static const char *rate_text(const json_t *direction, char ret[RATE_BYTES])
{
	static const char *const units[] = { "kB/s", "MB/s", "GB/s" };
	double value = admin_real(direction, "bytes_per_second") / 1000;
	size_t unit = 0;

	if (!json_is_number(json_object_get(direction, "bytes_per_second")))
		return "";
	while (value >= 1000 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1000;
		unit++;
	}
	snprintf(ret, RATE_BYTES, "%.*f%s", value < 10 ? 2 : 1, value, units[unit]);
	return ret;
}

static void add_rate(struct table *table, const json_t *row, const char *key)
{
	char text[RATE_BYTES];

	table_add(table, rate_text(json_object_get(row, key), text));
}

static void add_bytes(struct table *table, const json_t *row, const char *key)
{
	char text[TABLE_VALUE_BYTES];

	table_add(table,
		  table_bytes((uint64_t)admin_number(json_object_get(row, key), "bytes"), text));
}

/* "consume for 3m05s" */
static void add_at_limit(struct table *table, const json_t *row)
{
	static const char *const keys[] = { "produce", "consume" };
	char text[2 * (TABLE_VALUE_BYTES + 32)] = "", seconds[TABLE_VALUE_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const json_t *direction = json_object_get(row, keys[i]);
		size_t used = strlen(text);

		if (!json_is_number(json_object_get(direction, "at_limit_seconds")))
			continue;
		snprintf(text + used, sizeof(text) - used, "%s%s for %s", used ? ", " : "", keys[i],
			 table_seconds(admin_real(direction, "at_limit_seconds"), seconds));
	}
	table_add(table, text);
}

static double limited_seconds(const json_t *row, const char *key)
{
	return admin_real(json_object_get(row, key), "limited_seconds");
}

static void add_waited(struct table *table, const json_t *row)
{
	double seconds = limited_seconds(row, "produce") + limited_seconds(row, "consume");
	char text[TABLE_VALUE_BYTES];

	table_add(table, seconds > 0 ? table_seconds(seconds, text) : "");
}

static void add_refused(struct table *table, const json_t *row)
{
	json_t *count;
	const char *reason;
	int64_t sum = 0;

	json_object_foreach(json_object_get(row, "refused"), reason, count) sum +=
		json_integer_value(count);
	table_addf(table, "%" PRId64, sum);
}

static void print_rows(const json_t *rows, bool groups)
{
	const char *const titles[] = { groups ? "GROUP" : "CLIENT",
				       groups ? "" : "GROUP",
				       "CONNS",
				       "PRODUCED",
				       "LIMIT",
				       "CONSUMED",
				       "LIMIT",
				       "AT ITS LIMIT",
				       "WAITED",
				       "REFUSED" };
	const json_t *row;
	struct table table;
	size_t i;

	table_init(&table, titles, ARRAY_SIZE(titles));
	json_array_foreach(rows, i, row)
	{
		table_add(&table, admin_text(row, "name"));
		table_add(&table, admin_text(row, "group"));
		table_addf(&table, "%" PRId64, admin_number(row, "live_connections"));
		add_bytes(&table, row, "produce");
		add_rate(&table, row, "produce");
		add_bytes(&table, row, "consume");
		add_rate(&table, row, "consume");
		add_at_limit(&table, row);
		add_waited(&table, row);
		add_refused(&table, row);
	}
	table_print(&table, stdout);
}

static void print_order(const json_t *order)
{
	static const char *const keys[] = { "produce", "consume", "connections",
					    "connections_per_second", "handshakes_per_second" };
	bool of_group = json_object_get(order, "group") != NULL;
	char *name = table_safe_text(admin_text(order, of_group ? "group" : "name"));
	char seconds[TABLE_VALUE_BYTES];

	printf("by order: %s '%s'", of_group ? "group" : "client", name ? name : "?");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const json_t *value = json_object_get(order, keys[i]);

		if (json_is_null(value))
			printf(", %s off", keys[i]);
		else if (value)
			printf(", %s %" PRId64 "%s", keys[i], (int64_t)json_integer_value(value),
			       i < 2 ? " B/s" : "");
	}
	printf(", for another %s\n",
	       table_seconds(admin_real(order, "expires_in_seconds"), seconds));
	free(name);
}

static void print_orders(const json_t *answer)
{
	const json_t *order;
	size_t i;

	json_array_foreach(json_object_get(answer, "orders"), i, order)
	{
		print_order(order);
	}
}

static void print_limits(const json_t *answer, bool at_limit)
{
	const json_t *groups = json_object_get(answer, "groups");
	int64_t shown = admin_number(answer, "shown"), matched = admin_number(answer, "matched");

	if (matched)
		print_rows(json_object_get(answer, "clients"), false);
	if (json_array_size(groups)) {
		fputs(matched ? "\n" : "", stdout);
		print_rows(groups, true);
	}
	print_orders(answer);
	printf("%" PRId64 " clients known, %" PRId64 " with limits, %" PRId64 " %s",
	       admin_number(answer, "known"), admin_number(answer, "limited"), matched,
	       at_limit ? "at their limit now" : "match");
	if (shown < matched)
		printf(", the first %" PRId64 " are shown (--limit)", shown);
	fputc('\n', stdout);
	if (json_is_true(json_object_get(answer, "out_of_memory")))
		puts("the proxy is short of memory: clients are missing here");
}

static const struct option options[] = {
	ADMIN_QUERY_OPTION(0, "at-limit", no_argument),
	ADMIN_QUERY_OPTION(1, "limit", required_argument),
	ADMIN_QUERY_OPTION(2, "group", required_argument),
	ADMIN_QUERY_OPTION(3, "produce", required_argument),
	ADMIN_QUERY_OPTION(4, "consume", required_argument),
	ADMIN_QUERY_OPTION(5, "connections", required_argument),
	ADMIN_QUERY_OPTION(6, "connections-per-second", required_argument),
	ADMIN_QUERY_OPTION(7, "handshakes-per-second", required_argument),
	ADMIN_QUERY_OPTION(8, "for", required_argument),
	ADMIN_OPTIONS_END,
};

/* Starts a request, unless it has options that are not its `own`. */
static int begin(struct admin_client *client, const char *path, const struct cli_verb *verb,
		 int argc, char **argv, const char *const *own)
{
	int code = admin_client_init(client, path, verb, argc, argv, options);

	for (size_t i = 0; code == ADMIN_GO_ON && options[i].val >= 256; i++) {
		size_t j = 0;

		while (own[j] && strcmp(own[j], options[i].name) != 0)
			j++;
		if (own[j] || !admin_client_has(client, options[i].name))
			continue;
		admin_client_fini(client);
		return cli_usage_error(client->command, "--%s has no place here", options[i].name);
	}
	return code;
}

static int list(const struct cli_verb *verb, int argc, char **argv)
{
	static const char *const own[] = { "at-limit", "limit", NULL };
	struct admin_client client = { .command = "sallyport limits" };
	json_t *answer;
	int code = begin(&client, "/v1/limits", verb, argc, argv, own);
	bool at_limit;

	if (code != ADMIN_GO_ON)
		return code;
	if (optind + 1 < argc)
		return admin_client_refuse(&client, argv[optind + 1]);
	if (optind < argc)
		admin_client_query(&client, "cn", argv[optind]);
	at_limit = admin_client_has(&client, "at-limit");
	code = admin_client_ask(&client, false, &answer);
	if (code != CLI_OK)
		return code;
	if (!client.json)
		print_limits(answer, at_limit);
	json_decref(answer);
	return cli_finish(CLI_OK);
}

/* The client's name, if it is not a group that is meant. ADMIN_GO_ON or an exit code. */
static int take_name(struct admin_client *client, int argc, char **argv)
{
	bool group = admin_client_has(client, "group");

	if (optind + 1 < argc)
		return admin_client_refuse(client, argv[optind + 1]);
	if ((optind < argc) == group) {
		admin_client_fini(client);
		return cli_usage_error(client->command,
				       "whom? a client's name or --group NAME is expected");
	}
	if (!group)
		admin_client_query(client, "name", argv[optind]);
	return ADMIN_GO_ON;
}

/* An order about a client or a group; prints `done`, or with NULL the orders that are in force. */
static int order(struct admin_client *client, const char *path, const struct cli_verb *verb,
		 int argc, char **argv, const char *const *own, const char *done)
{
	int code = begin(client, path, verb, argc, argv, own);
	json_t *answer;

	if (code == ADMIN_GO_ON)
		code = take_name(client, argc, argv);
	if (code != ADMIN_GO_ON)
		return code;
	code = admin_client_ask(client, true, &answer);
	if (code != CLI_OK)
		return code;
	if (!client->json && done)
		puts(done);
	else if (!client->json)
		print_orders(answer);
	json_decref(answer);
	return cli_finish(CLI_OK);
}

static int set(const struct cli_verb *verb, int argc, char **argv)
{
	static const char *const own[] = { "group",
					   "produce",
					   "consume",
					   "connections",
					   "connections-per-second",
					   "handshakes-per-second",
					   "for",
					   NULL };
	struct admin_client client = { .command = "sallyport limits set" };

	return order(&client, "/v1/limits", verb, argc, argv, own, NULL);
}

static int clear(const struct cli_verb *verb, int argc, char **argv)
{
	static const char *const own[] = { "group", NULL };
	struct admin_client client = { .command = "sallyport limits clear" };

	return order(&client, "/v1/limits/clear", verb, argc, argv, own,
		     "cleared: the configuration's limits again");
}

int cli_limits(const struct cli_verb *verb, int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "set") == 0)
		return set(verb, argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "clear") == 0)
		return clear(verb, argc - 1, argv + 1);
	return list(verb, argc, argv);
}
