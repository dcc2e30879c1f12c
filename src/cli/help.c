/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pages that --help shows, and --version. They are written here, next to each other, so that
 * they stay alike. Main thread.
 */
#include <string.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/versions.h"
#include "kern/pacing.h"
#include "pki/inspect.h"

const char cli_help_text[] =
	"sallyport: mutual TLS in front of a service, with the bytes left to the kernel\n"
	"\n"
	"usage: sallyport COMMAND [OPTIONS]\n"
	"\n"
	"commands:\n"
	"  proxy -c FILE    run the proxy of a configuration\n"
	"  agent -c FILE    certificates on disk for other programs, issued and renewed\n"
	"  check FILE       find every mistake in a configuration, with file:line:column\n"
	"  probe            say what this host and its kernel can do, and why not\n"
	"  dev ca|cert      an embedded CA for laptops and tests\n"
	"  help [COMMAND]   show this page, or the command's own\n"
	"\n"
	"commands to a running proxy, over its admin socket:\n"
	"  status           is it well; if not: what is wrong, since when, what to do\n"
	"  conns            who is connected with what\n"
	"  limits           who is held back by limits; other limits for a while\n"
	"  kill             end connections, by number or by certificate\n"
	"  reload           read configuration, certificates and keys again\n"
	"  renew            have certificates issued anew, at once\n"
	"  upgrade          start the program anew; it takes over without refusing anybody\n"
	"  drain            let live connections finish, then stop\n"
	"  log-level        show or change what is logged, for a while if you like\n"
	"\n"
	"options:\n"
	"  -h, --help       show this page (after a command: the command's page)\n"
	"  -V, --version    show the versions of the program and of its libraries\n"
	"\n"
	"exit status: 0 all is well; 1 it failed; 2 the command line or configuration is wrong;\n"
	"3 no running proxy answers\n"
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

const char cli_agent_help[] =
	"usage: sallyport agent -c FILE [--once] [--deadline TIME]\n"
	"       sallyport agent status [--socket PATH] [--json]\n"
	"       sallyport agent renew [NAME] [--socket PATH] [--json]\n"
	"\n"
	"Has the certificates of FILE issued, lays them out on disk for applications that do TLS\n"
	"by themselves (PEM, PKCS#12 for Java and Kafka, text templates), runs hooks, and renews\n"
	"them in time. Whatever fails is tried again; what is on disk stays until there is\n"
	"better. SIGHUP reads FILE again; SIGTERM and SIGINT stop it. With --once it ends when\n"
	"all is laid out and every hook has run. FILE is YAML or JSON: 'sallyport check --agent\n"
	"--schema' lists its keys.\n"
	"\n"
	"'status' says how a running agent's certificates are; 'renew' has one issued anew, or\n"
	"all, and waits until it is laid out.\n"
	"\n"
	"options:\n"
	"  -c, --config FILE      the configuration (required)\n"
	"      --once             end when all is done\n"
	"      --deadline TIME    of --once: then give up (60s)\n"
	"      --socket PATH      the agent's admin.socket; without it the environment's\n"
	"                         SALLYPORT_AGENT_SOCKET, else /run/sallyport-agent/agent.sock\n"
	"      --json             print the answer as JSON\n"
	"  -h, --help             show this page\n"
	"\n"
	"exit status: 0 stopped in order, or all is done; 1 it could not start; 2 wrong command\n"
	"line or configuration. With --once, when the deadline has passed: 10 Vault or Consul\n"
	"can not be reached; 11 Vault is sealed; 12 it asks for patience; 13 it denies access;\n"
	"14 it refuses the request; 15 what it gave can not be used; 16 files can not be written;\n"
	"17 a hook failed; 18 nothing failed, but time is up. status: 0 all well, 1 not; renew:\n"
	"0 done, 1 not; both: 3 no agent answers\n"
	"\n"
	"a configuration:\n"
	"  certificates:\n"
	"    - name: broker\n"
	"      source: dev\n"
	"      dir: /etc/sallyport/pki\n"
	"      common_name: broker-1\n"
	"      dns: [broker-1.example]\n"
	"      layouts: [ { directory: /etc/kafka/tls } ]\n";

const char cli_check_help[] =
	"usage: sallyport check [--agent] [--json] FILE\n"
	"       sallyport check --schema [--agent] [--json]\n"
	"\n"
	"Loads FILE as 'proxy' would, then looks at what it refers to: certificates (readable,\n"
	"not expired, not weak, fit for their role), keys (theirs, not readable by others),\n"
	"roots, names of upstreams. Prints every mistake as FILE:LINE:COLUMN: error: KEY: TEXT,\n"
	"and without any, a summary. Nothing is changed and nothing is listened on; names of\n"
	"upstreams are looked up.\n"
	"\n"
	"options:\n"
	"      --agent    FILE is an agent's: its users, directories, templates, hooks are looked\n"
	"                 at\n"
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
	"missing: the reason and the remedy. Where the kernel is fit, measures for some tens of\n"
	"milliseconds what each suite costs in the kernel and in user space. The last line says\n"
	"what 'ktls: auto' will do here. Changes nothing; opens sockets on loopback only.\n"
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

