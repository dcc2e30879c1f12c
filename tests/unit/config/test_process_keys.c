/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of the process as a whole, and of what protects it: audit, metrics, penalties, ceilings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "unit/config/loading.h"

static void test_audit(void **state)
{
	static const struct bad_row rows[] = {
		{ "audit: {}\n" GOOD, 1, 8, "audit", "nothing would be recorded" },
		{ "audit: { on_failure: refuse }\n" GOOD, 1, 22, "audit.on_failure",
		  "nothing is recorded" },
		{ "audit: { file: a, journald: true }\n" GOOD, 1, 29, "audit.journald",
		  "a file already" },
		{ "audit: { journald: yes }\n" GOOD, 1, 20, "audit.journald", "false, true" },
		{ "audit: { file: a, on_failure: stop }\n" GOOD, 1, 31, "audit.on_failure",
		  "continue, refuse" },
		{ "audit: { file: a, queue: 63 }\n" GOOD, 1, 26, "audit.queue",
		  "from 64 to 1048576" },
	};
	static const char text[] = "audit: { file: a.log, on_failure: refuse, queue: 64 }\n" GOOD;
	struct config *config;

	assert_rows(rows, ARRAY_SIZE(rows));
	assert_int_equal(load(text, sizeof(text) - 1, &config), 0);
	assert_string_equal(config->audit.file, "/etc/sallyport/a.log");
	assert_int_equal(config->audit.on_failure, CONFIG_AUDIT_REFUSE);
	assert_int_equal(config->audit.queue_kib, 64);
	assert_int_equal(config->audit.journald, 0);
	config_free(config);
}

static void test_metrics_off(void **state)
{
	static const char text[] = GOOD "metrics: { listen: off }\n";
	struct config *config;

	assert_int_equal(load(text, strlen(text), &config), 0);
	assert_clean();
	assert_int_equal(config->metrics.listen.port, 0);
	assert_true(config_metrics_chosen(&config->metrics));
	config_free(config);
}

static void test_identity(void **state)
{
	static const struct bad_row rows[] = {
		{ "identity: {}\n" GOOD, 1, 11, "identity", "nothing would be signed" },
		{ "identity: { directory: k, overlap: 2h, rotate_every: 1h }\n" GOOD, 1, 36,
		  "identity.overlap", "before it has signed" },
		{ "identity: { directory: k, jwks_mode: \"0666\" }\n" GOOD, 1, 38,
		  "identity.jwks_mode", "0644, 0640, 0600" },
		{ GOOD "    kafka: {identity: oauthbearer}\n", 6, 23, "listeners[0].kafka.identity",
		  "give identity.directory" },
		{ "identity: { directory: k }\n" GOOD "    kafka: {identity: oauthbearer}\n"
		  "    proxy_protocol: {send: v2}\n",
		  8, 28, "listeners[0].proxy_protocol.send", "no such header" },
		{ GOOD "    kafka: {identity: scram}\n", 6, 23, "listeners[0].kafka.identity",
		  "none, oauthbearer" },
		{ GOOD "    kafka: {audience: \"\"}\n", 6, 23, "listeners[0].kafka.audience",
		  "empty text" },
	};
	static const char text[] =
		"identity: { directory: keys, algorithm: es256, rotate_every: off, jwks_mode: 0640 "
		"}\n" GOOD "    kafka: {identity: oauthbearer, issuer: me, audience: cluster-1, "
		"token_lifetime: 8h}\n"
		"    timeouts: {identity: 2s}\n";
	const struct config_listener *l;
	struct config *config;

	assert_rows(rows, ARRAY_SIZE(rows));
	assert_int_equal(load(text, sizeof(text) - 1, &config), 0);
	assert_clean();
	assert_string_equal(config->identity.directory, "/etc/sallyport/keys");
	assert_int_equal(config->identity.algorithm, CONFIG_ES256);
	assert_int_equal(config->identity.rotate_every_ms, 0);
	assert_int_equal(config->identity.overlap_ms, 3600000);
	assert_int_equal(config->identity.jwks_mode, 0640);
	l = &config->listeners[0];
	assert_true(config_kafka_chosen(l));
	assert_int_equal(l->kafka.identity, CONFIG_IDENTITY_OAUTHBEARER);
	assert_string_equal(l->kafka.issuer, "me");
	assert_string_equal(l->kafka.audience, "cluster-1");
	assert_int_equal(l->timeouts.identity_ms, 2000);
	assert_int_equal(l->kafka.token_lifetime_ms, 8 * 3600000);
	config_free(config);
}

