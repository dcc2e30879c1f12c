/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sallyport-load: the load generator of the benchmarks, and the origin it talks to through whatever
 * TLS front is under test. This file is the command line; each mode is in a file of its name
 * (load_client.c: consume, produce, handshake, idle), a connection in load_conn.c and load_async.c.
 */
#include "load.h"
#include "pattern.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const char load_usage[] =
	"usage: sallyport-load origin --listen ADDR:PORT [--sendfile]\n"
	"       sallyport-load MODE --connect ADDR:PORT [options]\n"
	"\n"
	"  consume, produce    bulk, one way\n"
	"  rtt                 requests and answers; open loop with --rate\n"
	"  fanout              one producer, --connections consumers of all of it\n"
	"  handshake           connect, one byte there and back, close\n"
	"  reconnect           hold connections; all come back after the proxy's restart\n"
	"  idle                hold connections\n"
	"  storm               bad handshakes\n"
	"\n"
	"  --plain             no TLS\n"
	"  --cert F --key F    the client's certificate (PEM)\n"
	"  --ca F              trusted roots; without it the server is not verified\n"
	"  --server-name NAME  SNI, and the name that the certificate must carry\n"
	"  --cipher SUITE      default TLS_AES_128_GCM_SHA256\n"
	"  --tls 1.2|1.3       default 1.3\n"
	"  --bytes N           bulk: bytes a connection (64M, 48M+12345); default 64M\n"
	"  --record N          bulk: bytes a send, of the client or (consume) the origin;\n"
	"                      default 16k, consume 256k\n"
	"  --count N           rtt, handshake: operations a connection; default 1000,\n"
	"                      with --seconds any number\n"
	"  --seconds N         rtt: so long instead\n"
	"  --size N            rtt: bytes a message; default 200\n"
	"  --connections N     how many at once; default 1\n"
	"  --seed N            where in the pattern the first connection starts; default 0\n"
	"  --rate N            rtt: messages a second in all; fanout: records a second;\n"
	"                      default as fast as they go; storm: bad handshakes, 2000\n"
	"  --burst N           storm: so many of them at once; default 100\n"
	"  --wait              rtt: print {\"ready\": N} once connected, begin at a line\n"
	"                      on stdin, close at its end\n"
	"  --timeout SECONDS   longest wait on the socket; default 300\n"
	"\n"
	"Prints one JSON object. Every byte is verified; a wrong one is a message and exit 1.\n"
	"idle prints {\"ready\": N}, holds the connections until a line or the end of stdin,\n"
	"checks that each still works, and closes them. reconnect prints it too, and ends\n"
	"when all are back. storm runs until the end of stdin.\n";

enum load_option {
	OPT_ADDRESS = 256, OPT_PLAIN, OPT_SENDFILE, OPT_CERT, OPT_KEY, OPT_CA, OPT_SERVER_NAME,
	OPT_CIPHER, OPT_TLS, OPT_BYTES, OPT_COUNT, OPT_SIZE, OPT_CONNECTIONS, OPT_RECORD,
	OPT_SEED, OPT_RATE, OPT_BURST, OPT_SECONDS, OPT_WAIT, OPT_TIMEOUT, OPT_HELP,
};

static const struct option load_long_options[] = {
	{ "listen", required_argument, NULL, OPT_ADDRESS },
	{ "connect", required_argument, NULL, OPT_ADDRESS },
	{ "plain", no_argument, NULL, OPT_PLAIN },
	{ "sendfile", no_argument, NULL, OPT_SENDFILE },
	{ "cert", required_argument, NULL, OPT_CERT },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "ca", required_argument, NULL, OPT_CA },
	{ "server-name", required_argument, NULL, OPT_SERVER_NAME },
	{ "cipher", required_argument, NULL, OPT_CIPHER },
	{ "tls", required_argument, NULL, OPT_TLS },
	{ "bytes", required_argument, NULL, OPT_BYTES },
	{ "count", required_argument, NULL, OPT_COUNT },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "connections", required_argument, NULL, OPT_CONNECTIONS },
	{ "record", required_argument, NULL, OPT_RECORD },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "burst", required_argument, NULL, OPT_BURST },
	{ "wait", no_argument, NULL, OPT_WAIT },
	{ "rate", required_argument, NULL, OPT_RATE },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "help", no_argument, NULL, OPT_HELP },
	{ 0 },
};

static void load_fail_usage(const char *why, const char *what)
{
	fprintf(stderr, "sallyport-load: %s%s\n%s", why, what, load_usage);
	exit(2);
}

