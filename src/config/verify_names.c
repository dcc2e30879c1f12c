/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contradictions (verify.h) in what a listener calls its peers: rules for principals that can not
 * be read or are never reached, rules about issuers that say nothing. Pure.
 */
#include "config/verify_names.h"

#include <stdio.h>

#include "kafka/principal_rules.h"

#define PATH_BYTES sizeof(((struct config_problem *)NULL)->path)

struct path {
	char text[PATH_BYTES];
};

static struct path rule_path(size_t index, size_t rule)
{
	struct path path;

	snprintf(path.text, sizeof(path.text), "listeners[%zu].kafka.principal_rules[%zu]", index,
		 rule);
	return path;
}

static void verify_principal_rules(const struct config_listener *l, size_t index,
				   struct config_problems *problems)
{
	const struct config_strings *texts = &l->kafka.principal_rules;
	struct principal_rules *rules = NULL;
	struct err_text err = { "out of memory" };
	size_t at = 0;

	if (!texts->count)
		return;
	if (principal_rules_new((const char *const *)texts->items, texts->count, &rules, &at,
				&err) < 0) {
		config_error_add(problems, texts->marks[at], rule_path(index, at).text, "%s",
				 err.text);
		return;
	}
	at = principal_rules_unreached(rules);
	principal_rules_free(rules);
	if (at < texts->count)
		config_warning_add(problems, texts->marks[at], rule_path(index, at).text,
				   "a rule after DEFAULT is never reached: that takes every name");
	if (l->kafka.identity == CONFIG_IDENTITY_NONE)
		config_warning_add(problems, texts->marks[0], rule_path(index, 0).text,
				   "without kafka.identity nobody is told of a principal");
}

static bool is_absent(const struct config_issuer *issuer, struct config_mark at)
{
	return at.line == issuer->marks.start.line && at.column == issuer->marks.start.column;
}

static void verify_issuers(const struct config_listener *l, size_t index,
			   struct config_problems *problems)
{
	char path[PATH_BYTES];

	for (size_t i = 0; i < l->issuers.count; i++) {
		const struct config_issuer *issuer = &l->issuers.items[i];

		if (!issuer->name || !is_absent(issuer, issuer->marks.root_cns) ||
		    !is_absent(issuer, issuer->marks.keys))
			continue;
		snprintf(path, sizeof(path), "listeners[%zu].issuers[%zu]", index, i);
		config_error_add(problems, issuer->marks.start, path,
				 "says nothing about '%s': give it root_cn or key", issuer->name);
	}
	if (l->issuers.count && l->role != CONFIG_ROLE_FRONT) {
		snprintf(path, sizeof(path), "listeners[%zu].issuers", index);
		config_error_add(problems, l->marks.issuers, path,
				 "only a front has clients; an egress knows its upstream by "
				 "tls.server_name and tls.roots");
	}
}

void config_verify_names(const struct config_listener *l, size_t index,
			 struct config_problems *problems)
{
	verify_principal_rules(l, index, problems);
	verify_issuers(l, index, problems);
}
