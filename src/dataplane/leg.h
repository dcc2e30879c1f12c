/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A leg is one socket of a connection behind one of the transports: plain, ktls, aead, or ktls_send
 * (the kernel seals, we open). The relay sees only this header.
 *
 * Plaintext travels in a batch: pieces inside the worker's one large buffer, so that an idle
 * connection owns no buffer at all. What a socket does not take at once becomes the leg's `out`
 * (raw bytes for the socket: plaintext, or for aead ciphertext).
 */
#ifndef SALLYPORT_DATAPLANE_LEG_H
#define SALLYPORT_DATAPLANE_LEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "dataplane/reasons.h"
#include "limits/limits.h"
#include "loop/loop.h"
#include "tls/aead.h"
#include "tls/ktls.h"
#include "tls/post_handshake.h"

struct worker;
struct leg;

/* Bytes that a connection must keep: blocked output, or the start of an incomplete record. */
struct held {
	size_t start, end, capacity;
	uint8_t bytes[];
};

#define BATCH_PIECES_MAX 64

/* Plaintext on its way from one leg to the other, in pieces of at most one record. */
struct batch {
	struct iovec pieces[BATCH_PIECES_MAX];
	size_t count, bytes;
};

enum leg_result {
	LEG_OK = 0,
	LEG_AGAIN = 1,	/* nothing now: readiness will be reported */
	LEG_EOF = 2,	/* end of stream, in order (FIN, or close_notify) */
	LEG_FAILED = 3, /* leg->failure and leg->alert say why */
};

struct transport {
	const char *name;
	bool is_tls;
	bool splice_in;	 /* plaintext can be spliced into the socket: nothing is sealed here */
	bool splice_out; /* … and out of it: nothing is opened here */
	/* Fills `batch` with up to about `want` bytes, laid out as `to` likes it. LEG_OK: at least
	 * one byte, or the leg was served without data (control records) and should be asked again.
	 * Clears leg->readable when the socket is drained. */
	enum leg_result (*recv)(struct leg *leg, struct worker *worker, const struct leg *to,
				size_t want, struct batch *batch);
	/* Takes the whole batch; what the socket does not take is kept in leg->out. The batch's
	 * bytes are destroyed. */
	enum leg_result (*send)(struct leg *leg, struct worker *worker, struct batch *batch);
	/* One control record after all output so far (TLS transports). */
	enum leg_result (*send_control)(struct leg *leg, struct worker *worker, uint8_t type,
					const uint8_t *data, size_t len);
	/* Moves one direction to its next traffic key (TLS 1.3). */
	enum leg_result (*rekey)(struct leg *leg, struct worker *worker, bool sending);
};

extern const struct transport transport_plain, transport_ktls, transport_ktls_send, transport_aead;

struct leg {
	struct loop_watch watch; /* holds the fd */
	const struct transport *transport;
	struct tls_keys *keys; /* owned; NULL: not TLS */
	struct held *out;      /* owned; blocked output, NULL: none */
	struct held *in;       /* owned; aead: an incomplete record, NULL: none */
	struct aead rx, tx;    /* aead; rx of ktls_send, too */
	struct post_handshake post_handshake;
	uint32_t key_update_tokens;
	uint64_t key_update_refill_ns;
	uint32_t empty_records;			   /* in a row */
	uint8_t control[KEY_UPDATE_MESSAGE_BYTES]; /* ktls: a control record that the socket did not
						      take yet */
	uint8_t control_bytes, control_type;
	uint8_t failure;	/* enum close_reason */
	uint8_t alert;		/* to send because of it; 0: none */
	uint8_t peer_alert;	/* that the peer sent */
	bool we_are_client : 1; /* of the TLS session */
	bool is_client : 1;	/* this leg faces the client of the service */
	bool readable : 1;	/* a read may give something */
	bool writable : 1;
	bool hung_up : 1;	  /* the peer has sent FIN: a short read does not mean drained */
	bool ended : 1;		  /* its stream has ended (LEG_EOF was given) */
	bool truncated : 1;	  /* … without close_notify */
	bool broken : 1;	  /* it has failed, which is told when what it gave is delivered */
	bool notified : 1;	  /* our last record is sent or queued: close_notify or an alert */
	bool shut : 1;		  /* … and FIN is out */
	bool can_rekey : 1;	  /* ktls: this kernel takes new keys */
	bool key_update_due : 1;  /* ktls: re-key for sending once `control` is out */
	bool key_update_held : 1; /* aead: one is in `out` */
};

static inline int leg_fd(const struct leg *leg)
{
	return leg->watch.fd;
}

/* Installs the transport on a leg whose handshake is done; takes `keys`. */
void leg_use_aead(struct leg *leg, struct tls_keys *keys);
void leg_use_ktls(struct leg *leg, struct tls_keys *keys, bool can_rekey);
/* Not in TLS 1.3 on a kernel that can not re-key. */
void leg_use_ktls_send(struct leg *leg, struct tls_keys *keys);

/* Writes what is held. LEG_OK: nothing is left. */
enum leg_result leg_flush(struct leg *leg, struct worker *worker);
/* Whether its socket is broken, not merely at its end: it has then failed. */
bool leg_is_broken(struct leg *leg);
/* True if output or a control record waits for the socket. */
bool leg_blocked(const struct leg *leg);
/* Ends our direction in order, after everything that is held: close_notify (TLS), then FIN.
 * LEG_AGAIN: call again when writable. */
enum leg_result leg_finish(struct leg *leg, struct worker *worker);
/* Sends a fatal alert if the leg speaks TLS; best effort. */
void leg_alert(struct leg *leg, struct worker *worker, uint8_t alert);
/* Appends raw socket bytes to leg->out. LEG_FAILED without memory. */
enum leg_result leg_hold(struct leg *leg, struct worker *worker, const void *bytes, size_t len);
/* An empty one, counted among what the worker's connections keep. NULL without memory. */
struct held *held_new(struct worker *worker, size_t capacity);
void held_free(struct worker *worker, struct held *held); /* NULL is fine */
/* Gives everything back and hands the socket to the loop to be closed. */
void leg_close(struct leg *leg, struct worker *worker);

/* For transports: one control record's plaintext has come. LEG_OK: go on reading. */
enum leg_result leg_on_control(struct leg *leg, struct worker *worker, uint8_t type,
			       const uint8_t *data, size_t len);
/* For transports: a record was sent or will be; renews or refuses the key at its record limit. Call
 * before sending `records` more. */
enum leg_result leg_before_records(struct leg *leg, struct worker *worker, uint64_t records);
enum leg_result leg_fail(struct leg *leg, enum close_reason reason, uint8_t alert);
/* A recv/send error of the socket. */
enum leg_result leg_fail_errno(struct leg *leg, int err);
/* What kernel TLS says of a record that has come, and not of the socket: to whichever call comes
 * next, be it a write. */
bool leg_is_about_record(int err);
/* Counts a record without data; LEG_FAILED when there are too many in a row. */
enum leg_result leg_on_empty_record(struct leg *leg);

#endif
