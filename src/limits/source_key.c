/* SPDX-License-Identifier: Apache-2.0 */
/* Sources (source_key.h). Pure but for the secret, which the kernel gives; any thread. */
#include "limits/source_key.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/cidr.h"

struct in6_addr source_key(const struct in6_addr *address, const struct source_masks *masks)
{
	struct in6_addr key = *address;

	address_mask(&key,
		     IN6_IS_ADDR_V4MAPPED(address) ? CIDR_IPV4_BITS + masks->ipv4 : masks->ipv6);
	return key;
}

int source_secret_make(struct source_secret *ret)
{
	ssize_t n;

	do {
		n = getrandom(ret, sizeof(*ret), 0);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(*ret) ? 0 : -EIO;
}

/* Multiplied to 128 bits with a secret on both sides and folded: who does not know the secret can
 * not find sources that collide. */
uint64_t source_hash(const struct source_secret *secret, const struct in6_addr *key)
{
	unsigned __int128 product;
	uint64_t words[2];

	memcpy(words, key, sizeof(words));
	product = (unsigned __int128)(words[0] ^ secret->words[0]) * (words[1] ^ secret->words[1]);
	product = (unsigned __int128)((uint64_t)product ^ (uint64_t)(product >> 64) ^
				      secret->words[0]) *
		  0x9e3779b97f4a7c15ULL;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}
