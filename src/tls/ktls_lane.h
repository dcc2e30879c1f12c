/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane is what a relay does in one direction, small: two TCP connections on loopback, one of them
 * with TLS on our side, and one way of getting bytes from the first to the second. The caller's
 * thread plays all parts, so that its CPU time is what the whole costs.
 */
#ifndef SALLYPORT_TLS_KTLS_LANE_H
#define SALLYPORT_TLS_KTLS_LANE_H

#include "base/err.h"
#include "tls/aead.h"
#include "tls/ktls_choice.h"
#include "tls/ktls_impl.h"

/* What all lanes share: buffers, cipher contexts. */
struct ktls_bench;

struct ktls_lane {
	enum ktls_direction direction;
	enum ktls_way way;
	struct ktls_pair in, out;   /* fed at in.a, moved from in.b to out.a, ends at out.b */
	int pipe[2];		    /* to splice through, or -1 */
	struct tls_keys *keys;	    /* thrown away with the lane; secret memory */
	struct tls_keys *peer_keys; /* likewise, the other end's */
	struct aead ours, peers;
};

enum ktls_lane_result {
	KTLS_LANE_OK = 0,
	KTLS_LANE_NO_WAY = 1, /* this kernel has not this way, or there is no pipe for it */
};

/* 0 or -ENOMEM. */
int ktls_bench_new(struct ktls_bench **ret);
void ktls_bench_free(struct ktls_bench *bench); /* NULL is fine */

/* With keys of its own. Must be given back, whatever it returns: KTLS_LANE_OK, KTLS_LANE_NO_WAY, or
 * -errno with `err`. */
int ktls_lane_init(struct ktls_lane *lane, const struct ktls_support *support, uint16_t version,
		   enum tls_cipher cipher, enum ktls_direction direction, enum ktls_way way,
		   struct err_text *err);
void ktls_lane_fini(struct ktls_lane *lane, struct ktls_bench *bench);
/* Sends records of a size through. With `check` every byte that arrives is compared (-EBADMSG;
 * before any turn without it, in which the other end opens nothing), and
 * *ret_ns says nothing; without it is what one record took, in nanoseconds of CPU time. 0 or
 * -errno; never takes longer than some seconds. */
int ktls_lane_turn(struct ktls_lane *lane, struct ktls_bench *bench, enum ktls_size size,
		   bool check, uint32_t *ret_ns);

#endif
