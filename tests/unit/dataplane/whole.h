/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole connections for tests of what may fail in them: accept, handshake with libssl at the other
 * end, connect, both directions of the relay with blocked output, close; on the rig's loop, turn by
 * turn, with the certificates that takes.
 */
#ifndef SALLYPORT_TESTS_DATAPLANE_WHOLE_H
#define SALLYPORT_TESTS_DATAPLANE_WHOLE_H

#include "unit/dataplane/rig.h"

#include <arpa/inet.h>

#include <openssl/ssl.h>

#include "base/cidr.h"
#include "unit/tls/pki.h"

#define STREAM_BYTES 300000

struct whole_tls {
	struct pki_cert root, door, guest;
	struct tls_context *server, *client;
	SSL_CTX *peer_client, *peer_server;
	struct identity *identity; /* signs what a broker is told */
	char keys[64];		   /* its folder */
};

extern struct whole_tls whole_tls;
extern uint8_t whole_stream[STREAM_BYTES]; /* what both ends send */

/* The far end of a connection: sends the stream and reads one, both a little at a time. */
struct far_end {
	int fd;
	SSL *ssl; /* NULL: plain */
	bool shaken, shut, ended, failed;
	bool header;   /* one of the PROXY protocol is to come first */
	bool identity; /* a broker: it is to be told who the client is */
	size_t sent, got, stream_bytes;
};

struct whole {
	struct rig rig;
	int upstream;
	struct sockaddr_in address;
	struct loop_accept accept;
	struct far_end client, service;
	size_t stream_bytes; /* STREAM_BYTES, unless the test takes less */
	size_t write_max;    /* of the far ends at once */
	bool with_headers;   /* of the PROXY protocol, in and out */
	bool with_identity;
	struct cidr loopback;			/* where headers are taken from */
	void (*suspend)(bool suspended);	/* called around what the test itself does */
	void (*meanwhile)(struct whole *whole); /* between two turns; may be NULL */
};

/* For cmocka's group. */
int whole_tls_setup(void **state);
int whole_tls_teardown(void **state);

void whole_open(struct whole *whole, enum config_role role, enum config_splice splice,
		void (*suspend)(bool suspended));
/* Of an open one: a balancer and a service that use the PROXY protocol. */
void whole_use_headers(struct whole *whole);
/* Of an open one: a service that is a Kafka broker, of which it is known or not that it minds
 * identities. */
void whole_use_identity(struct whole *whole, bool proven);
void whole_close(struct whole *whole);
/* One connection until it is closed at both ends. True if both streams arrived whole and ended in
 * order. */
bool whole_connection(struct whole *whole);
/* All that were counted so far. */
uint64_t whole_closes(const struct whole *whole);
/* A stream that lost its end never looks as if it had ended in order. `n` is for the message. */
void whole_check_ends(const struct whole *whole, unsigned long n);

#endif
