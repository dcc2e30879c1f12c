/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of the control plane's sections (schema_control.h). No key in them is required: a
 * section may be missing as a whole, and control.c says what one that is there lacks. Constant
 * data; any thread.
 */
#include "config/schema_control.h"

#include <arpa/inet.h>
#include <string.h>

#include "config/control.h"
#include "config/schema_table.h"
#include "limits/limits.h"

#define TEXT_BYTES_MAX	 512
#define URL_BYTES_MAX	 300
#define MOUNT_BYTES_MAX	 255
#define SERVICE_TOKEN	 "/var/run/secrets/kubernetes.io/serviceaccount/token"
#define LETTERS_OF_NAMES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define NAMES_MAX	 64

#define PATH_KEY(type, key, text)                                                                  \
	{ .name = #key,                                                                            \
	  .kind = SCHEMA_PATH,                                                                     \
	  AT(type, key),                                                                           \
	  MARK(type, key),                                                                         \
	  .max = PATH_BYTES_MAX,                                                                   \
	  .help = text }
#define TLS_PATH_KEY(type, key, text)                                                              \
	{ .name = #key,                                                                            \
	  .kind = SCHEMA_PATH,                                                                     \
	  AT(type, tls.key),                                                                       \
	  MARK(type, key),                                                                         \
	  .max = PATH_BYTES_MAX,                                                                   \
	  .help = text }

static const struct schema_word bool_words[] = { { "false", 0 }, { "true", 1 }, { NULL, 0 } };

static const struct schema_word method_words[] = {
	{ "token", CONFIG_VAULT_TOKEN },
	{ "approle", CONFIG_VAULT_APPROLE },
	{ "kubernetes", CONFIG_VAULT_KUBERNETES },
	{ "certificate", CONFIG_VAULT_CERTIFICATE },
	{ NULL, 0 },
};

static const struct schema_word source_words[] = {
	{ "vault", CONFIG_SOURCE_VAULT },
	{ "dev", CONFIG_SOURCE_DEV },
	{ "files", CONFIG_SOURCE_FILES },
	{ NULL, 0 },
};

static const struct schema_word key_type_words[] = {
	{ "ec-p256", CONFIG_KEY_EC_P256 },
	{ "ec-p384", CONFIG_KEY_EC_P384 },
	{ "ed25519", CONFIG_KEY_ED25519 },
	{ "rsa-2048", CONFIG_KEY_RSA_2048 },
	{ "rsa-3072", CONFIG_KEY_RSA_3072 },
	{ "rsa-4096", CONFIG_KEY_RSA_4096 },
	{ NULL, 0 },
};

static const char *refuse_url(const char *text)
{
	struct endpoint endpoint;
	bool https;

	if (config_url_parse(text, &https, &endpoint) < 0)
		return "https://HOST[:PORT] or http://HOST[:PORT] is expected, without a path";
	return NULL;
}

/* What becomes part of a URL may not mean anything there. */
static const char *refuse_mount(const char *text)
{
	size_t len = strlen(text);

	if (text[strspn(text, LETTERS_OF_NAMES "-_./")] || text[0] == '/' || text[0] == '.' ||
	    strstr(text, "//") || strstr(text, "/.") || (len && text[len - 1] == '/'))
		return "not the path of a mount (letters, digits and -_./; no '/' at its ends)";
	return NULL;
}

static const char *refuse_kv_key(const char *text)
{
	if (text[0] == '/')
		return "a key of Consul's does not begin with '/'";
	if (text[strspn(text, LETTERS_OF_NAMES "-_./:@+=")])
		return "letters, digits and -_./:@+= are expected";
	return NULL;
}

static const char *refuse_dns(const char *text)
{
	const char *name = strncmp(text, "*.", 2) == 0 ? text + 2 : text;

	if (!name[0] || name[0] == '.' || strlen(text) > 253 || strstr(name, "..") ||
	    name[strspn(name, LETTERS_OF_NAMES "._-")])
		return "not a DNS name";
	return NULL;
}

static const char *refuse_ip(const char *text)
{
	struct in6_addr address;

	if (inet_pton(AF_INET, text, &address) != 1 && inet_pton(AF_INET6, text, &address) != 1)
		return "not an IP address";
	return NULL;
}

static const char *refuse_uri(const char *text)
{
	size_t scheme = strcspn(text, ":");

	if (!scheme || !text[scheme] || !text[scheme + 1] || strchr(text, ' '))
		return "not a URI";
	return NULL;
}

