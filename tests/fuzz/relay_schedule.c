/* SPDX-License-Identifier: Apache-2.0 */
/* See relay_schedule.h. One thread, one connection after the other on the same rig. */
#include "relay_schedule.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"

#define STEPS_MAX   400
#define STREAM_MASK 0xffff
#define PATIENCE    2000 /* turns in which nothing more may be left to do */

struct rig schedule_rig;

/* One direction's plaintext: positions in the pattern. */
struct stream {
	size_t sent, got;
	bool closed; /* by its sender, in order */
	bool ended;  /* so its reader was told */
};

struct scene {
	struct tls_peer *tls;
	int plain; /* -1 once it has left */
	struct stream to_plain, to_tls;
	bool tls_alerted;
	unsigned int key_updates;
	uint64_t passed_ms;
	size_t delivered;
};

static int plain_fd; /* from schedule_conn() to schedule_run() */
static uint8_t pattern[STREAM_MASK + 1 + TLS_PLAINTEXT_BYTES_MAX];

void must(bool truth)
{
	if (!truth)
		abort();
}

void schedule_prepare(uint8_t how)
{
	struct rig *rig = &schedule_rig;

	if (!rig->worker.loop) {
		rig_init(rig);
		log_init(2, LOG_ERROR, LOG_FORMAT_TEXT);
		rig_pattern(pattern, STREAM_MASK + 1, 5);
		memcpy(pattern + STREAM_MASK + 1, pattern, TLS_PLAINTEXT_BYTES_MAX);
	}
	rig->config.role = how & HOW_FRONT ? CONFIG_ROLE_FRONT : CONFIG_ROLE_EGRESS;
	rig->config.splice = how & HOW_NO_SPLICE ? CONFIG_SPLICE_OFF : CONFIG_SPLICE_AUTO;
}

struct conn *schedule_conn(uint8_t how, int tls_fd)
{
	struct conn *conn;
	int plain[2];

	rig_socketpair(plain);
	if (how & HOW_SMALL_PLAIN) {
		rig_small_buffers(plain[0]);
		rig_small_buffers(plain[1]);
	}
	plain_fd = plain[1];
	conn = how & HOW_FRONT ? rig_conn(&schedule_rig, tls_fd, plain[0])
			       : rig_conn(&schedule_rig, plain[0], tls_fd);
	conn->secured = true;
	return conn;
}

/* --- the TLS peer --- */

static void tls_delivers(struct scene *s, size_t len)
{
	if (s->tls->fd >= 0 && !s->tls->shut)
		s->delivered += s->tls->deliver(s->tls, len);
}

static bool tls_sends_record(struct scene *s, uint8_t type, const void *data, size_t len)
{
	return s->tls->fd >= 0 && !s->tls->shut && s->tls->send(s->tls, type, data, len);
}

static void tls_sends(struct scene *s, size_t len)
{
	len = MIN(len, (size_t)TLS_PLAINTEXT_BYTES_MAX);
	if (!tls_sends_record(s, TLS_APPLICATION_DATA, pattern + (s->to_plain.sent & STREAM_MASK),
			      len))
		return;
	/* Behind its end it is nobody's. */
	if (s->to_plain.closed)
		s->tls->broke_rules = true;
	else
		s->to_plain.sent += len;
}

static void tls_updates_key(struct scene *s, bool request)
{
	const uint8_t message[KEY_UPDATE_MESSAGE_BYTES] = { 24, 0, 0, 1, request };

	if (!tls_sends_record(s, TLS_HANDSHAKE, message, sizeof(message)))
		return;
	if (!s->tls->can_update || ++s->key_updates > KEY_UPDATES_BURST)
		s->tls->broke_rules = true;
	if (s->tls->can_update)
		s->tls->next_key(s->tls, true);
}

static void tls_closes(struct scene *s)
{
	static const uint8_t close_notify[] = { TLS_ALERT_WARNING, TLS_ALERT_CLOSE_NOTIFY };

	if (tls_sends_record(s, TLS_ALERT, close_notify, sizeof(close_notify)))
		s->to_plain.closed = true;
}

/* Any control record, or what is no record. */
static void tls_misbehaves(struct scene *s, const uint8_t *bytes, size_t len)
{
	if (!len || s->tls->fd < 0 || s->tls->shut)
		return;
	s->tls->broke_rules = true;
	if (bytes[0] & 1)
		s->tls->send_raw(s->tls, bytes, len);
	else
		s->tls->send(s->tls, 21 + (bytes[0] >> 1) % 2, bytes + 1, len - 1);
}

static void tls_gets(struct scene *s, uint8_t type, const uint8_t *bytes, size_t len)
{
	struct stream *stream = &s->to_tls;

	must(!stream->ended && !s->tls_alerted);
	if (type == TLS_APPLICATION_DATA) {
		must(stream->got + len <= stream->sent);
		must(memcmp(bytes, pattern + (stream->got & STREAM_MASK), len) == 0);
		stream->got += len;
	} else if (type == TLS_HANDSHAKE) {
		must(len == KEY_UPDATE_MESSAGE_BYTES && bytes[0] == 24 && !bytes[4]);
		s->tls->next_key(s->tls, false);
	} else {
		must(type == TLS_ALERT && len == 2);
		stream->ended = bytes[1] == TLS_ALERT_CLOSE_NOTIFY;
		s->tls_alerted = !stream->ended;
	}
}

