/* SPDX-License-Identifier: Apache-2.0 */
/* Sections of the control plane: what they may say, what contradicts itself, what is the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "config/compare.h"
#include "config/schema_control.h"
#include "unit/config/loading.h"

#define VAULT                                                                                      \
	"vault: {address: 'https://v:8200', ca: v.crt, issuer: pki, "                              \
	"auth: {token_file: t}}\n"
#define CERTIFICATES "certificates: [{name: c, role: r, common_name: x}]\n"
#define SUPPLIED(tls)                                                                              \
	"listeners:\n"                                                                             \
	"  - {name: k, listen: '127.0.0.1:9093', upstream: '127.0.0.1:9092', tls: {" tls "}}\n"

static struct config *good(const char *text)
{
	struct config *config = NULL;

	assert_int_equal(load(text, strlen(text), &config), 0);
	assert_clean();
	return config;
}

static void test_whole(void **state)
{
	struct config *config = good(
		"vault: {address: 'https://v:8200', ca: v.crt, namespace: ns/a, persist: /var/lib/p,\n"
		"  client_certificate: c.crt, client_key: c.key, timeout: 3s,\n"
		"  auth: {method: approle, mount: my/role, role_id: x, secret_id_file: s,\n"
		"         secret_id_wrapped: true}}\n"
		"consul: {address: 'http://127.0.0.1:8500', key: kafka/issuers, token_file: t, "
		"wait: 30s}\n"
		"certificates:\n"
		"  - {name: c, role: r, common_name: x, dns: ['*.a', b], ip: ['::1'],\n"
		"     uri: ['spiffe://a/b'], ttl: 1d, key_type: ed25519}\n" SUPPLIED(
			"certificate_from: c, roots_from: vault"));

	(void)state;
	assert_string_equal(config->vault.tls.ca, "/etc/sallyport/v.crt");
	assert_string_equal(config->vault.auth.secret_id_file, "/etc/sallyport/s");
	assert_string_equal(config->vault.auth.mount, "my/role");
	assert_int_equal(config->vault.auth.method, CONFIG_VAULT_APPROLE);
	assert_int_equal(config->vault.auth.secret_id_wrapped, 1);
	assert_int_equal(config->vault.timeout_ms, 3000);
	assert_string_equal(config->consul.key, "kafka/issuers");
	assert_int_equal(config->consul.wait_ms, 30000);
	assert_int_equal(config->certificates.items[0].key_type, CONFIG_KEY_ED25519);
	assert_int_equal(config->certificates.items[0].dns.count, 2);
	assert_ptr_equal(config_certificate(config, "c"), &config->certificates.items[0]);
	assert_null(config_certificate(config, "d"));
	assert_ptr_equal(config_ref(config), config);
	config_free(config);
	assert_string_equal(config->consul.key, "kafka/issuers");
	config_free(config);
}

static void test_addresses(void **state)
{
	struct endpoint endpoint;
	bool https;

	(void)state;
	assert_int_equal(config_url_parse("https://vault.example", &https, &endpoint), 0);
	assert_true(https);
	assert_int_equal(endpoint.port, 443);
	assert_int_equal(config_url_parse("http://[::1]", &https, &endpoint), 0);
	assert_false(https);
	assert_int_equal(endpoint.port, 80);
	assert_int_equal(config_url_parse("http://[::1]:8500", &https, &endpoint), 0);
	assert_int_equal(endpoint.port, 8500);
	static const char *const wrong[] = { "vault:8200",	"ftp://a",     "https://",
					     "https://a/b",	"https://u@a", "https://a:0",
					     "https://a?x",	"https://a b", "https://a:8200/",
					     "https://a:99999", "https://a\\b" };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		if (config_url_parse(wrong[i], &https, &endpoint) == 0)
			fail_msg("taken: %s", wrong[i]);
}

static void test_wrong(void **state)
{
	static const struct {
		const char *text, *path, *says;
	} rows[] = {
		{ "vault: {address: 'v:8200'}\n" GOOD, "vault.address", "https://HOST" },
		{ "vault: {address: 'https://v', issuer: p, auth: {token_file: t}}\n" GOOD,
		  "vault.ca", "missing" },
		{ "vault: {address: 'http://127.0.0.1', ca: x, issuer: p, auth: {token_file: t}}\n" GOOD,
		  "vault.ca", "of no use" },
		{ "vault: {address: 'http://127.0.0.1', auth: {token_file: t}}\n" GOOD,
		  "vault.issuer", "missing" },
		{ "vault: {address: 'http://127.0.0.1', issuer: p}\n" GOOD, "vault.auth.token_file",
		  "missing" },
		{ "vault: {issuer: p}\n" GOOD, "vault.address", "missing" },
		{ "vault: {address: 'http://127.0.0.1', issuer: /p, auth: {token_file: t}}\n" GOOD,
		  "vault.issuer", "path of a mount" },
		{ "vault: {address: 'http://127.0.0.1', issuer: p, auth: {method: kubernetes}}\n" GOOD,
		  "vault.auth.role", "missing" },
		{ "vault: {address: 'http://127.0.0.1', issuer: p, auth: {method: certificate}}\n" GOOD,
		  "vault.client_certificate", "missing" },
		{ VAULT "consul: {address: 'http://127.0.0.1'}\n" GOOD, "consul.key", "missing" },
		{ "consul: {address: 'http://127.0.0.1', key: k}\n" GOOD, "vault.address",
		  "missing" },
		{ VAULT "consul: {address: 'http://127.0.0.1', key: /k}\n" GOOD, "consul.key",
		  "does not begin" },
		{ VAULT "certificates: [{name: c, common_name: x}]\n" GOOD, "certificates[0].role",
		  "missing" },
		{ VAULT "certificates: [{name: c, role: r}]\n" GOOD, "certificates[0].common_name",
		  "missing" },
		{ CERTIFICATES GOOD, "certificates[0].source", "no section vault" },
		{ "certificates: [{name: c, source: dev, common_name: x}]\n" GOOD,
		  "certificates[0].dir", "missing" },
		{ "certificates: [{name: c, source: files, certificate: x}]\n" GOOD,
		  "certificates[0].key", "missing" },
		{ VAULT "certificates: [{name: c, role: r, common_name: x, dns: ['a b']}]\n" GOOD,
		  "certificates[0].dns[0]", "not a DNS name" },
		{ VAULT "certificates: [{name: c, role: r, common_name: x},\n"
			"  {name: c, role: r, common_name: y}]\n" GOOD,
		  "certificates[1].name", "already" },
		{ VAULT CERTIFICATES SUPPLIED("certificate_from: d, roots: [a]"),
		  "listeners[0].tls.certificate_from", "none of" },
		{ VAULT CERTIFICATES SUPPLIED("certificate_from: c, certificate: a, roots: [a]"),
		  "listeners[0].tls.certificate_from", "files already" },
		{ SUPPLIED("certificate: a, key: b, roots_from: vault"),
		  "listeners[0].tls.roots_from", "no section vault" },
		{ SUPPLIED("certificate: a, key: b"), "listeners[0].tls.roots", "missing" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct config *config = NULL;
		bool found = false;

		assert_int_not_equal(load(rows[i].text, strlen(rows[i].text), &config), 0);
		for (size_t j = 0; j < problems.count; j++)
			found = found || (strcmp(problems.items[j].path, rows[i].path) == 0 &&
					  strstr(problems.items[j].text, rows[i].says));
		if (!found)
			fail_msg("%s\nexpected %s: %s, first %s: %s", rows[i].text, rows[i].path,
				 rows[i].says, problems.items[0].path, problems.items[0].text);
	}
}

static void test_equal(void **state)
{
	struct config *a = good(VAULT CERTIFICATES GOOD);
	struct config *b = good("# elsewhere\n" VAULT CERTIFICATES GOOD);
	struct config *c =
		good("vault: {address: 'https://v:8200', ca: v.crt, issuer: pki, "
		     "auth: {token_file: other}}\n"
		     "certificates: [{name: c, role: r, common_name: x, dns: [y]}]\n" GOOD);

	(void)state;
	assert_true(config_section_equal(&schema_vault, &a->vault, &b->vault));
	assert_false(config_section_equal(&schema_vault, &a->vault, &c->vault));
	assert_true(config_section_equal(&schema_certificate, a->certificates.items,
					 b->certificates.items));
	assert_false(config_section_equal(&schema_certificate, a->certificates.items,
					  c->certificates.items));
	/* All kinds of values. */
	assert_true(config_section_equal(&schema_root, a, b));
	assert_false(config_section_equal(&schema_root, a, c));
	config_free(a);
	config_free(b);
	config_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
