/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection in the relay under a schedule that comes from a fuzzer: a TLS peer, a plain peer,
 * and between them what is tested. The input says who does what next. Whatever happens: what
 * arrives is a prefix of what was sent, an orderly end comes behind the last byte only, and nothing
 * stays when both have left. How the TLS peer makes its records is up to whoever calls.
 */
#ifndef SALLYPORT_TESTS_FUZZ_RELAY_SCHEDULE_H
#define SALLYPORT_TESTS_FUZZ_RELAY_SCHEDULE_H

#include "unit/dataplane/rig.h"

#include "lib/record_peer.h"

/* Bits of an input's first byte that mean the same to all; the rest is the TLS peer's own. */
#define HOW_FRONT	4
#define HOW_NO_SPLICE	8
#define HOW_SMALL_PLAIN 32
#define HOW_NEAR_LIMIT	64 /* few records are left of our key */

struct tls_peer {
	int fd;		  /* -1 once it has left */
	bool shut;	  /* nothing more comes from it */
	bool broke_rules; /* its connection may end in any way */
	bool can_update;  /* KeyUpdates are no breach */
	/* A record, now or with the next deliver(). False: no room, nothing was done. */
	bool (*send)(struct tls_peer *peer, uint8_t type, const void *data, size_t len);
	/* Bytes that are none. */
	void (*send_raw)(struct tls_peer *peer, const uint8_t *bytes, size_t len);
	/* At most so many bytes of what was sent go on their way; returns how many. */
	size_t (*deliver)(struct tls_peer *peer, size_t len);
	void (*next_key)(struct tls_peer *peer, bool sending);
	enum record_peer_result (*recv)(struct tls_peer *peer, uint8_t *ret_type, uint8_t *ret,
					size_t *ret_len);
};

extern struct rig schedule_rig;

/* Aborts unless it is true. */
void must(bool truth);
/* Before a connection is made; `how` is the input's first byte. */
void schedule_prepare(uint8_t how);
/* The connection on the prepared rig, its TLS side without a transport yet. Takes `tls_fd`. */
struct conn *schedule_conn(uint8_t how, int tls_fd);
/* Runs the schedule, then ends the connection and checks that nothing is left. Closes peer->fd. */
void schedule_run(struct conn *conn, struct tls_peer *peer, const uint8_t *data, size_t size);

#endif
