/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every leg does whatever its transport (leg.h): held output, the end of a stream, control
 * records, failures. One worker's thread.
 */
#include "dataplane/leg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/secret.h"
#include "base/util.h"
#include "dataplane/transport.h"

#define HELD_BYTES_MIN 512

enum leg_result leg_fail(struct leg *leg, enum close_reason reason, uint8_t alert)
{
	leg->failure = reason;
	leg->alert = alert;
	return LEG_FAILED;
}

bool leg_is_about_record(int err)
{
	return err == EBADMSG || err == EMSGSIZE || err == EINVAL || err == EIO ||
	       err == EKEYEXPIRED;
}

static enum leg_result fail_record(struct leg *leg, int err)
{
	int pending;
	socklen_t len = sizeof(pending);

	/* The kernel leaves it on the socket as well, where our alert would fail of it: taken away
	 * by asking. */
	getsockopt(leg_fd(leg), SOL_SOCKET, SO_ERROR, &pending, &len);
	switch (err) {
	case EBADMSG:
		return leg_fail(leg, CLOSE_BAD_RECORD_MAC, TLS_ALERT_BAD_RECORD_MAC);
	case EMSGSIZE:
		return leg_fail(leg, CLOSE_BAD_RECORD, TLS_ALERT_RECORD_OVERFLOW);
	case EKEYEXPIRED:
		/* A KeyUpdate that is cut over records: the kernel wants the new key after its
		 * first byte, and gives the rest to nobody. */
		return leg_fail(leg, CLOSE_KEY_UPDATE_UNSUPPORTED, 0);
	default:
		return leg_fail(leg, CLOSE_BAD_RECORD, TLS_ALERT_UNEXPECTED_MESSAGE);
	}
}

enum leg_result leg_fail_errno(struct leg *leg, int err)
{
	if (leg->transport == &transport_ktls && leg_is_about_record(err))
		return fail_record(leg, err);
	if (err == ENOMEM || err == ENOBUFS)
		return leg_fail(leg, CLOSE_NO_MEMORY, TLS_ALERT_INTERNAL_ERROR);
	return leg_fail(leg, leg->is_client ? CLOSE_CLIENT_RESET : CLOSE_UPSTREAM_RESET, 0);
}

bool leg_is_broken(struct leg *leg)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(leg_fd(leg), SOL_SOCKET, SO_ERROR, &error, &len) < 0 || !error)
		return false;
	leg_fail_errno(leg, error);
	return true;
}

struct held *held_new(struct worker *worker, size_t capacity)
{
	struct held *held = malloc(sizeof(*held) + capacity);

	if (!held)
		return NULL;
	held->start = held->end = 0;
	held->capacity = capacity;
	stats_add(&worker->stats.held_bytes, capacity);
	return held;
}

void held_free(struct worker *worker, struct held *held)
{
	if (held)
		counter_sub(&worker->stats.held_bytes, held->capacity);
	free(held);
}

enum leg_result leg_hold(struct leg *leg, struct worker *worker, const void *bytes, size_t len)
{
	struct held *held = leg->out;

	if (!len)
		return LEG_OK;
	if (!held || held->capacity - held->end < len) {
		size_t used = held ? held->end - held->start : 0;
		struct held *grown = held_new(worker, MAX(used + len, (size_t)HELD_BYTES_MIN));

		if (!grown)
			return leg_fail(leg, CLOSE_NO_MEMORY, TLS_ALERT_INTERNAL_ERROR);
		if (used)
			memcpy(grown->bytes, held->bytes + held->start, used);
		grown->end = used;
		held_free(worker, held);
		leg->out = held = grown;
	}
	memcpy(held->bytes + held->end, bytes, len);
	held->end += len;
	return LEG_OK;
}

bool leg_blocked(const struct leg *leg)
{
	return leg->out || leg->control_bytes;
}

static enum leg_result flush_held(struct leg *leg, struct worker *worker)
{
	struct held *held = leg->out;
	ssize_t n;

	while (held->start < held->end) {
		n = send(leg_fd(leg), held->bytes + held->start, held->end - held->start,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			leg->writable = false;
			return LEG_AGAIN;
		}
		if (n < 0)
			return leg_fail_errno(leg, errno);
		held->start += (size_t)n;
	}
	leg->out = NULL;
	leg->key_update_held = false;
	held_free(worker, held);
	return LEG_OK;
}

enum leg_result leg_flush(struct leg *leg, struct worker *worker)
{
	uint8_t control[KEY_UPDATE_MESSAGE_BYTES], len;
	enum leg_result r;

	if (leg->out) {
		r = flush_held(leg, worker);
		if (r != LEG_OK)
			return r;
	}
	if (!leg->control_bytes)
		return LEG_OK;
	len = leg->control_bytes;
	memcpy(control, leg->control, len);
	leg->control_bytes = 0; /* comes back if the socket still does not take it */
	r = leg->transport->send_control(leg, worker, leg->control_type, control, len);
	if (r != LEG_OK)
		return r;
	return leg->control_bytes ? LEG_AGAIN : LEG_OK;
}

