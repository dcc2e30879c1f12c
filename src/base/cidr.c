/* SPDX-License-Identifier: Apache-2.0 */
/* Networks and addresses (cidr.h). Pure; any thread. */
#include "base/cidr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "base/util.h"

static void map_ipv4(const struct in_addr *in, struct in6_addr *ret)
{
	*ret = (struct in6_addr){ 0 };
	ret->s6_addr[10] = ret->s6_addr[11] = 0xff;
	memcpy(&ret->s6_addr[12], in, sizeof(*in));
}

void address_mask(struct in6_addr *address, unsigned int bits)
{
	for (unsigned int i = 0; i < sizeof(address->s6_addr); i++) {
		unsigned int kept = bits > i * 8 ? MIN(bits - i * 8, 8u) : 0;

		address->s6_addr[i] &= (uint8_t)(0xff00u >> kept);
	}
}

int cidr_parse(const char *text, struct cidr *ret)
{
	const char *slash = strchrnul(text, '/');
	char host[INET6_ADDRSTRLEN];
	struct in6_addr masked;
	struct in_addr in;
	struct cidr cidr;
	uint64_t bits;
	size_t len = (size_t)(slash - text);
	unsigned int before = 0;
	int r;

	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = 0;
	if (inet_pton(AF_INET, host, &in) == 1) {
		map_ipv4(&in, &cidr.address);
		before = CIDR_IPV4_BITS;
	} else if (inet_pton(AF_INET6, host, &cidr.address) != 1) {
		return -EINVAL;
	}
	bits = 128 - before;
	if (*slash) {
		r = parse_u64(slash + 1, 0, bits, &bits);
		if (r < 0)
			return r;
	}
	cidr.bits = (unsigned int)bits + before;
	masked = cidr.address;
	address_mask(&masked, cidr.bits);
	if (memcmp(&masked, &cidr.address, sizeof(masked)) != 0)
		return -EDOM;
	*ret = cidr;
	return 0;
}

bool cidr_contains(const struct cidr *cidr, const struct in6_addr *address)
{
	struct in6_addr masked = *address;

	address_mask(&masked, cidr->bits);
	return memcmp(&masked, &cidr->address, sizeof(masked)) == 0;
}

bool cidr_list_contains(const struct cidr_list *list, const struct in6_addr *address)
{
	for (size_t i = 0; i < list->count; i++)
		if (cidr_contains(&list->items[i], address))
			return true;
	return false;
}

void address_from_sockaddr(const struct sockaddr_storage *sa, struct in6_addr *ret,
			   uint16_t *ret_port)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
	const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

	*ret = (struct in6_addr){ 0 };
	*ret_port = 0;
	if (sa->ss_family == AF_INET6) {
		*ret = in6->sin6_addr;
		*ret_port = ntohs(in6->sin6_port);
	} else if (sa->ss_family == AF_INET) {
		map_ipv4(&in->sin_addr, ret);
		*ret_port = ntohs(in->sin_port);
	}
}

void address_text(const struct in6_addr *address, uint16_t port, char ret[ADDRESS_TEXT_BYTES])
{
	char ip[INET6_ADDRSTRLEN];

	if (IN6_IS_ADDR_V4MAPPED(address)) {
		inet_ntop(AF_INET, &address->s6_addr[12], ip, sizeof(ip));
		snprintf(ret, ADDRESS_TEXT_BYTES, "%s:%u", ip, port);
	} else {
		inet_ntop(AF_INET6, address, ip, sizeof(ip));
		snprintf(ret, ADDRESS_TEXT_BYTES, "[%s]:%u", ip, port);
	}
}
