/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configurations, good and bad: every mistake is found, where it is, and said so that one knows
 * what to do.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "config/load.h"
#include "limits/limits.h"
#include "unit/config/loading.h"

static void test_syntax(void **state)
{
	static const struct bad_row rows[] = {
		{ "", 0, 0, "", "the file is empty" },
		{ "# nothing\n\n", 0, 0, "", "the file is empty" },
		{ "just words\n", 1, 1, "", "a mapping (key: value) is expected" },
		{ "- a\n- b\n", 1, 1, "", "a mapping (key: value) is expected" },
		{ GOOD "\tktls: off\n", 6, 1, "", "a tab" },
		{ GOOD "   ktls: off\n", 6, 4, "", "not valid YAML: while parsing a" },
		{ GOOD "    ktls: [off\n", 7, 1, "", "not valid YAML: while parsing a flow" },
		{ GOOD "    ktls: \"off\n", 7, 1, "", "unexpected end of stream" },
		{ GOOD "    ktls: @off\n", 6, 11, "", "cannot start any token" },
		{ "a: b: c\n", 1, 5, "", "mapping values are not allowed" },
		{ GOOD "---\nlog: { level: info }\n", 6, 1, "", "a second document" },
		{ GOOD "    ktls: !!str off\n", 6, 11, "", "tags" },
		{ GOOD "    timeouts: { <<: { idle: 5s } }\n", 6, 17, "", "merge keys" },
		{ GOOD "    ? [a, b]\n    : c\n", 6, 7, "", "a key must be a word" },
		{ GOOD "    ktls: *nowhere\n", 6, 11, "", "no anchor &nowhere" },
		{ GOOD "    allow: &a [ *a ]\n", 6, 17, "", "stands inside of what it refers to" },
		{ GOOD "    ktls: \xff\n", 6, 11, "", "byte 0xff is not UTF-8" },
		{ GOOD "    # \xc3\xa9\xc3\xa9 \xc0\xaf\n", 6, 10, "", "byte 0xc0 is not UTF-8" },
		{ GOOD "    ktls: \x01\n", 6, 11, "", "control character 0x01" },
		{ GOOD "    allow: [[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]]\n", 6, 25, "",
		  "nested too deep" },
		{ "{\"listeners\": [}\n", 1, 16, "", "not valid YAML" },
	};

	assert_rows(rows, ARRAY_SIZE(rows));
}

static void test_nul_bytes(void **state)
{
	static const char utf16[] = "\xff\xfe"
				    "a\0:\0";
	struct config *config;

	assert_int_equal(load("a\0b: c", 6, &config), -EINVAL);
	assert_int_equal(problems.items[0].column, 2);
	assert_non_null(strstr(problems.items[0].text, "NUL"));
	assert_int_equal(load(utf16, sizeof(utf16) - 1, &config), -EINVAL);
	assert_non_null(strstr(problems.items[0].text, "not UTF-8"));
}

static void test_keys(void **state)
{
	static const struct bad_row rows[] = {
		{ GOOD "    ktsl: off\n", 6, 5, "listeners[0].ktsl", "did you mean 'ktls'?" },
		{ GOOD "    certificate: x\n", 6, 5, "listeners[0].certificate",
		  "belongs under 'listeners[].tls'" },
		{ GOOD "    loop: epoll\n", 6, 5, "listeners[0].loop", "belongs at the top" },
		{ GOOD "    zebra: 1\n", 6, 5, "listeners[0].zebra", "known here: name, role" },
		{ GOOD "    \"a\\x1b[31mb\": 1\n", 6, 5, "listeners[0].a?[31mb", "unknown key" },
		{ GOOD "    ktls: off\n    ktls: auto\n", 7, 5, "listeners[0].ktls",
		  "twice; the first is at 6:5" },
		{ GOOD "    name: again\n", 6, 5, "listeners[0].name", "the first is at 2:5" },
		{ "loop: auto\n", 1, 1, "listeners", "missing" },
		{ "listeners:\n  - name: k\n    listen: 0.0.0.0:1\n    upstream: h:1\n", 2, 5,
		  "listeners[0].tls", "missing" },
		{ "listeners:\n  - name: k\n    listen: 0.0.0.0:1\n    upstream: h:1\n    tls:\n"
		  "      certificate: a\n      key: b\n",
		  6, 7, "listeners[0].tls.roots", "missing" },
		{ "listeners:\n  - name: k\n    listen: 0.0.0.0:1\n    upstream: h:1\n    tls:\n"
		  "      roots: [a]\n",
		  6, 7, "listeners[0].tls.certificate", "missing: a front must show" },
		{ "listeners:\n  - name: k\n    listen: 0.0.0.0:1\n    upstream: h:1\n    tls:\n"
		  "      roots: [a]\n      certificate: c\n",
		  7, 20, "listeners[0].tls.key", "without its private key" },
		{ "listeners:\n  - name: k\n    listen: 0.0.0.0:1\n    upstream: h:1\n    tls:\n"
		  "      roots: [a]\n      key: c\n",
		  7, 12, "listeners[0].tls.certificate", "a key without a certificate" },
	};

	assert_rows(rows, ARRAY_SIZE(rows));
}

