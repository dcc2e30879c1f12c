/* SPDX-License-Identifier: Apache-2.0 */
/* Looks a name up while nobody waits for it. */
#ifndef SALLYPORT_DATAPLANE_LOOKUP_H
#define SALLYPORT_DATAPLANE_LOOKUP_H

#include <netdb.h>
#include <stdint.h>

struct lookup;

/* Starts one and returns at once: 0, or an EAI_ code. */
int lookup_start(const char *host, uint16_t port, struct lookup **ret);
/* Waits until it has ended or the monotonic clock says `until_ns`. */
void lookup_wait(struct lookup *lookup, uint64_t until_ns);
/* EAI_INPROGRESS while it runs. Else it has ended and *lookup is freed: 0 and the addresses, which
 * are the caller's (freeaddrinfo()), or an EAI_ code. */
int lookup_take(struct lookup **lookup, struct addrinfo **ret);
/* The result is not wanted any more. */
void lookup_drop(struct lookup *lookup);

#endif
