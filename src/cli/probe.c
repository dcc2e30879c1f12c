/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `sallyport probe`: what kern/probe.h found, for people and as JSON. Main thread.
 */
#include "kern/probe.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "cli/cli.h"
#include "limits/limits.h"
#include "pki/inspect.h"

#define COMMAND "sallyport probe"
/* Two sockets a connection, and pipes; the default of 20000 connections a listener wants this. */
#define OPEN_FILES_GOOD 65536

static const char *number_text(uint64_t value, char ret[24])
{
	if (value == PROBE_UNKNOWN)
		return "unlimited";
	snprintf(ret, 24, "%" PRIu64, value);
	return ret;
}

static void row(const char *what, bool good, const char *text)
{
	printf("%-22s %s%-4s%s %s\n", what, cli_style(stdout, good ? CLI_GREEN : CLI_YELLOW),
	       good ? "yes" : "no", cli_style(stdout, CLI_PLAIN), text);
}

/* An indented line that follows a "no". */
static void remedy(const char *text)
{
	printf("%-22s      %s\n", "", text);
}

static void print_ktls(const struct probe *probe)
{
	const struct ktls_support *ktls = &probe->ktls;
	char what[64];

	row("TLS in the kernel", ktls->ulp, "TCP_ULP \"tls\"");
	for (size_t i = 0; ktls->ulp && i < TLS_CIPHER_COUNT; i++) {
		snprintf(what, sizeof(what), "%s", tls_cipher_name((enum tls_cipher)i));
		row(i ? "" : "  TLS 1.3 ciphers", ktls->cipher13[i], what);
	}
	for (size_t i = 0; ktls->ulp && i < TLS_CIPHER_COUNT; i++) {
		snprintf(what, sizeof(what), "%s", tls_cipher_name((enum tls_cipher)i));
		row(i ? "" : "  TLS 1.2 ciphers", ktls->cipher12[i], what);
	}
	if (ktls->ulp) {
		row("  change of keys", ktls->rekey, "a second key for a direction (KeyUpdate)");
		row("  unpadded records", ktls->unpadded, "opened in place (`ktls_padding: none`)");
	}
	if (ktls->why[0])
		remedy(ktls->why);
}

static void print_limits(const struct probe *probe)
{
	const struct probe_limit *files = &probe->open_files, *locked = &probe->locked_bytes;
	char soft[24], hard[24], text[160];

	snprintf(text, sizeof(text), "fs.pipe-max-size %s, fs.pipe-user-pages-soft %s",
		 probe->pipe_bytes_max == PROBE_UNKNOWN ? "unknown"
							: number_text(probe->pipe_bytes_max, soft),
		 probe->pipe_user_pages_soft == PROBE_UNKNOWN
			 ? "unknown"
			 : number_text(probe->pipe_user_pages_soft, hard));
	row("pipes of 1 MiB", probe->pipe_full_size, text);
	if (!probe->pipe_full_size)
		remedy("sysctl fs.pipe-max-size=1048576; without it splicing is less effective");
	snprintf(text, sizeof(text), "RLIMIT_NOFILE %s, at most %s", number_text(files->soft, soft),
		 number_text(files->hard, hard));
	row("enough open files", files->hard >= OPEN_FILES_GOOD, text);
	if (files->hard < OPEN_FILES_GOOD)
		remedy("a connection takes two: raise LimitNOFILE= of the unit, or ulimit -Hn");
	snprintf(text, sizeof(text), "RLIMIT_MEMLOCK %s, at most %s bytes",
		 number_text(locked->soft, soft), number_text(locked->hard, hard));
	row("locked key memory", probe->secrets_locked, text);
	if (!probe->secrets_locked)
		remedy("keys may be swapped out: raise LimitMEMLOCK= of the unit, or ulimit -Hl");
}

static void print_pacing(const struct probe *probe)
{
	char fq[sizeof(probe->fq) + 16];

	row("pacing by client", !probe->pacing_why.text[0], "clients.pacing: bpf");
	if (probe->pacing_why.text[0])
		remedy(probe->pacing_why.text);
	snprintf(fq, sizeof(fq), "on %s", probe->fq[0] ? probe->fq : "no interface");
	row("  fq, which it needs", probe->fq[0], fq);
	if (!probe->fq[0])
		remedy("tc qdisc replace dev DEVICE root fq");
}

static const char *const direction_names[KTLS_DIRECTION_COUNT] = {
	[KTLS_SENDING] = "sending",
	[KTLS_RECEIVING] = "receiving",
};
static const unsigned int size_bytes[KTLS_SIZE_COUNT] = {
	[KTLS_SMALL] = KTLS_SMALL_BYTES,
	[KTLS_LARGE] = KTLS_LARGE_BYTES,
};

/* Nanoseconds of CPU time a KiB; 0: not measured. */
static uint64_t per_kib(const struct ktls_costs *costs, int direction, int size, int way)
{
	return (uint64_t)ktls_cost(costs, direction, size, way) * 1024 / size_bytes[size];
}

