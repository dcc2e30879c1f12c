/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry of the program: one table of verbs, one file a verb. Nothing else happens here; each verb
 * parses its own options and returns the exit code.
 */
#include <string.h>

#include "base/util.h"
#include "cli/cli.h"

const struct cli_verb cli_verbs[] = {
	{ "proxy", "run the proxy of a configuration", cli_proxy_help, cli_proxy },
	{ "agent", "certificates on disk for other programs, issued and renewed", cli_agent_help,
	  cli_agent },
	{ "check", "find every mistake in a configuration", cli_check_help, cli_check },
	{ "probe", "say what this host and its kernel can do", cli_probe_help, cli_probe },
	{ "dev", "an embedded CA for laptops and tests", cli_dev_help, cli_dev },
	{ "status", "say whether the running proxy is well", cli_status_help, cli_status },
	{ "conns", "list the connections of the running proxy", cli_conns_help, cli_conns },
	{ "kill", "end connections of the running proxy", cli_kill_help, cli_kill },
	{ "reload", "make the running proxy read its files again", cli_reload_help, cli_reload },
	{ "renew", "have certificates of the running proxy issued anew", cli_renew_help,
	  cli_renew },
	{ "upgrade", "have a new process take over from the running proxy", cli_upgrade_help,
	  cli_upgrade },
	{ "drain", "let the running proxy finish and stop", cli_drain_help, cli_drain },
	{ "limits", "show who is held back by limits, or change some for a while", cli_limits_help,
	  cli_limits },
	{ "log-level", "show or change what the running proxy logs", cli_log_level_help,
	  cli_log_level },
	{ "help", "show the help of a verb", NULL, cli_help },
	{ NULL, NULL, NULL, NULL },
};

#define VERBS_MAX 16

static int unknown_verb(const char *text)
{
	const char *names[VERBS_MAX + 1] = { NULL };

	_Static_assert(ARRAY_SIZE(cli_verbs) <= VERBS_MAX, "names[] holds every verb");
	for (size_t i = 0; cli_verbs[i].name; i++)
		names[i] = cli_verbs[i].name;
	return cli_usage_error("sallyport", "unknown %s '%s'%s",
			       text[0] == '-' ? "option" : "command", text,
			       cli_did_you_mean(text, names));
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fputs(cli_help_text, stderr);
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return cli_help(NULL, 1, argv);
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
		return cli_version();
	for (size_t i = 0; cli_verbs[i].name; i++)
		if (strcmp(argv[1], cli_verbs[i].name) == 0)
			return cli_verbs[i].run(&cli_verbs[i], argc - 1, argv + 1);
	return unknown_verb(argv[1]);
}
