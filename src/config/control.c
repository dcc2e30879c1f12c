/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control plane's sections (control.h): what contradicts itself in them, and how they are
 * freed. Pure.
 */
#include "config/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "config/load.h"

int config_url_parse(const char *url, bool *ret_https, struct endpoint *ret)
{
	bool https = strncmp(url, "https://", 8) == 0;
	const char *host = url + (https ? 8 : 7);
	char text[300];
	int n;

	if (!https && strncmp(url, "http://", 7) != 0)
		return -EINVAL;
	if (!host[0] || host[strcspn(host, "/?#@ \\\"")])
		return -EINVAL;
	n = snprintf(text, sizeof(text), "%s%s", host,
		     strrchr(host, ':') > strrchr(host, ']') ? ""
		     : https				     ? ":443"
							     : ":80");
	if (n < 0 || (size_t)n >= sizeof(text) || parse_endpoint(text, ret) < 0 || ret->is_unix)
		return -EINVAL;
	*ret_https = https;
	return 0;
}

static bool given(struct config_mark at, struct config_mark start)
{
	return at.line != start.line || at.column != start.column;
}

static void verify_server(const char *section, const char *address, struct config_mark address_at,
			  const struct config_server_tls *tls, struct config_mark ca_at,
			  struct config_problems *problems)
{
	struct endpoint endpoint;
	char path[64];
	bool https;

	if (!address || config_url_parse(address, &https, &endpoint) < 0)
		return;
	snprintf(path, sizeof(path), "%s.ca", section);
	if (https && !tls->ca)
		config_error_add(problems, ca_at, path,
				 "missing: with https the roots of the server's certificate are "
				 "needed, as a PEM file");
	if (!https && tls->ca)
		config_error_add(problems, ca_at, path,
				 "of no use: the address is http, and whoever is on the way reads "
				 "and changes everything; https is meant?");
	snprintf(path, sizeof(path), "%s.address", section);
	if (!https && strncmp(endpoint.host, "127.", 4) != 0 && strcmp(endpoint.host, "::1") != 0 &&
	    strcmp(endpoint.host, "localhost") != 0)
		config_warning_add(problems, address_at, path,
				   "http: tokens and answers are open to whoever is on the way");
	snprintf(path, sizeof(path), "%s.client_key", section);
	if (!tls->client_certificate != !tls->client_key)
		config_error_add(problems, address_at, path,
				 "client_certificate and client_key go together: one is missing");
}

static void verify_auth(const struct config_vault *vault, struct config_problems *problems)
{
	const struct config_vault_auth *auth = &vault->auth;
	struct config_mark at = auth->marks.start;

	switch (auth->method) {
	case CONFIG_VAULT_TOKEN:
		if (!auth->token_file)
			config_error_add(problems, at, "vault.auth.token_file",
					 "missing: the method token needs a file with one");
		break;
	case CONFIG_VAULT_APPROLE:
		if (!auth->role_id == !auth->role_id_file)
			config_error_add(problems, at, "vault.auth.role_id",
					 "the method approle needs either role_id or role_id_file");
		if (!auth->secret_id_file)
			config_error_add(problems, at, "vault.auth.secret_id_file",
					 "missing: the method approle needs a file with the secret "
					 "id");
		break;
	case CONFIG_VAULT_KUBERNETES:
		if (!auth->role)
			config_error_add(problems, at, "vault.auth.role",
					 "missing: the method kubernetes needs a role");
		break;
	case CONFIG_VAULT_CERTIFICATE:
		if (!vault->tls.client_certificate)
			config_error_add(problems, at, "vault.client_certificate",
					 "missing: the method certificate shows it to log in");
		break;
	}
}

static void verify_vault(const struct config_vault *vault, const struct config_consul *consul,
			 struct config_problems *problems)
{
	const struct config_vault_marks *marks = &vault->marks;

	if (!vault->address) {
		if (vault->issuer || vault->persist || vault->tls.ca || vault->name_space ||
		    vault->auth.token_file || vault->auth.secret_id_file)
			config_error_add(problems, marks->start, "vault.address",
					 "missing: where is Vault?");
		return;
	}
	verify_server("vault", vault->address, marks->address, &vault->tls, marks->ca, problems);
	verify_auth(vault, problems);
	if (!vault->issuer && !consul->key)
		config_error_add(problems, marks->start, "vault.issuer",
				 "missing: without consul.key somebody must say which mount issues "
				 "certificates");
	if (vault->issuer && consul->key)
		config_error_add(problems, marks->issuer, "vault.issuer",
				 "consul.key says which mount issues certificates: leave one out");
}

