/* SPDX-License-Identifier: Apache-2.0 */
/* Numeric addresses only: a resolver has no place in a measurement. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int load_address_parse(const char *text, struct load_address *ret_address)
{
	struct load_address address = { 0 };
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address.sa;
	struct sockaddr_in *in4 = (struct sockaddr_in *)&address.sa;
	const char *colon = strrchr(text, ':');
	char host[64], *end;
	unsigned long port;
	size_t len;

	if (!colon)
		return -EINVAL;
	port = strtoul(colon + 1, &end, 10);
	if (end == colon + 1 || *end || port > 65535)
		return -EINVAL;
	len = (size_t)(colon - text);
	if (len >= 2 && text[0] == '[' && colon[-1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (inet_pton(AF_INET, host, &in4->sin_addr) == 1) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons((uint16_t)port);
		address.len = sizeof(*in4);
	} else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		address.len = sizeof(*in6);
	} else {
		return -EINVAL;
	}
	*ret_address = address;
	return 0;
}