static void tls_reads(struct scene *s, unsigned int records)
{
	uint8_t type, bytes[TLS_PLAINTEXT_BYTES_MAX];
	size_t len;

	while (records-- && s->tls->fd >= 0) {
		enum record_peer_result r = s->tls->recv(s->tls, &type, bytes, &len);

		must(r != RECORD_PEER_FORGED);
		/* Our end of the stream is always told, to whom listens in time. */
		must(r != RECORD_PEER_END || s->to_tls.ended || s->tls_alerted ||
		     s->tls->broke_rules || s->passed_ms >= schedule_rig.config.timeouts.linger_ms);
		if (r != RECORD_PEER_RECORD)
			return;
		tls_gets(s, type, bytes, len);
	}
}

static void tls_leaves(struct scene *s, bool half)
{
	s->tls->shut = true;
	if (half)
		shutdown(s->tls->fd, SHUT_WR);
	else if (s->tls->fd >= 0)
		close(TAKE_FD(s->tls->fd));
}

/* --- the plain peer --- */

static void plain_sends(struct scene *s, size_t len)
{
	ssize_t n;

	if (s->plain < 0 || s->to_tls.closed)
		return;
	n = send(s->plain, pattern + (s->to_tls.sent & STREAM_MASK),
		 MIN(len, (size_t)TLS_PLAINTEXT_BYTES_MAX), MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0)
		s->to_tls.sent += (size_t)n;
}

static void plain_closes(struct scene *s)
{
	if (s->plain >= 0)
		shutdown(s->plain, SHUT_WR);
	s->to_tls.closed = true;
}

static void plain_reads(struct scene *s, size_t len)
{
	struct stream *stream = &s->to_plain;
	uint8_t bytes[TLS_PLAINTEXT_BYTES_MAX];
	ssize_t n;

	if (s->plain < 0)
		return;
	n = recv(s->plain, bytes, MIN(len + 1, sizeof(bytes)), MSG_DONTWAIT);
	if (n == 0)
		stream->ended = true;
	if (n <= 0)
		return;
	must(!stream->ended && stream->got + (size_t)n <= stream->sent);
	must(memcmp(bytes, pattern + (stream->got & STREAM_MASK), (size_t)n) == 0);
	stream->got += (size_t)n;
}

/* --- the schedule --- */

static void step(struct scene *s, uint8_t what, uint8_t amount)
{
	size_t len = amount < 128 ? amount : (size_t)(amount - 127) * 128;

	switch (what % 12) {
	case 0:
		tls_sends(s, len);
		break;
	case 1:
		tls_delivers(s, len);
		break;
	case 2:
		plain_sends(s, len);
		break;
	case 3:
		plain_reads(s, len);
		break;
	case 4:
		tls_reads(s, amount);
		break;
	case 5:
		rig_turns(&schedule_rig, 1 + amount % 8);
		break;
	case 6:
		tls_updates_key(s, amount & 1);
		break;
	case 7:
		tls_closes(s);
		break;
	case 8:
		plain_closes(s);
		break;
	case 9:
		rig_pass_ms(&schedule_rig, amount * 10);
		s->passed_ms += amount * 10;
		break;
	case 10:
		tls_delivers(s, SIZE_MAX);
		rig_turns(&schedule_rig, 1);
		break;
	default:
		if (amount % 16 == 0)
			tls_leaves(s, amount & 16);
		else if (amount % 16 == 1 && s->plain >= 0)
			close(TAKE_FD(s->plain));
		else
			tls_sends(s, TLS_PLAINTEXT_BYTES_MAX);
	}
}

/* All that was begun is finished, as far as both ends are still there. */
static void settle(struct scene *s)
{
	size_t quiet = 0;

	while (quiet < 4) {
		size_t before = s->to_plain.got + s->to_tls.got + s->delivered;

		tls_delivers(s, SIZE_MAX);
		rig_turns(&schedule_rig, 1);
		tls_reads(s, 64);
		plain_reads(s, TLS_PLAINTEXT_BYTES_MAX);
		quiet = before == s->to_plain.got + s->to_tls.got + s->delivered ? quiet + 1 : 0;
	}
}

static void check_ends(const struct scene *s)
{
	bool both_there = s->plain >= 0 && s->tls->fd >= 0 && !s->tls->shut;

	/* An orderly end is the end of everything. */
	if (s->to_tls.ended && !s->tls->broke_rules && s->plain >= 0)
		must(s->to_tls.closed && s->to_tls.got == s->to_tls.sent);
	if (!both_there || s->tls->broke_rules)
		return;
	must(!s->tls_alerted);
	must(s->to_plain.got == s->to_plain.sent && s->to_tls.got == s->to_tls.sent);
	must(s->to_plain.ended == s->to_plain.closed);
	must(s->to_tls.ended == s->to_tls.closed);
}

static void scene_close(struct scene *s)
{
	struct rig *rig = &schedule_rig;

	if (s->plain >= 0)
		close(s->plain);
	if (s->tls->fd >= 0)
		close(TAKE_FD(s->tls->fd));
	for (int i = 0; i < PATIENCE && rig->worker.conn_count; i++)
		rig_turns(rig, 1);
	rig_pass_ms(rig, 10 * rig->config.timeouts.linger_ms);
	must(!rig->worker.conn_count && !rig->worker.pipes.lent_count);
	must(!atomic_load(&rig->state.connections));
}

void schedule_run(struct conn *conn, struct tls_peer *peer, const uint8_t *data, size_t size)
{
	struct scene s = { .tls = peer, .plain = plain_fd };
	const uint8_t *end = data + size;

	conn_relay_start(conn);
	for (int i = 0; i < STEPS_MAX && end - data >= 2; i++, data += 2) {
		if (data[0] == 255) { /* that many bytes follow */
			size_t len = MIN((size_t)data[1], (size_t)(end - data - 2));

			tls_misbehaves(&s, data + 2, len);
			data += len;
			continue;
		}
		step(&s, data[0], data[1]);
	}
	settle(&s);
	check_ends(&s);
	scene_close(&s);
}
