/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sallyport agent`: runs an agent, once or until it is stopped; asks one that runs for its state;
 * has it renew. Main thread.
 */
#include "agent/agent.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/parse.h"
#include "base/util.h"
#include "cli/admin_client.h"
#include "cli/cli.h"
#include "cli/renewal.h"
#include "cli/report.h"
#include "cli/table.h"

#define COMMAND		"sallyport agent"
#define DEADLINE_MS	60000
#define DEADLINE_MS_MAX (24 * 3600 * 1000ULL)

/* --- run --- */

static void log_problems(const char *file, const struct config_problems *problems)
{
	for (size_t i = 0; i < problems->count; i++) {
		const struct config_problem *p = &problems->items[i];

		if (p->severity == CONFIG_ERROR)
			log_msg(LOG_ERROR, "config", "%s:%u:%u: %s: %s", file, p->line, p->column,
				p->path, p->text);
		else
			log_msg(LOG_WARNING, "config", "%s:%u:%u: %s: %s", file, p->line, p->column,
				p->path, p->text);
	}
}

/* Loads and looks at the host; NULL after errors, which are in `problems`. */
static struct config_agent *load(const char *file, struct config_problems *problems)
{
	struct config_agent *config = NULL;

	if (config_agent_load(file, &config, problems) < 0)
		return NULL;
	agent_check(config, problems);
	if (!problems->errors)
		return config;
	config_agent_free(config);
	return NULL;
}

/* For a running agent: standard error holds log lines only. */
static struct config_agent *load_again(const char *file)
{
	cleanup_free struct config_problems *problems = calloc(1, sizeof(*problems));
	struct config_agent *config = problems ? load(file, problems) : NULL;

	if (problems)
		log_problems(file, problems);
	if (!config)
		log_msg(LOG_ERROR, "reload_failed", "%s: nothing has changed", file);
	return config;
}

static int run(const struct agent_options *options)
{
	cleanup_free struct config_problems *problems = calloc(1, sizeof(*problems));
	struct config_agent *config;
	int r, code;

	if (!problems)
		return cli_fail(COMMAND, "no memory");
	config = load(options->config_file, problems);
	if (!config) {
		report_problems(stderr, options->config_file, problems);
		return CLI_USAGE;
	}
	log_init(STDERR_FILENO, config->process.log_level, config->process.log_format);
	log_problems(options->config_file, problems);
	agent_block_signals();
	r = log_start();
	if (r < 0) {
		config_agent_free(config);
		return cli_fail(COMMAND, "can not start a thread: %s", strerror(-r));
	}
	code = (int)agent_run(options, config);
	log_stop();
	return code;
}

/* --- status --- */

static const char *state_of(const json_t *certificate)
{
	if (!json_is_true(json_object_get(certificate, "good")))
		return "none";
	if (!json_is_true(json_object_get(certificate, "laid_out")))
		return "not laid out";
	if (json_is_true(json_object_get(certificate, "hooks_failed")))
		return "hook failed";
	return json_is_true(json_object_get(certificate, "hooks_busy")) ? "hooks run" : "good";
}

static void print_reasons(const json_t *certificates)
{
	static const char *const keys[] = { "error", "layout_error" };
	const json_t *certificate;
	size_t i;

	json_array_foreach(certificates, i, certificate) for (size_t j = 0; j < ARRAY_SIZE(keys);
							      j++)
	{
		cleanup_free char *name = table_safe_text(admin_text(certificate, "name"));
		cleanup_free char *why = table_safe_text(admin_text(certificate, keys[j]));

		if (name && why && why[0])
			printf("%s: %s\n", name, why);
	}
}

static void print_status(const json_t *status)
{
	static const char *const titles[] = { "CERTIFICATE", "STATE",	"CN",	   "SERIAL",
					      "NOT AFTER",   "RENEWAL", "FAILURES" };
	const json_t *certificates = json_object_get(status, "certificates"), *certificate;
	struct table table;
	size_t i;

	table_init(&table, titles, ARRAY_SIZE(titles));
	json_array_foreach(certificates, i, certificate)
	{
		table_add(&table, admin_text(certificate, "name"));
		table_add(&table, state_of(certificate));
		table_add(&table, admin_text(certificate, "cn"));
		table_add(&table, admin_text(certificate, "serial"));
		table_add(&table, admin_text(certificate, "not_after"));
		table_add(&table, admin_text(certificate, "renewal"));
		table_addf(&table, "%" PRId64, admin_number(certificate, "failures"));
	}
	table_print(&table, stdout);
	print_reasons(certificates);
}

static int agent_status(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct option options[] = { ADMIN_OPTIONS_END };
	struct admin_client client = { .command = "sallyport agent status", .of_agent = true };
	int code = admin_client_init(&client, "/v1/agent/status", verb, argc, argv, options);
	json_t *answer;
	bool well;

	if (code != ADMIN_GO_ON)
		return code;
	if (optind < argc)
		return admin_client_refuse(&client, argv[optind]);
	code = admin_client_ask(&client, false, &answer);
	if (code != CLI_OK)
		return code;
	well = json_is_true(json_object_get(answer, "well"));
	if (!client.json)
		print_status(answer);
	json_decref(answer);
	return cli_finish(well ? CLI_OK : CLI_FAILED);
}

/* --- renew --- */

static int agent_renew(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct option options[] = { ADMIN_OPTIONS_END };
	static const struct renewal renewal = { .status_path = "/v1/agent/status",
						.status_verb = "sallyport agent status",
						.print = print_status };
	struct admin_client client = { .command = "sallyport agent renew", .of_agent = true };
	int code = admin_client_init(&client, "/v1/agent/renew", verb, argc, argv, options);

	if (code != ADMIN_GO_ON)
		return code;
	if (optind + 1 < argc)
		return admin_client_refuse(&client, argv[optind + 1]);
	return renewal_order(&renewal, &client, optind < argc ? argv[optind] : NULL);
}

/* --- the verb --- */

static int take_deadline(const char *text, struct agent_options *options)
{
	if (parse_duration_ms(text, &options->deadline_ms) == 0 && options->deadline_ms &&
	    options->deadline_ms <= DEADLINE_MS_MAX)
		return CLI_OK;
	return cli_usage_error(COMMAND,
			       "--deadline '%s': a time such as 30s or 5m is expected, 24h at most",
			       text);
}

static int agent_daemon(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "once", no_argument, NULL, 'o' },
		{ "deadline", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct agent_options agent = { .version = SALLYPORT_VERSION,
				       .deadline_ms = DEADLINE_MS,
				       .load = load_again };
	int option, code = CLI_OK;

	optind = 0;
	while (code == CLI_OK && (option = cli_option(COMMAND, argc, argv, "c:h", options)) != -1) {
		if (option == 'h') {
			fputs(verb->help, stdout);
			return cli_finish(CLI_OK);
		}
		if (option == '?' || (option == 'c' && agent.config_file))
			return option == '?' ? CLI_USAGE
					     : cli_usage_error(COMMAND, "one configuration is "
									"expected, not two");
		if (option == 'c')
			agent.config_file = optarg;
		else if (option == 'o')
			agent.once = true;
		else
			code = take_deadline(optarg, &agent);
	}
	if (code != CLI_OK)
		return code;
	if (optind < argc)
		return cli_usage_error(COMMAND,
				       "unexpected argument '%s'; status, renew or -c FILE",
				       argv[optind]);
	if (!agent.config_file)
		return cli_usage_error(COMMAND, "-c FILE is missing, or status or renew");
	return run(&agent);
}

int cli_agent(const struct cli_verb *verb, int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "status") == 0)
		return agent_status(verb, argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "renew") == 0)
		return agent_renew(verb, argc - 1, argv + 1);
	return agent_daemon(verb, argc, argv);
}