static const char *refuse_plain(const char *text)
{
	if (text[strspn(text, LETTERS_OF_NAMES "-_.")] || text[0] == '.')
		return "letters, digits, '.', '_' and '-' are expected";
	return NULL;
}

static const struct schema_key auth_keys[] = {
	{ .name = "method",
	  .kind = SCHEMA_WORD,
	  AT(struct config_vault_auth, method),
	  MARK(struct config_vault_auth, method),
	  .words = method_words,
	  .preset = "token",
	  .help = "how a token is had" },
	{ .name = "mount",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_vault_auth, mount),
	  MARK(struct config_vault_auth, mount),
	  .min = 1,
	  .max = MOUNT_BYTES_MAX,
	  .refuse = refuse_mount,
	  .help = "where the method is mounted, without auth/; its usual place if not given" },
	{ .name = "role",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_vault_auth, role),
	  MARK(struct config_vault_auth, role),
	  .min = 1,
	  .max = TEXT_BYTES_MAX,
	  .help = "kubernetes, certificate: role to log in as" },
	PATH_KEY(struct config_vault_auth, token_file, "token: file with it"),
	{ .name = "role_id",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_vault_auth, role_id),
	  MARK(struct config_vault_auth, role_id),
	  .min = 1,
	  .max = TEXT_BYTES_MAX,
	  .help = "approle: the role's id" },
	PATH_KEY(struct config_vault_auth, role_id_file, "approle: file with the role's id"),
	PATH_KEY(struct config_vault_auth, secret_id_file, "approle: file with the secret id"),
	{ .name = "secret_id_wrapped",
	  .kind = SCHEMA_WORD,
	  AT(struct config_vault_auth, secret_id_wrapped),
	  MARK(struct config_vault_auth, secret_id_wrapped),
	  .words = bool_words,
	  .preset = "false",
	  .help = "approle: the file holds a token to unwrap the secret id with, once" },
	{ .name = "jwt_file",
	  .kind = SCHEMA_PATH,
	  AT(struct config_vault_auth, jwt_file),
	  MARK(struct config_vault_auth, jwt_file),
	  .max = PATH_BYTES_MAX,
	  .preset = SERVICE_TOKEN,
	  .help = "kubernetes: the service account's token" },
};

static const struct schema_section auth_section = {
	SECTION_OF(auth_keys),
	.mark_offset = offsetof(struct config_vault_auth, marks.start),
};

static const struct schema_key vault_keys[] = {
	{ .name = "address",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_vault, address),
	  MARK(struct config_vault, address),
	  .min = 1,
	  .max = URL_BYTES_MAX,
	  .refuse = refuse_url,
	  .help = "https://HOST:PORT of Vault or OpenBao" },
	TLS_PATH_KEY(struct config_vault, ca, "PEM file: the roots of its certificate; for https"),
	TLS_PATH_KEY(struct config_vault, client_certificate, "PEM file: what we show it"),
	TLS_PATH_KEY(struct config_vault, client_key, "PEM file: the key of that"),
	{ .name = "namespace",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_vault, name_space),
	  .min = 1,
	  .max = MOUNT_BYTES_MAX,
	  .refuse = refuse_mount,
	  .help = "namespace that all of it is in" },
	{ .name = "auth",
	  .kind = SCHEMA_SECTION,
	  AT(struct config_vault, auth),
	  .section = &auth_section,
	  .help = "who we are there" },
	{ .name = "issuer",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_vault, issuer),
	  MARK(struct config_vault, issuer),
	  .min = 1,
	  .max = MOUNT_BYTES_MAX,
	  .refuse = refuse_mount,
	  .help = "mount of the CA; with consul its key says which" },
	PATH_KEY(struct config_vault, persist,
		 "folder where certificates, keys and roots are kept; none: in memory only"),
	{ .name = "timeout",
	  .kind = SCHEMA_DURATION,
	  AT(struct config_vault, timeout_ms),
	  .min = 100,
	  .max = 5 * MINUTE_MS,
	  .preset = "10s",
	  .help = "of one request" },
};

const struct schema_section schema_vault = {
	SECTION_OF(vault_keys),
	.mark_offset = offsetof(struct config_vault, marks.start),
};

