/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a running proxy and the one that replaces it say to each other, over a SOCK_SEQPACKET pair
 * whose other end the new one inherits: its number is in $SALLYPORT_HANDOVER_FD. The two may be of
 * different versions of the program: this layout only changes together with HANDOVER_VERSION.
 *
 *	old -> new	HANDOVER_SOCKETS, with descriptors, as many as it takes;
 *HANDOVER_SOCKETS_END new -> old	HANDOVER_READY: it serves old -> new	HANDOVER_TAKEN: the
 *old one accepts nobody any more, the service is the new one's
 *
 * An end of the stream before that: the other one has given up. Numbers are in host order.
 */
#ifndef SALLYPORT_ABI_HANDOVER_H
#define SALLYPORT_ABI_HANDOVER_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define HANDOVER_FD_VARIABLE "SALLYPORT_HANDOVER_FD"
#define HANDOVER_MAGIC	     0x53414c4c59504f52ULL
#define HANDOVER_VERSION     1
#define HANDOVER_FDS_MAX     128 /* in one message */

enum handover_kind {
	HANDOVER_SOCKETS = 1,
	HANDOVER_SOCKETS_END = 2,
	HANDOVER_READY = 3,
	HANDOVER_TAKEN = 4,
};

#define HANDOVER_OWNS_PATH 1u /* a unix socket whose file its owner removes in the end */

struct handover_message {
	uint64_t magic;
	uint32_t version;
	uint32_t kind;
	uint32_t count;	   /* SOCKETS: of descriptors that come with it */
	uint32_t flags;	   /* SOCKETS */
	char listener[72]; /* SOCKETS: whose they are by name; "": by their address */
};

static_assert(sizeof(struct handover_message) == 96, "crosses processes of different versions");
static_assert(offsetof(struct handover_message, kind) == 12, "crosses processes");
static_assert(offsetof(struct handover_message, listener) == 24, "crosses processes");

#endif
