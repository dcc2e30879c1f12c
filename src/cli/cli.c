/* SPDX-License-Identifier: Apache-2.0 */
/* Shared parts of the verbs (cli.h). Main thread only. */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"

#define OPTIONS_MAX 32

static void say(const char *command, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

static void say(const char *command, const char *fmt, va_list ap)
{
	fprintf(stderr, "%s: ", command);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int cli_usage_error(const char *command, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(command, fmt, ap);
	va_end(ap);
	fprintf(stderr, "See '%s --help'.\n", command);
	return CLI_USAGE;
}

int cli_fail(const char *command, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(command, fmt, ap);
	va_end(ap);
	return CLI_FAILED;
}

static const char *did_you_mean(const char *prefix, const char *text, const char *const *words)
{
	static char hint[128];
	const char *near = parse_nearest_word(text, words);

	if (!near)
		return "";
	snprintf(hint, sizeof(hint), " (did you mean '%s%s'?)", prefix, near);
	return hint;
}

const char *cli_did_you_mean(const char *text, const char *const *words)
{
	return did_you_mean("", text, words);
}

/* Name of a long option as typed, without dashes and value. */
static void option_name(const char *typed, char *ret, size_t size)
{
	typed += strspn(typed, "-");
	snprintf(ret, size, "%.*s", (int)strcspn(typed, "="), typed);
}

static void explain(const char *command, char **argv, int found, const struct option *options)
{
	const char *names[OPTIONS_MAX + 1] = { NULL };
	const char *typed = argv[optind > 0 ? optind - 1 : 0];
	bool is_long = strncmp(typed, "--", 2) == 0;
	char name[64];

	for (size_t i = 0; i < OPTIONS_MAX && options[i].name; i++)
		names[i] = options[i].name;
	option_name(typed, name, sizeof(name));
	if (found == ':' && is_long)
		cli_usage_error(command, "option '--%s' wants a value", name);
	else if (found == ':')
		cli_usage_error(command, "option '-%c' wants a value", optopt);
	else if (is_long && optopt)
		cli_usage_error(command, "option '--%s' takes no value", name);
	else if (is_long)
		cli_usage_error(command, "unknown option '--%s'%s", name,
				did_you_mean("--", name, names));
	else
		cli_usage_error(command, "unknown option '-%c'", optopt);
}

int cli_option(const char *command, int argc, char **argv, const char *short_options,
	       const struct option *options)
{
	char with_colon[64];
	int found;

	/* The leading colon makes a missing value a case of its own. */
	snprintf(with_colon, sizeof(with_colon), ":%s", short_options);
	opterr = 0;
	found = getopt_long(argc, argv, with_colon, options, NULL);
	if (found != '?' && found != ':')
		return found;
	explain(command, argv, found, options);
	return '?';
}

int cli_finish(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	perror("sallyport: writing to standard output");
	return CLI_FAILED;
}

const char *cli_style(FILE *out, enum cli_style style)
{
	static const char *const sequences[] = {
		[CLI_PLAIN] = "\033[0m",     [CLI_BOLD] = "\033[1m",	 [CLI_RED] = "\033[1;31m",
		[CLI_YELLOW] = "\033[1;33m", [CLI_GREEN] = "\033[1;32m", [CLI_BLUE] = "\033[1;34m",
	};
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	if ((no_color && no_color[0]) || (term && strcmp(term, "dumb") == 0) ||
	    !isatty(fileno(out)))
		return "";
	return sequences[style];
}
