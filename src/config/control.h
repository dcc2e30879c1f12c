/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where certificates and roots come from, as plain structs: the sections `vault`, `consul` and
 * `certificates`, which the proxy's configuration and the agent's have in common. Immutable once
 * loaded.
 */
#ifndef SALLYPORT_CONFIG_CONTROL_H
#define SALLYPORT_CONFIG_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/parse.h"
#include "config/values.h"

enum config_vault_method {
	CONFIG_VAULT_TOKEN,
	CONFIG_VAULT_APPROLE,
	CONFIG_VAULT_KUBERNETES,
	CONFIG_VAULT_CERTIFICATE,
};

struct config_vault_auth_marks {
	struct config_mark start, method, mount, role, token_file, role_id, role_id_file;
	struct config_mark secret_id_file, secret_id_wrapped, jwt_file;
};

struct config_vault_auth {
	enum config_vault_method method;
	char *mount; /* of the method, without "auth/"; NULL: "approle", "kubernetes", "cert" */
	char *role;  /* kubernetes: needed; certificate: NULL for any */
	char *token_file;			       /* token */
	char *role_id, *role_id_file, *secret_id_file; /* approle */
	unsigned int secret_id_wrapped;		       /* the file holds a wrapping token */
	char *jwt_file;				       /* kubernetes */
	struct config_vault_auth_marks marks;
};

/* How to reach a server by https; all NULL for http. */
struct config_server_tls {
	char *ca;			       /* PEM file; needed for https */
	char *client_certificate, *client_key; /* PEM files; both or none */
};

struct config_vault_marks {
	struct config_mark start, address, ca, client_certificate, client_key, issuer, persist;
};

/* `address` NULL: there is none. */
struct config_vault {
	char *address; /* http[s]://HOST[:PORT] */
	struct config_server_tls tls;
	char *name_space; /* NULL: none */
	struct config_vault_auth auth;
	char *issuer;  /* mount of the CA, where no Consul says which; NULL: Consul does */
	char *persist; /* folder, made if need be; NULL: keys stay in memory */
	uint64_t timeout_ms;
	struct config_vault_marks marks;
};

struct config_consul_marks {
	struct config_mark start, address, key, limits_key, ca, client_certificate, client_key;
};

/* `address` NULL: there is none. */
struct config_consul {
	char *address;
	/* Of the key-value store, without a leading slash: with the CAs; with limits of clients. */
	char *key, *limits_key;
	char *token_file, *datacenter;
	struct config_server_tls tls;
	uint64_t wait_ms; /* of a blocking query */
	struct config_consul_marks marks;
};

enum config_source { CONFIG_SOURCE_VAULT, CONFIG_SOURCE_DEV, CONFIG_SOURCE_FILES };
enum config_key_type {
	CONFIG_KEY_EC_P256,
	CONFIG_KEY_EC_P384,
	CONFIG_KEY_ED25519,
	CONFIG_KEY_RSA_2048,
	CONFIG_KEY_RSA_3072,
	CONFIG_KEY_RSA_4096,
};

struct config_certificate_marks {
	struct config_mark start, name, source, common_name, role, dir, certificate, key;
};

struct config_certificate {
	char *name;
	enum config_source source;
	char *common_name;
	struct config_strings dns, ip, uri;
	char *role;	 /* vault: of the mount */
	uint64_t ttl_ms; /* 0: what the role says; dev: a day */
	enum config_key_type key_type;
	char *dir;		 /* dev: of the embedded CA */
	char *certificate, *key; /* files */
	struct config_certificate_marks marks;
};

struct config_certificates {
	struct config_certificate *items;
	size_t count;
};

/* The parts of http[s]://HOST[:PORT]. 0, or -EINVAL: not of that form. */
int config_url_parse(const char *url, bool *ret_https, struct endpoint *ret);

struct config_problems;
/* Contradictions within and between the sections. */
void config_control_verify(const struct config_vault *vault, const struct config_consul *consul,
			   const struct config_certificates *certificates,
			   struct config_problems *problems);

void config_vault_fini(struct config_vault *vault);
void config_consul_fini(struct config_consul *consul);
void config_certificates_fini(struct config_certificates *certificates);
/* What one item holds, for structs that have it inside. */
void config_certificate_fini(struct config_certificate *certificate);

#endif
