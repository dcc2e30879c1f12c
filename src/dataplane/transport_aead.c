/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user-space TLS transport: whole records opened and sealed in place in the worker's buffer,
 * many a system call. A connection keeps only an incomplete record (leg->in) and output that the
 * socket did not take (leg->out, ciphertext).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "dataplane/transport.h"

/* Records with less than this are moved together, so that a flood of small ones stays within a
 * batch. */
#define AEAD_MERGE_BYTES 2048

/* Puts a payload into the batch. Pieces lie in the order of their addresses, so merging only ever
 * moves bytes down. */
static void batch_add(struct batch *batch, uint8_t *payload, size_t len)
{
	struct iovec *last = batch->count ? &batch->pieces[batch->count - 1] : NULL;

	batch->bytes += len;
	if (last && (len < AEAD_MERGE_BYTES || batch->count == BATCH_PIECES_MAX)) {
		memmove((uint8_t *)last->iov_base + last->iov_len, payload, len);
		last->iov_len += len;
		return;
	}
	batch->pieces[batch->count++] = (struct iovec){ payload, len };
}

static enum leg_result on_open_failure(struct leg *leg, int result)
{
	switch (result) {
	case AEAD_BAD_RECORD_MAC:
		return leg_fail(leg, CLOSE_BAD_RECORD_MAC, TLS_ALERT_BAD_RECORD_MAC);
	case AEAD_RECORD_OVERFLOW:
		return leg_fail(leg, CLOSE_BAD_RECORD, TLS_ALERT_RECORD_OVERFLOW);
	case AEAD_EXHAUSTED:
		return leg_fail(leg, CLOSE_KEY_EXHAUSTED, TLS_ALERT_INTERNAL_ERROR);
	case AEAD_UNEXPECTED:
		return leg_fail(leg, CLOSE_BAD_RECORD, TLS_ALERT_UNEXPECTED_MESSAGE);
	default:
		return leg_fail(leg, CLOSE_NO_MEMORY, TLS_ALERT_INTERNAL_ERROR);
	}
}

static enum leg_result open_record(struct leg *leg, struct worker *worker, uint8_t *record,
				   size_t len, struct batch *batch)
{
	uint8_t type, *payload;
	size_t payload_len;
	int r = aead_open(worker->aead_cache, &leg->rx, record, len, &type, &payload, &payload_len);

	if (r != AEAD_OK)
		return on_open_failure(leg, r);
	if (type != TLS_APPLICATION_DATA)
		return leg_on_control(leg, worker, type, payload, payload_len);
	if (post_handshake_pending(&leg->post_handshake))
		return leg_fail(leg, CLOSE_BAD_RECORD, TLS_ALERT_UNEXPECTED_MESSAGE);
	if (!payload_len)
		return leg_on_empty_record(leg);
	leg->empty_records = 0;
	batch_add(batch, payload, payload_len);
	return LEG_OK;
}

/* Opens every whole record of `len` bytes; *ret_used is how far they reach. Stops at the end of the
 * stream. */
static enum leg_result open_records(struct leg *leg, struct worker *worker, uint8_t *bytes,
				    size_t len, struct batch *batch, size_t *ret_used)
{
	enum leg_result r = LEG_OK;
	size_t used = 0;

	while (r == LEG_OK && len - used >= TLS_RECORD_HEADER_BYTES) {
		uint8_t type;
		size_t body;

		switch (tls_record_check_header(bytes + used, &type, &body)) {
		case TLS_RECORD_OK:
			break;
		case TLS_RECORD_TOO_LONG:
			return leg_fail(leg, CLOSE_BAD_RECORD, TLS_ALERT_RECORD_OVERFLOW);
		default:
			return leg_fail(leg, CLOSE_BAD_RECORD, TLS_ALERT_UNEXPECTED_MESSAGE);
		}
		if (len - used < TLS_RECORD_HEADER_BYTES + body)
			break;
		r = open_record(leg, worker, bytes + used, TLS_RECORD_HEADER_BYTES + body, batch);
		used += TLS_RECORD_HEADER_BYTES + body;
	}
	*ret_used = used;
	return r;
}

/* Keeps the start of an incomplete record until its rest has come. */
static enum leg_result keep_partial(struct leg *leg, struct worker *worker, const uint8_t *bytes,
				    size_t len)
{
	struct held *in = leg->in;

	if (!len) {
		held_free(worker, TAKE_PTR(leg->in));
		return LEG_OK;
	}
	if (!in || in->capacity < len) {
		held_free(worker, TAKE_PTR(leg->in));
		in = held_new(worker, len);
		if (!in)
			return leg_fail(leg, CLOSE_NO_MEMORY, TLS_ALERT_INTERNAL_ERROR);
		leg->in = in;
	}
	memcpy(in->bytes, bytes, len);
	in->start = 0;
	in->end = len;
	return LEG_OK;
}

static enum leg_result on_raw_end(struct leg *leg)
{
	leg->ended = true;
	leg->truncated = true;
	return LEG_EOF;
}

