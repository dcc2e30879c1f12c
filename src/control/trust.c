/* SPDX-License-Identifier: Apache-2.0 */
/* Issuers out of Consul's key, and the roots that they stand for (trust.h). */
#include "control/trust.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "pki/credential.h"

/* A path goes into URLs: nothing in it may mean anything there. */
static bool is_mount(const char *path, size_t len)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_./";

	return len && len <= ISSUER_PATH_BYTES_MAX && strlen(path) == len &&
	       !path[strspn(path, letters)] && path[0] != '.' && !strstr(path, "//") &&
	       !strstr(path, "/.");
}

/* Without slashes at the ends: Vault's own tools write them. */
static int add_issuer(struct issuers *issuers, const json_t *value, const char *what,
		      struct err_text *err)
{
	const char *path = json_string_value(value);
	size_t len = json_string_length(value);
	char *at;

	if (!path)
		return err_set(err, -EINVAL, "%s is not a text", what);
	while (len && path[len - 1] == '/' && strlen(path) >= len)
		len--;
	for (; len && path[0] == '/'; path++)
		len--;
	if (issuers->count == ISSUERS_MAX)
		return err_set(err, -EINVAL, "more than %d issuers", ISSUERS_MAX);
	if (len > ISSUER_PATH_BYTES_MAX)
		return err_set(err, -EINVAL, "%s is longer than %d bytes", what,
			       ISSUER_PATH_BYTES_MAX);
	at = issuers->paths[issuers->count];
	memcpy(at, path, len);
	at[len] = 0;
	if (!is_mount(at, len))
		return err_set(err, -EINVAL,
			       "%s is not the path of a mount (letters, digits and -_./): '%.64s'",
			       what, at);
	for (size_t i = 0; i < issuers->count; i++)
		if (strcmp(issuers->paths[i], at) == 0)
			return 0;
	issuers->count++;
	return 0;
}

static int read_issuers(const json_t *root, struct issuers *ret, struct err_text *err)
{
	const json_t *primary = json_object_get(root, "primary_issuer");
	const json_t *secondaries = json_object_get(root, "secondary_issuers"), *item;
	size_t i;
	int r;

	if (!json_is_object(root))
		return err_set(err, -EINVAL, "not a JSON object");
	if (!primary)
		return err_set(err, -EINVAL, "there is no primary_issuer");
	r = add_issuer(ret, primary, "primary_issuer", err);
	if (r == 0 && secondaries && !json_is_null(secondaries) && !json_is_array(secondaries))
		return err_set(err, -EINVAL, "secondary_issuers is not a list");
	for (i = 0; r == 0 && (item = json_array_get(secondaries, i)); i++)
		r = add_issuer(ret, item, "one of secondary_issuers", err);
	return r;
}

int issuers_parse(const char *text, size_t bytes, struct issuers *ret, struct err_text *err)
{
	json_error_t where;
	json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &where);
	struct issuers issuers = { 0 };
	int r;

	if (!root)
		return err_set(err, -EINVAL, "not JSON: %s (line %d)", where.text, where.line);
	r = read_issuers(root, &issuers, err);
	json_decref(root);
	if (r == 0)
		*ret = issuers;
	return r;
}

bool issuers_equal(const struct issuers *a, const struct issuers *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->paths[i], b->paths[i]) != 0)
			return false;
	return true;
}

int trust_new(const struct issuers *issuers, const char *const *pems, struct trust **ret,
	      struct err_text *err)
{
	struct trust *trust;
	size_t roots;
	int r = 0;

	/* Each by itself first: one without a root must not hide behind another. */
	for (size_t i = 0; i < issuers->count && r == 0; i++) {
		cleanup_free char *pem = NULL;
		struct err_text why = { "" };

		r = pki_merge_certificates(&pems[i], 1, &pem, &roots, &why);
		if (r > 0)
			r = err_set(err, -EINVAL, "%s: %s", issuers->paths[i], why.text);
		else if (r == 0 && !roots)
			r = err_set(err, -EINVAL,
				    "%s: its chain has no root (no self-signed certificate)",
				    issuers->paths[i]);
	}
	if (r < 0)
		return r;
	trust = calloc(1, sizeof(*trust));
	if (!trust)
		return -ENOMEM;
	trust->refs = 1;
	trust->issuers = *issuers;
	r = pki_merge_certificates(pems, issuers->count, &trust->roots_pem, &trust->root_count,
				   err);
	if (r != 0) {
		trust_unref(trust);
		return r > 0 ? -EINVAL : r;
	}
	*ret = trust;
	return 0;
}

struct trust *trust_ref(struct trust *trust)
{
	__atomic_add_fetch(&trust->refs, 1, __ATOMIC_RELAXED);
	return trust;
}

void trust_unref(struct trust *trust)
{
	if (!trust || __atomic_sub_fetch(&trust->refs, 1, __ATOMIC_ACQ_REL))
		return;
	free(trust->roots_pem);
	free(trust);
}

bool trust_equal(const struct trust *a, const struct trust *b)
{
	return a && b && issuers_equal(&a->issuers, &b->issuers) &&
	       strcmp(a->roots_pem, b->roots_pem) == 0;
}
