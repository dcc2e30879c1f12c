/* SPDX-License-Identifier: Apache-2.0 */
/* `sallyport status`: is the running proxy well, and if not, what is to be done. Main thread. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/admin_client.h"
#include "cli/cli.h"
#include "cli/status.h"
#include "cli/table.h"

#define COMMAND "sallyport status"

static enum cli_style style_of(const char *state)
{
	return !strcmp(state, "healthy") || !strcmp(state, "note") ? CLI_GREEN
	       : !strcmp(state, "degraded")			   ? CLI_YELLOW
								   : CLI_RED;
}

/* An object's text, made safe, with what is around it; nothing if it is not there. */
static void put(const char *before, const json_t *object, const char *key, const char *after)
{
	cleanup_free char *safe = table_safe_text(admin_text(object, key));

	if (safe && safe[0])
		printf("%s%s%s", before, safe, after);
}

static void print_head(const json_t *status)
{
	const char *state = admin_text(status, "state");
	char text[TABLE_VALUE_BYTES];

	put("sallyport ", status, "version", ": ");
	fputs(cli_style(stdout, style_of(state)), stdout);
	put("", status, "state", "");
	fputs(cli_style(stdout, CLI_PLAIN), stdout);
	printf(", up %s", table_seconds(admin_real(status, "uptime_seconds"), text));
	put(" (since ", status, "started", ")");
	printf("\npid %" PRId64 ", %" PRId64 " workers", admin_number(status, "pid"),
	       admin_number(status, "workers"));
	put(" on ", status, "loop", "");
	put(", log level ", status, "log_level", "\n");
	put("configuration ", status, "config_file", "\n");
	put("", status, "openssl", ", ");
	put("kernel ", status, "kernel", "\n");
}

static void print_condition(const json_t *condition)
{
	const char *severity = admin_text(condition, "severity");
	char text[TABLE_VALUE_BYTES];

	printf("\n%s", cli_style(stdout, style_of(severity)));
	put("", condition, "severity", "");
	fputs(cli_style(stdout, CLI_PLAIN), stdout);
	put(": ", condition, "condition", "");
	put(": ", condition, "subject", "");
	printf(", for %s", table_seconds(admin_real(condition, "seconds"), text));
	put(" (since ", condition, "since", ")");
	fputc('\n', stdout);
	put("  ", condition, "detail", "\n");
	put("  ", condition, "meaning", "\n");
	put("  do: ", condition, "remedy", "\n");
}

static void print_listeners(const json_t *listeners)
{
	static const char *const titles[] = { "LISTENER",  "ROLE",	  "LISTEN",
					      "UPSTREAM",  "CONNECTIONS", "HANDSHAKES",
					      "TRANSPORT", "CERTIFICATE" };
	const json_t *listener;
	struct table table;
	size_t i;

	table_init(&table, titles, ARRAY_SIZE(titles));
	json_array_foreach(listeners, i, listener)
	{
		const json_t *certificate = json_object_get(listener, "certificate");

		table_add(&table, admin_text(listener, "name"));
		table_add(&table, admin_text(listener, "role"));
		table_add(&table, admin_text(listener, "listen"));
		table_add(&table, admin_text(listener, "upstream"));
		table_addf(&table, "%" PRId64 " of %" PRId64, admin_number(listener, "connections"),
			   admin_number(listener, "connections_max"));
		table_addf(&table, "%" PRId64 " of %" PRId64, admin_number(listener, "handshakes"),
			   admin_number(listener, "handshakes_max"));
		table_add(&table, admin_text(listener, "transport"));
		if (json_is_object(certificate))
			table_addf(&table, "CN %s, %" PRId64 " days left",
				   admin_text(certificate, "cn"),
				   admin_number(certificate, "days_left"));
		else
			table_add(&table, "");
	}
	fputc('\n', stdout);
	table_print(&table, stdout);
}