#define ADMIN_OPTIONS_HELP                                                                         \
	"      --socket PATH      the proxy's admin.socket; without it the environment's\n"        \
	"                         SALLYPORT_ADMIN_SOCKET, else /run/sallyport/admin.sock\n"        \
	"      --json             print the answer as JSON\n"                                      \
	"  -h, --help             show this page\n"                                                \
	"\n"                                                                                       \
	"Root, the proxy's own user and the users of admin.allow_uids may ask.\n"

const char cli_status_help[] =
	"usage: sallyport status [--socket PATH] [--json]\n"
	"\n"
	"Says whether the running proxy is healthy, degraded or failing; for each thing that is\n"
	"wrong: since when, what it means and what to do; then its versions, its listeners with\n"
	"their live connections, and the certificate that expires first.\n"
	"\n"
	"options:\n" ADMIN_OPTIONS_HELP "\n"
	"exit status: 0 healthy; 1 degraded or failing; 2 wrong command line; 3 no proxy answers\n";

const char cli_conns_help[] =
	"usage: sallyport conns [--cn GLOB] [--issuer GLOB] [--serial HEX] [--listener NAME]\n"
	"                       [--principal GLOB] [--state STATE[,STATE]] [--transport NAME]\n"
	"                       [--sort ORDER] [--limit N] [--socket PATH] [--json]\n"
	"\n"
	"Lists live connections: whose certificate, from where, over which transports, bytes\n"
	"in (client to upstream) and out, age, time since the last byte, and what each waits\n"
	"for: 'client_reads' and 'upstream_reads' are readers that take nothing more, for STALL\n"
	"so far; 'limited' is held back by the limits of its client (clients in the\n"
	"configuration); 'traffic' has nothing to do. PRINCIPAL, where there is one, is what the\n"
	"Kafka broker was told. All conditions must match.\n"
	"\n"
	"options:\n"
	"      --cn GLOB          CN of the peer's certificate, as in allow rules: 'svc-*'\n"
	"      --issuer GLOB      CN of its issuer\n"
	"      --serial HEX       its serial number\n"
	"      --principal GLOB   what a Kafka broker is told that it is\n"
	"      --listener NAME    of this listener\n"
	"      --state STATES     handshake, connect, relay, linger\n"
	"      --transport NAME   of the TLS side: ktls, ktls_send, aead, plain (no keys yet)\n"
	"      --sort ORDER       age (oldest first, the default), bytes, idle, stall\n"
	"      --limit N          show at most N, 1 to 100000 (1000)\n" ADMIN_OPTIONS_HELP "\n"
	"exit status: 0 listed; 1 it failed; 2 wrong command line; 3 no proxy answers\n";

const char cli_limits_help[] =
	"usage: sallyport limits [NAME|GLOB] [--at-limit] [--limit N] [--socket PATH] [--json]\n"
	"       sallyport limits set CLIENT|--group NAME [--produce RATE] [--consume RATE]\n"
	"                      [--connections N] [--connections-per-second N]\n"
	"                      [--handshakes-per-second N] --for TIME [--socket PATH] [--json]\n"
	"       sallyport limits clear CLIENT|--group NAME [--socket PATH] [--json]\n"
	"\n"
	"Says why a client is slow: who has which limits (clients in the configuration), who is\n"
	"held back by them now and for how long, how long connections have waited in all, and\n"
	"how many were refused. Groups, whose clients share an allowance, follow.\n"
	"\n"
	"'set' gives one client or group other limits for a while, at once and on live\n"
	"connections too; reloads do not end it, a restart does. RATE is written like 50MB/s;\n"
	"'off' is no limit. 'clear' goes back to the configuration before the time is over.\n"
	"\n"
	"options:\n"
	"      --at-limit         only who is held back now\n"
	"      --limit N          show at most N, 1 to 100000 (1000)\n"
	"      --group NAME       a group instead of a client\n"
	"      --produce RATE     bytes a second to the upstream\n"
	"      --consume RATE     bytes a second from the upstream\n"
	"      --connections N    live connections\n"
	"      --connections-per-second N\n"
	"                         connections that are let in\n"
	"      --handshakes-per-second N\n"
	"                         handshakes that end well, let in or not\n"
	"      --for TIME         how long: 10m, 2h; 30d at most\n" ADMIN_OPTIONS_HELP "\n"
	"exit status: 0 done; 1 it failed; 2 wrong command line; 3 no proxy answers\n"
	"\n"
	"examples:\n"
	"  sallyport limits svc-reports\n"
	"  sallyport limits set svc-reports --consume 20MB/s --for 2h\n";

