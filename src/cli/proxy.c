/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sallyport proxy`: loads the configuration, tells its problems as `check` does, sets up the log
 * and gives way to the data plane, with its metrics beside it. Main thread.
 */
#include "dataplane/proxy.h"

#include <stdlib.h>

#include "admin/admin.h"
#include "admin/metrics_server.h"
#include "base/log.h"
#include "base/util.h"
#include "cli/cli.h"
#include "cli/report.h"
#include "config/load.h"

#define COMMAND "sallyport proxy"

/* The log's thread runs, and will run until the end. All sockets are open before the first
 * connection is taken, that of the metrics too. Takes `config`. */
static int serve(const char *file, struct config *config)
{
	const struct admin_options options = { .config = &config->admin,
					       .user = config->user,
					       .config_file = file,
					       .version = SALLYPORT_VERSION };
	struct metrics_server *metrics = NULL;
	struct proxy *proxy = NULL;
	struct admin *admin = NULL;
	struct err_text err;
	int r = admin_new(&options, &admin, &err);

	if (r == 0)
		r = metrics_server_new(&config->metrics, SALLYPORT_VERSION, &metrics, &err);
	if (r == 0)
		r = proxy_new(file, config, &proxy, &err);
	else
		config_free(config);
	if (r == 0)
		r = metrics_server_start(metrics, proxy, &err);
	if (r == 0)
		r = admin_start(admin, proxy, &err);
	if (r == 0)
		proxy_run(proxy);
	else
		log_msg(LOG_ERROR, "start_failed", "%s", err.text);
	admin_free(admin);
	metrics_server_free(metrics);
	proxy_free(proxy);
	return r == 0 ? CLI_OK : CLI_FAILED;
}

static int run(const char *file)
{
	cleanup_free struct config_problems *problems = calloc(1, sizeof(*problems));
	struct config *config = NULL;
	int code;

	if (!problems)
		return cli_fail(COMMAND, "no memory");
	if (config_load(file, &config, problems) < 0) {
		report_problems(stderr, file, problems);
		return CLI_USAGE;
	}
	log_init(STDERR_FILENO, config->log_level, config->log_format);
	log_set_rate(config->log_rate);
	/* From here on standard error holds log lines only. */
	for (size_t i = 0; i < problems->count; i++)
		log_msg(LOG_WARNING, "config", "%s:%u:%u: %s: %s", file, problems->items[i].line,
			problems->items[i].column, problems->items[i].path,
			problems->items[i].text);
	proxy_block_signals();
	code = serve(file, config);
	log_stop();
	return code;
}

int cli_proxy(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *file = NULL;
	int option;

	optind = 0;
	while ((option = cli_option(COMMAND, argc, argv, "c:h", options)) != -1) {
		if (option == 'h') {
			fputs(verb->help, stdout);
			return cli_finish(CLI_OK);
		}
		if (option == '?')
			return CLI_USAGE;
		if (file)
			return cli_usage_error(COMMAND, "one configuration is expected, not two");
		file = optarg;
	}
	if (optind < argc)
		return cli_usage_error(COMMAND, "unexpected argument '%s'; write -c %s",
				       argv[optind], argv[optind]);
	if (!file)
		return cli_usage_error(COMMAND, "-c FILE is missing");
	return run(file);
}
