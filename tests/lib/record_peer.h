/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of a connection whose records we seal and open ourselves: no handshake, keys come
 * from the test. Also for records that no honest peer would send.
 */
#ifndef SALLYPORT_TESTS_LIB_RECORD_PEER_H
#define SALLYPORT_TESTS_LIB_RECORD_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls/aead.h"

struct record_peer {
	int fd;		       /* owned, -1: closed */
	struct tls_keys *keys; /* owned */
	struct aead rx, tx;
	struct aead_cache *cache;
	size_t in_bytes;
	uint8_t in[TLS_RECORD_BYTES_MAX];
};

enum record_peer_result {
	RECORD_PEER_NOTHING = 0,
	RECORD_PEER_RECORD = 1,
	RECORD_PEER_END = 2,
	RECORD_PEER_RESET = 3,
	RECORD_PEER_FORGED = 4, /* a record that does not open */
};

/* Takes both. */
void record_peer_init(struct record_peer *peer, int fd, struct tls_keys *keys);
void record_peer_fini(struct record_peer *peer);

/* One record's bytes into `ret`, which has room for it; returns how many. */
size_t record_peer_seal(struct record_peer *peer, uint8_t type, const void *data, size_t len,
			uint8_t *ret);
/* Seals and sends; the socket must have room. */
void record_peer_send(struct record_peer *peer, uint8_t type, const void *data, size_t len);
/* Raw bytes; the socket must have room. */
void record_peer_send_raw(struct record_peer *peer, const void *bytes, size_t len);
/* Its next key. */
void record_peer_rekey(struct record_peer *peer, bool sending);
/* The next record, if it is there whole. `ret` has room for TLS_PLAINTEXT_BYTES_MAX. */
enum record_peer_result record_peer_recv(struct record_peer *peer, uint8_t *ret_type, uint8_t *ret,
					 size_t *ret_len);

#endif
