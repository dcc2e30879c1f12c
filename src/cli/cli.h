/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs of the command line share: exit codes, options, the terminal.
 */
#ifndef SALLYPORT_CLI_CLI_H
#define SALLYPORT_CLI_CLI_H

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,	  /* a wrong command line or configuration */
	CLI_NO_PROXY = 3, /* no proxy answers on the admin socket */
};

struct cli_verb {
	const char *name;
	const char *summary; /* one line */
	const char *help;    /* the whole page */
	/* argv[0] is the verb. Returns an exit code. */
	int (*run)(const struct cli_verb *verb, int argc, char **argv);
};

/* NULL-named entry ends it. */
extern const struct cli_verb cli_verbs[];
extern const char cli_help_text[];

extern const char cli_proxy_help[], cli_agent_help[], cli_check_help[], cli_probe_help[],
	cli_dev_help[];
extern const char cli_status_help[], cli_conns_help[], cli_kill_help[], cli_reload_help[],
	cli_renew_help[], cli_upgrade_help[], cli_drain_help[], cli_log_level_help[],
	cli_limits_help[];

int cli_proxy(const struct cli_verb *verb, int argc, char **argv);
int cli_agent(const struct cli_verb *verb, int argc, char **argv);
int cli_check(const struct cli_verb *verb, int argc, char **argv);
int cli_probe(const struct cli_verb *verb, int argc, char **argv);
int cli_dev(const struct cli_verb *verb, int argc, char **argv);
int cli_status(const struct cli_verb *verb, int argc, char **argv);
int cli_conns(const struct cli_verb *verb, int argc, char **argv);
int cli_kill(const struct cli_verb *verb, int argc, char **argv);
int cli_reload(const struct cli_verb *verb, int argc, char **argv);
int cli_renew(const struct cli_verb *verb, int argc, char **argv);
int cli_upgrade(const struct cli_verb *verb, int argc, char **argv);
int cli_drain(const struct cli_verb *verb, int argc, char **argv);
int cli_log_level(const struct cli_verb *verb, int argc, char **argv);
int cli_limits(const struct cli_verb *verb, int argc, char **argv);
int cli_help(const struct cli_verb *verb, int argc, char **argv);
int cli_version(void);

/* getopt_long() that explains mistakes: the next option's value, -1 at the end, or '?' after a
 * mistake that has been told on standard error (the verb then returns CLI_USAGE). `command` is what
 * the user typed, "sallyport dev cert". Set optind to 0 before the first call. */
int cli_option(const char *command, int argc, char **argv, const char *short_options,
	       const struct option *options);
/* Prints "sallyport check: TEXT" and where help is; returns CLI_USAGE. */
int cli_usage_error(const char *command, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Prints "sallyport check: TEXT"; returns CLI_FAILED. */
int cli_fail(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Of a list of words that ends with NULL: " (did you mean 'x'?)" or "". */
const char *cli_did_you_mean(const char *text, const char *const *words);

/* Flushes standard output: CLI_FAILED (and a message) if it could not be written, else `code`. */
int cli_finish(int code);

enum cli_style { CLI_PLAIN, CLI_BOLD, CLI_RED, CLI_YELLOW, CLI_GREEN, CLI_BLUE };
/* The escape sequence, or "" where `out` is no terminal or NO_COLOR is set. */
const char *cli_style(FILE *out, enum cli_style style);

#endif
