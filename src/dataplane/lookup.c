/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks a name up without waiting (lookup.h). A resolver that does not answer keeps getaddrinfo()
 * for tens of seconds, and who waits for it hears no signal. glibc does it on threads of its own; a
 * struct lookup holds all that such a thread reads, and belongs to it until it has ended.
 */
#include "dataplane/lookup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/util.h"

struct lookup {
	struct gaicb request;
	struct addrinfo hints;
	char port[8];
	char host[];
};

int lookup_start(const char *host, uint16_t port, struct lookup **ret)
{
	size_t len = strlen(host) + 1;
	struct lookup *lookup = calloc(1, sizeof(*lookup) + len);
	struct gaicb *list[1];
	int r;

	if (!lookup)
		return EAI_MEMORY;
	memcpy(lookup->host, host, len);
	snprintf(lookup->port, sizeof(lookup->port), "%u", port);
	lookup->hints = (struct addrinfo){ .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	lookup->request = (struct gaicb){ .ar_name = lookup->host,
					  .ar_service = lookup->port,
					  .ar_request = &lookup->hints };
	list[0] = &lookup->request;
	r = getaddrinfo_a(GAI_NOWAIT, list, 1, NULL);
	if (r != 0) {
		free(lookup);
		return r;
	}
	*ret = lookup;
	return 0;
}

void lookup_wait(struct lookup *lookup, uint64_t until_ns)
{
	const struct gaicb *list[] = { &lookup->request };
	uint64_t now_ns;

	/* It may return early for a signal, or because another look-up has ended. */
	while (gai_error(&lookup->request) == EAI_INPROGRESS &&
	       (now_ns = clock_monotonic_ns()) < until_ns) {
		struct timespec left = { (time_t)((until_ns - now_ns) / NSEC_PER_SEC),
					 (long)((until_ns - now_ns) % NSEC_PER_SEC) };

		gai_suspend(list, 1, &left);
	}
}

int lookup_take(struct lookup **lookup, struct addrinfo **ret)
{
	int r = gai_error(&(*lookup)->request);

	if (r == EAI_INPROGRESS)
		return r;
	if (r == 0)
		*ret = (*lookup)->request.ar_result;
	free(TAKE_PTR(*lookup));
	return r;
}

void lookup_drop(struct lookup *lookup)
{
	/* What runs cannot be stopped, and its thread will still write: left to it. */
	if (!lookup || gai_cancel(&lookup->request) == EAI_NOTCANCELED)
		return;
	if (gai_error(&lookup->request) == 0)
		freeaddrinfo(lookup->request.ar_result);
	free(lookup);
}
