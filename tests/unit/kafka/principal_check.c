/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells what our mapping makes of names and certificates, for a comparison with Kafka's own class
 * (tests/kafka/PrincipalOracle.java, which reads and writes the same). A line of standard input is
 * RULES tab KIND tab DATA; KIND is `name` (UTF-8) or `certificate` (DER); RULES and DATA are hex.
 * A line of output is `ok` tab the principal in hex, or `refused` tab why.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "base/util.h"
#include "kafka/principal_rules.h"
#include "tls/peer_impl.h"

/* In place; the bytes, ended by a NUL. */
static size_t from_hex(char *hex)
{
	size_t n = 0;

	for (; hex[2 * n] && hex[2 * n + 1]; n++) {
		char pair[] = { hex[2 * n], hex[2 * n + 1], 0 };

		hex[n] = (char)strtoul(pair, NULL, 16);
	}
	hex[n] = 0;
	return n;
}

static void refused(const char *what, const char *why)
{
	printf("refused\t%s: %s\n", what, why);
}

static void tell(const struct principal_rules *rules, const char *name)
{
	struct err_text why = { "" };
	cleanup_free char *principal = NULL;

	if (principal_of(rules, name, &principal, &why)) {
		refused("principal", why.text);
		return;
	}
	printf("ok\t");
	for (const char *at = principal; *at; at++)
		printf("%02x", (unsigned char)*at);
	printf("\n");
}

static void tell_certificate(const struct principal_rules *rules, const char *der, size_t len)
{
	const unsigned char *at = (const unsigned char *)der;
	X509 *certificate = d2i_X509(NULL, &at, (long)len);
	struct peer *peer = NULL;
	const char *why = "it can not be read";

	ERR_clear_error();
	if (!certificate || peer_from_certificate(certificate, NULL, true, &peer, &why))
		refused("certificate", why);
	else if (!peer->dn)
		refused("subject", peer->dn_why);
	else
		tell(rules, peer->dn);
	peer_free(peer);
	X509_free(certificate);
}

static void answer(char *line)
{
	char *kind = strchr(line, '\t'), *data = kind ? strchr(kind + 1, '\t') : NULL;
	const char *texts[] = { line };
	struct principal_rules *rules = NULL;
	struct err_text err = { "" };
	size_t at, len;

	if (!data)
		abort();
	*kind++ = 0;
	*data++ = 0;
	from_hex(line);
	len = from_hex(data);
	if (principal_rules_new(texts, 1, &rules, &at, &err) < 0)
		refused("rules", err.text);
	else if (strcmp(kind, "name") == 0)
		tell(rules, data);
	else
		tell_certificate(rules, data, len);
	principal_rules_free(rules);
}

int main(void)
{
	cleanup_free char *line = NULL;
	size_t room = 0;
	ssize_t n;

	while ((n = getline(&line, &room, stdin)) > 0) {
		line[strcspn(line, "\n")] = 0;
		answer(line);
	}
	return 0;
}
