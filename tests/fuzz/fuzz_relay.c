/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay with our own record layer under any schedule (relay_schedule.h): the TLS peer's records
 * are cut anywhere, and every record of ours has to open at its end.
 */
#include "relay_schedule.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HOW_SMALL_TLS 16
#define QUEUE_BYTES   (256 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct aead_peer {
	struct tls_peer peer;
	struct record_peer records;
	size_t queued, queue_sent; /* of what is sealed and not sent yet */
	uint8_t queue[QUEUE_BYTES];
};

static bool peer_send(struct tls_peer *peer, uint8_t type, const void *data, size_t len)
{
	struct aead_peer *a = container_of(peer, struct aead_peer, peer);

	if (QUEUE_BYTES - a->queued < TLS_RECORD_BYTES_MAX)
		return false;
	a->queued += record_peer_seal(&a->records, type, data, len, a->queue + a->queued);
	return true;
}

static void peer_send_raw(struct tls_peer *peer, const uint8_t *bytes, size_t len)
{
	struct aead_peer *a = container_of(peer, struct aead_peer, peer);

	len = MIN(len, QUEUE_BYTES - a->queued);
	memcpy(a->queue + a->queued, bytes, len);
	a->queued += len;
}

static size_t peer_deliver(struct tls_peer *peer, size_t len)
{
	struct aead_peer *a = container_of(peer, struct aead_peer, peer);
	ssize_t n;

	len = MIN(len, a->queued - a->queue_sent);
	if (!len)
		return 0;
	n = send(peer->fd, a->queue + a->queue_sent, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n <= 0)
		return 0;
	a->queue_sent += (size_t)n;
	if (a->queue_sent == a->queued)
		a->queue_sent = a->queued = 0;
	return (size_t)n;
}

static void peer_next_key(struct tls_peer *peer, bool sending)
{
	record_peer_rekey(&container_of(peer, struct aead_peer, peer)->records, sending);
}

static enum record_peer_result peer_recv(struct tls_peer *peer, uint8_t *ret_type, uint8_t *ret,
					 size_t *ret_len)
{
	struct aead_peer *a = container_of(peer, struct aead_peer, peer);

	return record_peer_recv(&a->records, ret_type, ret, ret_len);
}

static const struct tls_peer template = {
	.send = peer_send,
	.send_raw = peer_send_raw,
	.deliver = peer_deliver,
	.next_key = peer_next_key,
	.recv = peer_recv,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct {
		uint16_t version;
		enum tls_cipher cipher;
	} suites[] = {
		{ VERSION_1_3, TLS_CIPHER_AES_128_GCM_SHA256 },
		{ VERSION_1_3, TLS_CIPHER_CHACHA20_POLY1305_SHA256 },
		{ VERSION_1_2, TLS_CIPHER_AES_128_GCM_SHA256 },
		{ VERSION_1_3, TLS_CIPHER_AES_256_GCM_SHA384 },
	};
	static struct aead_peer a;
	uint8_t how = size ? data[0] : 0;
	struct tls_keys *keys[2];
	struct conn *conn;
	int tls[2];

	if (!size)
		return 0;
	schedule_prepare(how);
	rig_socketpair(tls);
	if (how & HOW_SMALL_TLS) {
		rig_small_buffers(tls[0]);
		rig_small_buffers(tls[1]);
	}
	rig_keys(suites[how & 3].version, suites[how & 3].cipher, keys);
	a.peer = template;
	a.peer.fd = tls[1];
	a.peer.can_update = suites[how & 3].version == VERSION_1_3;
	a.queued = a.queue_sent = 0;
	if (how & HOW_NEAR_LIMIT) {
		keys[0]->tx_sequence = keys[1]->rx_sequence = AES_GCM_RECORDS_MAX - 3;
		a.peer.broke_rules = !a.peer.can_update; /* there is no other key */
	}
	record_peer_init(&a.records, tls[1], keys[1]);
	conn = schedule_conn(how, tls[0]);
	leg_use_aead(conn->tls, keys[0]);
	schedule_run(conn, &a.peer, data + 1, size - 1);
	a.records.fd = -1; /* closed */
	record_peer_fini(&a.records);
	return 0;
}