enum leg_result aead_transport_recv(struct leg *leg, struct worker *worker, const struct leg *to,
				    size_t want, struct batch *batch)
{
	size_t kept = leg->in ? leg->in->end : 0, used = 0;
	/* Room for what records are more than their payload, of one at least. */
	size_t asked = MIN(want + (TLS_RECORD_BYTES_MAX - TLS_PLAINTEXT_BYTES_MAX),
			   (size_t)RELAY_BATCH_BYTES);
	uint8_t *bytes = worker->buffer;
	enum leg_result r;
	ssize_t n;

	(void)to;
	batch->count = batch->bytes = 0;
	if (leg->ended)
		return LEG_EOF;
	do {
		n = recv(leg_fd(leg), bytes + kept, asked, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN) {
		leg->readable = false;
		return LEG_AGAIN;
	}
	if (n < 0)
		return leg_fail_errno(leg, errno);
	if (n == 0)
		return on_raw_end(leg);
	if (kept)
		memcpy(bytes, leg->in->bytes, kept);
	leg_note_read(leg, (size_t)n, asked);
	r = open_records(leg, worker, bytes, kept + (size_t)n, batch, &used);
	if (r == LEG_FAILED)
		return r;
	if (r == LEG_OK &&
	    keep_partial(leg, worker, bytes + used, kept + (size_t)n - used) != LEG_OK)
		return LEG_FAILED;
	/* Data before a close_notify is delivered first; the end is given at the next call. */
	return r == LEG_EOF && batch->bytes ? LEG_OK : r;
}

/* Seals one record whose payload has room around it and adds it to `iov`, joined to the one before
 * where they touch. */
static enum leg_result seal_piece(struct leg *leg, struct worker *worker, uint8_t type,
				  uint8_t *payload, size_t len, struct iovec *iov, size_t *count)
{
	size_t prefix = aead_prefix_bytes(&leg->tx),
	       total = prefix + len + aead_suffix_bytes(&leg->tx);
	uint8_t *record = payload - prefix;
	struct iovec *last = *count ? &iov[*count - 1] : NULL;
	int r = aead_seal(worker->aead_cache, &leg->tx, type, record, len);

	if (r == AEAD_EXHAUSTED)
		return leg_fail(leg, CLOSE_KEY_EXHAUSTED, 0);
	if (r != AEAD_OK)
		return leg_fail(leg, CLOSE_NO_MEMORY, TLS_ALERT_INTERNAL_ERROR);
	if (last && (uint8_t *)last->iov_base + last->iov_len == record)
		last->iov_len += total;
	else
		iov[(*count)++] = (struct iovec){ record, total };
	return LEG_OK;
}

static enum leg_result aead_transport_send(struct leg *leg, struct worker *worker,
					   struct batch *batch)
{
	enum leg_result r = leg_before_records(leg, worker, batch->count);
	size_t count = 0;

	for (size_t i = 0; r == LEG_OK && i < batch->count; i++)
		r = seal_piece(leg, worker, TLS_APPLICATION_DATA, batch->pieces[i].iov_base,
			       batch->pieces[i].iov_len, batch->pieces, &count);
	return r == LEG_OK ? leg_send_raw(leg, worker, batch->pieces, count) : r;
}

enum leg_result aead_transport_rekey(struct leg *leg, struct worker *worker, bool sending)
{
	struct aead *aead = sending ? &leg->tx : &leg->rx;
	int r;

	aead_release(worker->aead_cache, aead);
	r = tls13_update_key((enum tls_cipher)leg->keys->cipher,
			     sending ? &leg->keys->tx : &leg->keys->rx);
	if (r < 0)
		return leg_fail(leg, CLOSE_NO_MEMORY, TLS_ALERT_INTERNAL_ERROR);
	*(sending ? &leg->keys->tx_sequence : &leg->keys->rx_sequence) = 0;
	return LEG_OK;
}

static enum leg_result aead_transport_send_control(struct leg *leg, struct worker *worker,
						   uint8_t type, const uint8_t *data, size_t len)
{
	uint8_t record[AEAD_PREFIX_BYTES_MAX + KEY_UPDATE_MESSAGE_BYTES + AEAD_SUFFIX_BYTES_MAX];
	uint8_t *payload = record + aead_prefix_bytes(&leg->tx);
	struct iovec iov;
	size_t count = 0;
	enum leg_result r;

	memcpy(payload, data, MIN(len, (size_t)KEY_UPDATE_MESSAGE_BYTES));
	r = seal_piece(leg, worker, type, payload, len, &iov, &count);
	if (r == LEG_OK)
		r = leg_send_raw(leg, worker, &iov, count);
	if (r == LEG_OK && leg->key_update_due && type == TLS_HANDSHAKE) {
		leg->key_update_due = false;
		leg->key_update_held = leg->out;
		r = aead_transport_rekey(leg, worker, true);
	}
	return r;
}

const struct transport transport_aead = {
	.name = "aead",
	.is_tls = true,
	.recv = aead_transport_recv,
	.send = aead_transport_send,
	.send_control = aead_transport_send_control,
	.rekey = aead_transport_rekey,
};