/* "48M+12345": terms with an optional k, M or G (powers of 1024), added up. */
static uint64_t load_number(const char *text, uint64_t max)
{
	const char *p = text;
	uint64_t sum = 0;

	for (;;) {
		char *end;
		uint64_t n = strtoull(p, &end, 10);

		if (end == p || *p == '-')
			load_fail_usage("not a number: ", text);
		switch (*end) {
		case 'g': case 'G':
			n *= 1024;
			/* fall through */
		case 'm': case 'M':
			n *= 1024;
			/* fall through */
		case 'k': case 'K':
			n *= 1024;
			end++;
		}
		sum += n;
		if (*end == '\0')
			break;
		if (*end != '+')
			load_fail_usage("not a number: ", text);
		p = end + 1;
	}
	if (sum > max)
		load_fail_usage("too large: ", text);
	return sum;
}

static void load_set(struct load_options *o, int option, const char *arg)
{
	switch (option) {
	case OPT_ADDRESS:
		if (load_address_parse(arg, &o->address))
			load_fail_usage("not a numeric address with a port: ", arg);
		return;
	case OPT_PLAIN: o->plain = true; return;
	case OPT_SENDFILE: o->sendfile = true; return;
	case OPT_CERT: o->cert = arg; return;
	case OPT_KEY: o->key = arg; return;
	case OPT_CA: o->ca = arg; return;
	case OPT_SERVER_NAME: o->server_name = arg; return;
	case OPT_CIPHER: o->cipher = arg; return;
	case OPT_TLS: o->tls = arg; return;
	case OPT_BYTES: o->bytes = load_number(arg, UINT64_MAX / 2); return;
	case OPT_COUNT: o->count = load_number(arg, UINT32_MAX); return;
	case OPT_SIZE: o->size = (uint32_t)load_number(arg, PATTERN_CHUNK); return;
	case OPT_CONNECTIONS: o->connections = (uint32_t)load_number(arg, 1000000); return;
	case OPT_RECORD: o->record = (size_t)load_number(arg, 1u << 30); return;
	case OPT_SECONDS: o->seconds = load_number(arg, 86400); return;
	case OPT_SEED: o->seed = load_number(arg, UINT32_MAX); return;
	case OPT_BURST: o->burst = load_number(arg, 100000); return;
	case OPT_WAIT: o->wait = true; return;
	case OPT_RATE: o->rate = load_number(arg, 1000000); return;
	case OPT_TIMEOUT: o->timeout_s = (unsigned int)load_number(arg, 86400); return;
	case OPT_HELP:
		fputs(load_usage, stdout);
		exit(0);
	default:
		load_fail_usage("bad option", "");
	}
}

static void load_raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* What depends on the mode. */
static void load_defaults(struct load_options *o)
{
	if (!o->record)
		o->record = strcmp(o->mode, "consume") == 0 ? PATTERN_CHUNK : 16384;
	if (!o->rate && strcmp(o->mode, "storm") == 0)
		o->rate = 2000;
	if (!o->count)
		o->count = o->seconds && strcmp(o->mode, "rtt") == 0 ? UINT64_MAX : 1000;
	if (!o->connections || !o->size || !o->burst)
		load_fail_usage("--connections, --size, --burst must not be 0", "");
	if (!o->cert != !o->key)
		load_fail_usage("--cert and --key go together", "");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *mode;
		int (*run)(const struct load_options *options);
	} modes[] = {
		{ "origin", load_origin_run },	{ "consume", load_client_run },
		{ "produce", load_client_run }, { "handshake", load_client_run },
		{ "idle", load_client_run },	{ "rtt", load_rtt_run },
		{ "fanout", load_fanout_run },	{ "reconnect", load_reconnect_run },
		{ "storm", load_storm_run },
	};
	struct load_options options = {
		.cipher = "TLS_AES_128_GCM_SHA256", .tls = "1.3",
		.bytes = 64u << 20, .size = 200, .connections = 1,
		.burst = 100, .timeout_s = 300,
	};
	int option;
	size_t i;

	while ((option = getopt_long(argc, argv, "", load_long_options, NULL)) != -1)
		load_set(&options, option, optarg);
	if (optind + 1 != argc)
		load_fail_usage("one mode is needed", "");
	options.mode = argv[optind];
	if (options.address.len == 0)
		load_fail_usage("--listen or --connect is needed", "");
	load_defaults(&options);
	signal(SIGPIPE, SIG_IGN);
	pattern_init();
	load_raise_fd_limit();
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(options.mode, modes[i].mode) == 0)
			return modes[i].run(&options);
	load_fail_usage("no such mode: ", options.mode);
	return 2;
}