static void print_costs_row(const struct ktls_costs *costs, int direction, int size)
{
	char text[24];

	snprintf(text, sizeof(text), "%s %u B", direction_names[direction], size_bytes[size]);
	printf("    %-20s", text);
	for (int way = 0; way < KTLS_WAY_COUNT; way++) {
		uint64_t ns = per_kib(costs, direction, size, way);

		snprintf(text, sizeof(text), "%" PRIu64, ns);
		printf(" %9s", ns ? text : "-");
	}
	putchar('\n');
}

static void print_costs(const struct probe *probe, uint16_t version, enum tls_cipher cipher)
{
	const struct ktls_costs *costs =
		&probe->calibration.costs[ktls_version_index(version)][cipher];
	struct err_text why;
	enum ktls_use use = probe_ktls_use(probe, version, cipher, &why);

	printf("  TLS 1.%u %s\n", version - 0x0301U, tls_cipher_name(cipher));
	for (int direction = 0; costs->measured && direction < KTLS_DIRECTION_COUNT; direction++)
		for (int size = KTLS_SIZE_COUNT - 1; size >= 0; size--)
			print_costs_row(costs, direction, size);
	printf("    taken: %s: %s\n", ktls_use_name(use), why.text);
}

static bool is_tried(const struct ktls_costs *costs)
{
	return costs->measured || costs->why.text[0];
}

static void print_calibration(const struct probe *probe)
{
	const struct ktls_calibration *calibration = &probe->calibration;
	bool begun = false;

	for (uint16_t version = TLS_VERSION_1_3; version >= TLS_VERSION_1_2; version--)
		for (int cipher = 0; cipher < TLS_CIPHER_COUNT; cipher++) {
			if (!is_tried(&calibration->costs[ktls_version_index(version)][cipher]))
				continue;
			if (!begun) {
				printf("%-24s", "CPU time, ns a KiB");
				for (int way = 0; way < KTLS_WAY_COUNT; way++)
					printf(" %9s", ktls_way_name(way));
				printf("    (measured in %u ms)\n", calibration->took_ms);
			}
			begun = true;
			print_costs(probe, version, cipher);
		}
}

static const char *use_text(enum ktls_use use)
{
	switch (use) {
	case KTLS_USE_BOTH:
		return "ktls";
	case KTLS_USE_SENDING:
		return "ktls_send (the kernel seals, our own record layer opens)";
	default:
		return "aead (our own record layer)";
	}
}

static int print_text(const struct probe *probe)
{
	struct err_text why;
	enum ktls_use use =
		probe_ktls_use(probe, TLS_VERSION_1_3, TLS_CIPHER_AES_128_GCM_SHA256, &why);
	char landlock[40];

	printf("%-22s      %s\n", "kernel", probe->kernel);
	printf("%-22s      %u\n", "cores", probe->cores);
	printf("%-22s      %s\n", "TLS library", pki_openssl_version());
	row("io_uring", probe->io_uring,
	    probe->io_uring ? "the workers' loop" : "the workers use epoll instead");
	if (!probe->io_uring)
		remedy(probe->io_uring_why.text);
	print_ktls(probe);
	snprintf(landlock, sizeof(landlock), "ABI %d, of the sandbox", probe->landlock_abi);
	row("Landlock", probe->landlock_abi > 0,
	    probe->landlock_abi ? landlock : "the sandbox lacks its rules about files");
	if (!probe->landlock_abi)
		remedy(probe->landlock_why.text);
	print_limits(probe);
	print_pacing(probe);
	print_calibration(probe);
	printf("%sktls: auto uses %s here%s: %s\n", cli_style(stdout, CLI_BOLD), use_text(use),
	       cli_style(stdout, CLI_PLAIN), why.text);
	return cli_finish(CLI_OK);
}

static void print_number_json(uint64_t value)
{
	if (value == PROBE_UNKNOWN)
		fputs("null", stdout);
	else
		printf("%" PRIu64, value);
}

static void print_limit_json(const char *name, const struct probe_limit *limit)
{
	printf(",\"%s\":{\"soft\":", name);
	print_number_json(limit->soft);
	fputs(",\"hard\":", stdout);
	print_number_json(limit->hard);
	fputc('}', stdout);
}

static void print_ciphers_json(const char *name, const bool ciphers[TLS_CIPHER_COUNT])
{
	printf(",\"%s\":{", name);
	for (size_t i = 0; i < TLS_CIPHER_COUNT; i++)
		printf("%s\"%s\":%s", i ? "," : "", tls_cipher_name((enum tls_cipher)i),
		       ciphers[i] ? "true" : "false");
	fputc('}', stdout);
}

