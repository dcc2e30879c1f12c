/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys that sign tokens, in a folder: the private ones in one file that only we read, the
 * public ones beside it for whoever verifies. Several processes may share a folder: they then sign
 * with the same keys, whichever of them renews these.
 *
 *	DIR/signing-keys.pem (0600)  DIR/jwks.json  DIR/rotate (made by an operator: see below)
 *
 * A new key is published first, and signs after `overlap_s`; an old one is taken away when it has
 * not signed for as long. One thread.
 */
#ifndef SALLYPORT_PKI_KEY_RING_H
#define SALLYPORT_PKI_KEY_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "kafka/jwt.h"
#include "pki/token_key.h"

struct key_ring_params {
	const char *dir; /* borrowed, as long as the ring */
	enum jwt_algorithm algorithm;
	mode_t jwks_mode;
	int64_t rotate_every_s; /* 0: only when told to */
	int64_t overlap_s;
};

struct key_ring;

/* What a turn has done; several may be true. */
struct key_ring_news {
	bool made, removed, reread; /* a key; keys; somebody else has changed the files */
};

/* Opens the folder, makes the first key if there is none, and writes the public file. 0, or
 * -errno with `err`. */
int key_ring_open(const struct key_ring_params *params, int64_t now, struct key_ring **ret,
		  struct err_text *err);
void key_ring_free(struct key_ring *ring); /* NULL is fine */
/* To be called every second or so: does what is due, or what the file `rotate` wants, which it
 * takes away. 0, or -errno with `err`: nothing has changed then, and it is tried again. */
int key_ring_turn(struct key_ring *ring, int64_t now, struct key_ring_news *ret_news,
		  struct err_text *err);
/* The key that signs now; the ring's. */
struct token_key *key_ring_current(const struct key_ring *ring, int64_t now);
size_t key_ring_count(const struct key_ring *ring);

#endif
