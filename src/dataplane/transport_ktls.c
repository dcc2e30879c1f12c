/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's TLS transport (Documentation/networking/tls.rst): plaintext in and out of the
 * socket; control records come and go with a cmsg that carries their type. What the kernel does not
 * count (records a key) is counted here from above. In transport_ktls_send the kernel has the key
 * for sending only, and what comes is opened as in transport_aead.
 */
#include <errno.h>
#include <linux/tls.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "dataplane/transport.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

static uint8_t record_type(struct msghdr *msg)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);

	if (cmsg && cmsg->cmsg_level == SOL_TLS && cmsg->cmsg_type == TLS_GET_RECORD_TYPE)
		return *(uint8_t *)CMSG_DATA(cmsg);
	return 0;
}

static enum leg_result on_recv_errno(struct leg *leg, int err)
{
	if (err == EAGAIN) {
		leg->readable = false;
		return LEG_AGAIN;
	}
	return leg_fail_errno(leg, err);
}

static enum leg_result ktls_transport_recv(struct leg *leg, struct worker *worker,
					   const struct leg *to, size_t want, struct batch *batch)
{
	uint8_t cmsg_bytes[CMSG_SPACE(sizeof(uint8_t))] __attribute__((aligned(8)));
	struct msghdr msg = { .msg_iov = batch->pieces,
			      .msg_control = cmsg_bytes,
			      .msg_controllen = sizeof(cmsg_bytes) };
	uint8_t type;
	ssize_t n;

	if (leg->ended)
		return LEG_EOF;
	batch_layout(batch, worker, to, want);
	msg.msg_iovlen = batch->count;
	do {
		n = recvmsg(leg_fd(leg), &msg, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return on_recv_errno(leg, errno);
	type = record_type(&msg);
	if (n == 0 && type == 0) {
		leg->ended = true;
		leg->truncated = true;
		return LEG_EOF;
	}
	if (type != 0 && type != TLS_APPLICATION_DATA) {
		batch->count = batch->bytes = 0;
		return leg_on_control(leg, worker, type, worker->buffer, (size_t)n);
	}
	batch_trim(batch, (size_t)n);
	if (n == 0)
		return leg_on_empty_record(leg);
	if (post_handshake_pending(&leg->post_handshake))
		return leg_fail(leg, CLOSE_BAD_RECORD, TLS_ALERT_UNEXPECTED_MESSAGE);
	leg->empty_records = 0;
	/* A short read does not mean drained: it also ends before a control record. Only EAGAIN
	 * tells. */
	return LEG_OK;
}

static enum leg_result ktls_transport_send(struct leg *leg, struct worker *worker,
					   struct batch *batch)
{
	uint64_t records = batch->bytes / TLS_PLAINTEXT_BYTES_MAX + 1;
	enum leg_result r = leg_before_records(leg, worker, records);

	if (r != LEG_OK)
		return r;
	leg->keys->tx_sequence += records;
	return leg_send_raw(leg, worker, batch->pieces, batch->count);
}

static enum leg_result ktls_transport_rekey(struct leg *leg, struct worker *worker, bool sending)
{
	(void)worker;
	if (tls13_update_key((enum tls_cipher)leg->keys->cipher,
			     sending ? &leg->keys->tx : &leg->keys->rx) < 0)
		return leg_fail(leg, CLOSE_NO_MEMORY, TLS_ALERT_INTERNAL_ERROR);
	*(sending ? &leg->keys->tx_sequence : &leg->keys->rx_sequence) = 0;
	if (ktls_rekey(leg_fd(leg), leg->keys, sending) < 0)
		return leg_fail(leg, CLOSE_KEY_UPDATE_UNSUPPORTED, 0);
	return LEG_OK;
}

static enum leg_result ktls_transport_send_control(struct leg *leg, struct worker *worker,
						   uint8_t type, const uint8_t *data, size_t len)
{
	uint8_t cmsg_bytes[CMSG_SPACE(sizeof(uint8_t))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { (void *)data, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = cmsg_bytes,
			      .msg_controllen = sizeof(cmsg_bytes) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	ssize_t n;

	cmsg->cmsg_level = SOL_TLS;
	cmsg->cmsg_type = TLS_SET_RECORD_TYPE;
	cmsg->cmsg_len = CMSG_LEN(sizeof(uint8_t));
	*CMSG_DATA(cmsg) = type;
	do {
		n = sendmsg(leg_fd(leg), &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN)
		return leg_fail_errno(leg, errno);
	if (n < 0) {
		memcpy(leg->control, data, MIN(len, sizeof(leg->control)));
		leg->control_bytes = (uint8_t)len;
		leg->control_type = type;
		leg->writable = false;
		return LEG_OK;
	}
	leg->keys->tx_sequence++;
	if (!leg->key_update_due || type != TLS_HANDSHAKE)
		return LEG_OK;
	leg->key_update_due = false;
	return ktls_transport_rekey(leg, worker, true);
}

const struct transport transport_ktls = {
	.name = "ktls",
	.is_tls = true,
	.splice_in = true,
	.splice_out = true,
	.recv = ktls_transport_recv,
	.send = ktls_transport_send,
	.send_control = ktls_transport_send_control,
	.rekey = ktls_transport_rekey,
};

static enum leg_result ktls_send_rekey(struct leg *leg, struct worker *worker, bool sending)
{
	return sending ? ktls_transport_rekey(leg, worker, true)
		       : aead_transport_rekey(leg, worker, false);
}

const struct transport transport_ktls_send = {
	.name = "ktls_send",
	.is_tls = true,
	.splice_in = true,
	.recv = aead_transport_recv,
	.send = ktls_transport_send,
	.send_control = ktls_transport_send_control,
	.rekey = ktls_send_rekey,
};