static void verify_consul(const struct config_vault *vault, const struct config_consul *consul,
			  struct config_problems *problems)
{
	const struct config_consul_marks *marks = &consul->marks;

	if (!consul->address) {
		if (consul->key || consul->limits_key || consul->token_file || consul->tls.ca)
			config_error_add(problems, marks->start, "consul.address",
					 "missing: where is Consul?");
		return;
	}
	verify_server("consul", consul->address, marks->address, &consul->tls, marks->ca, problems);
	if (!consul->key && !consul->limits_key)
		config_error_add(problems, marks->start, "consul.key",
				 "missing: which key says which CAs are in force?");
	if (consul->key && !vault->address)
		config_error_add(problems, marks->start, "vault.address",
				 "missing: consul names mounts of a Vault");
}

static void missing(const struct config_certificate *c, size_t index, const char *key,
		    const char *why, struct config_problems *problems)
{
	char path[80];

	snprintf(path, sizeof(path), "certificates[%zu].%s", index, key);
	config_error_add(problems, c->marks.start, path, "missing: %s", why);
}

static void verify_certificate(const struct config_certificate *c, size_t index,
			       const struct config_vault *vault, struct config_problems *problems)
{
	if (c->source == CONFIG_SOURCE_FILES) {
		if (!c->certificate)
			missing(c, index, "certificate", "the source files needs it", problems);
		if (!c->key)
			missing(c, index, "key", "the source files needs it", problems);
		return;
	}
	if (!c->common_name && !given(c->marks.common_name, c->marks.start))
		missing(c, index, "common_name", "whom is it for?", problems);
	if (c->source == CONFIG_SOURCE_DEV && !c->dir)
		missing(c, index, "dir", "the source dev needs the folder of its CA", problems);
	if (c->source != CONFIG_SOURCE_VAULT)
		return;
	if (!c->role && !given(c->marks.role, c->marks.start))
		missing(c, index, "role", "the source vault signs by a role of the mount",
			problems);
	if (!vault->address)
		missing(c, index, "source", "there is no section vault to get it from", problems);
}

void config_control_verify(const struct config_vault *vault, const struct config_consul *consul,
			   const struct config_certificates *certificates,
			   struct config_problems *problems)
{
	char path[80];

	verify_vault(vault, consul, problems);
	verify_consul(vault, consul, problems);
	for (size_t i = 0; i < certificates->count; i++) {
		const struct config_certificate *c = &certificates->items[i];

		verify_certificate(c, i, vault, problems);
		for (size_t j = 0; j < i && c->name; j++) {
			const struct config_certificate *other = &certificates->items[j];

			if (!other->name || strcmp(other->name, c->name) != 0)
				continue;
			snprintf(path, sizeof(path), "certificates[%zu].name", i);
			config_error_add(problems, c->marks.name, path,
					 "'%s' is the name of certificates[%zu] (line %u) already",
					 c->name, j, other->marks.name.line);
		}
	}
}

static void tls_fini(struct config_server_tls *tls)
{
	free(tls->ca);
	free(tls->client_certificate);
	free(tls->client_key);
}

void config_vault_fini(struct config_vault *vault)
{
	free(vault->address);
	tls_fini(&vault->tls);
	free(vault->name_space);
	free(vault->auth.mount);
	free(vault->auth.role);
	free(vault->auth.token_file);
	free(vault->auth.role_id);
	free(vault->auth.role_id_file);
	free(vault->auth.secret_id_file);
	free(vault->auth.jwt_file);
	free(vault->issuer);
	free(vault->persist);
}

void config_consul_fini(struct config_consul *consul)
{
	free(consul->address);
	free(consul->key);
	free(consul->limits_key);
	free(consul->token_file);
	free(consul->datacenter);
	tls_fini(&consul->tls);
}

void config_certificate_fini(struct config_certificate *certificate)
{
	free(certificate->name);
	free(certificate->common_name);
	config_strings_fini(&certificate->dns);
	config_strings_fini(&certificate->ip);
	config_strings_fini(&certificate->uri);
	free(certificate->role);
	free(certificate->dir);
	free(certificate->certificate);
	free(certificate->key);
}

void config_certificates_fini(struct config_certificates *certificates)
{
	for (size_t i = 0; i < certificates->count; i++)
		config_certificate_fini(&certificates->items[i]);
	free(certificates->items);
}