static void test_types(void **state)
{
	static const struct bad_row rows[] = {
		{ GOOD "    ktls: [off]\n", 6, 11, "listeners[0].ktls",
		  "a single value is expected here, this is a list" },
		{ GOOD "    ktls: {a: b}\n", 6, 11, "listeners[0].ktls", "this is a mapping" },
		{ GOOD "    timeouts: 10s\n", 6, 15, "listeners[0].timeouts",
		  "a mapping (key: value) is expected here, this is a single value" },
		{ GOOD "    allow: { cn: x }\n", 6, 12, "listeners[0].allow", "a list" },
		{ GOOD "    allow: [ x ]\n", 6, 14, "listeners[0].allow[0]", "a mapping" },
		{ GOOD "    limits:\n", 6, 12, "listeners[0].limits", "no value" },
		{ GOOD "    ktls: ~\n", 6, 11, "listeners[0].ktls", "no value" },
		{ GOOD "    ktls: null\n", 6, 11, "listeners[0].ktls", "no value" },
		{ "listeners: []\n", 1, 12, "listeners", "an empty list" },
		{ "listeners: kafka\n", 1, 12, "listeners", "a list" },
		{ GOOD "    allow: []\n", 6, 12, "listeners[0].allow", "an empty list" },
		{ GOOD "    deny: [ {} ]\n", 6, 13, "listeners[0].deny[0]",
		  "would match everyone" },
		{ GOOD "    allow: [ { cn: \"\" } ]\n", 6, 20, "listeners[0].allow[0].cn",
		  "empty text" },
		{ GOOD "    allow: [ { cn: \"a\\nb\" } ]\n", 6, 20, "listeners[0].allow[0].cn",
		  "control characters" },
		{ GOOD "    allow: [ { cn: \"a\\0b\" } ]\n", 6, 20, "listeners[0].allow[0].cn",
		  "control characters" },
	};

	assert_rows(rows, ARRAY_SIZE(rows));
}

static void test_values(void **state)
{
	static const struct bad_row rows[] = {
		{ "workers: 0\n" GOOD, 1, 10, "workers", "out of range" },
		{ "workers: 257\n" GOOD, 1, 10, "workers", "from 1 to 256 or auto" },
		{ "workers: two\n" GOOD, 1, 10, "workers", "'two' is not a number" },
		{ "workers: 1.5\n" GOOD, 1, 10, "workers", "not a number" },
		{ "loop: iouring\n" GOOD, 1, 7, "loop", "did you mean 'io_uring'?" },
		{ "sandbox: on\n" GOOD, 1, 10, "sandbox", "auto, required, off" },
		{ "user: ''\n" GOOD, 1, 7, "user", "empty text" },
		{ "user: a b\n" GOOD, 1, 7, "user", "not the name of a user" },
		{ "user: -x\n" GOOD, 1, 7, "user", "not the name of a user" },
		{ "user: 1000\n" GOOD, 1, 7, "user", "no number" },
		{ "log: { level: inf }\n" GOOD, 1, 15, "log.level", "did you mean 'info'?" },
		{ "log: { rate: 0 }\n" GOOD, 1, 14, "log.rate", "from 1 to 1000000 or off" },
		{ "log: { format: xml }\n" GOOD, 1, 16, "log.format", "auto, text, json" },
		{ "admin: off\n" GOOD, 1, 8, "admin", "a mapping" },
		{ "admin: { socket: run/x }\n" GOOD, 1, 18, "admin.socket", "an absolute path" },
		{ "admin: { socket: \"\" }\n" GOOD, 1, 18, "admin.socket", "empty" },
		{ "admin: { allow_uids: [0, kafka] }\n" GOOD, 1, 26, "admin.allow_uids[1]",
		  "id -u NAME" },
		{ "admin: { allow_uids: [4294967295] }\n" GOOD, 1, 23, "admin.allow_uids[0]",
		  "the number of a user" },
		{ "admin: { allow_uids: 5 }\n" GOOD, 1, 22, "admin.allow_uids", "a list" },
		{ GOOD "    role: fornt\n", 6, 11, "listeners[0].role", "did you mean 'front'?" },
		{ GOOD "    ktls: yes\n", 6, 11, "listeners[0].ktls", "auto, required, off" },
		{ GOOD "    timeouts: { handshake: 10 }\n", 6, 28,
		  "listeners[0].timeouts.handshake", "'10' has no unit: write '10s'" },
		{ GOOD "    timeouts: { idle: 0 }\n", 6, 23, "listeners[0].timeouts.idle",
		  "write 'off'" },
		{ GOOD "    timeouts: { idle: 10sec }\n", 6, 23, "listeners[0].timeouts.idle",
		  "is not a duration" },
		{ GOOD "    timeouts: { idle: 1ms }\n", 6, 23, "listeners[0].timeouts.idle",
		  "out of range: 1s to 365d, or off" },
		{ GOOD "    timeouts: { idle: 99999999999999999999d }\n", 6, 23,
		  "listeners[0].timeouts.idle", "out of range" },
		{ GOOD "    timeouts: { connect: off }\n", 6, 26, "listeners[0].timeouts.connect",
		  "can not be off" },
		{ GOOD "    timeouts: { connect: 0s }\n", 6, 26, "listeners[0].timeouts.connect",
		  "out of range: 100ms to 10m" },
		{ GOOD "    limits: { connections: 0 }\n", 6, 28, "listeners[0].limits.connections",
		  "out of range" },
		{ GOOD "    limits: { handshakes: -1 }\n", 6, 27, "listeners[0].limits.handshakes",
		  "not a number" },
	};

	assert_rows(rows, ARRAY_SIZE(rows));
}

