/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of sallyport-load share: the options, the request a client sends to the origin
 * through the proxy under test, and the connection that carries it.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* First byte of a connection. LOAD_OP_ECHO is one byte long; the others open a load_request. */
enum load_op {
	LOAD_OP_ECHO = 'H',	/* answered at once by the same byte; may be repeated */
	LOAD_OP_CONSUME = 'C',	/* the origin sends @bytes of the pattern */
	LOAD_OP_PRODUCE = 'P',	/* the client sends @bytes; the origin answers a load_verdict */
	LOAD_OP_RTT = 'R',	/* every @size bytes are checked and sent back, @count times */
};

/* Both ends run on one machine, often from one binary: native byte order. */
struct load_request {
	uint8_t op;
	uint8_t zero[3];
	uint32_t size;
	uint64_t bytes;
	uint64_t count;
	uint64_t seed;		/* position in the pattern where this connection starts */
};

struct load_verdict {
	uint64_t bytes;
	uint64_t wrong;		/* 0: every byte was right */
};

_Static_assert(sizeof(struct load_request) == 32, "wire layout");
_Static_assert(sizeof(struct load_verdict) == 16, "wire layout");

struct load_address {
	struct sockaddr_storage sa;
	socklen_t len;
};

struct load_options {
	const char *mode;
	struct load_address address;
	bool plain;
	bool sendfile;
	bool wait;		/* rtt: begin when a line comes on stdin */
	const char *cert, *key, *ca, *server_name, *cipher, *tls;
	uint64_t bytes;
	uint64_t count;
	uint32_t size;
	uint32_t connections;
	size_t write_batch;
	uint64_t seed;
	uint64_t rate;		/* storm: connections a second … */
	uint64_t burst;		/* … so many at once */
	unsigned int timeout_s;
};

/* What the threads of one run add up. */
struct load_totals {
	uint64_t bytes;
	uint64_t ops;
	uint64_t clean_ends;	/* close_notify (or FIN when plain) came back */
	uint64_t unclean_ends;	/* reset, or a FIN without close_notify */
};

/* A client connection: TLS over a buffered BIO, or a plain socket. */
struct load_conn {
	int fd;
	SSL *ssl;		/* NULL: plain */
};

/* load_address.c: "ADDR:PORT" or "[v6]:PORT", numeric. 0 or -EINVAL. */
int load_address_parse(const char *text, struct load_address *ret_address);

/* load_conn.c. Every failure is printed and ends the process: a benchmark has no plan B. */
SSL_CTX *load_conn_context(const struct load_options *options);
/* @buffered: large reads and batched writes; else a small footprint. */
void load_conn_open(struct load_conn *conn, SSL_CTX *ctx, const struct load_options *options,
		    bool buffered);
void load_conn_write(struct load_conn *conn, const void *data, size_t len, bool flush);
/* At least one byte, at most @len. */
size_t load_conn_read(struct load_conn *conn, void *data, size_t len);
void load_conn_read_all(struct load_conn *conn, void *data, size_t len);
/* Sends our end and, with @wait, reads up to the peer's. */
void load_conn_close(struct load_conn *conn, bool wait, struct load_totals *totals);

/* Prints a message and ends the process with status 1. */
void load_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* load_client.c, load_origin.c, load_storm.c: run a mode; the return value is the exit status. */
int load_client_run(const struct load_options *options);
int load_storm_run(const struct load_options *options);
int load_origin_run(const struct load_options *options);

#endif