const char cli_kill_help[] =
	"usage: sallyport kill CONN [--socket PATH] [--json]\n"
	"       sallyport kill [--cn GLOB] [--issuer GLOB] [--serial HEX] [--listener NAME]\n"
	"                      [--principal GLOB] [--socket PATH] [--json]\n"
	"\n"
	"Ends one connection, by its number from 'sallyport conns', or all that match every\n"
	"condition. The TLS peer gets the alert access_denied, the other side a reset: neither\n"
	"takes the cut stream for a whole one. Nothing keeps a client from coming back: deny\n"
	"rules do.\n"
	"\n"
	"options:\n"
	"      --cn GLOB          CN of the peer's certificate, as in deny rules: 'svc-*'\n"
	"      --issuer GLOB      CN of its issuer\n"
	"      --serial HEX       its serial number\n"
	"      --principal GLOB   what a Kafka broker is told that it is\n"
	"      --listener NAME    only of this listener\n" ADMIN_OPTIONS_HELP "\n"
	"exit status: 0 at least one was ended; 1 none matched, or it failed; 2 wrong command\n"
	"line; 3 no proxy answers\n";

const char cli_reload_help[] =
	"usage: sallyport reload [--socket PATH] [--json]\n"
	"\n"
	"Makes the running proxy read its configuration, certificates, keys and roots again.\n"
	"Live connections stay as they are. If anything is wrong nothing changes, and what is\n"
	"wrong is printed.\n"
	"\n"
	"options:\n" ADMIN_OPTIONS_HELP "\n"
	"exit status: 0 reloaded; 1 refused, and nothing has changed; 2 wrong command line; 3 no\n"
	"proxy answers\n";

const char cli_upgrade_help[] =
	"usage: sallyport upgrade [--socket PATH] [--json]\n"
	"\n"
	"As SIGUSR2: the running proxy starts its program anew, which reads the configuration\n"
	"and takes over the listening sockets; no connection is refused. Once the new process\n"
	"serves, the old one lets its connections finish within timeouts.drain. If the new one\n"
	"does not come to serve, the old one goes on.\n"
	"\n"
	"options:\n" ADMIN_OPTIONS_HELP "\n"
	"exit status: 0 the new process serves; 1 it does not, and nothing has changed; 2 wrong\n"
	"command line; 3 no proxy answers\n";

const char cli_renew_help[] =
	"usage: sallyport renew NAME|--all [--socket PATH] [--json]\n"
	"\n"
	"Has a certificate of 'certificates' in the configuration issued anew at once, and waits\n"
	"for it; one whose source is 'files' is read again. New connections get it, live ones are\n"
	"not touched, and what is good stays if it fails. 'sallyport status' has the names.\n"
	"Listeners with files of their own have nothing that can be issued: put new files in\n"
	"their place.\n"
	"\n"
	"options:\n"
	"      --all              all of them\n" ADMIN_OPTIONS_HELP "\n"
	"exit status: 0 issued; 1 it failed, or is not done yet; 2 wrong command line; 3 no proxy\n"
	"answers\n"
	"\n"
	"example:\n"
	"  sallyport renew broker\n";

const char cli_drain_help[] =
	"usage: sallyport drain [--at-once] [--socket PATH] [--json]\n"
	"\n"
	"As SIGTERM: the running proxy takes no new connections, live ones may finish within\n"
	"timeouts.drain, then it stops. Does not wait for that; 'sallyport status' shows what is\n"
	"left.\n"
	"\n"
	"options:\n"
	"      --at-once          live connections are told to end now\n" ADMIN_OPTIONS_HELP "\n"
	"exit status: 0 it has begun; 1 it failed; 2 wrong command line; 3 no proxy answers\n";

const char cli_log_level_help[] =
	"usage: sallyport log-level [LEVEL [--for TIME]] [--socket PATH] [--json]\n"
	"\n"
	"Shows or sets the least important lines that the running proxy logs: error, warning,\n"
	"info or debug. The configuration is not changed: after a restart it counts again.\n"
	"\n"
	"options:\n"
	"      --for TIME         go back by itself after it: 30s, 10m, 2h\n" ADMIN_OPTIONS_HELP
	"\n"
	"exit status: 0 done; 1 it failed; 2 wrong command line; 3 no proxy answers\n"
	"\n"
	"example:\n"
	"  sallyport log-level debug --for 10m\n";

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
	printf("sallyport %s\n%s\nliburing %s\nlibyaml %s\npacing by client: %s\n",
	       SALLYPORT_VERSION, pki_openssl_version(), LIBURING_VERSION, LIBYAML_VERSION,
	       pacing_is_built() ? "built in" : "not built in");
	return cli_finish(CLI_OK);
}
