/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Vault's answers say: from bytes that anybody may have sent to structs. Pure.
 */
#ifndef SALLYPORT_CONTROL_VAULT_REPLY_H
#define SALLYPORT_CONTROL_VAULT_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "control/cause.h"

#define VAULT_TOKEN_BYTES_MAX 8192

/* Of a status that is no success: what is wrong, with the server's words in `why`. `what`: what was
 * asked for, in words. */
enum cause vault_reply_cause(long status, const char *body, size_t bytes, const char *what,
			     struct err_text *why);

/* All: CAUSE_NONE, or CAUSE_NOT_JSON or CAUSE_MALFORMED with `why`. */

struct vault_signed {
	char *certificate, *chain; /* PEM; chain "": none */
};
enum cause vault_reply_signed(const char *body, size_t bytes, struct vault_signed *ret,
			      struct err_text *why);
void vault_signed_fini(struct vault_signed *reply);

struct vault_login {
	char token[VAULT_TOKEN_BYTES_MAX + 1];
	uint64_t life_seconds; /* 0: it does not end */
	bool renewable;
};
/* Of a login, of renew-self, and of lookup-self (`token` is "" there). The caller wipes *ret. */
enum cause vault_reply_login(const char *body, size_t bytes, struct vault_login *ret,
			     struct err_text *why);
/* Of sys/wrapping/unwrap: data.secret_id; the caller wipes it. */
enum cause vault_reply_secret_id(const char *body, size_t bytes,
				 char ret[VAULT_TOKEN_BYTES_MAX + 1], struct err_text *why);
/* Of cert/ca and cert/ca_chain: PEM, to be freed. */
enum cause vault_reply_ca(const char *body, size_t bytes, char **ret, struct err_text *why);

#endif
