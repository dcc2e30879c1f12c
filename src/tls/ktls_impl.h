/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of tls/ only: the one system call that gives a socket the keys of one direction.
 */
#ifndef SALLYPORT_TLS_KTLS_IMPL_H
#define SALLYPORT_TLS_KTLS_IMPL_H

#include <stdbool.h>

#include "tls/traffic_keys.h"

struct ktls_key {
	uint16_t version;
	uint8_t cipher; /* enum tls_cipher */
	const struct traffic_keys *keys;
	uint64_t sequence; /* of the next record */
};

/* 0 or -errno. */
int ktls_attach(int fd);
int ktls_set_key(int fd, bool sending, const struct ktls_key *key);

#endif
