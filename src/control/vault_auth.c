/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens of Vault (vault.h): had by the method that is configured, renewed at 2/3 of their life,
 * and had anew when that fails. Nobody logs in unless somebody needs a token, and files are read
 * for each login, because somebody may have replaced them. One request at a time. On the thread of
 * the HTTP client.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/util.h"
#include "control/renewal.h"
#include "control/secret_file.h"
#include "control/vault_impl.h"

#define PATH_BYTES	 512
#define LIFE_NS_MIN	 (60 * NSEC_PER_SEC) /* one that ends sooner is not worth a renewal */
#define MOUNT_APPROLE	 "approle"
#define MOUNT_KUBERNETES "kubernetes"
#define MOUNT_CERT	 "cert"

static void set_secret(char **secret, const char *text)
{
	secret_file_free(*secret);
	*secret = text ? strdup(text) : NULL;
}

void vault_auth_fini(struct vault *vault)
{
	http_client_cancel(vault->auth.transfer);
	set_secret(&vault->auth.token, NULL);
	set_secret(&vault->auth.candidate, NULL);
	set_secret(&vault->auth.secret_id, NULL);
}

void vault_auth_drop(struct vault *vault)
{
	set_secret(&vault->auth.token, NULL);
}

/* --- what comes of it --- */

static void failed(struct vault *vault, const char *what, struct vault_outcome *outcome)
{
	struct vault_auth *auth = &vault->auth;

	set_secret(&auth->candidate, NULL);
	backoff_failed(&auth->backoff, backoff_urgent(), outcome->retry_after_ns, vault->jitter,
		       clock_monotonic_ns());
	vault->note(what, outcome, vault->arg);
}

static void failed_here(struct vault *vault, enum cause cause, const struct err_text *why)
{
	struct vault_outcome outcome = { .cause = cause, .why = *why };

	failed(vault, "login", &outcome);
}

static void set_life(struct vault *vault, const struct vault_login *login)
{
	struct vault_auth *auth = &vault->auth;
	uint64_t now_ns = clock_monotonic_ns(), life_ns = login->life_seconds * NSEC_PER_SEC;

	auth->renewable = login->renewable;
	auth->ends_ns = life_ns ? now_ns + life_ns : 0;
	auth->renew_ns = life_ns >= LIFE_NS_MIN && login->renewable
				 ? renewal_of_token_ns(now_ns, life_ns)
				 : 0;
}

static void succeeded(struct vault *vault, const char *token, const struct vault_login *login)
{
	struct vault_outcome outcome = { .cause = CAUSE_NONE };

	set_secret(&vault->auth.token, token);
	set_secret(&vault->auth.candidate, NULL);
	set_life(vault, login);
	backoff_succeeded(&vault->auth.backoff);
	vault->note("login", &outcome, vault->arg);
}

static void on_login(const struct http_reply *reply, void *arg)
{
	struct vault *vault = arg;
	struct vault_outcome outcome = vault_judge(vault, reply, "login");
	struct vault_login login;

	vault->auth.transfer = NULL;
	if (outcome.cause == CAUSE_NONE)
		vault_spoil(vault, &outcome,
			    vault_reply_login(reply->body, reply->bytes, &login, &outcome.why));
	if (outcome.cause == CAUSE_NONE && !login.token[0] && !vault->auth.candidate) {
		err_set(&outcome.why, 0, "login: the answer has no token");
		vault_spoil(vault, &outcome, CAUSE_MALFORMED);
	}
	if (outcome.cause == CAUSE_NONE)
		/* lookup-self looks at a token that we have. */
		succeeded(vault, vault->auth.candidate ? vault->auth.candidate : login.token,
			  &login);
	else
		failed(vault, "login", &outcome);
	/* A secret id that is refused may have been used up: the file may have another. */
	if (outcome.cause == CAUSE_REJECTED || outcome.cause == CAUSE_DENIED)
		set_secret(&vault->auth.secret_id, NULL);
	secret_wipe(&login, sizeof(login));
}