static void print_sources(const json_t *sources)
{
	const json_t *source;
	size_t i;

	json_array_foreach(sources, i, source)
	{
		bool well = json_is_null(json_object_get(source, "cause"));

		put(i ? "" : "\n", source, "source", ": ");
		printf("%s", cli_style(stdout, well ? CLI_GREEN : CLI_YELLOW));
		put("", source, "cause", "");
		printf("%s%s", well ? "well" : "", cli_style(stdout, CLI_PLAIN));
		put(", last well ", source, "last_success", "");
		fputs(json_is_true(json_object_get(source, "circuit_open"))
			      ? ", left alone for a while\n"
			      : "\n",
		      stdout);
	}
}

void status_print_certificates(const json_t *certificates)
{
	static const char *const titles[] = { "CERTIFICATE", "CN",	"ISSUER",
					      "NOT AFTER",   "RENEWAL", "STATE" };
	static const char *const keys[] = { "name", "cn", "issuer", "not_after", "renewal" };
	const json_t *certificate;
	struct table table;
	size_t i;

	if (!json_array_size(certificates))
		return;
	table_init(&table, titles, ARRAY_SIZE(titles));
	json_array_foreach(certificates, i, certificate)
	{
		const char *cause = admin_text(certificate, "cause");

		for (size_t j = 0; j < ARRAY_SIZE(keys); j++)
			table_add(&table, admin_text(certificate, keys[j]));
		table_add(&table, cause[0]					       ? cause
				  : json_is_true(json_object_get(certificate, "good")) ? "good"
										       : "awaited");
	}
	fputc('\n', stdout);
	table_print(&table, stdout);
}

static void print_trust(const json_t *trust)
{
	const char *primary = admin_text(trust, "primary");

	if (!json_is_object(trust) || !primary[0])
		return;
	put("issuer ", trust, "primary", "");
	printf(" and %" PRId64 " more, %" PRId64 " roots\n", admin_number(trust, "secondaries"),
	       admin_number(trust, "roots"));
}

static void print_sandbox(const json_t *parts)
{
	const json_t *part;
	size_t i;

	fputs("\nsandbox:\n", stdout);
	json_array_foreach(parts, i, part)
	{
		bool in_force = json_is_true(json_object_get(part, "in_force"));

		put("  ", part, "part", ": ");
		printf("%s%s%s", cli_style(stdout, in_force ? CLI_GREEN : CLI_YELLOW),
		       in_force ? "in force" : "missing", cli_style(stdout, CLI_PLAIN));
		put(": ", part, "detail", "");
		fputc('\n', stdout);
	}
}

static void print_first_end(const json_t *first)
{
	if (!json_is_object(first))
		return;
	put("\nexpires first: ", first, "kind", "");
	put(" CN ", first, "cn", "");
	put(" of listener ", first, "listener", "");
	put(", ", first, "not_after", "");
	printf(" (%" PRId64 " days left)\n", admin_number(first, "days_left"));
}

static void print_status(const json_t *status)
{
	const json_t *condition;
	size_t i;

	print_head(status);
	json_array_foreach(json_object_get(status, "conditions"), i, condition)
		print_condition(condition);
	print_listeners(json_object_get(status, "listeners"));
	status_print_certificates(json_object_get(status, "certificates"));
	print_sources(json_object_get(status, "sources"));
	print_trust(json_object_get(status, "trust"));
	print_first_end(json_object_get(status, "expires_first"));
	print_sandbox(json_object_get(status, "sandbox"));
}

int cli_status(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct option options[] = { ADMIN_OPTIONS_END };
	struct admin_client client = { .command = COMMAND };
	json_t *status;
	bool healthy;
	int code = admin_client_init(&client, "/v1/status", verb, argc, argv, options);

	if (code != ADMIN_GO_ON)
		return code;
	if (optind < argc)
		return admin_client_refuse(&client, argv[optind]);
	code = admin_client_ask(&client, false, &status);
	/* 1 would mean that it is not well. */
	if (code != CLI_OK)
		return code == CLI_FAILED ? CLI_NO_PROXY : code;
	if (!client.json)
		print_status(status);
	healthy = strcmp(admin_text(status, "state"), "healthy") == 0;
	json_decref(status);
	return cli_finish(healthy ? CLI_OK : CLI_FAILED);
}
