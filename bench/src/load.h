/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of sallyport-load share: the options, the request a client sends to the origin
 * through the proxy under test, and the connection that carries it.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "load_hist.h"

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
	LOAD_OP_PUBLISH = 'W',	/* as LOAD_OP_PRODUCE, and subscribers of @count get it too */
	LOAD_OP_SUBSCRIBE = 'S', /* the origin sends what is published under @count */
};

/* Both ends run on one machine, often from one binary: native byte order. */
struct load_request {
	uint8_t op;
	uint8_t zero[3];
	uint32_t size;		/* of a message; of a send of the origin, at most */
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
	size_t record;		/* bytes that are sent as one: by the client or the origin */
	uint64_t seed;
	uint64_t rate;		/* operations a second; 0: as fast as they go */
	uint64_t burst;		/* storm: so many at once */
	uint64_t seconds;	/* rtt: not longer than that; 0: @count operations only */
	unsigned int timeout_s;
};

/* What the threads of one run add up. */
struct load_totals {
	uint64_t bytes;
	uint64_t ops;
	uint64_t retries;	/* reconnect: connections that were refused */
	uint64_t clean_ends;	/* close_notify (or FIN when plain) came back */
	uint64_t unclean_ends;	/* reset, or a FIN without close_notify */
};

/* A client connection: TLS over a buffered BIO, or a plain socket. */
struct load_conn {
	int fd;
	SSL *ssl;		/* NULL: plain */
};

/* One of many connections of a thread that never blocks. */
struct load_async {
	int fd;			/* -1: closed */
	SSL *ssl;		/* NULL: plain */
	bool connected, ready;
};

/* What a mode prints when it is done. */
struct load_report {
	const struct load_options *options;
	struct load_totals totals;
	uint64_t ns;		/* how long it took */
	uint64_t cpu_ns;	/* what we ourselves used meanwhile */
	const struct load_hist *latency; /* may be NULL */
};

/* load_address.c: "ADDR:PORT" or "[v6]:PORT", numeric. 0 or -EINVAL. */
int load_address_parse(const char *text, struct load_address *ret_address);

/* load_conn.c. Every failure is printed and ends the process: a benchmark has no plan B. */
SSL_CTX *load_conn_context(const struct load_options *options);
/* @buffered: large reads and batched writes; else a small footprint. */
void load_conn_open(struct load_conn *conn, SSL_CTX *ctx, const struct load_options *options,
		    bool buffered);
void load_conn_write(struct load_conn *conn, const void *data, size_t len, bool flush);
/* @len bytes of the pattern, any number, in as few sends as the connection's buffer allows. */
void load_conn_write_record(struct load_conn *conn, uint64_t pos, size_t len);
/* At least one byte, at most @len. */
size_t load_conn_read(struct load_conn *conn, void *data, size_t len);
void load_conn_read_all(struct load_conn *conn, void *data, size_t len);
/* Sends our end and, with @wait, reads up to the peer's. */
void load_conn_close(struct load_conn *conn, bool wait, struct load_totals *totals);

/* A session with the name to verify and no socket yet. */
SSL *load_conn_session(SSL_CTX *ctx, const struct load_options *options);

/* load_async.c. Registers with @epoll_fd, edge-triggered, under @tag. 0 or -errno. */
int load_async_open(struct load_async *conn, SSL_CTX *ctx, const struct load_options *options,
		    int epoll_fd, void *tag);
/* Goes on with connecting and the handshake: 1 when both are done, 0 not yet, -1 failed. */
int load_async_step(struct load_async *conn);
/* How many bytes were taken or given; 0: none now; -1: the connection is no more. */
ssize_t load_async_write(struct load_async *conn, const void *data, size_t len);
ssize_t load_async_read(struct load_async *conn, void *data, size_t len);
void load_async_close(struct load_async *conn);

/* load_report.c. Monotonic time; CPU time of this process. */
uint64_t load_now_ns(void);
uint64_t load_cpu_ns(void);
/* Compares with the pattern from @pos on; a wrong byte ends the process. */
void load_check(uint64_t pos, const void *data, size_t len);
void load_totals_add(struct load_totals *into, const struct load_totals *from);
/* Prints {"ready": N}; the second then waits for a line, or the end, on stdin. */
void load_say_ready(const struct load_options *options);
void load_wait_line(const struct load_options *options);
void load_report_print(const struct load_report *report);

/* Prints a message and ends the process with status 1. */
void load_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A mode each, in load_NAME.c; the return value is the exit status. */
int load_client_run(const struct load_options *options);
int load_rtt_run(const struct load_options *options);
int load_fanout_run(const struct load_options *options);
int load_reconnect_run(const struct load_options *options);
int load_storm_run(const struct load_options *options);
int load_origin_run(const struct load_options *options);

#endif