/* Rows that replace a line of GOOD: `key` at line 3 of a listener. */
#define WITH_LISTEN(value)                                                                         \
	"listeners:\n  - name: k\n    listen: " value "\n    upstream: h:1\n"                      \
	"    tls: { certificate: a.crt, key: a.key, roots: [ca.crt] }\n"
#define WITH_UPSTREAM(value)                                                                       \
	"listeners:\n  - name: k\n    upstream: " value "\n    listen: 127.0.0.1:9093\n"           \
	"    tls: { certificate: a.crt, key: a.key, roots: [ca.crt] }\n"

static void test_addresses(void **state)
{
	static const struct bad_row rows[] = {
		{ WITH_LISTEN("9093"), 3, 13, "listeners[0].listen", "has no port" },
		{ WITH_LISTEN(":9093"), 3, 13, "listeners[0].listen", "write '*:9093'" },
		{ WITH_LISTEN("0.0.0.0:99999"), 3, 13, "listeners[0].listen", "port '99999'" },
		{ WITH_LISTEN("0.0.0.0:kafka"), 3, 13, "listeners[0].listen", "not an address" },
		{ WITH_LISTEN("::1"), 3, 13, "listeners[0].listen", "[::1]:PORT" },
		{ WITH_LISTEN("localhost:9093"), 3, 13, "listeners[0].listen", "127.0.0.1:9093" },
		{ WITH_LISTEN("/run/x.sock"), 3, 13, "listeners[0].listen", "unix:/run/x.sock" },
		{ WITH_LISTEN("unix:run/x.sock"), 3, 13, "listeners[0].listen", "absolute path" },
		{ WITH_UPSTREAM("http://h:1"), 3, 15, "listeners[0].upstream", "is a URL" },
		{ WITH_UPSTREAM("a b:1"), 3, 15, "listeners[0].upstream", "no ' ' in it" },
		{ WITH_UPSTREAM("0.0.0.0:1"), 3, 15, "listeners[0].upstream", "connect to" },
		{ WITH_UPSTREAM("127.0.0.1:9093"), 3, 15, "listeners[0].upstream", "in a circle" },
	};

	assert_rows(rows, ARRAY_SIZE(rows));
}

#define WITH_TLS(text)                                                                             \
	"listeners:\n  - name: k\n    listen: 127.0.0.1:9093\n    upstream: h:1\n    tls:\n"       \
	"      certificate: a.crt\n      key: a.key\n" text
#define LONG_32 "abcdefghijklmnopqrstuvwxyzabcdef"

