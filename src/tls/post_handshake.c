/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parser for the few messages that may come after the handshake. It keeps the head of a message
 * that is cut (five bytes at most) and counts a ticket's body down without keeping it, so a peer
 * can make it hold nothing. Pure functions on the caller's struct; the connection's thread.
 */
#include "tls/post_handshake.h"

#include <string.h>

#include "base/util.h"
#include "tls/traffic_keys.h"

enum handshake_type { /* RFC 8446 4 */
		      NEW_SESSION_TICKET = 4,
		      KEY_UPDATE = 24,
};

enum key_update_request { /* RFC 8446 4.6.3 */
			  UPDATE_NOT_REQUESTED = 0,
			  UPDATE_REQUESTED = 1,
};

static enum post_handshake_event refuse(uint8_t alert, uint8_t *ret_alert)
{
	*ret_alert = alert;
	return POST_HANDSHAKE_REFUSE;
}

/* In TLS 1.3 the level means nothing and all but two alerts are fatal; in 1.2 a warning may be
 * ignored. */
static enum post_handshake_event take_alert(uint16_t version, const uint8_t *data, size_t len,
					    uint8_t *ret_alert)
{
	if (len != 2)
		return refuse(TLS_ALERT_DECODE_ERROR, ret_alert);
	if (data[1] == TLS_ALERT_CLOSE_NOTIFY)
		return POST_HANDSHAKE_CLOSE_NOTIFY;
	if (data[1] == TLS_ALERT_USER_CANCELED)
		return POST_HANDSHAKE_NOTHING; /* close_notify follows */
	if (version != TLS_VERSION_1_3 && data[0] == TLS_ALERT_WARNING)
		return POST_HANDSHAKE_NOTHING;
	if (version != TLS_VERSION_1_3 && data[0] != TLS_ALERT_FATAL)
		return refuse(TLS_ALERT_ILLEGAL_PARAMETER, ret_alert);
	*ret_alert = data[1];
	return POST_HANDSHAKE_PEER_ALERT;
}

/* Fills ph->partial up to `want` bytes; false if the record ends before. */
static bool gather(struct post_handshake *ph, size_t want, const uint8_t **data, size_t *len)
{
	size_t n = MIN(want - ph->partial_bytes, *len);

	memcpy(ph->partial + ph->partial_bytes, *data, n);
	ph->partial_bytes = (uint8_t)(ph->partial_bytes + n);
	*data += n;
	*len -= n;
	return ph->partial_bytes == want;
}

static void skip(struct post_handshake *ph, const uint8_t **data, size_t *len)
{
	size_t n = MIN((size_t)ph->skip_bytes, *len);

	ph->skip_bytes -= (uint32_t)n;
	*data += n;
	*len -= n;
}

/* `left`: bytes of the record after the message. The key changes with this message, so nothing may
 * follow it under the old one. */
static enum post_handshake_event take_key_update(struct post_handshake *ph, size_t left,
						 uint8_t *ret_alert)
{
	uint8_t request = ph->partial[POST_HANDSHAKE_HEADER_BYTES];

	if (request != UPDATE_NOT_REQUESTED && request != UPDATE_REQUESTED)
		return refuse(TLS_ALERT_ILLEGAL_PARAMETER, ret_alert);
	if (left)
		return refuse(TLS_ALERT_UNEXPECTED_MESSAGE, ret_alert);
	ph->partial_bytes = 0;
	return request == UPDATE_REQUESTED ? POST_HANDSHAKE_KEY_UPDATE_REQUESTED
					   : POST_HANDSHAKE_KEY_UPDATE;
}

/* The header in ph->partial is complete: is this message allowed, and of a size that can be? */
static enum post_handshake_event check_header(struct post_handshake *ph, bool we_are_client,
					      uint8_t *ret_alert)
{
	uint32_t length =
		(uint32_t)ph->partial[1] << 16 | (uint32_t)ph->partial[2] << 8 | ph->partial[3];

	if (ph->partial[0] == KEY_UPDATE)
		return length == 1 ? POST_HANDSHAKE_NOTHING
				   : refuse(TLS_ALERT_DECODE_ERROR, ret_alert);
	if (ph->partial[0] != NEW_SESSION_TICKET || !we_are_client)
		return refuse(TLS_ALERT_UNEXPECTED_MESSAGE, ret_alert);
	if (length > POST_HANDSHAKE_SKIP_MAX)
		return refuse(TLS_ALERT_DECODE_ERROR, ret_alert);
	ph->skip_bytes = length;
	ph->partial_bytes = 0;
	return POST_HANDSHAKE_NOTHING;
}

static enum post_handshake_event take_handshake(struct post_handshake *ph, bool we_are_client,
						const uint8_t *data, size_t len, uint8_t *ret_alert)
{
	enum post_handshake_event event;

	if (!len) /* RFC 8446 5.1 */
		return refuse(TLS_ALERT_UNEXPECTED_MESSAGE, ret_alert);
	while (len) {
		if (ph->skip_bytes) {
			skip(ph, &data, &len);
			continue;
		}
		if (ph->partial_bytes < POST_HANDSHAKE_HEADER_BYTES) {
			if (!gather(ph, POST_HANDSHAKE_HEADER_BYTES, &data, &len))
				break;
			event = check_header(ph, we_are_client, ret_alert);
			if (event != POST_HANDSHAKE_NOTHING)
				return event;
			continue;
		}
		/* Only a KeyUpdate gets here. */
		gather(ph, KEY_UPDATE_MESSAGE_BYTES, &data, &len);
		return take_key_update(ph, len, ret_alert);
	}
	return POST_HANDSHAKE_NOTHING;
}

enum post_handshake_event post_handshake_record(struct post_handshake *ph, uint16_t version,
						bool we_are_client, uint8_t type,
						const uint8_t *data, size_t len, uint8_t *ret_alert)
{
	if (type != TLS_HANDSHAKE && post_handshake_pending(ph))
		return refuse(TLS_ALERT_UNEXPECTED_MESSAGE, ret_alert);
	switch (type) {
	case TLS_ALERT:
		return take_alert(version, data, len, ret_alert);
	case TLS_HANDSHAKE:
		if (version != TLS_VERSION_1_3)
			return refuse(TLS_ALERT_NO_RENEGOTIATION, ret_alert);
		return take_handshake(ph, we_are_client, data, len, ret_alert);
	case TLS_APPLICATION_DATA:
		return POST_HANDSHAKE_NOTHING;
	default:
		return refuse(TLS_ALERT_UNEXPECTED_MESSAGE, ret_alert);
	}
}

bool post_handshake_pending(const struct post_handshake *ph)
{
	return ph->partial_bytes || ph->skip_bytes;
}

void key_update_message(uint8_t ret[KEY_UPDATE_MESSAGE_BYTES], bool request)
{
	static const uint8_t head[POST_HANDSHAKE_HEADER_BYTES] = { KEY_UPDATE, 0, 0, 1 };

	memcpy(ret, head, sizeof(head));
	ret[POST_HANDSHAKE_HEADER_BYTES] = request ? UPDATE_REQUESTED : UPDATE_NOT_REQUESTED;
}
