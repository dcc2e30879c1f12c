/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which record layer `ktls: auto` takes, from what the kernel can do and from what was measured.
 * Pure: the measuring is ktls_calibrate.h's.
 */
#ifndef SALLYPORT_TLS_KTLS_CHOICE_H
#define SALLYPORT_TLS_KTLS_CHOICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "tls/ktls.h"

/* How much of a connection the kernel does. */
enum ktls_use { KTLS_USE_NONE, KTLS_USE_SENDING, KTLS_USE_BOTH };

enum ktls_direction { KTLS_SENDING, KTLS_RECEIVING, KTLS_DIRECTION_COUNT };

/* Full records as bulk has them, and small messages, one record each. */
enum ktls_size { KTLS_SMALL, KTLS_LARGE, KTLS_SIZE_COUNT };
#define KTLS_SMALL_BYTES 512
#define KTLS_LARGE_BYTES 16384

/* How bytes get past the record layer. */
enum ktls_way {
	KTLS_WAY_OWN,	   /* our own records, by copy */
	KTLS_WAY_COPY,	   /* the kernel's */
	KTLS_WAY_UNPADDED, /* likewise, opened straight into our buffer (ktls_expect_unpadded) */
	KTLS_WAY_SPLICE,   /* the kernel's, without a copy; bulk only */
	KTLS_WAY_COUNT
};

#define KTLS_ROUNDS 7

/* Of one version and suite. */
struct ktls_costs {
	bool measured;
	struct err_text why; /* … not */
	/* CPU time of a record with its way through two sockets, by rounds; 0: not measured. */
	uint32_t ns[KTLS_DIRECTION_COUNT][KTLS_SIZE_COUNT][KTLS_WAY_COUNT][KTLS_ROUNDS];
};

/* The kernel's ways that a connection would go. */
struct ktls_ways {
	enum ktls_way sending, receiving;
};
/* Those of a listener that has said nothing about them (dataplane/relay.c: wants_splice()). */
#define KTLS_WAYS_USUAL { KTLS_WAY_SPLICE, KTLS_WAY_COPY }

/* Whether the kernel has every suite of `suites` (bits, 1 << enum tls_cipher) in this version. */
bool ktls_has_suites(const struct ktls_support *support, uint16_t version, unsigned int suites);
/* Whether it is fit to be chosen for them, too: what follows from a no is not a matter of cost.
 * `ret_why`: a sentence, either way. */
bool ktls_is_fit(const struct ktls_support *support, uint16_t version, unsigned int suites,
		 struct err_text *ret_why);
/* The cheaper, of a kernel that is fit: the kernel does a direction unless our own record layer was
 * clearly cheaper there. Without measurements it does both. `ret_why`: a sentence. */
enum ktls_use ktls_choose(const struct ktls_costs *costs, const struct ktls_ways *ways,
			  struct err_text *ret_why);
/* Median of the rounds; 0: not measured. */
uint32_t ktls_cost(const struct ktls_costs *costs, enum ktls_direction direction,
		   enum ktls_size size, enum ktls_way way);
const char *ktls_use_name(enum ktls_use use); /* as logs say a transport */
const char *ktls_way_name(enum ktls_way way);

#endif