static void test_tls(void **state)
{
	static const struct bad_row rows[] = {
		{ WITH_TLS("      roots: []\n"), 8, 14, "listeners[0].tls.roots", "an empty list" },
		{ WITH_TLS("      roots: ca.crt\n"), 8, 14, "listeners[0].tls.roots", "a list" },
		{ WITH_TLS("      roots: ['']\n"), 8, 15, "listeners[0].tls.roots[0]",
		  "empty file name" },
		{ WITH_TLS("      roots: [\"-----BEGIN CERTIFICATE-----\\nx\"]\n"), 8, 15,
		  "listeners[0].tls.roots[0]", "PEM itself" },
		{ WITH_TLS("      roots: [a]\n      ciphers: []\n"), 9, 16,
		  "listeners[0].tls.ciphers", "an empty list" },
		{ WITH_TLS("      roots: [a]\n      ciphers: [aes-128-gcm, aes128-gcm]\n"), 9, 30,
		  "listeners[0].tls.ciphers[1]", "did you mean 'aes-128-gcm'?" },
		{ WITH_TLS("      roots: [a]\n      ciphers: [aes-128-gcm, aes-128-gcm]\n"), 9, 30,
		  "listeners[0].tls.ciphers[1]", "in the list already" },
		{ WITH_TLS("      roots: [a]\n      min_version: 1.1\n"), 9, 20,
		  "listeners[0].tls.min_version", "'1.1' is not one of 1.2, 1.3" },
		{ WITH_TLS("      roots: [a]\n      alpn: ['']\n"), 9, 14,
		  "listeners[0].tls.alpn[0]", "empty" },
		{ WITH_TLS("      roots: [a]\n      alpn: [" LONG_32 "]\n"), 9, 14,
		  "listeners[0].tls.alpn[0]", "longer than 31 bytes" },
		{ WITH_TLS("      roots: [a]\n      alpn: [x, y, x]\n"), 9, 20,
		  "listeners[0].tls.alpn", "in the list already" },
		{ WITH_TLS("      roots: [a]\n      alpn: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q]\n"),
		  9, 13, "listeners[0].tls.alpn", "17 items, at most 16" },
		{ WITH_TLS("      roots: [a]\n      server_name: '*.example'\n"), 9, 20,
		  "listeners[0].tls.server_name", "not a DNS name" },
		{ WITH_TLS("      roots: [a]\n      server_name: 10.0.0.1\n"), 9, 20,
		  "listeners[0].tls.server_name", "never ask for an address" },
		{ WITH_TLS("      roots: [a]\n    role: egress\n"), 6, 7,
		  "listeners[0].tls.server_name", "missing: an egress must know which name" },
	};

	assert_rows(rows, ARRAY_SIZE(rows));
}

static void test_contradictions(void **state)
{
	static const struct bad_row rows[] = {
		{ GOOD "    ktls: off\n    splice: on\n", 7, 13, "listeners[0].splice",
		  "but ktls is off" },
		{ GOOD SECOND("127.0.0.1:9093"), 7, 13, "listeners[1].listen",
		  "listeners[0] (line 3) listens on 127.0.0.1:9093 already" },
		{ GOOD "  - name: kafka\n    listen: 127.0.0.1:1\n    upstream: h:1\n"
		       "    tls: { certificate: a.crt, key: a.key, roots: [ca.crt] }\n",
		  6, 11, "listeners[1].name", "'kafka' is the name of listeners[0] (line 2)" },
		{ "listeners:\n  - name: a b\n    listen: 127.0.0.1:9093\n    upstream: h:1\n"
		  "    tls: { certificate: a.crt, key: a.key, roots: [ca.crt] }\n",
		  2, 11, "listeners[0].name", "letters, digits" },
		{ GOOD "metrics: { listen: localhost:9464 }\n", 6, 20, "metrics.listen",
		  "such as 127.0.0.1:9464" },
		{ GOOD "metrics: { listen: unix:/run/m }\n", 6, 20, "metrics.listen", "or off" },
		{ GOOD "metrics: { listen: 127.0.0.1:9093 }\n", 6, 20, "metrics.listen",
		  "listeners[0] (line 3) listens on 127.0.0.1:9093 already" },
		{ GOOD "metrics: { listen: '*:9093' }\n", 6, 20, "metrics.listen", "already" },
		{ GOOD "metrics: { listen: no }\n", 6, 20, "metrics.listen", "no port" },
	};
	static const struct bad_row warnings[] = {
		{ GOOD SECOND("0.0.0.0:9093"), 7, 13, "listeners[1].listen", "overlaps" },
		{ GOOD SECOND("'[::]:9093'"), 7, 13, "listeners[1].listen", "overlaps" },
		{ GOOD "metrics: { listen: '*:9464' }\n", 6, 20, "metrics.listen", "firewall" },
		{ GOOD "metrics: { listen: 10.1.2.3:9464 }\n", 6, 20, "metrics.listen",
		  "firewall" },
		{ GOOD "    timeouts: { idle: 10s }\n", 2, 5, "listeners[0].timeouts.keepalive",
		  "later than idle" },
	};

	assert_rows(rows, ARRAY_SIZE(rows));
	for (size_t i = 0; i < ARRAY_SIZE(warnings); i++)
		assert_row(&warnings[i], CONFIG_WARNING);
}

