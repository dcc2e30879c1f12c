/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks (CIDR) and addresses. IPv4 lives in IPv6 as ::ffff:a.b.c.d, so that one form does for
 * both. Pure; any thread.
 */
#ifndef SALLYPORT_BASE_CIDR_H
#define SALLYPORT_BASE_CIDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct cidr {
	struct in6_addr address; /* bits beyond the prefix are 0 */
	unsigned int bits;	 /* of the 128: an IPv4 /24 has 120 */
};

struct cidr_list {
	struct cidr *items;
	size_t count;
};

#define CIDR_IPV4_BITS 96 /* what precedes an IPv4 address in its IPv6 form */

/* "10.0.0.0/8", "2001:db8::/32", or an address alone, which is a network of one. 0; -EINVAL: not
 * the form; -ERANGE: a longer prefix than an address has; -EDOM: bits are set beyond the prefix
 * (10.0.0.1/8), and nobody can tell which of two networks is meant. */
int cidr_parse(const char *text, struct cidr *ret);
bool cidr_contains(const struct cidr *cidr, const struct in6_addr *address);
bool cidr_list_contains(const struct cidr_list *list, const struct in6_addr *address);

/* Clears what is beyond the first `bits` of the 128. */
void address_mask(struct in6_addr *address, unsigned int bits);
/* Address and port of an AF_INET or AF_INET6 socket address; all zero for another family. */
void address_from_sockaddr(const struct sockaddr_storage *sa, struct in6_addr *ret,
			   uint16_t *ret_port);

#define ADDRESS_TEXT_BYTES (INET6_ADDRSTRLEN + 8)
/* "192.0.2.1:443", "[2001:db8::1]:443". */
void address_text(const struct in6_addr *address, uint16_t port, char ret[ADDRESS_TEXT_BYTES]);

#endif