enum leg_result leg_finish(struct leg *leg, struct worker *worker)
{
	static const uint8_t close_notify[2] = { TLS_ALERT_WARNING, TLS_ALERT_CLOSE_NOTIFY };
	enum leg_result r;

	if (leg->shut)
		return LEG_OK;
	r = leg_flush(leg, worker);
	if (r != LEG_OK)
		return r;
	if (leg->transport->is_tls && !leg->notified) {
		leg->notified = true;
		r = leg->transport->send_control(leg, worker, TLS_ALERT, close_notify,
						 sizeof(close_notify));
		/* A write that took only a part of it need not mean that the socket is full. */
		if (r == LEG_OK)
			r = leg_flush(leg, worker);
		if (r != LEG_OK)
			return r;
	}
	shutdown(leg_fd(leg), SHUT_WR);
	leg->shut = true;
	return LEG_OK;
}

void leg_alert(struct leg *leg, struct worker *worker, uint8_t alert)
{
	uint8_t message[2] = { TLS_ALERT_FATAL, alert };

	if (!leg->transport->is_tls || leg->notified)
		return;
	leg->notified = true;
	if (leg->transport->splice_in) {
		/* kTLS: what is held is plaintext that is in no record yet; it would only delay the
		 * alert. */
		held_free(worker, TAKE_PTR(leg->out));
		leg->control_bytes = 0;
	}
	leg->transport->send_control(leg, worker, TLS_ALERT, message, sizeof(message));
}

static void leg_use(struct leg *leg, const struct transport *transport, struct tls_keys *keys)
{
	leg->transport = transport;
	leg->keys = keys;
	leg->key_update_tokens = KEY_UPDATES_BURST;
	/* Data may have come behind the peer's last handshake record; its edge is already spent. */
	leg->readable = true;
}

void leg_use_aead(struct leg *leg, struct tls_keys *keys)
{
	leg_use(leg, &transport_aead, keys);
	leg->can_rekey = true;
	aead_init(&leg->rx, keys, false);
	aead_init(&leg->tx, keys, true);
}

void leg_use_ktls(struct leg *leg, struct tls_keys *keys, bool can_rekey)
{
	leg_use(leg, &transport_ktls, keys);
	leg->can_rekey = can_rekey;
}

void leg_use_ktls_send(struct leg *leg, struct tls_keys *keys)
{
	leg_use(leg, &transport_ktls_send, keys);
	leg->can_rekey = true;
	aead_init(&leg->rx, keys, false);
}

void leg_close(struct leg *leg, struct worker *worker)
{
	if (leg->keys) { /* what kernel TLS does has no context to give back */
		aead_release(worker->aead_cache, &leg->rx);
		aead_release(worker->aead_cache, &leg->tx);
	}
	tls_keys_free(TAKE_PTR(leg->keys));
	held_free(worker, TAKE_PTR(leg->out));
	held_free(worker, TAKE_PTR(leg->in));
	leg->control_bytes = 0;
	if (leg->watch.fd >= 0 && !leg->shut)
		/* The loop may let go of the socket a little later: the peer hears of it now. */
		shutdown(leg->watch.fd, SHUT_WR);
	loop_watch_close(worker->loop, &leg->watch);
}

/* A token bucket: KEY_UPDATES_BURST at once, one more each KEY_UPDATE_REFILL_MS. */
static bool key_update_allowed(struct leg *leg, uint64_t now_ns)
{
	uint64_t refill_ns = KEY_UPDATE_REFILL_MS * NSEC_PER_MSEC;
	uint64_t earned = (now_ns - leg->key_update_refill_ns) / refill_ns;

	if (earned) {
		leg->key_update_tokens =
			(uint32_t)MIN(leg->key_update_tokens + earned, (uint64_t)KEY_UPDATES_BURST);
		leg->key_update_refill_ns = now_ns;
	}
	if (!leg->key_update_tokens)
		return false;
	leg->key_update_tokens--;
	return true;
}

static enum leg_result send_key_update(struct leg *leg, struct worker *worker)
{
	uint8_t message[KEY_UPDATE_MESSAGE_BYTES];

	/* Nothing follows that a new key could protect, or one is on its way already: to a peer
	 * that does not read, more would only pile up (RFC 8446 4.6.3 allows one answer for
	 * several). */
	if (leg->notified || leg->key_update_due || leg->key_update_held)
		return LEG_OK;
	key_update_message(message, false);
	leg->key_update_due = true;
	stats_add(&worker->stats.key_updates_sent, 1);
	return leg->transport->send_control(leg, worker, TLS_HANDSHAKE, message, sizeof(message));
}

static enum leg_result on_key_update(struct leg *leg, struct worker *worker, bool answer)
{
	enum leg_result r;

	stats_add(&worker->stats.key_updates_received, 1);
	if (!leg->can_rekey)
		return leg_fail(leg, CLOSE_KEY_UPDATE_UNSUPPORTED, 0);
	if (!key_update_allowed(leg, loop_now_ns(worker->loop)))
		return leg_fail(leg, CLOSE_KEY_UPDATE_STORM, TLS_ALERT_UNEXPECTED_MESSAGE);
	r = leg->transport->rekey(leg, worker, false);
	if (r != LEG_OK || !answer)
		return r;
	return send_key_update(leg, worker);
}

