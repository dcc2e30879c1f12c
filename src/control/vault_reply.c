/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vault's answers (vault_reply.h). A server's words go into logs: they are cut, and the log escapes
 * what is doubtful in them. Pure; any thread.
 */
#include "control/vault_reply.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/util.h"

#define WORDS_BYTES 300

static json_t *parse(const char *body, size_t bytes, struct err_text *why)
{
	json_error_t where;
	json_t *root = json_loadb(body, bytes, 0, &where);

	if (!root)
		err_set(why, 0, "the answer is not JSON: %s", where.text);
	return root;
}

/* The server's own words: {"errors": ["…"]}; "" if it has none. */
static void words_of(const char *body, size_t bytes, char ret[WORDS_BYTES])
{
	json_t *root = json_loadb(body, bytes, 0, NULL), *item;
	json_t *errors = json_object_get(root, "errors");
	size_t used = 0, i;

	ret[0] = 0;
	for (i = 0; (item = json_array_get(errors, i)) && used < WORDS_BYTES; i++)
		if (json_is_string(item))
			used += (size_t)snprintf(ret + used, WORDS_BYTES - used, "%s%s",
						 used ? "; " : ": ", json_string_value(item));
	json_decref(root);
}

static enum cause cause_of(long status)
{
	switch (status) {
	case 400:
	case 405:
	case 412:
	case 413:
		return CAUSE_REJECTED;
	case 401:
	case 403:
		return CAUSE_DENIED;
	case 404:
		return CAUSE_NOT_FOUND;
	case 429:
		return CAUSE_RATE_LIMITED;
	default:
		return status >= 500 && status <= 599 ? CAUSE_SERVER_ERROR : CAUSE_UNEXPECTED;
	}
}

enum cause vault_reply_cause(long status, const char *body, size_t bytes, const char *what,
			     struct err_text *why)
{
	char words[WORDS_BYTES];
	enum cause cause = cause_of(status);

	words_of(body, bytes, words);
	/* A standby whose active node is gone says 503, too: only words tell them apart. */
	if (status == 503 && strstr(words, "sealed"))
		cause = CAUSE_SEALED;
	err_set(why, 0, "%s: HTTP %ld%s", what, status, words);
	return cause;
}

static enum cause malformed(struct err_text *why, const char *what)
{
	err_set(why, 0, "the answer has no %s that could be used", what);
	return CAUSE_MALFORMED;
}

/* --- certificates --- */

/* Texts of a list, one after the other, each ending with a newline. */
static char *join(const json_t *list)
{
	cleanup_free char *text = NULL;
	size_t len, i;
	FILE *out = open_memstream(&text, &len);
	const json_t *item;

	if (!out)
		return NULL;
	for (i = 0; (item = json_array_get(list, i)); i++)
		if (json_is_string(item))
			fprintf(out, "%s\n", json_string_value(item));
	return fclose(out) == 0 ? TAKE_PTR(text) : NULL;
}

enum cause vault_reply_signed(const char *body, size_t bytes, struct vault_signed *ret,
			      struct err_text *why)
{
	json_t *root = parse(body, bytes, why), *data = json_object_get(root, "data");
	const char *certificate = json_string_value(json_object_get(data, "certificate"));
	const char *issuer = json_string_value(json_object_get(data, "issuing_ca"));
	json_t *chain = json_object_get(data, "ca_chain");
	struct vault_signed reply = { 0 };

	if (!root)
		return CAUSE_NOT_JSON;
	if (!certificate) {
		json_decref(root);
		return malformed(why, "data.certificate");
	}
	reply.certificate = strdup(certificate);
	/* Older servers give no chain where the root signs. */
	reply.chain = json_array_size(chain) ? join(chain) : strdup(issuer ? issuer : "");
	json_decref(root);
	if (!reply.certificate || !reply.chain) {
		vault_signed_fini(&reply);
		err_set(why, 0, "out of memory");
		return CAUSE_LOCAL;
	}
	*ret = reply;
	return CAUSE_NONE;
}

void vault_signed_fini(struct vault_signed *reply)
{
	free(reply->certificate);
	free(reply->chain);
}

enum cause vault_reply_ca(const char *body, size_t bytes, char **ret, struct err_text *why)
{
	json_t *root = parse(body, bytes, why), *data = json_object_get(root, "data");
	const char *chain = json_string_value(json_object_get(data, "ca_chain"));
	const char *certificate = json_string_value(json_object_get(data, "certificate"));
	char *text = NULL;

	if (!root)
		return CAUSE_NOT_JSON;
	if ((!chain || !chain[0]) && (!certificate || !certificate[0])) {
		json_decref(root);
		return malformed(why, "data.certificate");
	}
	if (asprintf(&text, "%s\n%s\n", certificate ? certificate : "", chain ? chain : "") < 0)
		text = NULL;
	json_decref(root);
	if (!text) {
		err_set(why, 0, "out of memory");
		return CAUSE_LOCAL;
	}
	*ret = text;
	return CAUSE_NONE;
}

/* --- tokens --- */

/* What becomes a header may hold nothing else than visible characters. */
static bool take_token(const json_t *value, char ret[VAULT_TOKEN_BYTES_MAX + 1])
{
	const char *text = json_string_value(value);
	size_t len = text ? strlen(text) : 0;

	if (!len || len > VAULT_TOKEN_BYTES_MAX || len != json_string_length(value))
		return false;
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || (unsigned char)text[i] >= 0x7f)
			return false;
	memcpy(ret, text, len + 1);
	return true;
}

/* jansson frees without wiping: its copy is wiped here, which nobody reads any more. */
static void wipe_value(const json_t *value)
{
	const char *text = json_string_value(value);

	if (text)
		secret_wipe((void *)(uintptr_t)text, json_string_length(value));
}

static uint64_t seconds_of(const json_t *value)
{
	json_int_t seconds = json_integer_value(value);

	return seconds > 0 ? (uint64_t)seconds : 0;
}

enum cause vault_reply_login(const char *body, size_t bytes, struct vault_login *ret,
			     struct err_text *why)
{
	json_t *root = parse(body, bytes, why), *auth = json_object_get(root, "auth");
	json_t *data = json_object_get(root, "data");
	json_t *token = json_object_get(auth, "client_token");
	bool ok;

	if (!root)
		return CAUSE_NOT_JSON;
	memset(ret, 0, sizeof(*ret));
	if (json_is_object(auth)) {
		ok = take_token(token, ret->token);
		ret->life_seconds = seconds_of(json_object_get(auth, "lease_duration"));
		ret->renewable = json_is_true(json_object_get(auth, "renewable"));
	} else { /* lookup-self */
		ok = json_is_integer(json_object_get(data, "ttl"));
		ret->life_seconds = seconds_of(json_object_get(data, "ttl"));
		ret->renewable = json_is_true(json_object_get(data, "renewable"));
	}
	wipe_value(token);
	wipe_value(json_object_get(data, "id")); /* lookup-self gives it back */
	json_decref(root);
	return ok ? CAUSE_NONE : malformed(why, "auth.client_token");
}

enum cause vault_reply_secret_id(const char *body, size_t bytes,
				 char ret[VAULT_TOKEN_BYTES_MAX + 1], struct err_text *why)
{
	json_t *root = parse(body, bytes, why), *data = json_object_get(root, "data");
	json_t *secret = json_object_get(data, "secret_id");
	bool ok = take_token(secret, ret);

	if (!root)
		return CAUSE_NOT_JSON;
	wipe_value(secret);
	json_decref(root);
	return ok ? CAUSE_NONE : malformed(why, "data.secret_id");
}