static const struct schema_key consul_keys[] = {
	{ .name = "address",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_consul, address),
	  MARK(struct config_consul, address),
	  .min = 1,
	  .max = URL_BYTES_MAX,
	  .refuse = refuse_url,
	  .help = "https://HOST:PORT of a Consul agent" },
	{ .name = "key",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_consul, key),
	  MARK(struct config_consul, key),
	  .min = 1,
	  .max = TEXT_BYTES_MAX,
	  .refuse = refuse_kv_key,
	  .help = "key with primary_issuer and secondary_issuers, mounts in Vault" },
	{ .name = "limits_key",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_consul, limits_key),
	  MARK(struct config_consul, limits_key),
	  .min = 1,
	  .max = TEXT_BYTES_MAX,
	  .refuse = refuse_kv_key,
	  .help = "key with a section clients, which counts instead of the file's" },
	{ .name = "token_file",
	  .kind = SCHEMA_PATH,
	  AT(struct config_consul, token_file),
	  .max = PATH_BYTES_MAX,
	  .help = "file with the ACL token" },
	{ .name = "datacenter",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_consul, datacenter),
	  .min = 1,
	  .max = MOUNT_BYTES_MAX,
	  .refuse = refuse_plain,
	  .help = "datacenter that is asked; the agent's own if not given" },
	TLS_PATH_KEY(struct config_consul, ca, "PEM file: the roots of its certificate; for https"),
	TLS_PATH_KEY(struct config_consul, client_certificate, "PEM file: what we show it"),
	TLS_PATH_KEY(struct config_consul, client_key, "PEM file: the key of that"),
	{ .name = "wait",
	  .kind = SCHEMA_DURATION,
	  AT(struct config_consul, wait_ms),
	  .min = SECOND_MS,
	  .max = 10 * MINUTE_MS,
	  .preset = "5m",
	  .help = "how long a query may wait for a change" },
};

const struct schema_section schema_consul = {
	SECTION_OF(consul_keys),
	.mark_offset = offsetof(struct config_consul, marks.start),
};

static const struct schema_key certificate_keys[] = {
	{ .name = "name",
	  .kind = SCHEMA_TEXT,
	  .required = true,
	  AT(struct config_certificate, name),
	  MARK(struct config_certificate, name),
	  .min = 1,
	  .max = CERTIFICATE_NAME_MAX,
	  .refuse = refuse_plain,
	  .help = "what others call it; no two share one" },
	{ .name = "source",
	  .kind = SCHEMA_WORD,
	  AT(struct config_certificate, source),
	  MARK(struct config_certificate, source),
	  .words = source_words,
	  .preset = "vault",
	  .help = "who issues it: vault, the embedded CA, or whoever writes the files" },
	{ .name = "common_name",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_certificate, common_name),
	  MARK(struct config_certificate, common_name),
	  .min = 1,
	  .max = 256,
	  .help = "CN of the subject; vault, dev" },
	{ .name = "dns",
	  .kind = SCHEMA_TEXTS,
	  AT(struct config_certificate, dns),
	  .max = NAMES_MAX,
	  .preset = "[]",
	  .refuse = refuse_dns,
	  .help = "alternative names: DNS" },
	{ .name = "ip",
	  .kind = SCHEMA_TEXTS,
	  AT(struct config_certificate, ip),
	  .max = NAMES_MAX,
	  .preset = "[]",
	  .refuse = refuse_ip,
	  .help = "alternative names: addresses" },
	{ .name = "uri",
	  .kind = SCHEMA_TEXTS,
	  AT(struct config_certificate, uri),
	  .max = NAMES_MAX,
	  .preset = "[]",
	  .refuse = refuse_uri,
	  .help = "alternative names: URIs, SPIFFE IDs for instance" },
	{ .name = "role",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_certificate, role),
	  MARK(struct config_certificate, role),
	  .min = 1,
	  .max = MOUNT_BYTES_MAX,
	  .refuse = refuse_plain,
	  .help = "vault: role of the CA's mount" },
	{ .name = "ttl",
	  .kind = SCHEMA_DURATION,
	  .off = true,
	  AT(struct config_certificate, ttl_ms),
	  .min = 10 * SECOND_MS,
	  .max = 3650 * DAY_MS,
	  .preset = "off",
	  .help = "life that is asked for; off: what the role says (dev: a day)" },
	{ .name = "key_type",
	  .kind = SCHEMA_WORD,
	  AT(struct config_certificate, key_type),
	  .words = key_type_words,
	  .preset = "ec-p256",
	  .help = "of the key that is made here" },
	PATH_KEY(struct config_certificate, dir, "dev: folder of the embedded CA"),
	PATH_KEY(struct config_certificate, certificate, "files: PEM, with the intermediates"),
	PATH_KEY(struct config_certificate, key, "files: PEM"),
};

const struct schema_section schema_certificate = {
	SECTION_OF(certificate_keys),
	.bytes = sizeof(struct config_certificate),
	.mark_offset = offsetof(struct config_certificate, marks.start),
};
