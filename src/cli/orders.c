/* SPDX-License-Identifier: Apache-2.0 */
/* `sallyport reload`, `renew`, `upgrade`, `drain` and `log-level`: orders to the process as a
 * whole. Main thread. */
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "cli/admin_client.h"
#include "cli/cli.h"
#include "cli/renewal.h"
#include "cli/status.h"

/* More than the proxy gives its successor to begin to serve. */
#define UPGRADE_MS 90000L

/* Asks; prints `done` unless --json has printed the answer. */
static int give_order(struct admin_client *client, const char *done)
{
	json_t *answer;
	int code = admin_client_ask(client, true, &answer);

	if (code != CLI_OK)
		return code;
	if (!client->json)
		puts(done);
	json_decref(answer);
	return cli_finish(CLI_OK);
}

int cli_reload(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct option options[] = { ADMIN_OPTIONS_END };
	struct admin_client client = { .command = "sallyport reload" };
	int code = admin_client_init(&client, "/v1/reload", verb, argc, argv, options);

	if (code != ADMIN_GO_ON)
		return code;
	if (optind < argc)
		return admin_client_refuse(&client, argv[optind]);
	return give_order(&client, "reloaded");
}

static void print_renewed(const json_t *status)
{
	status_print_certificates(json_object_get(status, "certificates"));
}

int cli_renew(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct option options[] = {
		ADMIN_QUERY_OPTION(0, "all", no_argument),
		ADMIN_OPTIONS_END,
	};
	static const struct renewal renewal = { .status_path = "/v1/status",
						.status_verb = "sallyport status",
						.print = print_renewed };
	struct admin_client client = { .command = "sallyport renew" };
	int code = admin_client_init(&client, "/v1/renew", verb, argc, argv, options);
	const char *name;

	if (code != ADMIN_GO_ON)
		return code;
	name = optind < argc ? argv[optind++] : NULL;
	if (optind < argc)
		return admin_client_refuse(&client, argv[optind]);
	if (!name != client.has_query) {
		admin_client_fini(&client);
		return cli_usage_error(client.command,
				       "the name of a certificate, or --all, is expected");
	}
	return renewal_order(&renewal, &client, name);
}

int cli_upgrade(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct option options[] = { ADMIN_OPTIONS_END };
	struct admin_client client = { .command = "sallyport upgrade", .answer_ms = UPGRADE_MS };
	int code = admin_client_init(&client, "/v1/upgrade", verb, argc, argv, options);

	if (code != ADMIN_GO_ON)
		return code;
	if (optind < argc)
		return admin_client_refuse(&client, argv[optind]);
	return give_order(&client, "upgraded: a new process serves, the old one drains");
}

int cli_drain(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct option options[] = {
		ADMIN_QUERY_OPTION(0, "at-once", no_argument),
		ADMIN_OPTIONS_END,
	};
	struct admin_client client = { .command = "sallyport drain" };
	int code = admin_client_init(&client, "/v1/drain", verb, argc, argv, options);
	bool at_once = client.has_query;

	if (code != ADMIN_GO_ON)
		return code;
	if (optind < argc)
		return admin_client_refuse(&client, argv[optind]);
	return give_order(&client, at_once ? "stopping: live connections are cut"
					   : "draining: no new connections; live ones may finish");
}

static void print_level(const json_t *answer)
{
	const char *then = admin_text(answer, "then");

	printf("%s", admin_text(answer, "level"));
	if (then[0])
		printf(", back to %s in %" PRId64 " s", then,
		       admin_number(answer, "then_in_seconds"));
	fputc('\n', stdout);
}

int cli_log_level(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct option options[] = {
		ADMIN_QUERY_OPTION(0, "for", required_argument),
		ADMIN_OPTIONS_END,
	};
	struct admin_client client = { .command = "sallyport log-level" };
	int code = admin_client_init(&client, "/v1/log-level", verb, argc, argv, options);
	json_t *answer;
	bool order;

	if (code != ADMIN_GO_ON)
		return code;
	if (optind + 1 < argc)
		return admin_client_refuse(&client, argv[optind + 1]);
	order = optind < argc;
	if (!order && client.has_query) {
		admin_client_fini(&client);
		return cli_usage_error(client.command, "--for wants a level too: error, warning, "
						       "info or debug");
	}
	if (order)
		admin_client_query(&client, "level", argv[optind]);
	code = admin_client_ask(&client, order, &answer);
	if (code != CLI_OK)
		return code;
	if (!client.json)
		print_level(answer);
	json_decref(answer);
	return cli_finish(CLI_OK);
}
