/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of peers (naming.h). Two forms of text never meet: what begins like a DN can be no URI
 * (which has a scheme) and no DNS name, so that nobody becomes another by the place where his name
 * stands in the certificate. Pure.
 */
#include "dataplane/naming.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "base/parse.h"
#include "base/util.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS	"0123456789"

struct finding {
	const char *text; /* NULL: nothing; `why` if that is a fault */
	const char *why;
	enum config_name_source source;
};

static const char *uri_fault(const char *uri)
{
	size_t scheme = strspn(uri, LETTERS DIGITS "+.-");

	return uri[scheme] == ':' && strchr(LETTERS, uri[0])
		       ? NULL
		       : "its URI has no scheme: it can not be a name";
}

static const char *dns_fault(const char *name)
{
	return name[strspn(name, LETTERS DIGITS "._-*")]
		       ? "its DNS name holds characters that such a name has not"
		       : NULL;
}

/* Of several, none is the name. */
static struct finding find_alone(const char *const *names, const char *(*fault)(const char *),
				 const char *several)
{
	const char *why;

	if (!names[0])
		return (struct finding){ 0 };
	why = names[1] ? several : fault(names[0]);
	return (struct finding){ .text = why ? NULL : names[0], .why = why };
}

static struct finding find_in(enum config_name_source source, const struct peer *peer)
{
	switch (source) {
	case CONFIG_NAME_URI:
		return find_alone(peer->uris, uri_fault,
				  "it has several URIs: which of them is its name can not be told");
	case CONFIG_NAME_DNS:
		return find_alone(
			peer->dns, dns_fault,
			"it has several DNS names: which of them is its name can not be told");
	default:
		return (struct finding){ .text = peer->cn[0] ? peer->cn : NULL };
	}
}

static struct finding find(const struct config_listener *config, const struct peer *peer)
{
	struct finding f = { 0 };

	for (size_t i = 0; i < config->name_from_count && !f.text && !f.why; i++) {
		f = find_in(config->name_from[i], peer);
		f.source = config->name_from[i];
	}
	return f;
}

const char *naming_name(const struct config_listener *config, const struct peer *peer,
			const char **ret_why)
{
	struct finding f = find(config, peer);

	if (!f.text)
		*ret_why = f.why ? f.why : "the certificate has none of the names of name_from";
	return f.text;
}

static bool refuse(enum close_reason *ret_reason, enum close_reason reason)
{
	*ret_reason = reason;
	return false;
}

static enum close_reason reason_of(int refusal)
{
	switch (refusal) {
	case PRINCIPAL_UNMAPPED:
		return CLOSE_IDENTITY_UNMAPPED;
	case PRINCIPAL_EMPTY:
		return CLOSE_IDENTITY_MISSING;
	case PRINCIPAL_RESERVED:
		return CLOSE_IDENTITY_RESERVED;
	case PRINCIPAL_COSTLY:
		return CLOSE_IDENTITY_COSTLY;
	case PRINCIPAL_UNUSABLE:
		return CLOSE_IDENTITY_UNUSABLE;
	default:
		return CLOSE_NO_MEMORY;
	}
}

/* The rules get the subject, as Kafka's do, unless the peer is called after something else. */
static bool map(const struct principal_rules *rules, const struct peer *peer,
		const struct finding *name, char **ret_principal, enum close_reason *ret_reason,
		struct err_text *why)
{
	const char *text = name->text && name->source != CONFIG_NAME_CN ? name->text : peer->dn;
	int r;

	if (!text) {
		err_set(why, 0, "%s", peer->dn_why);
		return refuse(ret_reason, CLOSE_IDENTITY_UNUSABLE);
	}
	if (!text[0]) {
		err_set(why, 0, "its subject is empty, and it has none of the names of name_from");
		return refuse(ret_reason, CLOSE_IDENTITY_MISSING);
	}
	r = principal_of(rules, text, ret_principal, why);
	return r ? refuse(ret_reason, reason_of(r)) : true;
}

static bool root_is_named(const struct config_strings *globs, const struct peer *peer)
{
	for (size_t i = 0; i < globs->count; i++)
		if (peer->root_cn[0] && fnmatch(globs->items[i], peer->root_cn, 0) == 0)
			return true;
	return !globs->count;
}

static bool chain_has_key(const struct config_strings *keys, const struct peer *peer)
{
	struct peer_key key;

	for (size_t i = 0; i < keys->count; i++) {
		if (parse_hex(keys->items[i], key.sha256, sizeof(key.sha256)) < 0)
			continue;
		for (size_t j = 0; j < peer->ca_key_count; j++)
			if (memcmp(&peer->ca_keys[j], &key, sizeof(key)) == 0)
				return true;
	}
	return !keys->count;
}

static bool is_about(const struct config_issuer *issuer, const char *name)
{
	return name && fnmatch(issuer->name, name, 0) == 0;
}

/* Each rule that is about one of the names must hold: so none can be got round by another. */
static bool issuers_admit(const struct config_issuers *issuers, const struct peer *peer,
			  const char *name, const char *principal, struct err_text *why)
{
	for (size_t i = 0; i < issuers->count; i++) {
		const struct config_issuer *issuer = &issuers->items[i];

		if (!is_about(issuer, name) && !is_about(issuer, principal))
			continue;
		if (root_is_named(&issuer->root_cns, peer) && chain_has_key(&issuer->keys, peer))
			continue;
		err_set(why, 0, "issuers[%zu]: who is called '%s' is not certified by '%s'", i,
			issuer->name, peer->root_cn);
		return false;
	}
	return true;
}

bool naming_admits(const struct config_listener *config, const struct principal_rules *rules,
		   const struct peer *peer, char **ret_principal, enum close_reason *ret_reason,
		   struct err_text *why)
{
	bool told = config->kafka.identity != CONFIG_IDENTITY_NONE;
	cleanup_free char *principal = NULL;
	struct finding name;

	*ret_principal = NULL;
	if (!told && !config->issuers.count)
		return true;
	name = find(config, peer);
	if (name.why || (!told && !name.text)) {
		err_set(why, 0, "%s",
			name.why ? name.why : "the certificate has none of the names of name_from");
		return refuse(ret_reason, CLOSE_IDENTITY_MISSING);
	}
	if (told && !map(rules, peer, &name, &principal, ret_reason, why))
		return false;
	if (!issuers_admit(&config->issuers, peer, name.text, principal, why))
		return refuse(ret_reason, CLOSE_IDENTITY_ISSUER);
	*ret_principal = TAKE_PTR(principal);
	return true;
}
