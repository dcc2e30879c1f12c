/* SPDX-License-Identifier: Apache-2.0 */
/* `sallyport conns` and `kill`: who is connected with what, and out with them. Main thread. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "base/util.h"
#include "cli/admin_client.h"
#include "cli/cli.h"
#include "cli/table.h"

static void add_bytes(struct table *table, const json_t *conn, const char *key)
{
	char text[TABLE_VALUE_BYTES];

	table_add(table, table_bytes((uint64_t)admin_number(conn, key), text));
}

static void add_seconds(struct table *table, const json_t *conn, const char *key)
{
	char text[TABLE_VALUE_BYTES];

	table_add(table, json_is_number(json_object_get(conn, key))
				 ? table_seconds(admin_real(conn, key), text)
				 : "");
}

/* Most proxies tell no broker who comes. */
static bool any_has_principal(const json_t *conns)
{
	const json_t *conn;
	size_t i;

	json_array_foreach(conns, i, conn)
	{
		if (admin_text(conn, "principal")[0])
			return true;
	}
	return false;
}

static void print_conns(const json_t *conns)
{
	static const char *const titles[] = { "CONN",	"LISTENER",  "CLIENT", "CN",
					      "ISSUER", "TRANSPORT", "STATE",  "WAITS FOR",
					      "IN",	"OUT",	     "AGE",    "IDLE",
					      "STALL",	"PRINCIPAL" };
	bool principals = any_has_principal(conns);
	const json_t *conn;
	struct table table;
	size_t i;

	table_init(&table, titles, ARRAY_SIZE(titles) - !principals);
	json_array_foreach(conns, i, conn)
	{
		table_addf(&table, "%" PRIu64, (uint64_t)admin_number(conn, "conn"));
		table_add(&table, admin_text(conn, "listener"));
		table_add(&table, admin_text(conn, "client"));
		table_add(&table, admin_text(conn, "cn"));
		table_add(&table, admin_text(conn, "issuer"));
		table_addf(&table, "%s/%s", admin_text(conn, "client_transport"),
			   admin_text(conn, "upstream_transport"));
		table_add(&table, admin_text(conn, "state"));
		table_add(&table, admin_text(conn, "waits_for"));
		add_bytes(&table, conn, "bytes_in");
		add_bytes(&table, conn, "bytes_out");
		add_seconds(&table, conn, "age_seconds");
		add_seconds(&table, conn, "idle_seconds");
		add_seconds(&table, conn, "stall_seconds");
		if (principals)
			table_add(&table, admin_text(conn, "principal"));
	}
	table_print(&table, stdout);
}

/* A list that is not whole says so. */
static void print_sum(const json_t *answer)
{
	int64_t shown = admin_number(answer, "shown"), matched = admin_number(answer, "matched");
	int64_t silent = admin_number(answer, "silent_workers");

	printf("%" PRId64 " live, %" PRId64 " match", admin_number(answer, "live"), matched);
	if (shown < matched)
		printf(", the first %" PRId64 " are shown (--limit)", shown);
	fputc('\n', stdout);
	if (silent)
		printf("%" PRId64 " workers did not answer: their connections are missing here\n",
		       silent);
	if (json_is_true(json_object_get(answer, "out_of_memory")))
		puts("the proxy is short of memory: connections are missing here");
}

int cli_conns(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct option options[] = {
		ADMIN_QUERY_OPTION(0, "cn", required_argument),
		ADMIN_QUERY_OPTION(1, "issuer", required_argument),
		ADMIN_QUERY_OPTION(2, "serial", required_argument),
		ADMIN_QUERY_OPTION(3, "listener", required_argument),
		ADMIN_QUERY_OPTION(4, "state", required_argument),
		ADMIN_QUERY_OPTION(5, "transport", required_argument),
		ADMIN_QUERY_OPTION(6, "sort", required_argument),
		ADMIN_QUERY_OPTION(7, "limit", required_argument),
		ADMIN_QUERY_OPTION(8, "principal", required_argument),
		ADMIN_OPTIONS_END,
	};
	struct admin_client client = { .command = "sallyport conns" };
	json_t *answer;
	int code = admin_client_init(&client, "/v1/conns", verb, argc, argv, options);

	if (code != ADMIN_GO_ON)
		return code;
	if (optind < argc)
		return admin_client_refuse(&client, argv[optind]);
	code = admin_client_ask(&client, false, &answer);
	if (code != CLI_OK)
		return code;
	if (!client.json) {
		print_conns(json_object_get(answer, "conns"));
		print_sum(answer);
	}
	json_decref(answer);
	return cli_finish(CLI_OK);
}

/* The positional argument, if there is one. ADMIN_GO_ON or an exit code. */
static int take_conn(struct admin_client *client, int argc, char **argv)
{
	uint64_t id;

	if (optind == argc)
		return ADMIN_GO_ON;
	if (optind + 1 < argc)
		return admin_client_refuse(client, argv[optind + 1]);
	if (parse_u64(argv[optind], 0, UINT64_MAX, &id) < 0) {
		admin_client_fini(client);
		return cli_usage_error(client->command,
				       "'%s' is not the number of a connection ('sallyport conns' "
				       "lists them); for names there are --cn, --issuer, --serial, "
				       "--principal",
				       argv[optind]);
	}
	admin_client_query(client, "conn", argv[optind]);
	return ADMIN_GO_ON;
}

static int report_killed(const struct admin_client *client, const json_t *answer)
{
	int64_t killed = admin_number(answer, "killed");
	int64_t silent = admin_number(answer, "silent_workers");

	if (!client->json && killed)
		printf("%" PRId64 " connection%s ended\n", killed, killed == 1 ? "" : "s");
	if (silent)
		return cli_fail(client->command,
				"%" PRId64 " workers did not answer: there may be more", silent);
	if (!killed)
		return cli_fail(client->command, "no live connection matches");
	return CLI_OK;
}

int cli_kill(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct option options[] = {
		ADMIN_QUERY_OPTION(0, "cn", required_argument),
		ADMIN_QUERY_OPTION(1, "issuer", required_argument),
		ADMIN_QUERY_OPTION(2, "serial", required_argument),
		ADMIN_QUERY_OPTION(3, "listener", required_argument),
		ADMIN_QUERY_OPTION(4, "principal", required_argument),
		ADMIN_OPTIONS_END,
	};
	struct admin_client client = { .command = "sallyport kill" };
	json_t *answer;
	int code = admin_client_init(&client, "/v1/kill", verb, argc, argv, options);

	if (code == ADMIN_GO_ON)
		code = take_conn(&client, argc, argv);
	if (code != ADMIN_GO_ON)
		return code;
	if (!client.has_query) {
		admin_client_fini(&client);
		return cli_usage_error(client.command,
				       "whom? the number of a connection, --cn, --issuer, "
				       "--serial or --principal is expected");
	}
	code = admin_client_ask(&client, true, &answer);
	if (code != CLI_OK)
		return code;
	code = report_killed(&client, answer);
	json_decref(answer);
	return cli_finish(code);
}
