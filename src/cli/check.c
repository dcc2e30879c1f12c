/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sallyport check`: loads a configuration, checks it against files and host, and tells all at
 * once; or prints the table of keys. Main thread.
 */
#include "agent/agent.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/util.h"
#include "cli/check_host.h"
#include "cli/cli.h"
#include "cli/report.h"
#include "config/load.h"
#include "config/schema.h"
#include "pki/certificate.h"

#define COMMAND	    "sallyport check"
#define DAY_SECONDS 86400

static int64_t days_left(const struct check_facts *facts)
{
	int64_t now = (int64_t)(clock_realtime_ns() / NSEC_PER_SEC);

	return (facts->identity.not_after - now) / DAY_SECONDS;
}

static void print_listener(const struct config_listener *l, const struct check_facts *facts)
{
	printf("  %s  %s  %s -> %s  ", l->name, l->role == CONFIG_ROLE_FRONT ? "front" : "egress",
	       l->listen_text, l->upstream_text);
	if (l->tls.certificate_from)
		printf("certificate %s, ", l->tls.certificate_from);
	else if (facts->has_identity)
		printf("CN %s, %" PRId64 " days left, ",
		       facts->identity.cn[0] ? facts->identity.cn : "(none)", days_left(facts));
	else
		printf("no certificate, ");
	printf("%zu root%s%s\n", facts->root_count, facts->root_count == 1 ? "" : "s",
	       l->tls.roots_from == CONFIG_ROOTS_FROM_VAULT ? " and those of vault" : "");
}

static void print_listener_json(const struct config_listener *l, const struct check_facts *facts)
{
	char end[PKI_TIME_TEXT_BYTES];

	fputs("{\"name\":", stdout);
	json_write_string(stdout, l->name);
	printf(",\"role\":\"%s\",\"listen\":", l->role == CONFIG_ROLE_FRONT ? "front" : "egress");
	json_write_string(stdout, l->listen_text);
	fputs(",\"upstream\":", stdout);
	json_write_string(stdout, l->upstream_text);
	printf(",\"roots\":%zu,\"certificate\":", facts->root_count);
	if (facts->has_identity) {
		pki_time_text(facts->identity.not_after, end);
		fputs("{\"cn\":", stdout);
		json_write_string(stdout, facts->identity.cn);
		printf(",\"not_after\":\"%s\",\"days_left\":%" PRId64 ",\"intermediates\":%zu}",
		       end, days_left(facts), facts->identity.chain_count);
	} else {
		fputs("null", stdout);
	}
	fputc('}', stdout);
}

static void print_json(const char *file, const struct config *config,
		       const struct config_problems *problems, const struct check_facts *facts)
{
	fputs("{\"file\":", stdout);
	json_write_string(stdout, file);
	printf(",\"ok\":%s,\"errors\":%zu,\"warnings\":%zu,\"problems\":",
	       problems->errors ? "false" : "true", problems->errors, problems->warnings);
	report_problems_json(stdout, problems);
	fputs(",\"listeners\":[", stdout);
	for (size_t i = 0; config && i < config->listener_count; i++) {
		fputs(i ? "," : "", stdout);
		print_listener_json(&config->listeners[i], &facts[i]);
	}
	puts("]}");
}

static void print_text(const char *file, const struct config *config,
		       const struct config_problems *problems, const struct check_facts *facts)
{
	report_problems(stdout, file, problems);
	if (problems->errors)
		return;
	printf("%s: good\n", file);
	for (size_t i = 0; i < config->listener_count; i++)
		print_listener(&config->listeners[i], &facts[i]);
}

static int check_file(const char *file, bool json)
{
	cleanup_free struct config_problems *problems = calloc(1, sizeof(*problems));
	cleanup_free struct check_facts *facts = NULL;
	struct config *config = NULL;
	int code, r;

	if (!problems)
		return cli_fail(COMMAND, "no memory");
	r = config_load_for_check(file, &config, problems);
	if (config) {
		facts = calloc(config->listener_count, sizeof(*facts));
		if (!facts) {
			config_free(config);
			return cli_fail(COMMAND, "no memory");
		}
		check_host(config, problems, facts);
	}
	if (json)
		print_json(file, r == 0 ? config : NULL, problems, facts);
	else
		print_text(file, config, problems, facts);
	code = problems->errors ? CLI_USAGE : CLI_OK;
	config_free(config);
	return cli_finish(code);
}

static void print_certificate(const struct config_agent_certificate *c)
{
	printf("  %s  CN %s", c->certificate.name,
	       c->certificate.common_name ? c->certificate.common_name : "of its file");
	for (size_t i = 0; i < c->layout_count; i++)
		printf("%s%s", i ? ", " : "  -> ", c->layouts[i].directory);
	putchar('\n');
}

static int check_agent_file(const char *file, bool json)
{
	cleanup_free struct config_problems *problems = calloc(1, sizeof(*problems));
	struct config_agent *config = NULL;

	if (!problems)
		return cli_fail(COMMAND, "no memory");
	config_agent_load_for_check(file, &config, problems);
	if (config)
		agent_check(config, problems);
	if (json) {
		fputs("{\"file\":", stdout);
		json_write_string(stdout, file);
		printf(",\"ok\":%s,\"errors\":%zu,\"warnings\":%zu,\"problems\":",
		       problems->errors ? "false" : "true", problems->errors, problems->warnings);
		report_problems_json(stdout, problems);
		puts("}");
	} else {
		report_problems(stdout, file, problems);
		if (!problems->errors)
			printf("%s: good\n", file);
	}
	for (size_t i = 0; config && !json && !problems->errors && i < config->certificate_count;
	     i++)
		print_certificate(&config->certificates[i]);
	config_agent_free(config);
	return cli_finish(problems->errors ? CLI_USAGE : CLI_OK);
}

static void print_key(const char *path, const struct schema_key *key, void *arg)
{
	char type[SCHEMA_TYPE_TEXT_BYTES];

	(void)arg;
	schema_type_text(key, type);
	printf("%-34s %s%s%s%s\n%-34s %s\n", path, type, key->required ? ", required" : "",
	       key->preset ? ", default " : "", key->preset ? key->preset : "", "", key->help);
}

static void print_key_json(const char *path, const struct schema_key *key, void *arg)
{
	char type[SCHEMA_TYPE_TEXT_BYTES];
	bool *first = arg;

	schema_type_text(key, type);
	fputs(*first ? "[\n" : ",\n", stdout);
	*first = false;
	fputs("{\"key\":", stdout);
	json_write_string(stdout, path);
	fputs(",\"type\":", stdout);
	json_write_string(stdout, type);
	printf(",\"required\":%s,\"default\":", key->required ? "true" : "false");
	json_write_string(stdout, key->preset);
	fputs(",\"help\":", stdout);
	json_write_string(stdout, key->help);
	fputc('}', stdout);
}

static int print_schema(bool agent, bool json)
{
	bool first = true;

	schema_visit(agent ? &schema_agent_root : &schema_root, json ? print_key_json : print_key,
		     &first);
	if (json)
		puts("\n]");
	return cli_finish(CLI_OK);
}

int cli_check(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct option options[] = {
		{ "agent", no_argument, NULL, 'a' },
		{ "json", no_argument, NULL, 'j' },
		{ "schema", no_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool agent = false, json = false, schema = false;
	int option;

	optind = 0;
	while ((option = cli_option(COMMAND, argc, argv, "h", options)) != -1) {
		if (option == 'h') {
			fputs(verb->help, stdout);
			return cli_finish(CLI_OK);
		}
		if (option == '?')
			return CLI_USAGE;
		agent = agent || option == 'a';
		json = json || option == 'j';
		schema = schema || option == 's';
	}
	if (schema && optind == argc)
		return print_schema(agent, json);
	if (schema)
		return cli_usage_error(COMMAND, "--schema takes no file");
	if (optind == argc)
		return cli_usage_error(COMMAND, "a file is expected");
	if (optind + 1 < argc)
		return cli_usage_error(COMMAND, "one file is expected, '%s' is one more",
				       argv[optind + 1]);
	return agent ? check_agent_file(argv[optind], json) : check_file(argv[optind], json);
}
