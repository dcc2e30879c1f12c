/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream of control records: [version and role][type][length][bytes], again and again. Nothing is
 * held beyond five bytes and a counter, and what is refused has an alert.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tls/post_handshake.h"

#define NO_ALERT 255

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct post_handshake *ph, enum post_handshake_event event, uint8_t alert)
{
	if (ph->partial_bytes > KEY_UPDATE_MESSAGE_BYTES ||
	    ph->skip_bytes > POST_HANDSHAKE_SKIP_MAX)
		abort();
	if (event < POST_HANDSHAKE_NOTHING || event > POST_HANDSHAKE_REFUSE)
		abort();
	if (event == POST_HANDSHAKE_REFUSE && alert == NO_ALERT)
		abort();
	if ((event == POST_HANDSHAKE_KEY_UPDATE || event == POST_HANDSHAKE_KEY_UPDATE_REQUESTED) &&
	    post_handshake_pending(ph))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct post_handshake ph = { 0 };
	uint16_t version;
	bool client;

	if (!size)
		return 0;
	version = data[0] & 1 ? 0x0303 : 0x0304;
	client = data[0] & 2;
	data++;
	size--;
	while (size >= 2) {
		uint8_t type = data[0], alert = NO_ALERT;
		size_t len = data[1] < size - 2 ? data[1] : size - 2;
		/* A copy of its own, so that a read behind the end is seen. */
		uint8_t *copy = malloc(len ? len : 1);
		enum post_handshake_event event;

		memcpy(copy, data + 2, len);
		event = post_handshake_record(&ph, version, client, type, copy, len, &alert);
		free(copy);
		check(&ph, event, alert);
		if (event == POST_HANDSHAKE_REFUSE || event == POST_HANDSHAKE_PEER_ALERT)
			break;
		data += 2 + len;
		size -= 2 + len;
	}
	return 0;
}
