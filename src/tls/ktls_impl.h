/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of tls/ only: the one system call that gives a socket the keys of one direction; and pairs
 * of sockets to try things on.
 */
#ifndef SALLYPORT_TLS_KTLS_IMPL_H
#define SALLYPORT_TLS_KTLS_IMPL_H

#include <stdbool.h>

#include "tls/traffic_keys.h"

/* Of the kernel's iv for GCM; the rest of it is, in TLS 1.2, the explicit nonce. */
#define GCM_SALT_BYTES 4

struct ktls_key {
	uint16_t version;
	uint8_t cipher; /* enum tls_cipher */
	const struct traffic_keys *keys;
	uint64_t sequence; /* of the next record */
};

/* 0 or -errno. */
int ktls_attach(int fd);
int ktls_set_key(int fd, bool sending, const struct ktls_key *key);

/* Two ends of a TCP connection on loopback. */
struct ktls_pair {
	int a, b;
};
#define KTLS_PAIR_NONE { -1, -1 }

/* Blocking, but never for longer than a second a call. 0 or -errno; *p is to be given back either
 * way. */
int ktls_pair_init(struct ktls_pair *p);
void ktls_pair_fini(struct ktls_pair *p);
#define cleanup_ktls_pair __attribute__((cleanup(ktls_pair_fini)))

#endif
