/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What signs the identities that brokers are told: the keys of the configuration's folder, one set
 * for all listeners. The main thread opens, renews and frees it; any thread signs.
 */
#ifndef SALLYPORT_DATAPLANE_IDENTITY_H
#define SALLYPORT_DATAPLANE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "config/config.h"
#include "kafka/jwt.h"

struct identity;

/* Makes the folder, if there is to be one, for whom the process will be. Before the sandbox, which
 * forbids it. 0, or -errno with `err`. */
int identity_make_folder(const struct config *config, struct err_text *err);
/* 0 with NULL: the configuration has no folder. -errno with `err`. */
int identity_open(const struct config_identity_keys *config, struct identity **ret,
		  struct err_text *err);
void identity_free(struct identity *identity); /* this and what follows: NULL is fine */
/* To be called now and then: new keys, and what others have done to the folder. */
void identity_turn(struct identity *identity);
/* A signed token; returns its length. 0: it does not fit, or there is no memory. Any thread. */
size_t identity_token(struct identity *identity, const struct jwt_claims *claims,
		      char ret[TOKEN_BYTES_MAX]);
/* Whether keys can not be renewed just now, and why. Any thread. */
bool identity_failing(struct identity *identity, struct err_text *ret_why);

#endif
