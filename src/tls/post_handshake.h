/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may come after the handshake besides data: alerts, NewSessionTicket, KeyUpdate (RFC
 * 8446 4.6, 6). Parses the plaintext of control records from any transport and builds the ones we
 * send. Pure.
 */
#ifndef SALLYPORT_TLS_POST_HANDSHAKE_H
#define SALLYPORT_TLS_POST_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls/record.h"

#define POST_HANDSHAKE_HEADER_BYTES 4
#define POST_HANDSHAKE_SKIP_MAX	    (64 * 1024) /* a NewSessionTicket that is larger is refused */
#define KEY_UPDATE_MESSAGE_BYTES    5

/* A message may be cut over several records; tickets are skipped as they come, so this is all that
 * is kept. */
struct post_handshake {
	uint8_t partial[KEY_UPDATE_MESSAGE_BYTES];
	uint8_t partial_bytes;
	uint32_t skip_bytes; /* of a ticket's body still to come */
};

enum post_handshake_event {
	POST_HANDSHAKE_NOTHING = 0, /* go on */
	POST_HANDSHAKE_CLOSE_NOTIFY = 1,
	POST_HANDSHAKE_PEER_ALERT = 2,		 /* fatal: *ret_alert */
	POST_HANDSHAKE_KEY_UPDATE = 3,		 /* receive key moves on */
	POST_HANDSHAKE_KEY_UPDATE_REQUESTED = 4, /* … and the peer wants ours to */
	POST_HANDSHAKE_REFUSE = 5,		 /* not allowed here: send *ret_alert and close */
};

/* One control record's plaintext. `we_are_client`: tickets are legal. For TLS 1.2 every handshake
 * message is a renegotiation attempt: refused with no_renegotiation. */
enum post_handshake_event post_handshake_record(struct post_handshake *ph, uint16_t version,
						bool we_are_client, uint8_t type,
						const uint8_t *data, size_t len,
						uint8_t *ret_alert);
/* True while a message is incomplete: no application data may come in between (RFC 8446 5.1). */
bool post_handshake_pending(const struct post_handshake *ph);
void key_update_message(uint8_t ret[KEY_UPDATE_MESSAGE_BYTES], bool request);

#endif
