/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to Vault (vault.h). Each is an op in a list, so that all can be cancelled at the end;
 * its answer goes first to the breaker and whoever counts, then to who asked. On the thread of the
 * HTTP client.
 */
#include "control/vault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "control/vault_impl.h"
#include "limits/limits.h"

#define PATH_BYTES 1024

struct op {
	struct list_node link;
	struct vault *vault;
	struct http_transfer *transfer;
	void (*signed_done)(const struct vault_outcome *outcome, const struct vault_signed *reply,
			    void *arg);
	void (*ca_done)(const struct vault_outcome *outcome, const char *pem, void *arg);
	void *arg;
};

int vault_new(const struct config_vault *config, struct http_client *http, struct jitter *jitter,
	      vault_note *note, void *arg, struct vault **ret)
{
	struct vault *vault = calloc(1, sizeof(*vault));

	if (!vault)
		return -ENOMEM;
	vault->config = config;
	vault->http = http;
	vault->jitter = jitter;
	vault->note = note;
	vault->arg = arg;
	list_init(&vault->ops);
	*ret = vault;
	return 0;
}

static void op_free(struct op *op)
{
	list_remove(&op->link);
	free(op);
}

void vault_free(struct vault *vault)
{
	struct list_node *it, *next;

	if (!vault)
		return;
	list_for_each_safe (it, next, &vault->ops) {
		struct op *op = container_of(it, struct op, link);

		http_client_cancel(op->transfer);
		op_free(op);
	}
	vault_auth_fini(vault);
	free(vault);
}

uint64_t vault_turn(struct vault *vault, bool needed, uint64_t now_ns)
{
	uint64_t due_ns = vault_auth_turn(vault, needed, now_ns);

	/* Who waits for the breaker wants to know when it lets somebody through. */
	if (breaker_due_ns(&vault->breaker) > now_ns)
		due_ns = MIN(due_ns, breaker_due_ns(&vault->breaker));
	return due_ns;
}

bool vault_ready(const struct vault *vault, uint64_t now_ns)
{
	return vault->auth.token && vault_reachable(vault, now_ns);
}

bool vault_reachable(const struct vault *vault, uint64_t now_ns)
{
	return breaker_allows(&vault->breaker, now_ns);
}

bool vault_circuit_open(const struct vault *vault)
{
	return breaker_is_open(&vault->breaker);
}

struct http_transfer *vault_start(struct vault *vault, const char *method, const char *path,
				  const char *token, const char *body, bool fresh,
				  void (*done)(const struct http_reply *reply, void *arg),
				  void *arg)
{
	struct http_call call = {
		.method = method,
		.base = vault->config->address,
		.path = path,
		.tls = &vault->config->tls,
		.headers = { { "X-Vault-Token", token },
			     { "X-Vault-Namespace", vault->config->name_space },
			     { "X-Vault-Request", "true" } },
		.body = body,
		.timeout_ms = vault->config->timeout_ms,
		.fresh = fresh,
		.answer_bytes_max = CONTROL_ANSWER_BYTES_MAX,
	};
	struct http_transfer *transfer = http_client_start(vault->http, &call, done, arg);

	if (transfer)
		breaker_begin(&vault->breaker);
	return transfer;
}

static void tell_breaker(struct vault *vault, const struct vault_outcome *outcome)
{
	if (cause_is_of_source(outcome->cause))
		breaker_failed(&vault->breaker, outcome->retry_after_ns, vault->jitter,
			       clock_monotonic_ns());
	else if (outcome->cause == CAUSE_LOCAL)
		breaker_given_up(&vault->breaker);
	else
		breaker_succeeded(&vault->breaker);
}

struct vault_outcome vault_judge(struct vault *vault, const struct http_reply *reply,
				 const char *what)
{
	struct vault_outcome outcome = { .cause = reply->cause };

	outcome.retry_after_ns = reply->retry_after_ms * NSEC_PER_MSEC;
	if (reply->cause != CAUSE_NONE)
		err_set(&outcome.why, 0, "%s: %.400s", what, reply->why.text);
	else if (reply->status != 200)
		outcome.cause = vault_reply_cause(reply->status, reply->body, reply->bytes, what,
						  &outcome.why);
	tell_breaker(vault, &outcome);
	return outcome;
}

void vault_spoil(struct vault *vault, struct vault_outcome *outcome, enum cause cause)
{
	outcome->cause = cause;
	if (cause != CAUSE_NONE)
		tell_breaker(vault, outcome);
}

static struct op *op_new(struct vault *vault, void *arg)
{
	struct op *op = calloc(1, sizeof(*op));

	if (!op)
		return NULL;
	op->vault = vault;
	op->arg = arg;
	list_append(&vault->ops, &op->link);
	return op;
}

static void on_signed(const struct http_reply *reply, void *arg)
{
	struct op *op = arg;
	struct vault *vault = op->vault;
	struct vault_outcome outcome = vault_judge(vault, reply, "sign");
	struct vault_signed answer = { 0 };

	if (outcome.cause == CAUSE_NONE)
		vault_spoil(vault, &outcome,
			    vault_reply_signed(reply->body, reply->bytes, &answer, &outcome.why));
	/* Revoked, or of a policy that has changed: only a new login can tell. */
	if (outcome.cause == CAUSE_DENIED)
		vault_auth_drop(vault);
	vault->note("sign", &outcome, vault->arg);
	op->signed_done(&outcome, &answer, op->arg);
	vault_signed_fini(&answer);
	op_free(op);
}

bool vault_sign(struct vault *vault, const char *mount, const char *role, const char *body,
		void (*done)(const struct vault_outcome *outcome, const struct vault_signed *reply,
			     void *arg),
		void *arg)
{
	struct op *op = op_new(vault, arg);
	char path[PATH_BYTES];

	if (!op)
		return false;
	op->signed_done = done;
	snprintf(path, sizeof(path), "/v1/%s/sign/%s", mount, role);
	op->transfer =
		vault_start(vault, "POST", path, vault->auth.token, body, false, on_signed, op);
	if (op->transfer)
		return true;
	op_free(op);
	return false;
}

static void on_ca(const struct http_reply *reply, void *arg)
{
	struct op *op = arg;
	struct vault *vault = op->vault;
	struct vault_outcome outcome = vault_judge(vault, reply, "read the CA");
	char *pem = NULL;

	if (outcome.cause == CAUSE_NONE)
		vault_spoil(vault, &outcome,
			    vault_reply_ca(reply->body, reply->bytes, &pem, &outcome.why));
	vault->note("read_ca", &outcome, vault->arg);
	op->ca_done(&outcome, pem, op->arg);
	free(pem);
	op_free(op);
}

bool vault_read_ca(struct vault *vault, const char *mount,
		   void (*done)(const struct vault_outcome *outcome, const char *pem, void *arg),
		   void *arg)
{
	struct op *op = op_new(vault, arg);
	char path[PATH_BYTES];

	if (!op)
		return false;
	op->ca_done = done;
	snprintf(path, sizeof(path), "/v1/%s/cert/ca_chain", mount);
	op->transfer = vault_start(vault, "GET", path, NULL, NULL, false, on_ca, op);
	if (op->transfer)
		return true;
	op_free(op);
	return false;
}
