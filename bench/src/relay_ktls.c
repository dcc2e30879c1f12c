/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sallyport-bench-relay: the yard-stick, not the product. The least that can be done between an
 * mTLS client and a plain upstream when the kernel has the keys: a blocking OpenSSL handshake, the
 * traffic secrets from the key log, TCP_ULP "tls" both ways, the SSL object freed, and then
 * splice() (or, with --copy, recvmsg and send) in both directions on edge-triggered epoll. With
 * --plain there is no TLS at all: the floor.
 *
 * One thread, one connection at a time, TLS 1.3 with AES-128-GCM only. No identity rules, limits,
 * KeyUpdate or deadlines: whatever a real proxy costs above this one is the price of those.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

enum { RECORD_ALERT = 21, RECORD_DATA = 23 };

struct relay_options {
	struct sockaddr_in listen, upstream;
	const char *cert, *key, *ca;
	bool plain, copy;
	int pipe_bytes;		/* 0: the kernel's default */
	size_t chunk;		/* most bytes a splice or a read */
};

/* The two traffic secrets of a connection, as the key log names them. */
struct relay_secrets {
	unsigned char client[32], server[32];
	bool have_client, have_server;
};

/* One direction. Either the pipe or the buffer carries what was read and not yet written. */
struct relay_flow {
	int from, to;
	bool from_tls, to_tls;
	bool ended;		/* the source's end was seen */
	bool closed;		/* and passed on */
	size_t held, offset;
	int pipe[2];
	unsigned char *buffer;
};

static const struct relay_options *relay_options;

static void relay_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void relay_die(const char *format, ...)
{
	va_list args;

	fputs("sallyport-bench-relay: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, " (%s)\n", strerror(errno));
	ERR_print_errors_fp(stderr);
	exit(1);
}

/* "…_TRAFFIC_SECRET_0 <client random> <secret>", hex. */
static void relay_keylog(const SSL *ssl, const char *line)
{
	struct relay_secrets *secrets = SSL_get_ex_data(ssl, 0);
	bool client = strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0;
	unsigned char *out = client ? secrets->client : secrets->server;
	const char *hex = strrchr(line, ' ');
	size_t i;

	if (!client && strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) != 0)
		return;
	if (!hex || strlen(hex + 1) != 64)
		return;
	for (i = 0; i < 32; i++)
		if (sscanf(hex + 1 + 2 * i, "%2hhx", &out[i]) != 1)
			return;
	if (client)
		secrets->have_client = true;
	else
		secrets->have_server = true;
}

/* HKDF-Expand-Label (RFC 8446, 7.1) for outputs of one SHA-256 block at most. */
static void relay_expand(const unsigned char *secret, const char *label, unsigned char *out,
			 size_t len)
{
	unsigned char info[64], block[32];
	size_t label_len = strlen(label), n = 0;
	unsigned int block_len = sizeof(block);

	info[n++] = 0;
	info[n++] = (unsigned char)len;
	info[n++] = (unsigned char)(6 + label_len);
	memcpy(info + n, "tls13 ", 6);
	n += 6;
	memcpy(info + n, label, label_len);
	n += label_len;
	info[n++] = 0;
	info[n++] = 1;
	if (!HMAC(EVP_sha256(), secret, 32, info, n, block, &block_len))
		relay_die("HMAC");
	memcpy(out, block, len);
}

static void relay_set_key(int fd, int direction, const unsigned char *secret)
{
	struct tls12_crypto_info_aes_gcm_128 crypto = {
		.info = { .version = TLS_1_3_VERSION, .cipher_type = TLS_CIPHER_AES_GCM_128 },
	};
	unsigned char iv[12];

	relay_expand(secret, "key", crypto.key, sizeof(crypto.key));
	relay_expand(secret, "iv", iv, sizeof(iv));
	memcpy(crypto.salt, iv, 4);
	memcpy(crypto.iv, iv + 4, 8);
	if (setsockopt(fd, SOL_TLS, direction, &crypto, sizeof(crypto)))
		relay_die("no kernel TLS: %s", direction == TLS_TX ? "TLS_TX" : "TLS_RX");
}

