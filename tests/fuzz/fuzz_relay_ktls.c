/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay with kernel TLS under any schedule (relay_schedule.h), on the fake socket of
 * tests/lib/fake_ktls.h: control records between the data, keys that change while output is
 * blocked, splices, kernels that can not re-key.
 */
#include "relay_schedule.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/fake_ktls.h"

#define HOW_NO_REKEY  1
#define HOW_SPLICE_ON 2
#define HOW_SHORT     16 /* sends take little at once */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct ktls_peer {
	struct tls_peer peer;
	uint8_t tx_generation, rx_generation;
};

static bool peer_send(struct tls_peer *peer, uint8_t type, const void *data, size_t len)
{
	struct ktls_peer *k = container_of(peer, struct ktls_peer, peer);
	struct pollfd p = { .fd = peer->fd, .events = POLLOUT };

	/* Somebody is there, and there is room. */
	if (poll(&p, 1, 0) != 1 || p.revents != POLLOUT)
		return false;
	return fake_ktls_wire_send(peer->fd, type, k->tx_generation, data, len);
}

static void peer_send_raw(struct tls_peer *peer, const uint8_t *bytes, size_t len)
{
	struct pollfd p = { .fd = peer->fd, .events = POLLOUT };

	(void)bytes;
	(void)len;
	if (poll(&p, 1, 0) == 1 && p.revents == POLLOUT)
		fake_ktls_wire_send_forged(peer->fd);
}

/* A record of the fake goes at once. */
static size_t peer_deliver(struct tls_peer *peer, size_t len)
{
	(void)peer;
	(void)len;
	return 0;
}

static void peer_next_key(struct tls_peer *peer, bool sending)
{
	struct ktls_peer *k = container_of(peer, struct ktls_peer, peer);

	++*(sending ? &k->tx_generation : &k->rx_generation);
}

static enum record_peer_result peer_recv(struct tls_peer *peer, uint8_t *ret_type, uint8_t *ret,
					 size_t *ret_len)
{
	struct ktls_peer *k = container_of(peer, struct ktls_peer, peer);
	static struct fake_ktls_record record;
	int r = fake_ktls_wire_recv(peer->fd, &record);

	if (r <= 0)
		return r < 0 ? RECORD_PEER_END : RECORD_PEER_NOTHING;
	if (record.generation != k->rx_generation)
		return RECORD_PEER_FORGED;
	*ret_type = record.type;
	*ret_len = record.len;
	memcpy(ret, record.data, record.len);
	return RECORD_PEER_RECORD;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ktls_peer k = { .peer = { .send = peer_send,
					 .send_raw = peer_send_raw,
					 .deliver = peer_deliver,
					 .next_key = peer_next_key,
					 .recv = peer_recv } };
	uint8_t how = size ? data[0] : 0;
	bool can_rekey = !(how & HOW_NO_REKEY);
	struct tls_keys *keys[2];
	struct conn *conn;
	int tls[2];

	if (!size)
		return 0;
	schedule_prepare(how);
	if (how & HOW_SPLICE_ON)
		schedule_rig.config.splice = CONFIG_SPLICE_ON;
	fake_ktls_pair(tls, can_rekey);
	if (how & HOW_SHORT)
		fake_ktls_limit_send(tls[0], 700);
	k.peer.fd = tls[1];
	k.peer.can_update = can_rekey;
	rig_keys(VERSION_1_3, TLS_CIPHER_AES_128_GCM_SHA256, keys);
	if (how & HOW_NEAR_LIMIT) {
		keys[0]->tx_sequence = AES_GCM_RECORDS_MAX - 20;
		k.peer.broke_rules = !can_rekey;
	}
	tls_keys_free(keys[1]);
	conn = schedule_conn(how, tls[0]);
	leg_use_ktls(conn->tls, keys[0], can_rekey);
	schedule_run(conn, &k.peer, data + 1, size - 1);
	return 0;
}
