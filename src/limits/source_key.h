/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What counts as one source: an address with its last bits cleared, since who has one IPv6 address
 * has 2^64 of them. And a hash of it that strangers can not steer. Pure; any thread.
 */
#ifndef SALLYPORT_LIMITS_SOURCE_KEY_H
#define SALLYPORT_LIMITS_SOURCE_KEY_H

#include <netinet/in.h>
#include <stdint.h>

struct source_masks {
	unsigned int ipv4, ipv6; /* bits that are kept: of 32, of 128 */
};

struct source_secret {
	uint64_t words[2];
};

struct in6_addr source_key(const struct in6_addr *address, const struct source_masks *masks);
/* From the kernel. 0 or -errno. */
int source_secret_make(struct source_secret *ret);
uint64_t source_hash(const struct source_secret *secret, const struct in6_addr *key);

#endif