/* Handshake, hand-off to the kernel. 0, or -1 when the client failed it. */
static int relay_handshake(SSL_CTX *ctx, int fd)
{
	struct relay_secrets secrets = { 0 };
	SSL *ssl = SSL_new(ctx);
	int ok;

	if (!ssl)
		relay_die("no memory");
	SSL_set_ex_data(ssl, 0, &secrets);
	SSL_set_fd(ssl, fd);
	ok = SSL_accept(ssl);
	SSL_free(ssl);
	ERR_clear_error();
	if (ok != 1 || !secrets.have_client || !secrets.have_server)
		return -1;
	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4))
		relay_die("no kernel TLS: TCP_ULP");
	relay_set_key(fd, TLS_RX, secrets.client);
	relay_set_key(fd, TLS_TX, secrets.server);
	return 0;
}

static void relay_send_close_notify(int fd)
{
	static const unsigned char alert[2] = { 1, 0 };
	char control[CMSG_SPACE(1)] = { 0 };
	struct iovec iov = { (void *)alert, sizeof(alert) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_TLS;
	cmsg->cmsg_type = TLS_SET_RECORD_TYPE;
	cmsg->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(cmsg) = RECORD_ALERT;
	(void)sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Any record, with its type. A control record counts as the end: close_notify, or a failure. */
static ssize_t relay_recv_record(int fd, void *buffer, size_t len)
{
	char control[CMSG_SPACE(1)];
	struct iovec iov = { buffer, len };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg;
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);

	if (n <= 0)
		return n;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_level == SOL_TLS && *CMSG_DATA(cmsg) != RECORD_DATA)
		return 0;
	return n;
}

static ssize_t relay_flow_read(struct relay_flow *flow)
{
	unsigned char record[2];
	ssize_t n;

	if (flow->buffer && flow->from_tls)
		return relay_recv_record(flow->from, flow->buffer, relay_options->chunk);
	if (flow->buffer)
		return recv(flow->from, flow->buffer, relay_options->chunk, MSG_DONTWAIT);
	n = splice(flow->from, NULL, flow->pipe[1], NULL, relay_options->chunk,
		   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	if (n < 0 && errno == EINVAL && flow->from_tls)
		return relay_recv_record(flow->from, record, sizeof(record));
	return n;
}

static ssize_t relay_flow_write(struct relay_flow *flow)
{
	if (flow->buffer)
		return send(flow->to, flow->buffer + flow->offset, flow->held,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
	return splice(flow->pipe[0], NULL, flow->to, NULL, flow->held,
		      SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
}

/* Moves what can be moved; -1 when the connection is broken. */
static int relay_flow_pump(struct relay_flow *flow)
{
	ssize_t n;

	while (!flow->closed) {
		if (flow->held) {
			n = relay_flow_write(flow);
			if (n < 0)
				return errno == EAGAIN ? 0 : -1;
			flow->held -= (size_t)n;
			flow->offset += (size_t)n;
			continue;
		}
		if (flow->ended) {
			if (flow->to_tls)
				relay_send_close_notify(flow->to);
			shutdown(flow->to, SHUT_WR);
			flow->closed = true;
			return 0;
		}
		n = relay_flow_read(flow);
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		flow->ended = n == 0;
		flow->held = (size_t)n;
		flow->offset = 0;
	}
	return 0;
}

static void relay_run(int epoll_fd, int client, int upstream, struct relay_flow *flows)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET }, seen[2];
	int i;

	for (i = 0; i < 2; i++) {
		flows[i].from = i ? upstream : client;
		flows[i].to = i ? client : upstream;
		flows[i].from_tls = !i && !relay_options->plain;
		flows[i].to_tls = i && !relay_options->plain;
		flows[i].ended = flows[i].closed = false;
		flows[i].held = 0;
		event.data.fd = flows[i].from;
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, flows[i].from, &event))
			relay_die("epoll");
	}
	while (!flows[0].closed || !flows[1].closed) {
		if (epoll_wait(epoll_fd, seen, 2, -1) < 0)
			return;
		if (relay_flow_pump(&flows[0]) || relay_flow_pump(&flows[1]))
			return;
	}
}

static void relay_flow_drop_rest(struct relay_flow *flow)
{
	char rest[4096];

	while (!flow->buffer && flow->held > 0) {
		ssize_t n = read(flow->pipe[0], rest, sizeof(rest));

		if (n <= 0)
			return;
		flow->held -= (size_t)n;
	}
}

