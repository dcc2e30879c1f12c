/* SPDX-License-Identifier: Apache-2.0 */
/* See record_peer.h. What can not go wrong is asserted. */
#include "lib/record_peer.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void record_peer_init(struct record_peer *peer, int fd, struct tls_keys *keys)
{
	int r = aead_cache_new(2, &peer->cache);

	assert(r == 0);
	(void)r;
	peer->fd = fd;
	peer->keys = keys;
	peer->in_bytes = 0;
	aead_init(&peer->rx, keys, false);
	aead_init(&peer->tx, keys, true);
}

void record_peer_fini(struct record_peer *peer)
{
	if (peer->fd >= 0)
		close(peer->fd);
	aead_release(peer->cache, &peer->rx);
	aead_release(peer->cache, &peer->tx);
	aead_cache_free(peer->cache);
	tls_keys_free(peer->keys);
}

size_t record_peer_seal(struct record_peer *peer, uint8_t type, const void *data, size_t len,
			uint8_t *ret)
{
	size_t prefix = aead_prefix_bytes(&peer->tx);
	int r;

	memcpy(ret + prefix, data, len);
	r = aead_seal(peer->cache, &peer->tx, type, ret, len);
	assert(r == AEAD_OK);
	(void)r;
	return prefix + len + aead_suffix_bytes(&peer->tx);
}

void record_peer_send_raw(struct record_peer *peer, const void *bytes, size_t len)
{
	ssize_t n = send(peer->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	assert(n == (ssize_t)len);
	(void)n;
}

void record_peer_send(struct record_peer *peer, uint8_t type, const void *data, size_t len)
{
	uint8_t record[TLS_RECORD_BYTES_MAX];

	record_peer_send_raw(peer, record, record_peer_seal(peer, type, data, len, record));
}

void record_peer_rekey(struct record_peer *peer, bool sending)
{
	int r;

	aead_release(peer->cache, sending ? &peer->tx : &peer->rx);
	r = tls13_update_key((enum tls_cipher)peer->keys->cipher,
			     sending ? &peer->keys->tx : &peer->keys->rx);
	assert(r == 0);
	(void)r;
	*(sending ? &peer->keys->tx_sequence : &peer->keys->rx_sequence) = 0;
}

/* Reads until `want` bytes are there. */
static enum record_peer_result fill(struct record_peer *peer, size_t want)
{
	while (peer->in_bytes < want) {
		ssize_t n = recv(peer->fd, peer->in + peer->in_bytes, want - peer->in_bytes,
				 MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN ? RECORD_PEER_NOTHING : RECORD_PEER_RESET;
		if (n == 0)
			return RECORD_PEER_END;
		peer->in_bytes += (size_t)n;
	}
	return RECORD_PEER_RECORD;
}

enum record_peer_result record_peer_recv(struct record_peer *peer, uint8_t *ret_type, uint8_t *ret,
					 size_t *ret_len)
{
	enum record_peer_result r = fill(peer, TLS_RECORD_HEADER_BYTES);
	uint8_t type, *payload;
	size_t body, len;

	if (r != RECORD_PEER_RECORD)
		return r;
	if (tls_record_check_header(peer->in, &type, &body) != TLS_RECORD_OK)
		return RECORD_PEER_FORGED;
	r = fill(peer, TLS_RECORD_HEADER_BYTES + body);
	if (r != RECORD_PEER_RECORD)
		return r;
	peer->in_bytes = 0;
	if (aead_open(peer->cache, &peer->rx, peer->in, TLS_RECORD_HEADER_BYTES + body, &type,
		      &payload, &len) != AEAD_OK)
		return RECORD_PEER_FORGED;
	memcpy(ret, payload, len);
	*ret_type = type;
	*ret_len = len;
	return RECORD_PEER_RECORD;
}
