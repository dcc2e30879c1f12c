/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Penalties of source addresses whose handshakes fail, after OpenSSH's PerSourcePenalties: each
 * failure costs seconds by its kind; what adds up to `min` closes the door to the source until it
 * has run off, and `max` is the most that can be. Who comes back and fails again pays double each
 * time, until it has behaved for `max`.
 *
 * One table for all workers, its size fixed: a source has its place in one set of a few entries, so
 * that everything costs the same however many sources there are. IPv4 and IPv6 have tables of their
 * own: networks are cheap in one of them. Time is the caller's. Any thread.
 */
#ifndef SALLYPORT_LIMITS_PENALTY_H
#define SALLYPORT_LIMITS_PENALTY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cidr.h"
#include "limits/source_key.h"

enum penalty_kind {
	PENALTY_NOT_TLS,     /* bytes that are no TLS */
	PENALTY_CERTIFICATE, /* none, or one that is not accepted */
	PENALTY_HANDSHAKE,   /* any other handshake that fails */
	PENALTY_DENIED,	     /* a good certificate that the rules do not let in */
	PENALTY_TIMEOUT,     /* a handshake that is not finished in time */
	PENALTY_LEFT,	     /* one that is begun and left */
	PENALTY_KIND_COUNT,
};

enum penalty_overflow {
	PENALTY_OVERFLOW_PERMISSIVE, /* the penalty that ends first makes room */
	PENALTY_OVERFLOW_DENY,	     /* who is not known is refused until there is room */
};

struct penalty_params {
	uint64_t cost_ms[PENALTY_KIND_COUNT]; /* 0: this kind costs nothing */
	uint64_t min_ms, max_ms;	      /* max 0: there are no penalties */
	uint64_t sources; /* that are remembered, of each family; stays as it is at first */
	enum penalty_overflow overflow;
	struct source_masks masks;
	const struct cidr_list *exempt; /* borrowed for the call; NETWORKS_MAX at most */
};

struct penalties;

/* 0, -ENOMEM, or -EIO if the kernel gives no random bytes. */
int penalties_new(const struct penalty_params *params, struct penalties **ret);
/* Other rules from now on; what is owed stays owed. */
void penalties_configure(struct penalties *penalties, const struct penalty_params *params);
void penalties_free(struct penalties *penalties); /* NULL is fine */

/* Whether the door is closed to this source now. */
bool penalties_refuse(struct penalties *penalties, const struct in6_addr *address, uint64_t now_ns);
/* A failure of this kind. If the door closes to the source because of it: for how many
 * milliseconds; else 0. */
uint64_t penalties_add(struct penalties *penalties, const struct in6_addr *address,
		       enum penalty_kind kind, uint64_t now_ns);

#endif
