/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pages that --help shows, and --version. They are written here, next to each other, so that
 * they stay alike. Main thread.
 */
#include <string.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/versions.h"
#include "pki/inspect.h"

const char cli_help_text[] =
	"sallyport: mutual TLS in front of a service, with the bytes left to the kernel\n"
	"\n"
	"usage: sallyport COMMAND [OPTIONS]\n"
	"\n"
	"commands:\n"
	"  proxy -c FILE    run the proxy of a configuration\n"
	"  check FILE       find every mistake in a configuration, with file:line:column\n"
	"  probe            say what this host and its kernel can do, and why not\n"
	"  dev ca|cert      an embedded CA for laptops and tests\n"
	"  help [COMMAND]   show this page, or the command's own\n"
	"\n"
	"options:\n"
	"  -h, --help       show this page (after a command: the command's page)\n"
	"  -V, --version    show the versions of the program and of its libraries\n"
	"\n"
	"exit status: 0 all is well; 1 it failed; 2 the command line or configuration is wrong\n"
	"\n"
	"first steps:\n"
	"  sallyport dev ca --dir pki\n"
	"  sallyport dev cert --dir pki --cn broker-1 --san dns:localhost --usage server\n"
	"  sallyport check sallyport.yaml && sallyport proxy -c sallyport.yaml\n";

const char cli_proxy_help[] =
	"usage: sallyport proxy -c FILE\n"
	"\n"
	"Runs the proxy until SIGTERM or SIGINT, which drain it: no new connections, those that\n"
	"are live may end within their listener's timeouts.drain. Reads FILE and what it names\n"
	"again on SIGHUP and when they change: all of it is taken up, or nothing. SIGUSR2 starts\n"
	"a new process that takes over without refusing a connection. Logs one line an event on\n"
	"standard error. FILE is YAML or JSON; 'sallyport check --schema' lists its keys.\n"
	"\n"
	"options:\n"
	"  -c, --config FILE   the configuration (required)\n"
	"  -h, --help          show this page\n"
	"\n"
	"exit status: 0 stopped in order; 1 it could not start or broke; 2 wrong command line or\n"
	"configuration\n"
	"\n"
	"a configuration:\n"
	"  listeners:\n"
	"    - name: kafka\n"
	"      listen: 0.0.0.0:9093\n"
	"      upstream: 127.0.0.1:9092\n"
	"      tls: { certificate: broker.crt, key: broker.key, roots: [ca.crt] }\n"
	"      allow: [ { cn: \"svc-*\" } ]\n";

const char cli_check_help[] =
	"usage: sallyport check [--json] FILE\n"
	"       sallyport check --schema [--json]\n"
	"\n"
	"Loads FILE as 'proxy' would, then looks at what it refers to: certificates (readable,\n"
	"not expired, not weak, fit for their role), keys (theirs, not readable by others),\n"
	"roots, names of upstreams. Prints every mistake as FILE:LINE:COLUMN: error: KEY: TEXT,\n"
	"and without any, a summary. Nothing is changed and nothing is listened on; names of\n"
	"upstreams are looked up.\n"
	"\n"
	"options:\n"
	"      --json     print one JSON object instead of text\n"
	"      --schema   print every key of a configuration: type, default, meaning\n"
	"  -h, --help     show this page\n"
	"\n"
	"exit status: 0 no error (there may be warnings); 2 errors, or a wrong command line\n";

const char cli_probe_help[] =
	"usage: sallyport probe [--json]\n"
	"\n"
	"Tries what the proxy would use: io_uring, TLS in the kernel (each cipher and version,\n"
	"both directions, changing keys), Landlock, pipes, limits of the process. For what is\n"
	"missing: the reason and the remedy. The last line says what 'ktls: auto' will do here.\n"
	"Changes nothing; opens sockets on loopback only.\n"
	"\n"
	"options:\n"
	"      --json     print one JSON object instead of text\n"
	"  -h, --help     show this page\n"
	"\n"
	"exit status: 0 it ran, whatever it found; 1 it could not; 2 wrong command line\n";

const char cli_dev_help[] =
	"usage: sallyport dev ca --dir DIR [--cn NAME] [--days N] [--key TYPE] [--force]\n"
	"                     [--json]\n"
	"       sallyport dev cert --dir DIR --cn CN [--san LIST] [--usage client|server|both]\n"
	"                     [--days N] [--key TYPE] [--name FILEBASE] [--force] [--json]\n"
	"\n"
	"An embedded CA for laptops and tests: its key lies on disk in clear, so do not let it\n"
	"sign anything that matters.\n"
	"\n"
	"'ca' makes DIR/ca.crt (the root) and DIR/ca.key. 'cert' makes DIR/NAME.crt and\n"
	"DIR/NAME.key, signed by it, and adds a line to DIR/index.jsonl. Files are written whole\n"
	"or not at all; keys are PKCS#8 PEM without pass phrase, readable by their owner only.\n"
	"What exists is never replaced without --force.\n"
	"\n"
	"options:\n"
	"      --dir DIR      the CA's directory ('ca' makes it)\n"
	"      --cn NAME      common name, 1 to 64 characters (ca: Sallyport development CA)\n"
	"      --san LIST     alternative names with commas: dns:NAME, ip:ADDRESS, uri:URI;\n"
	"                     may be given more than once\n"
	"      --usage WHAT   client, server or both (both)\n"
	"      --days N       days of life, 1 to 36500 (ca: 3650; cert: 90, cut to the CA's)\n"
	"      --key TYPE     ec-p256 (the default), ec-p384, ed25519, rsa-2048, rsa-3072,\n"
	"                     rsa-4096\n"
	"      --name BASE    base of the file names (from the CN)\n"
	"      --force        replace files that are there\n"
	"      --json         print one JSON object instead of text\n"
	"  -h, --help         show this page\n"
	"\n"
	"exit status: 0 written; 1 it failed; 2 wrong command line\n"
	"\n"
	"example:\n"
	"  sallyport dev ca --dir pki\n"
	"  sallyport dev cert --dir pki --cn broker-1 --san dns:localhost --usage server\n"
	"  sallyport dev cert --dir pki --cn svc-orders --usage client\n";

int cli_help(const struct cli_verb *verb, int argc, char **argv)
{
	const char *names[16] = { NULL };

	(void)verb;
	if (argc < 2 || argv[1][0] == '-') {
		fputs(cli_help_text, stdout);
		return cli_finish(CLI_OK);
	}
	for (size_t i = 0; cli_verbs[i].name; i++) {
		if (i < ARRAY_SIZE(names) - 1)
			names[i] = cli_verbs[i].name;
		if (strcmp(argv[1], cli_verbs[i].name) != 0)
			continue;
		fputs(cli_verbs[i].help ? cli_verbs[i].help : cli_help_text, stdout);
		return cli_finish(CLI_OK);
	}
	return cli_usage_error("sallyport", "no command '%s'%s", argv[1],
			       cli_did_you_mean(argv[1], names));
}

int cli_version(void)
{
	printf("sallyport %s\n%s\nliburing %s\nlibyaml %s\n", SALLYPORT_VERSION,
	       pki_openssl_version(), LIBURING_VERSION, LIBYAML_VERSION);
	return cli_finish(CLI_OK);
}
