/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control plane: keeps certificates issued and renewed, and knows which roots are in force. It
 * asks Vault or OpenBao, Consul, the embedded CA or files, and tells its owner of what is new. One
 * thread turns it and gets all callbacks; it never waits for one server because of another.
 * Whatever goes wrong, what was good stays, is said, and is tried again.
 */
#ifndef SALLYPORT_CONTROL_CONTROL_H
#define SALLYPORT_CONTROL_CONTROL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "config/control.h"
#include "control/cause.h"
#include "control/trust.h"
#include "pki/credential.h"

struct control;

/* Why a certificate was issued. */
enum control_reason {
	CONTROL_FIRST,		/* there was none that is good */
	CONTROL_LOADED,		/* it was kept on disk, and still is good */
	CONTROL_RENEWED,	/* its time had come */
	CONTROL_ISSUER_CHANGED, /* another primary issuer */
	CONTROL_ORDERED,	/* control_renew() */
	CONTROL_FILES_CHANGED,	/* source files */
	CONTROL_REASON_COUNT
};
const char *control_reason_name(enum control_reason reason); /* "first", "loaded", … */

/* Who issued a certificate, and what was asked for: one line of text. */
#define CONTROL_ORIGIN_BYTES 320

/* On the thread that turns it. What is given is borrowed; take a reference to keep it. */
struct control_events {
	void (*issued)(void *arg, const char *name, struct pki_credential *credential,
		       enum control_reason reason);
	void (*trusted)(void *arg, struct trust *trust);
	/* What Consul's limits_key says, now or still; NULL: it is not there. May be NULL. */
	void (*limits)(void *arg, const char *value, size_t bytes);
	/* Within control_new(): a good certificate that the owner has kept, as a reference of its
	 * own, with the origin that came with it; or NULL. This itself may be NULL. */
	struct pki_credential *(*kept)(void *arg, const char *name,
				       char ret_origin[CONTROL_ORIGIN_BYTES]);
	void *arg;
};

struct control_options {
	/* Borrowed for as long as it lives. */
	const struct config_vault *vault;
	const struct config_consul *consul;
	const struct config_certificate *const *certificates;
	size_t certificate_count;
	bool wants_roots; /* follow the roots, too, where nobody needs a certificate */
	uint64_t seed;	  /* 0: a random one; spreads instances in time */
};

/* 0, or -errno with `err`. Loads what is kept on disk. */
int control_new(const struct control_options *options, const struct control_events *events,
		struct control **ret, struct err_text *err);
/* Cuts whatever is under way. NULL is fine. */
void control_free(struct control *control);

/* Tells of what is kept on disk; the first turn does so too. */
void control_tell_kept(struct control *control);
/* Does what is due, then waits for the network, for at most `wait_ms`, for control_wake(), or for
 * one of `fds` (as poll(2); may be 0). */
void control_turn(struct control *control, struct pollfd *fds, size_t fd_count,
		  unsigned int wait_ms);
/* Of the certificate in force, for an owner that keeps it; "" if there is none. On the thread that
 * turns it. */
void control_origin(const struct control *control, const char *name,
		    char ret[CONTROL_ORIGIN_BYTES]);
/* Any thread: ends a wait. */
void control_wake(struct control *control);
/* Any thread: issue this one (NULL: all) anew at once. 0, or -ENOENT. */
int control_renew(struct control *control, const char *name);

enum control_source { CONTROL_VAULT, CONTROL_CONSUL, CONTROL_SOURCE_COUNT };
const char *control_source_name(enum control_source source); /* "vault", "consul" */

/* Times are seconds since the epoch; 0: never. */
struct control_source_status {
	bool used;
	int64_t last_success, last_failure;
	enum cause cause; /* of the last failure; CAUSE_NONE while all is well */
	struct err_text text;
	bool circuit_open; /* nothing is asked of it for a while */
	uint64_t requests, failures[CAUSE_COUNT];
};

struct control_certificate_status {
	char name[64 + 1];
	bool good; /* there is one, within its time */
	int64_t not_before, not_after, renew_at, last_success, last_failure;
	enum cause cause; /* of the last attempt; CAUSE_NONE: well */
	struct err_text text;
	char cn[256], serial[64], issuer[256]; /* issuer: the mount, or "" */
	uint64_t issued, failures[CAUSE_COUNT];
};

struct control_trust_status {
	bool good;
	char primary[256];
	size_t secondaries, roots;
	int64_t since;
	enum cause cause; /* why what Consul says now is not followed; CAUSE_NONE: it is */
	struct err_text text;
};

/* Any thread. */
void control_source_status(struct control *control, enum control_source source,
			   struct control_source_status *ret);
size_t control_certificate_count(const struct control *control);
void control_certificate_status(struct control *control, size_t index,
				struct control_certificate_status *ret);
void control_trust_status(struct control *control, struct control_trust_status *ret);

#endif