/* --- logging in --- */

static void login_start(struct vault *vault, const char *mount, json_t *body)
{
	const char *configured = vault->config->auth.mount;
	struct vault_auth *auth = &vault->auth;
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	char path[PATH_BYTES];
	struct err_text why;

	snprintf(path, sizeof(path), "/v1/auth/%s/login", configured ? configured : mount);
	/* A connection of its own: its client certificate may be another one by now. */
	if (text)
		auth->transfer =
			vault_start(vault, "POST", path, NULL, text, true, on_login, vault);
	secret_file_free(text);
	if (auth->transfer)
		return;
	err_set(&why, 0, "login: out of memory");
	failed_here(vault, CAUSE_LOCAL, &why);
}

/* Wipes what jansson copied, and lets go. */
static void body_free(json_t *body)
{
	const char *key;
	json_t *value;

	json_object_foreach(body, key, value)
	{
		const char *text = json_string_value(value);

		if (text)
			secret_wipe((void *)(uintptr_t)text, json_string_length(value));
	}
	json_decref(body);
}

static void login_with_secret_id(struct vault *vault, const char *secret_id)
{
	const struct config_vault_auth *config = &vault->config->auth;
	struct err_text why = { "" };
	char *role_id = NULL;
	json_t *body;

	if (config->role_id_file && secret_file_read(config->role_id_file, &role_id, &why) < 0) {
		failed_here(vault, CAUSE_NO_CREDENTIALS, &why);
		return;
	}
	body = json_pack("{s:s, s:s}", "role_id", role_id ? role_id : config->role_id, "secret_id",
			 secret_id);
	login_start(vault, MOUNT_APPROLE, body);
	body_free(body);
	secret_file_free(role_id);
}

static void on_unwrapped(const struct http_reply *reply, void *arg)
{
	struct vault *vault = arg;
	struct vault_outcome outcome = vault_judge(vault, reply, "unwrap the secret id");
	char secret_id[VAULT_TOKEN_BYTES_MAX + 1] = "";

	vault->auth.transfer = NULL;
	if (outcome.cause == CAUSE_NONE)
		vault_spoil(
			vault, &outcome,
			vault_reply_secret_id(reply->body, reply->bytes, secret_id, &outcome.why));
	if (outcome.cause == CAUSE_NONE) {
		set_secret(&vault->auth.secret_id, secret_id);
		login_with_secret_id(vault, secret_id);
	} else {
		failed(vault, "unwrap", &outcome);
	}
	secret_wipe(secret_id, sizeof(secret_id));
}

static void login_approle(struct vault *vault)
{
	const struct config_vault_auth *config = &vault->config->auth;
	struct vault_auth *auth = &vault->auth;
	struct err_text why = { "" };
	char *secret = NULL;

	if (auth->secret_id) {
		login_with_secret_id(vault, auth->secret_id);
		return;
	}
	if (secret_file_read(config->secret_id_file, &secret, &why) < 0) {
		failed_here(vault, CAUSE_NO_CREDENTIALS, &why);
		return;
	}
	if (config->secret_id_wrapped) {
		auth->transfer = vault_start(vault, "POST", "/v1/sys/wrapping/unwrap", secret, "{}",
					     true, on_unwrapped, vault);
		if (!auth->transfer) {
			err_set(&why, 0, "unwrap: out of memory, or no token in %s",
				config->secret_id_file);
			failed_here(vault, CAUSE_NO_CREDENTIALS, &why);
		}
	} else {
		login_with_secret_id(vault, secret);
	}
	secret_file_free(secret);
}

static void login_kubernetes(struct vault *vault)
{
	const struct config_vault_auth *config = &vault->config->auth;
	struct err_text why = { "" };
	char *jwt = NULL;
	json_t *body;

	if (secret_file_read(config->jwt_file, &jwt, &why) < 0) {
		failed_here(vault, CAUSE_NO_CREDENTIALS, &why);
		return;
	}
	body = json_pack("{s:s, s:s}", "role", config->role, "jwt", jwt);
	login_start(vault, MOUNT_KUBERNETES, body);
	body_free(body);
	secret_file_free(jwt);
}

