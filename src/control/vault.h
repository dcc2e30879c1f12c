/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vault, or OpenBao, as a source: a token that is kept alive by the method that is configured
 * (vault_auth.c), requests that are made with it, and what the answers say (vault_reply.h). On the
 * thread of the HTTP client.
 */
#ifndef SALLYPORT_CONTROL_VAULT_H
#define SALLYPORT_CONTROL_VAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "control/backoff.h"
#include "control/cause.h"
#include "control/http_client.h"
#include "control/vault_reply.h"

struct vault;

struct vault_outcome {
	enum cause cause; /* CAUSE_NONE: it worked */
	struct err_text why;
	uint64_t retry_after_ns; /* 0: not said */
};

/* Each request's outcome, before its own callback: for counters and the log. `what`: static. */
typedef void vault_note(const char *what, const struct vault_outcome *outcome, void *arg);

/* Everything borrowed for as long as it lives. 0 or -ENOMEM. */
int vault_new(const struct config_vault *config, struct http_client *http, struct jitter *jitter,
	      vault_note *note, void *arg, struct vault **ret);
void vault_free(struct vault *vault); /* cancels what is under way; NULL is fine */

/* Renews the token when its time has come. `needed`: somebody wants to make a request that needs
 * one: logs in if there is none. When to be called again at the latest (CLOCK_MONOTONIC). */
uint64_t vault_turn(struct vault *vault, bool needed, uint64_t now_ns);
/* Whether a request may be made now: there is a token, and the breaker lets it through. */
bool vault_ready(const struct vault *vault, uint64_t now_ns);
/* The same for what needs no token. */
bool vault_reachable(const struct vault *vault, uint64_t now_ns);
bool vault_circuit_open(const struct vault *vault);

/* POST <mount>/sign/<role>. Started or not (false: no memory; nothing is called back). */
bool vault_sign(struct vault *vault, const char *mount, const char *role, const char *body,
		void (*done)(const struct vault_outcome *outcome, const struct vault_signed *reply,
			     void *arg),
		void *arg);
/* GET <mount>/cert/ca_chain and <mount>/cert/ca: the CA's certificates, without a token. */
bool vault_read_ca(struct vault *vault, const char *mount,
		   void (*done)(const struct vault_outcome *outcome, const char *pem, void *arg),
		   void *arg);

#endif
