/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of vault.c and vault_auth.c only: what they share.
 */
#ifndef SALLYPORT_CONTROL_VAULT_IMPL_H
#define SALLYPORT_CONTROL_VAULT_IMPL_H

#include "base/list.h"
#include "control/vault.h"

/* Who we are there: a token and how it is had. Tokens lie in the heap and are wiped. */
struct vault_auth {
	char *token; /* NULL: none */
	bool renewable;
	uint64_t ends_ns;  /* 0: never */
	uint64_t renew_ns; /* 0: not to be renewed */
	char *candidate;   /* of the method token, while it is looked at */
	char *secret_id;   /* unwrapped, which can be done once only */
	struct http_transfer *transfer;
	struct backoff backoff; /* of logging in */
};

struct vault {
	const struct config_vault *config;
	struct http_client *http;
	struct jitter *jitter;
	vault_note *note;
	void *arg;
	struct breaker breaker;
	struct vault_auth auth;
	struct list_node ops; /* requests under way */
};

/* A request with `token` (NULL: without one); NULL without memory. */
struct http_transfer *vault_start(struct vault *vault, const char *method, const char *path,
				  const char *token, const char *body, bool fresh,
				  void (*done)(const struct http_reply *reply, void *arg),
				  void *arg);
/* What an answer comes to, but for its body; tells the breaker. */
struct vault_outcome vault_judge(struct vault *vault, const struct http_reply *reply,
				 const char *what);
/* The body turned out to be wrong after all. */
void vault_spoil(struct vault *vault, struct vault_outcome *outcome, enum cause cause);

uint64_t vault_auth_turn(struct vault *vault, bool needed, uint64_t now_ns);
/* The token was refused: it is not used any more. */
void vault_auth_drop(struct vault *vault);
void vault_auth_fini(struct vault *vault);

#endif