static void test_abuse(void **state)
{
	static const char text[] =
		GOOD "    limits: {accepts_per_second: 500, connections_per_source: 50}\n"
		     "    proxy_protocol: {accept_from: [10.0.0.0/8, '::1'], send: v2, "
		     "tls: [der, cn]}\n"
		     "limits: {memory: 1GiB}\n"
		     "penalties: {max: 1h, min: 1s, certificate: 500ms, denied: off, exempt: [],\n"
		     "  ipv4_mask: 24, ipv6_mask: 48, sources: 1000, overflow: deny}\n";
	const struct config_proxy_protocol *pp;
	struct config *config = NULL;

	load(text, sizeof(text) - 1, &config);
	assert_clean();
	pp = &config->listeners[0].proxy_protocol;
	assert_int_equal(config->listeners[0].limits.accepts_per_second, 500);
	assert_int_equal(config->listeners[0].limits.connections_per_source, 50);
	assert_int_equal(pp->accept_from.count, 2);
	assert_int_equal(pp->accept_from.items[0].bits, 104);
	assert_int_equal(pp->send, CONFIG_PROXY_HEADER_V2);
	assert_int_equal(pp->tls_count, 2);
	assert_int_equal(pp->tls[0], CONFIG_PROXY_TLS_DER);
	assert_int_equal(config->memory, 1ULL << 30);
	assert_int_equal(config->penalties.max_ms, 3600000);
	assert_int_equal(config->penalties.certificate_ms, 500);
	assert_int_equal(config->penalties.denied_ms, 0);
	assert_int_equal(config->penalties.not_tls_ms, 2000);
	assert_int_equal(config->penalties.exempt.count, 0);
	assert_int_equal(config->penalties.ipv4_mask, 24);
	assert_int_equal(config->penalties.overflow, CONFIG_OVERFLOW_DENY);
	config_free(config);
}

static void test_abuse_mistakes(void **state)
{
	static const struct bad_row rows[] = {
		{ GOOD "    proxy_protocol: {accept_from: [10.0.0.1/8]}\n", 6, 36,
		  "listeners[0].proxy_protocol.accept_from[0]", "which network is meant?" },
		{ GOOD "    proxy_protocol: {accept_from: [10.0.0.0/33]}\n", 6, 36,
		  "listeners[0].proxy_protocol.accept_from[0]", "longer than the address" },
		{ GOOD "    proxy_protocol: {accept_from: [lb.example]}\n", 6, 36,
		  "listeners[0].proxy_protocol.accept_from[0]", "not a network" },
		{ GOOD "    proxy_protocol: {send: v1}\n", 6, 28,
		  "listeners[0].proxy_protocol.send", "not one of off, v2" },
		{ GOOD "    proxy_protocol: {tls: [cn, cn]}\n", 6, 32,
		  "listeners[0].proxy_protocol.tls[1]", "already" },
		{ GOOD "limits: {memory: 10}\n", 6, 18, "limits.memory", "1MiB to 1024GiB" },
		{ GOOD "limits: {memory: much}\n", 6, 18, "limits.memory", "512MiB" },
		{ GOOD "limits: {connections: 10}\n", 6, 10, "limits.connections",
		  "belongs under 'listeners[].limits'" },
		{ GOOD "penalties: {min: 2m, max: 1m}\n", 6, 18, "penalties.min",
		  "more than penalties.max" },
		{ GOOD "penalties: {certificate: 5}\n", 6, 26, "penalties.certificate", "no unit" },
		{ "listeners:\n  - {name: a, listen: 'unix:/a', upstream: 'h:1',\n"
		  "     tls: {certificate: a, key: a, roots: [a]},\n"
		  "     proxy_protocol: {accept_from: ['::1']}}\n",
		  4, 36, "listeners[0].proxy_protocol.accept_from", "unix socket" },
	};

	assert_rows(rows, ARRAY_SIZE(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_audit),	       cmocka_unit_test(test_metrics_off),
		cmocka_unit_test(test_identity),       cmocka_unit_test(test_abuse),
		cmocka_unit_test(test_abuse_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
