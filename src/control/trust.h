/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which CAs are in force: the primary, which issues, and the secondaries, which are trusted beside
 * it; with their certificates. Immutable and counted.
 */
#ifndef SALLYPORT_CONTROL_TRUST_H
#define SALLYPORT_CONTROL_TRUST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define ISSUERS_MAX	      64
#define ISSUER_PATH_BYTES_MAX 255

/* What Consul's key says: paths of mounts in Vault, without slashes at either end; the primary is
 * the first. No path twice. */
struct issuers {
	size_t count; /* at least 1 */
	char paths[ISSUERS_MAX][ISSUER_PATH_BYTES_MAX + 1];
};

/* {"primary_issuer": "kafka-pki/root-a", "secondary_issuers": [...]}; the latter may be missing.
 * Other keys are let be. 0, or -EINVAL with `err`. */
int issuers_parse(const char *text, size_t bytes, struct issuers *ret, struct err_text *err);
bool issuers_equal(const struct issuers *a, const struct issuers *b);

struct trust {
	unsigned int refs;
	struct issuers issuers;
	char *roots_pem; /* all roots, and intermediates beside them; no certificate twice */
	size_t root_count;
};

/* `pems`: of each of the issuers, in order. 0; -EINVAL with `err`: an issuer has no root, or what
 * it has can not be read; -ENOMEM. */
int trust_new(const struct issuers *issuers, const char *const *pems, struct trust **ret,
	      struct err_text *err);
struct trust *trust_ref(struct trust *trust); /* any thread */
void trust_unref(struct trust *trust);	      /* any thread; NULL is fine */
/* Whether both say the same. */
bool trust_equal(const struct trust *a, const struct trust *b);

#endif