enum leg_result leg_on_empty_record(struct leg *leg)
{
	if (++leg->empty_records > EMPTY_RECORDS_MAX)
		return leg_fail(leg, CLOSE_EMPTY_RECORDS, TLS_ALERT_UNEXPECTED_MESSAGE);
	return LEG_OK;
}

enum leg_result leg_on_control(struct leg *leg, struct worker *worker, uint8_t type,
			       const uint8_t *data, size_t len)
{
	uint8_t alert = 0;

	switch (post_handshake_record(&leg->post_handshake, leg->keys->version, leg->we_are_client,
				      type, data, len, &alert)) {
	case POST_HANDSHAKE_NOTHING:
		return leg_on_empty_record(leg);
	case POST_HANDSHAKE_CLOSE_NOTIFY:
		leg->ended = true;
		return LEG_EOF;
	case POST_HANDSHAKE_PEER_ALERT:
		leg->peer_alert = alert;
		return leg_fail(leg, CLOSE_PEER_ALERT, 0);
	case POST_HANDSHAKE_KEY_UPDATE:
		return on_key_update(leg, worker, false);
	case POST_HANDSHAKE_KEY_UPDATE_REQUESTED:
		return on_key_update(leg, worker, true);
	case POST_HANDSHAKE_REFUSE:
		break;
	}
	return leg_fail(
		leg, alert == TLS_ALERT_NO_RENEGOTIATION ? CLOSE_RENEGOTIATION : CLOSE_BAD_RECORD,
		alert);
}

enum leg_result leg_before_records(struct leg *leg, struct worker *worker, uint64_t records)
{
	if (leg->keys->cipher == TLS_CIPHER_CHACHA20_POLY1305_SHA256 || leg->key_update_due ||
	    leg->keys->tx_sequence + records < AES_GCM_RECORDS_MAX)
		return LEG_OK;
	if (leg->keys->version != TLS_VERSION_1_3 || !leg->can_rekey)
		return leg_fail(leg, CLOSE_KEY_EXHAUSTED, TLS_ALERT_INTERNAL_ERROR);
	return send_key_update(leg, worker);
}

void leg_note_read(struct leg *leg, size_t got, size_t asked)
{
	/* Edge-triggered: a short read has emptied the socket, and what comes later is reported
	 * anew. Only a FIN that was reported before the read is not: then read on until it is seen.
	 */
	if (got < asked && !leg->hung_up)
		leg->readable = false;
}

void batch_layout(struct batch *batch, struct worker *worker, const struct leg *to, size_t want)
{
	size_t prefix, pitch, piece = TLS_PLAINTEXT_BYTES_MAX;
	uint8_t *at = worker->buffer;

	batch->bytes = 0;
	if (to->transport != &transport_aead) {
		batch->pieces[0] = (struct iovec){ at, MIN(want, (size_t)RELAY_BATCH_BYTES) };
		batch->count = 1;
		return;
	}
	prefix = aead_prefix_bytes(&to->tx);
	pitch = prefix + TLS_PLAINTEXT_BYTES_MAX + aead_suffix_bytes(&to->tx);
	batch->count =
		MAX(MIN(want, (size_t)RELAY_BATCH_BYTES) / TLS_PLAINTEXT_BYTES_MAX, (size_t)1);
	for (size_t i = 0; i < batch->count; i++, at += pitch)
		batch->pieces[i] = (struct iovec){ at + prefix, MIN(want, piece) };
}

void batch_trim(struct batch *batch, size_t len)
{
	size_t i = 0;

	batch->bytes = len;
	for (; i < batch->count && len > 0; i++) {
		batch->pieces[i].iov_len = MIN(batch->pieces[i].iov_len, len);
		len -= batch->pieces[i].iov_len;
	}
	batch->count = i;
}

enum leg_result leg_send_raw(struct leg *leg, struct worker *worker, struct iovec *iov,
			     size_t count)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = count };
	ssize_t n = 0;

	/* In order after what waits already. */
	if (!leg->out) {
		do {
			n = count == 1 ? send(leg_fd(leg), iov->iov_base, iov->iov_len,
					      MSG_NOSIGNAL | MSG_DONTWAIT)
				       : sendmsg(leg_fd(leg), &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		} while (n < 0 && errno == EINTR);
		if (n < 0 && errno != EAGAIN)
			return leg_fail_errno(leg, errno);
		n = MAX(n, (ssize_t)0);
	}
	for (size_t i = 0; i < count; i++) {
		size_t sent = MIN((size_t)n, iov[i].iov_len);

		n -= (ssize_t)sent;
		if (sent == iov[i].iov_len)
			continue;
		leg->writable = false;
		if (leg_hold(leg, worker, (uint8_t *)iov[i].iov_base + sent,
			     iov[i].iov_len - sent) != LEG_OK)
			return LEG_FAILED;
	}
	return LEG_OK;
}
