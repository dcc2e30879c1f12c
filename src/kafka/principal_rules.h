/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kafka's language of ssl.principal.mapping.rules: from the name in a certificate to the principal
 * that a broker would make of it. The same results as Kafka's own, or a refusal; never another
 * principal.
 */
#ifndef SALLYPORT_KAFKA_PRINCIPAL_RULES_H
#define SALLYPORT_KAFKA_PRINCIPAL_RULES_H

#include <stddef.h>

#include "base/err.h"

/* Why there is no principal. */
enum principal_refusal {
	PRINCIPAL_OK = 0,
	PRINCIPAL_UNMAPPED = 1, /* no rule matches */
	PRINCIPAL_EMPTY = 2,
	/* A broker would take it for another: ANONYMOUS, or blanks at its ends, which it cuts off.
	 */
	PRINCIPAL_RESERVED = 3,
	PRINCIPAL_COSTLY = 4,	/* the rules need too many steps for this name */
	PRINCIPAL_UNUSABLE = 5, /* Java's result can not be told, or is not safe to use */
};

struct principal_rules;

/* Each of `texts` is what Kafka's property may hold: one rule, or several with commas between them.
 * None at all: [DEFAULT]. 0, -ENOMEM, or -EINVAL with the reason in `err` and in *ret_at which of
 * the texts is at fault. */
int principal_rules_new(const char *const *texts, size_t count, struct principal_rules **ret,
			size_t *ret_at, struct err_text *err);
void principal_rules_free(struct principal_rules *rules); /* NULL is fine */

/* The first of the texts with a rule that is never reached, being after DEFAULT; or `count`. */
size_t principal_rules_unreached(const struct principal_rules *rules);

/* The principal of `name`: the subject of a certificate as Java prints it (struct peer's dn), or
 * another name of it. *ret is the caller's to free. 0, a principal_refusal with one line for the
 * log in `why`, or -ENOMEM. Any thread. */
int principal_of(const struct principal_rules *rules, const char *name, char **ret,
		 struct err_text *why);

#endif