static void print_cost_json(const struct ktls_costs *costs, int direction, int size)
{
	printf("{\"direction\":\"%s\",\"bytes\":%u,\"ns_per_kib\":{", direction_names[direction],
	       size_bytes[size]);
	for (int way = 0; way < KTLS_WAY_COUNT; way++) {
		uint64_t ns = per_kib(costs, direction, size, way);

		printf("%s\"%s\":", way ? "," : "", ktls_way_name(way));
		print_number_json(ns ? ns : PROBE_UNKNOWN);
	}
	fputs("}}", stdout);
}

static void print_suite_json(const struct probe *probe, uint16_t version, enum tls_cipher cipher)
{
	const struct ktls_costs *costs =
		&probe->calibration.costs[ktls_version_index(version)][cipher];
	struct err_text why;
	enum ktls_use use = probe_ktls_use(probe, version, cipher, &why);

	printf("{\"version\":\"1.%u\",\"cipher\":\"%s\",\"transport\":\"%s\",\"why\":",
	       version - 0x0301U, tls_cipher_name(cipher), ktls_use_name(use));
	json_write_string(stdout, why.text);
	printf(",\"measured\":%s,\"costs\":[", costs->measured ? "true" : "false");
	for (int i = 0; costs->measured && i < KTLS_DIRECTION_COUNT * KTLS_SIZE_COUNT; i++) {
		if (i)
			putchar(',');
		print_cost_json(costs, i / KTLS_SIZE_COUNT, i % KTLS_SIZE_COUNT);
	}
	fputs("]}", stdout);
}

static void print_auto_json(const struct probe *probe)
{
	struct err_text why;
	enum ktls_use use =
		probe_ktls_use(probe, TLS_VERSION_1_3, TLS_CIPHER_AES_128_GCM_SHA256, &why);

	printf(",\"ktls_auto\":{\"transport\":\"%s\",\"why\":", ktls_use_name(use));
	json_write_string(stdout, why.text);
	printf(",\"measured_ms\":%u,\"suites\":[", probe->calibration.took_ms);
	for (unsigned int i = 0; i < KTLS_VERSION_COUNT * TLS_CIPHER_COUNT; i++) {
		if (i)
			putchar(',');
		print_suite_json(probe, (uint16_t)(TLS_VERSION_1_3 - i / TLS_CIPHER_COUNT),
				 i % TLS_CIPHER_COUNT);
	}
	fputs("]}", stdout);
}

static int print_json(const struct probe *probe)
{

	fputs("{\"kernel\":", stdout);
	json_write_string(stdout, probe->kernel);
	printf(",\"cores\":%u,\"openssl\":", probe->cores);
	json_write_string(stdout, pki_openssl_version());
	printf(",\"io_uring\":{\"usable\":%s,\"why\":", probe->io_uring ? "true" : "false");
	json_write_string(stdout, probe->io_uring_why.text);
	printf("},\"ktls\":{\"ulp\":%s", probe->ktls.ulp ? "true" : "false");
	print_ciphers_json("tls13", probe->ktls.cipher13);
	print_ciphers_json("tls12", probe->ktls.cipher12);
	printf(",\"rekey\":%s,\"unpadded\":%s,\"why\":", probe->ktls.rekey ? "true" : "false",
	       probe->ktls.unpadded ? "true" : "false");
	json_write_string(stdout, probe->ktls.why);
	printf("},\"landlock\":{\"abi\":%d,\"why\":", probe->landlock_abi);
	json_write_string(stdout, probe->landlock_why.text);
	fputs("},\"pipes\":{\"bytes_max\":", stdout);
	print_number_json(probe->pipe_bytes_max);
	fputs(",\"user_pages_soft\":", stdout);
	print_number_json(probe->pipe_user_pages_soft);
	printf(",\"full_size\":%s}", probe->pipe_full_size ? "true" : "false");
	print_limit_json("open_files", &probe->open_files);
	print_limit_json("locked_bytes", &probe->locked_bytes);
	printf(",\"pacing\":{\"usable\":%s,\"why\":", probe->pacing_why.text[0] ? "false" : "true");
	json_write_string(stdout, probe->pacing_why.text);
	fputs(",\"fq\":", stdout);
	json_write_string(stdout, probe->fq);
	printf("},\"secrets_locked\":%s", probe->secrets_locked ? "true" : "false");
	print_auto_json(probe);
	puts("}");
	return cli_finish(CLI_OK);
}

int cli_probe(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct probe probe;
	bool json = false;
	int option;

	optind = 0;
	while ((option = cli_option(COMMAND, argc, argv, "h", options)) != -1) {
		if (option == 'h') {
			fputs(verb->help, stdout);
			return cli_finish(CLI_OK);
		}
		if (option == '?')
			return CLI_USAGE;
		json = true;
	}
	if (optind < argc)
		return cli_usage_error(COMMAND, "unexpected argument '%s'", argv[optind]);
	probe_gather(&probe);
	return json ? print_json(&probe) : print_text(&probe);
}