static void login_certificate(struct vault *vault)
{
	const char *role = vault->config->auth.role;
	json_t *body = role ? json_pack("{s:s}", "name", role) : json_object();

	login_start(vault, MOUNT_CERT, body);
	json_decref(body);
}

static void login_token(struct vault *vault)
{
	struct vault_auth *auth = &vault->auth;
	struct err_text why = { "" };

	if (secret_file_read(vault->config->auth.token_file, &auth->candidate, &why) < 0) {
		failed_here(vault, CAUSE_NO_CREDENTIALS, &why);
		return;
	}
	auth->transfer = vault_start(vault, "GET", "/v1/auth/token/lookup-self", auth->candidate,
				     NULL, false, on_login, vault);
	if (auth->transfer)
		return;
	err_set(&why, 0, "out of memory, or no token in %s", vault->config->auth.token_file);
	failed_here(vault, CAUSE_NO_CREDENTIALS, &why);
}

static void login(struct vault *vault)
{
	switch (vault->config->auth.method) {
	case CONFIG_VAULT_TOKEN:
		login_token(vault);
		break;
	case CONFIG_VAULT_APPROLE:
		login_approle(vault);
		break;
	case CONFIG_VAULT_KUBERNETES:
		login_kubernetes(vault);
		break;
	case CONFIG_VAULT_CERTIFICATE:
		login_certificate(vault);
		break;
	}
}

/* --- renewal --- */

/* It is used until its end, and whoever needs one then logs in: many who try again would only be
 * many more requests after an outage. */
static void give_up(struct vault *vault)
{
	vault->auth.renew_ns = 0;
}

static void on_renewed(const struct http_reply *reply, void *arg)
{
	struct vault *vault = arg;
	struct vault_outcome outcome = vault_judge(vault, reply, "renew the token");
	struct vault_login answer;

	vault->auth.transfer = NULL;
	if (outcome.cause == CAUSE_NONE)
		vault_spoil(vault, &outcome,
			    vault_reply_login(reply->body, reply->bytes, &answer, &outcome.why));
	if (outcome.cause == CAUSE_NONE)
		set_life(vault, &answer);
	else if (cause_is_of_source(outcome.cause))
		give_up(vault);
	else
		vault_auth_drop(vault); /* revoked, or at the end of what it may have */
	vault->note("renew_token", &outcome, vault->arg);
	secret_wipe(&answer, sizeof(answer));
}

static void renew(struct vault *vault)
{
	struct vault_auth *auth = &vault->auth;

	auth->transfer = vault_start(vault, "POST", "/v1/auth/token/renew-self", auth->token, "{}",
				     false, on_renewed, vault);
	if (!auth->transfer)
		give_up(vault);
}

uint64_t vault_auth_turn(struct vault *vault, bool needed, uint64_t now_ns)
{
	struct vault_auth *auth = &vault->auth;

	if (auth->transfer)
		return UINT64_MAX;
	if (auth->token && auth->ends_ns && now_ns >= auth->ends_ns)
		vault_auth_drop(vault);
	if (auth->token && auth->renew_ns && now_ns >= auth->renew_ns) {
		if (vault_reachable(vault, now_ns))
			renew(vault);
		else
			give_up(vault);
	} else if (!auth->token && needed && backoff_allows(&auth->backoff, now_ns) &&
		   vault_reachable(vault, now_ns)) {
		login(vault);
	}
	if (auth->transfer)
		return UINT64_MAX;
	if (auth->token)
		return auth->renew_ns ? auth->renew_ns : UINT64_MAX;
	return needed ? MAX(auth->backoff.not_before_ns, now_ns + 1) : UINT64_MAX;
}