static void test_no_false_alarm(void **state)
{
	static const char *const texts[] = {
		GOOD,
		GOOD SECOND("127.0.0.2:9093"),
		GOOD SECOND("'[::1]:9093'"),
		GOOD SECOND("unix:/run/x.sock"),
		GOOD "    deny: []\n",
		GOOD "    ktls: required\n    splice: on\n",
		"\xef\xbb\xbf" GOOD, /* a byte order mark */
		"%YAML 1.1\n---\n" GOOD "...\n",
	};
	struct config *config;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		config = NULL;
		assert_int_equal(load(texts[i], strlen(texts[i]), &config), 0);
		assert_clean();
		config_free(config);
	}
}

static void test_defaults(void **state)
{
	struct config *config;
	const struct config_listener *l;

	assert_int_equal(load(GOOD, strlen(GOOD), &config), 0);
	assert_int_equal(config->workers, 0);
	assert_int_equal(config->loop, CONFIG_LOOP_AUTO);
	assert_int_equal(config->sandbox, CONFIG_SANDBOX_AUTO);
	assert_null(config->user);
	assert_null(config->file); /* it came as bytes */
	assert_int_equal(config->log_level, LOG_INFO);
	assert_int_equal(config->log_format, LOG_FORMAT_AUTO);
	assert_int_equal(config->log_rate, 100);
	assert_null(config->audit.file);
	assert_int_equal(config->audit.journald, 0);
	assert_int_equal(config->audit.on_failure, CONFIG_AUDIT_CONTINUE);
	assert_int_equal(config->audit.queue_kib, 4096);
	assert_string_equal(config->metrics.listen_text, "127.0.0.1:9464");
	assert_string_equal(config->metrics.listen.host, "127.0.0.1");
	assert_int_equal(config->metrics.listen.port, 9464);
	assert_false(config_metrics_chosen(&config->metrics));
	assert_string_equal(config->admin.socket, "auto");
	assert_int_equal(config->admin.allow_uids.count, 0);
	assert_int_equal(config->listener_count, 1);
	l = config->listeners;
	assert_int_equal(l->role, CONFIG_ROLE_FRONT);
	assert_int_equal(l->tls.min_version, CONFIG_TLS_1_3);
	assert_int_equal(l->tls.cipher_count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(l->tls.ciphers[i], i);
	assert_int_equal(l->tls.alpn.count, 0);
	assert_null(l->tls.server_name);
	assert_int_equal(l->ktls, CONFIG_KTLS_AUTO);
	assert_int_equal(l->ktls_padding, CONFIG_PADDING_ANY);
	assert_int_equal(l->splice, CONFIG_SPLICE_AUTO);
	assert_int_equal(l->allow.count + l->deny.count, 0);
	assert_int_equal(l->timeouts.handshake_ms, 10000);
	assert_int_equal(l->timeouts.connect_ms, 5000);
	assert_int_equal(l->timeouts.idle_ms, 0);
	assert_int_equal(l->timeouts.drain_ms, 30000);
	assert_int_equal(l->timeouts.linger_ms, 2000);
	assert_int_equal(l->timeouts.tcp_user_ms, 30000);
	assert_int_equal(l->timeouts.keepalive_ms, 60000);
	assert_int_equal(l->limits.connections, 20000);
	assert_int_equal(l->limits.handshakes, 2000);
	assert_int_equal(l->limits.accepts_per_second, 0);
	assert_int_equal(l->limits.connections_per_source, 0);
	assert_int_equal(l->proxy_protocol.accept_from.count, 0);
	assert_int_equal(l->proxy_protocol.send, CONFIG_PROXY_HEADER_OFF);
	assert_int_equal(l->proxy_protocol.tls_count, 3);
	assert_int_equal(config->memory, 0);
	assert_int_equal(config->penalties.max_ms, 600000);
	assert_int_equal(config->penalties.min_ms, 15000);
	assert_int_equal(config->penalties.certificate_ms, 5000);
	assert_int_equal(config->penalties.ipv4_mask, 32);
	assert_int_equal(config->penalties.ipv6_mask, 64);
	assert_int_equal(config->penalties.sources, 65536);
	assert_int_equal(config->penalties.overflow, CONFIG_OVERFLOW_PERMISSIVE);
	assert_int_equal(config->penalties.exempt.count, 2);
	assert_int_equal(config->penalties.exempt.items[0].bits, 104);
	assert_int_equal(config->penalties.exempt.items[1].bits, 128);
	config_free(config);
}

static void assert_everything(const struct config *config)
{
	const struct config_listener *l = &config->listeners[1];

	assert_int_equal(config->workers, 4);
	assert_int_equal(config->loop, CONFIG_LOOP_EPOLL);
	assert_int_equal(config->sandbox, CONFIG_SANDBOX_REQUIRED);
	assert_string_equal(config->user, "sallyport");
	assert_int_equal(config->log_level, LOG_DEBUG);
	assert_int_equal(config->log_format, LOG_FORMAT_JSON);
	assert_int_equal(config->log_rate, 0);
	assert_string_equal(config->metrics.listen.host, "::1");
	assert_int_equal(config->metrics.listen.port, 9000);
	assert_true(config_metrics_chosen(&config->metrics));
	assert_string_equal(config->admin.socket, "/run/a.sock");
	assert_int_equal(config->admin.allow_uids.count, 2);
	assert_string_equal(config->admin.allow_uids.items[1], "1000");
	assert_int_equal(config->listener_count, 2);
	assert_string_equal(l->name, "out-1");
	assert_int_equal(l->role, CONFIG_ROLE_EGRESS);
	assert_string_equal(l->listen_text, "unix:/run/out.sock");
	assert_true(l->listen.is_unix);
	assert_string_equal(l->upstream.host, "broker-1");
	assert_int_equal(l->upstream.port, 9093);
	assert_string_equal(l->tls.certificate, "/etc/sallyport/sub/c.crt");
	assert_string_equal(l->tls.key, "/abs/c.key");
	assert_int_equal(l->tls.roots.count, 2);
	assert_string_equal(l->tls.roots.items[1], "/etc/sallyport/../b.crt");
	assert_int_equal(l->tls.min_version, CONFIG_TLS_1_2);
	assert_int_equal(l->tls.cipher_count, 2);
	assert_int_equal(l->tls.ciphers[0], CONFIG_CHACHA20_POLY1305);
	assert_int_equal(l->tls.ciphers[1], CONFIG_AES_128_GCM);
	assert_int_equal(l->tls.alpn.count, 1);
	assert_string_equal(l->tls.alpn.items[0], "h2");
	assert_string_equal(l->tls.server_name, "broker-1.example");
	assert_int_equal(l->ktls, CONFIG_KTLS_REQUIRED);
	assert_int_equal(l->ktls_padding, CONFIG_PADDING_NONE);
	assert_int_equal(l->splice, CONFIG_SPLICE_OFF);
	assert_int_equal(l->allow.count, 2);
	assert_string_equal(l->allow.items[0].cn, "svc-*");
	assert_null(l->allow.items[0].dns);
	assert_string_equal(l->allow.items[1].uri, "spiffe://a/*");
	assert_string_equal(l->allow.items[1].issuer_cn, "Root [AB]");
	assert_string_equal(l->deny.items[0].dns, "bad.*");
	assert_int_equal(l->timeouts.handshake_ms, 1500);
	assert_int_equal(l->timeouts.idle_ms, 3600000);
	assert_int_equal(l->timeouts.drain_ms, 0);
	assert_int_equal(l->limits.connections, 5);
	assert_int_equal(l->limits.handshakes, 2000);
}

static void test_everything_yaml(void **state)
{
	static const char text[] =
		"workers: 4\nloop: epoll\nlog: {level: debug, format: json, rate: off}\n"
		"metrics: {listen: '[::1]:9000'}\nlisteners:\n"
		"  - {name: a, listen: '*:1', upstream: 'h:1',\n"
		"     tls: &tls {certificate: a, key: a, roots: [a]}}\n"
		"  - name: out-1\n    role: egress\n    listen: unix:/run/out.sock\n"
		"    upstream: broker-1:9093\n    tls:\n      certificate: sub/c.crt\n"
		"      key: /abs/c.key\n      roots:\n        - a.crt\n        - ../b.crt\n"
		"      min_version: \"1.2\"\n      ciphers: [chacha20-poly1305, aes-128-gcm]\n"
		"      alpn: [h2]\n      server_name: broker-1.example\n    ktls: required\n"
		"    ktls_padding: none\n    splice: off\n    allow:\n      - cn: \"svc-*\"\n"
		"      - {uri: spiffe://a/*, issuer_cn: 'Root [AB]'}\n    deny: [{dns: bad.*}]\n"
		"    timeouts: {handshake: 1500ms, idle: 1h, drain: off}\n"
		"    limits: {connections: 5}\nsandbox: required\nuser: sallyport\n"
		"admin: {socket: /run/a.sock, allow_uids: [0, 1000]}\n";
	struct config *config = NULL;

	load(text, sizeof(text) - 1, &config);
	assert_clean();
	assert_everything(config);
	/* places, for later checks */
	assert_int_equal(config->marks.workers.line, 1);
	assert_int_equal(config->listeners[1].marks.start.line, 8);
	assert_int_equal(config->listeners[1].marks.upstream.line, 11);
	assert_int_equal(config->listeners[1].tls.marks.certificate.line, 13);
	assert_int_equal(config->listeners[1].tls.marks.certificate.column, 20);
	assert_int_equal(config->listeners[1].tls.roots.marks[1].line, 17);
	assert_int_equal(config->listeners[1].tls.roots.marks[1].column, 11);
	config_free(config);
}

static void test_everything_json(void **state)
{
	static const char text[] =
		"{\"workers\":4,\"loop\":\"epoll\",\"log\":{\"level\":\"debug\",\"format\":\"json\",\"rate\":\"off\"},\n"
		"\"sandbox\":\"required\",\"user\":\"sallyport\",\"metrics\":{\"listen\":\"[::1]:9000\"},"
		"\"admin\":{\"socket\":\"/run/a.sock\",\"allow_uids\":[0,1000]},\n"
		"\"listeners\":[{\"name\":\"a\",\"listen\":\"*:1\",\"upstream\":\"h:1\",\n"
		"\t\"tls\":{\"certificate\":\"a\",\"key\":\"a\",\"roots\":[\"a\"]}},\n"
		"{\"name\":\"out-1\",\"role\":\"egress\",\"listen\":\"unix:\\/run\\/out.sock\",\n"
		"\"upstream\":\"broker-1:9093\",\"tls\":{\"certificate\":\"sub/c.crt\",\n"
		"\"key\":\"/abs/c.key\",\"roots\":[\"a.crt\",\"../b.crt\"],\"min_version\":\"1.2\",\n"
		"\"ciphers\":[\"chacha20-poly1305\",\"aes-128-gcm\"],\"alpn\":[\"\\u00682\"],\n"
		"\"server_name\":\"broker-1.example\"},\"ktls\":\"required\",\"ktls_padding\":\"none\",\"splice\":\"off\",\n"
		"\"allow\":[{\"cn\":\"svc-*\"},{\"uri\":\"spiffe://a/*\",\"issuer_cn\":"
		"\"Root [AB]\"}],\n"
		"\"deny\":[{\"dns\":\"bad.*\"}],\"timeouts\":{\"handshake\":\"1500ms\",\"idle\":"
		"\"1h\",\"drain\":\"off\"},\n"
		"\"limits\":{\"connections\":5}}]}\n";
	struct config *config = NULL;

	load(text, sizeof(text) - 1, &config);
	assert_clean();
	assert_everything(config);
	config_free(config);
}

static void test_json_positions(void **state)
{
	static const struct bad_row rows[] = {
		{ "{\"listeners\":[{\"name\":\"a\",\"listen\":\"*:1\",\"upstream\":\"h:1\",\n"
		  "\"tls\":{\"certificate\":\"a\",\"key\":\"a\",\"roots\":[\"a\"]},\n"
		  "\"limits\":{\"connections\":null}}]}",
		  3, 25, "listeners[0].limits.connections", "no value" },
		{ "{\"listeners\":[{\"name\":\"a\",\"listen\":\"*:1\",\"upstream\":\"h:1\",\n"
		  "\"tls\":{\"certificate\":\"a\",\"key\":\"a\",\"roots\":[\"a\"]},\"ktls\":true}]}",
		  2, 58, "listeners[0].ktls", "'true' is not one of" },
	};

	assert_rows(rows, ARRAY_SIZE(rows));
}

/* One mistake does not hide the others, and they come in the order of the file. */
static void test_all_at_once(void **state)
{
	static const char text[] = "workers: many\nloop: x\nlog: {level: x}\nlisteners:\n"
				   "  - name: k\n    listen: x\n    upstream: x\n    ktls: x\n"
				   "    tls: {certificate: a, key: b, roots: [], x: y}\n";
	struct config *config = NULL;

	assert_int_equal(load(text, sizeof(text) - 1, &config), -EINVAL);
	assert_null(config);
	assert_int_equal(problems.errors, 8);
	assert_int_equal(problems.count, 8);
	for (size_t i = 1; i < problems.count; i++)
		assert_true(problems.items[i - 1].line <= problems.items[i].line);
}

static void test_aliases(void **state)
{
	static const char text[] =
		"listeners:\n  - {name: a, listen: '*:1', upstream: 'h:1',\n"
		"     tls: &tls {certificate: a, key: a, roots: &roots [r]}}\n"
		"  - {name: b, listen: '*:2', upstream: 'h:1', tls: *tls}\n"
		"  - {name: c, listen: '*:3', upstream: 'h:1', tls: {certificate: c, key: c,\n"
		"     roots: *roots}}\n";
	struct config *config = NULL;

	load(text, sizeof(text) - 1, &config);
	assert_clean();
	assert_string_equal(config->listeners[1].tls.key, "/etc/sallyport/a");
	assert_string_equal(config->listeners[2].tls.roots.items[0], "/etc/sallyport/r");
	config_free(config);
}

/* Aliases of aliases multiply to billions; the walk stops at its budget. */
static void test_alias_bomb(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	struct config *config = NULL;

	fputs("listeners:\n- {name: a, listen: '*:1', upstream: 'h:1', allow: &rules [", out);
	for (int i = 0; i < 4000; i++)
		fputs("{cn: x},", out);
	fputs("{cn: x}], tls: &tls {certificate: a, key: a, roots: [r]}}\n", out);
	for (int i = 0; i < 250; i++)
		fprintf(out,
			"- {name: a%d, listen: '*:%d', upstream: 'h:1', allow: *rules, "
			"tls: *tls}\n",
			i, i + 2);
	fclose(out);
	assert_int_equal(load(text, len, &config), -EINVAL);
	assert_null(config);
	assert_non_null(strstr(problems.items[0].text, "more than 100000 values"));
	free(text);
}

static void test_too_many_problems(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	struct config *config = NULL;

	fputs(GOOD, out);
	for (int i = 0; i < 250; i++)
		fprintf(out, "    x%d: y\n", i);
	fclose(out);
	assert_int_equal(load(text, len, &config), -EINVAL);
	assert_int_equal(problems.count, CONFIG_PROBLEMS_MAX);
	assert_int_equal(problems.dropped, 150);
	assert_int_equal(problems.errors, 250);
	free(text);
}

static void test_long_texts_are_cut_whole(void **state)
{
	char text[4096];
	size_t used = (size_t)snprintf(text, sizeof(text), "%s    ktls: ", GOOD);
	struct config *config = NULL;

	for (int i = 0; i < 600; i++, used += 2)
		memcpy(text + used, "\xc3\xa9", 2);
	text[used++] = '\n';
	assert_int_equal(load(text, used, &config), -EINVAL);
	assert_int_equal(problems.count, 1);
	/* not within a character */
	assert_int_equal(strlen(problems.items[0].text) % 2, strlen("'") % 2);
}

static void write_file(const char *path, const char *text, size_t len)
{
	FILE *out = fopen(path, "we");

	assert_non_null(out);
	assert_int_equal(fwrite(text, 1, len, out), len);
	assert_int_equal(fclose(out), 0);
}

static void test_files(void **state)
{
	char folder[] = "/tmp/sallyport-config-XXXXXX", path[128], expected[128];
	struct config *config = NULL;
	char *big = calloc(1, CONFIG_FILE_BYTES_MAX + 1);

	assert_non_null(mkdtemp(folder));
	assert_int_equal(chdir(folder), 0);
	memset(&problems, 0, sizeof(problems));
	assert_int_equal(config_load("absent.yaml", &config, &problems), -ENOENT);
	assert_int_equal(problems.errors, 1);
	assert_int_equal(problems.items[0].line, 0);
	assert_non_null(strstr(problems.items[0].text, "No such file"));
	memset(&problems, 0, sizeof(problems));
	assert_int_equal(config_load(folder, &config, &problems), -EISDIR);
	/* relative names of files are relative to the folder of the file, however it is named */
	assert_int_equal(mkdir("sub", 0700), 0);
	write_file("sub/c.yaml", GOOD, strlen(GOOD));
	snprintf(expected, sizeof(expected), "%s/sub/a.crt", folder);
	memset(&problems, 0, sizeof(problems));
	assert_int_equal(config_load("sub/c.yaml", &config, &problems), 0);
	assert_string_equal(config->listeners[0].tls.certificate, expected);
	snprintf(path, sizeof(path), "%s/sub/c.yaml", folder);
	assert_string_equal(config->file, path);
	config_free(config);
	assert_int_equal(config_load(path, &config, &problems), 0);
	assert_string_equal(config->listeners[0].tls.certificate, expected);
	assert_string_equal(config->file, path);
	config_free(config);
	/* too large; a pipe that nobody writes is empty and does not hold us */
	memset(big, '#', CONFIG_FILE_BYTES_MAX + 1);
	write_file("big.yaml", big, CONFIG_FILE_BYTES_MAX + 1);
	memset(&problems, 0, sizeof(problems));
	assert_int_equal(config_load("big.yaml", &config, &problems), -EFBIG);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(config_load("fifo", &config, &problems), -EINVAL);
	unlink("fifo");
	unlink("big.yaml");
	unlink("sub/c.yaml");
	rmdir("sub");
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(folder), 0);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_nul_bytes),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_no_false_alarm),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_everything_yaml),
		cmocka_unit_test(test_everything_json),
		cmocka_unit_test(test_json_positions),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_alias_bomb),
		cmocka_unit_test(test_too_many_problems),
		cmocka_unit_test(test_long_texts_are_cut_whole),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