static int relay_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || connect(fd, (const struct sockaddr *)&relay_options->upstream,
			      sizeof(relay_options->upstream)))
		relay_die("upstream");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void relay_serve(SSL_CTX *ctx, int epoll_fd, int client, struct relay_flow *flows)
{
	int one = 1, upstream;

	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (ctx && relay_handshake(ctx, client))
		return;
	upstream = relay_connect();
	fcntl(client, F_SETFL, O_NONBLOCK);
	fcntl(upstream, F_SETFL, O_NONBLOCK);
	relay_run(epoll_fd, client, upstream, flows);
	close(upstream);
	relay_flow_drop_rest(&flows[0]);
	relay_flow_drop_rest(&flows[1]);
}

static SSL_CTX *relay_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
	    !SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256"))
		relay_die("no TLS context");
	if (SSL_CTX_use_certificate_chain_file(ctx, relay_options->cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, relay_options->key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_load_verify_locations(ctx, relay_options->ca, NULL) != 1)
		relay_die("certificate, key or roots");
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_keylog_callback(ctx, relay_keylog);
	return ctx;
}

static int relay_listen(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&relay_options->listen,
		 sizeof(relay_options->listen)) || listen(fd, 1024))
		relay_die("listen");
	return fd;
}

static void relay_flow_init(struct relay_flow *flow)
{
	if (relay_options->copy) {
		flow->buffer = malloc(relay_options->chunk);
		if (!flow->buffer)
			relay_die("no memory");
		return;
	}
	if (pipe2(flow->pipe, O_NONBLOCK | O_CLOEXEC))
		relay_die("pipe");
	if (relay_options->pipe_bytes &&
	    fcntl(flow->pipe[0], F_SETPIPE_SZ, relay_options->pipe_bytes) < 0)
		relay_die("pipe size");
}

static struct sockaddr_in relay_address(const char *text)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	char host[32];
	unsigned short port;

	if (sscanf(text, "%31[0-9.]:%hu", host, &port) != 2 ||
	    inet_pton(AF_INET, host, &sa.sin_addr) != 1)
		relay_die("not an IPv4 address with a port: %s", text);
	sa.sin_port = htons(port);
	return sa;
}

static const char relay_usage[] =
	"usage: sallyport-bench-relay --listen ADDR:PORT --upstream ADDR:PORT\n"
	"         (--cert F --key F --ca F | --plain) [--copy] [--pipe BYTES] [--chunk BYTES]\n"
	"A bare kernel TLS relay, the yard-stick of the benchmarks. Not for use.\n";

static void relay_parse(int argc, char **argv, struct relay_options *o)
{
	static const struct option longs[] = {
		{ "listen", 1, NULL, 'l' }, { "upstream", 1, NULL, 'u' }, { "cert", 1, NULL, 'c' },
		{ "key", 1, NULL, 'k' }, { "ca", 1, NULL, 'a' }, { "plain", 0, NULL, 'p' },
		{ "copy", 0, NULL, 'y' }, { "pipe", 1, NULL, 'i' }, { "chunk", 1, NULL, 'n' },
		{ "help", 0, NULL, 'h' }, { 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'l': o->listen = relay_address(optarg); break;
		case 'u': o->upstream = relay_address(optarg); break;
		case 'c': o->cert = optarg; break;
		case 'k': o->key = optarg; break;
		case 'a': o->ca = optarg; break;
		case 'p': o->plain = true; break;
		case 'y': o->copy = true; break;
		case 'i': o->pipe_bytes = atoi(optarg); break;
		case 'n': o->chunk = (size_t)atol(optarg); break;
		case 'h': fputs(relay_usage, stdout); exit(0);
		default: fputs(relay_usage, stderr); exit(2);
		}
	}
	if (!o->listen.sin_port || !o->upstream.sin_port || !o->chunk ||
	    (!o->plain && (!o->cert || !o->key || !o->ca))) {
		fputs(relay_usage, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct relay_options options = { .chunk = 256 * 1024 };
	struct relay_flow flows[2] = { 0 };
	int listen_fd, epoll_fd;
	SSL_CTX *ctx = NULL;

	relay_parse(argc, argv, &options);
	relay_options = &options;
	signal(SIGPIPE, SIG_IGN);
	if (!options.plain)
		ctx = relay_context();
	relay_flow_init(&flows[0]);
	relay_flow_init(&flows[1]);
	listen_fd = relay_listen();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (;;) {
		int client = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (client < 0)
			continue;
		relay_serve(ctx, epoll_fd, client, flows);
		close(client);
	}
}
