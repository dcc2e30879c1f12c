/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sallyport dev`: options of the embedded CA (pki/embedded_ca.h) and the account of what it wrote.
 * Main thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/parse.h"
#include "base/util.h"
#include "cli/cli.h"
#include "pki/embedded_ca.h"

#define CA_DAYS_DEFAULT	  3650
#define CERT_DAYS_DEFAULT 90
#define CA_CN_DEFAULT	  "Sallyport development CA"

enum dev_option {
	DEV_DIR = 256,
	DEV_CN,
	DEV_DAYS,
	DEV_KEY,
	DEV_FORCE,
	DEV_JSON,
	DEV_SAN,
	DEV_USAGE,
	DEV_NAME
};

static const struct option ca_options[] = {
	{ "dir", required_argument, NULL, DEV_DIR },
	{ "cn", required_argument, NULL, DEV_CN },
	{ "days", required_argument, NULL, DEV_DAYS },
	{ "key", required_argument, NULL, DEV_KEY },
	{ "force", no_argument, NULL, DEV_FORCE },
	{ "json", no_argument, NULL, DEV_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const struct option cert_options[] = {
	{ "dir", required_argument, NULL, DEV_DIR },
	{ "cn", required_argument, NULL, DEV_CN },
	{ "san", required_argument, NULL, DEV_SAN },
	{ "usage", required_argument, NULL, DEV_USAGE },
	{ "days", required_argument, NULL, DEV_DAYS },
	{ "key", required_argument, NULL, DEV_KEY },
	{ "name", required_argument, NULL, DEV_NAME },
	{ "force", no_argument, NULL, DEV_FORCE },
	{ "json", no_argument, NULL, DEV_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

struct dev {
	const char *command; /* "sallyport dev cert" */
	struct embedded_ca_request request;
	struct pki_san sans[PKI_SANS_MAX];
	bool json, help;
};

static int take_key(struct dev *dev, const char *text)
{
	if (pki_key_type_parse(text, &dev->request.key_type) == 0)
		return CLI_OK;
	return cli_usage_error(dev->command, "no key type '%s'%s", text,
			       cli_did_you_mean(text, pki_key_type_names()));
}

static int take_days(struct dev *dev, const char *text)
{
	uint64_t days;

	if (parse_u64(text, 1, EMBEDDED_CA_DAYS_MAX, &days) < 0)
		return cli_usage_error(dev->command,
				       "--days '%s': a number from 1 to %d is expected", text,
				       EMBEDDED_CA_DAYS_MAX);
	dev->request.subject.days = (unsigned int)days;
	return CLI_OK;
}

static int take_usage(struct dev *dev, const char *text)
{
	static const char *const words[] = { "client", "server", "both", NULL };
	static const enum pki_usage values[] = { PKI_USAGE_CLIENT, PKI_USAGE_SERVER,
						 PKI_USAGE_BOTH };

	for (size_t i = 0; words[i]; i++) {
		if (strcmp(words[i], text) != 0)
			continue;
		dev->request.subject.usage = values[i];
		return CLI_OK;
	}
	return cli_usage_error(dev->command, "--usage '%s': client, server or both is expected%s",
			       text, cli_did_you_mean(text, words));
}

/* Cuts `list` at its commas, in place: argv is ours. */
static int take_sans(struct dev *dev, char *list)
{
	struct pki_subject *subject = &dev->request.subject;
	struct err_text err;
	char *rest = NULL;

	for (char *san = strtok_r(list, ",", &rest); san; san = strtok_r(NULL, ",", &rest)) {
		san += strspn(san, " ");
		if (subject->san_count == PKI_SANS_MAX)
			return cli_usage_error(dev->command, "more than %d alternative names",
					       PKI_SANS_MAX);
		if (pki_san_parse(san, &dev->sans[subject->san_count], &err) < 0)
			return cli_usage_error(dev->command, "--san: %s", err.text);
		subject->san_count++;
	}
	return CLI_OK;
}

static int take_option(struct dev *dev, int option)
{
	switch (option) {
	case DEV_DIR:
		dev->request.dir = optarg;
		return CLI_OK;
	case DEV_CN:
		dev->request.subject.cn = optarg;
		return CLI_OK;
	case DEV_NAME:
		dev->request.name = optarg;
		return CLI_OK;
	case DEV_FORCE:
		dev->request.replace = true;
		return CLI_OK;
	case DEV_JSON:
		dev->json = true;
		return CLI_OK;
	case 'h':
		dev->help = true;
		return CLI_OK;
	case DEV_KEY:
		return take_key(dev, optarg);
	case DEV_DAYS:
		return take_days(dev, optarg);
	case DEV_USAGE:
		return take_usage(dev, optarg);
	case DEV_SAN:
		return take_sans(dev, optarg);
	default:
		return CLI_USAGE;
	}
}

static void print_json(const struct dev *dev, const struct embedded_ca_result *r)
{
	char from[PKI_TIME_TEXT_BYTES], to[PKI_TIME_TEXT_BYTES];

	pki_time_text(r->not_before, from);
	pki_time_text(r->not_after, to);
	fputs("{\"certificate\":", stdout);
	json_write_string(stdout, r->certificate_file);
	fputs(",\"key\":", stdout);
	json_write_string(stdout, r->key_file);
	fputs(",\"cn\":", stdout);
	json_write_string(stdout, dev->request.subject.cn);
	printf(",\"key_type\":\"%s\",\"serial\":\"%s\",\"not_before\":\"%s\",\"not_after\":\"%s\","
	       "\"cut_to_issuer\":%s}\n",
	       pki_key_type_names()[dev->request.key_type], r->serial, from, to,
	       r->cut ? "true" : "false");
}

static void print_text(const struct dev *dev, const struct embedded_ca_result *r, bool leaf)
{
	const struct pki_subject *subject = &dev->request.subject;
	char to[PKI_TIME_TEXT_BYTES];

	pki_time_text(r->not_after, to);
	printf("%s  %s, %s\n", r->certificate_file, leaf ? "certificate" : "root certificate",
	       pki_key_type_names()[dev->request.key_type]);
	printf("%s  private key, mode 0600\n", r->key_file);
	printf("CN %s, serial %s, until %s%s\n", subject->cn, r->serial, to,
	       r->cut ? " (cut: the CA ends then)" : "");
	if (leaf && (subject->usage & PKI_USAGE_SERVER) && subject->usage != PKI_USAGE_BOTH &&
	    !subject->san_count)
		puts("note: no --san; clients look for a server's name there, not in the CN");
}

/* The options of both; CLI_OK or an exit code that has been explained. */
static int parse(struct dev *dev, int argc, char **argv, const struct option *options)
{
	int option, code;

	optind = 0;
	while ((option = cli_option(dev->command, argc, argv, "h", options)) != -1) {
		code = take_option(dev, option);
		if (code != CLI_OK || dev->help)
			return code;
	}
	if (optind < argc)
		return cli_usage_error(dev->command, "unexpected argument '%s'", argv[optind]);
	if (!dev->request.dir || !dev->request.dir[0])
		return cli_usage_error(dev->command, "--dir is missing");
	return CLI_OK;
}

static int finish(struct dev *dev, int r, const struct embedded_ca_result *result,
		  const struct err_text *err, bool leaf)
{
	if (r == -EINVAL)
		return cli_usage_error(dev->command, "%s", err->text);
	if (r < 0)
		return cli_fail(dev->command, "%s", err->text);
	if (dev->json)
		print_json(dev, result);
	else
		print_text(dev, result, leaf);
	return cli_finish(CLI_OK);
}

static int dev_ca(const struct cli_verb *verb, int argc, char **argv)
{
	struct dev dev = { .command = "sallyport dev ca" };
	struct embedded_ca_result result;
	struct err_text err = { "" };
	int code;

	dev.request.subject.cn = CA_CN_DEFAULT;
	dev.request.subject.days = CA_DAYS_DEFAULT;
	code = parse(&dev, argc, argv, ca_options);
	if (dev.help) {
		fputs(verb->help, stdout);
		return cli_finish(CLI_OK);
	}
	if (code != CLI_OK)
		return code;
	return finish(&dev, embedded_ca_create(&dev.request, &result, &err), &result, &err, false);
}

static int dev_cert(const struct cli_verb *verb, int argc, char **argv)
{
	struct dev dev = { .command = "sallyport dev cert" };
	struct embedded_ca_result result;
	struct err_text err = { "" };
	int code;

	dev.request.subject.sans = dev.sans;
	dev.request.subject.usage = PKI_USAGE_BOTH;
	dev.request.subject.days = CERT_DAYS_DEFAULT;
	code = parse(&dev, argc, argv, cert_options);
	if (dev.help) {
		fputs(verb->help, stdout);
		return cli_finish(CLI_OK);
	}
	if (code != CLI_OK)
		return code;
	if (!dev.request.subject.cn)
		return cli_usage_error(dev.command, "--cn is missing");
	return finish(&dev, embedded_ca_issue(&dev.request, &result, &err), &result, &err, true);
}

int cli_dev(const struct cli_verb *verb, int argc, char **argv)
{
	static const char *const words[] = { "ca", "cert", NULL };

	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		fputs(verb->help, stdout);
		return cli_finish(CLI_OK);
	}
	if (argc > 1 && strcmp(argv[1], "ca") == 0)
		return dev_ca(verb, argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "cert") == 0)
		return dev_cert(verb, argc - 1, argv + 1);
	if (argc < 2)
		return cli_usage_error("sallyport dev", "ca or cert is expected");
	return cli_usage_error("sallyport dev", "'%s': ca or cert is expected%s", argv[1],
			       cli_did_you_mean(argv[1], words));
}
