/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client connection of the load generator: a blocking socket, with or without TLS. A buffer BIO
 * between OpenSSL and the socket makes reads large and leaves it to the caller how many records go
 * into one send, so that the generator is not what a benchmark measures. A connection belongs to
 * the thread that opened it. Any failure ends the process, loudly.
 */
#include "load.h"
#include "pattern.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

void load_die(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("sallyport-load: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	ERR_print_errors_fp(stderr);
	_exit(1);
}

SSL_CTX *load_conn_context(const struct load_options *options)
{
	int version = strcmp(options->tls, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
	SSL_CTX *ctx;

	if (options->plain)
		return NULL;
	ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx)
		load_die("no TLS context");
	if (!SSL_CTX_set_min_proto_version(ctx, version) ||
	    !SSL_CTX_set_max_proto_version(ctx, version))
		load_die("TLS %s is not available", options->tls);
	if (version == TLS1_3_VERSION ? !SSL_CTX_set_ciphersuites(ctx, options->cipher) :
					!SSL_CTX_set_cipher_list(ctx, options->cipher))
		load_die("cipher %s is not known", options->cipher);
	if (options->ca) {
		if (!SSL_CTX_load_verify_locations(ctx, options->ca, NULL))
			load_die("cannot read %s", options->ca);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	}
	if (options->cert &&
	    (SSL_CTX_use_certificate_chain_file(ctx, options->cert) != 1 ||
	     SSL_CTX_use_PrivateKey_file(ctx, options->key, SSL_FILETYPE_PEM) != 1))
		load_die("cannot use %s with %s", options->cert, options->key);
	SSL_CTX_set_mode(ctx, SSL_MODE_AUTO_RETRY | SSL_MODE_RELEASE_BUFFERS |
				      SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return ctx;
}

static int load_conn_connect(const struct load_options *options)
{
	struct timeval timeout = { .tv_sec = options->timeout_s };
	int one = 1, fd;

	fd = socket(options->address.sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		load_die("socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&options->address.sa, options->address.len))
		load_die("connect: %s", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	return fd;
}

static BIO *load_conn_bio(int fd, bool buffered)
{
	BIO *sock = BIO_new_socket(fd, BIO_NOCLOSE), *buffer;

	if (!sock)
		load_die("no memory");
	if (!buffered)
		return sock;
	buffer = BIO_new(BIO_f_buffer());
	if (!buffer || BIO_set_read_buffer_size(buffer, PATTERN_CHUNK) != 1 ||
	    BIO_set_write_buffer_size(buffer, 2 * PATTERN_CHUNK) != 1)
		load_die("no memory");
	return BIO_push(buffer, sock);
}

SSL *load_conn_session(SSL_CTX *ctx, const struct load_options *options)
{
	SSL *ssl = SSL_new(ctx);

	if (!ssl)
		load_die("no memory");
	if (options->server_name && (!SSL_set_tlsext_host_name(ssl, options->server_name) ||
				     !SSL_set1_host(ssl, options->server_name)))
		load_die("bad server name");
	return ssl;
}

void load_conn_open(struct load_conn *conn, SSL_CTX *ctx, const struct load_options *options,
		    bool buffered)
{
	BIO *bio;

	conn->fd = load_conn_connect(options);
	conn->ssl = NULL;
	if (!ctx)
		return;
	conn->ssl = load_conn_session(ctx, options);
	bio = load_conn_bio(conn->fd, buffered);
	SSL_set_bio(conn->ssl, bio, bio);
	if (SSL_connect(conn->ssl) != 1)
		load_die("handshake failed (%s)",
			 X509_verify_cert_error_string(SSL_get_verify_result(conn->ssl)));
}

static void load_conn_write_plain(int fd, const unsigned char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n < 0)
			load_die("send: %s", strerror(errno));
		data += n;
		len -= (size_t)n;
	}
}

void load_conn_write(struct load_conn *conn, const void *data, size_t len, bool flush)
{
	if (!conn->ssl) {
		load_conn_write_plain(conn->fd, data, len);
		return;
	}
	while (len > 0) {
		int n = SSL_write(conn->ssl, data, (int)len);

		if (n <= 0)
			load_die("TLS write failed (%s)", strerror(errno));
		data = (const unsigned char *)data + n;
		len -= (size_t)n;
	}
	if (flush && BIO_flush(SSL_get_wbio(conn->ssl)) != 1)
		load_die("send: %s", strerror(errno));
}

void load_conn_write_record(struct load_conn *conn, uint64_t pos, size_t len)
{
	while (len > 0) {
		size_t n = len < PATTERN_CHUNK ? len : PATTERN_CHUNK;

		len -= n;
		load_conn_write(conn, pattern_at(pos), n, len == 0);
		pos += n;
	}
}

size_t load_conn_read(struct load_conn *conn, void *data, size_t len)
{
	ssize_t n;

	if (conn->ssl) {
		n = SSL_read(conn->ssl, data, (int)len);
		if (n <= 0)
			load_die("TLS read failed: error %d, %s",
				 SSL_get_error(conn->ssl, (int)n), strerror(errno));
	} else {
		n = recv(conn->fd, data, len, 0);
		if (n <= 0)
			load_die("recv: %s", n == 0 ? "unexpected end" : strerror(errno));
	}
	return (size_t)n;
}

void load_conn_read_all(struct load_conn *conn, void *data, size_t len)
{
	size_t have = 0;

	while (have < len)
		have += load_conn_read(conn, (unsigned char *)data + have, len - have);
}

/* Reads to the end; true when the peer said goodbye properly. */
static bool load_conn_drain(struct load_conn *conn)
{
	unsigned char byte;
	ssize_t n;

	if (!conn->ssl) {
		n = recv(conn->fd, &byte, 1, 0);
		if (n > 0)
			load_die("data after the end");
		return n == 0;
	}
	n = SSL_read(conn->ssl, &byte, 1);
	if (n > 0)
		load_die("data after the end");
	if (SSL_get_error(conn->ssl, (int)n) == SSL_ERROR_ZERO_RETURN)
		return true;
	ERR_clear_error();
	return false;
}

void load_conn_close(struct load_conn *conn, bool wait, struct load_totals *totals)
{
	if (conn->ssl) {
		SSL_shutdown(conn->ssl);
		(void)BIO_flush(SSL_get_wbio(conn->ssl));
	}
	shutdown(conn->fd, SHUT_WR);
	if (wait) {
		if (load_conn_drain(conn))
			totals->clean_ends++;
		else
			totals->unclean_ends++;
	}
	SSL_free(conn->ssl);
	ERR_clear_error();
	close(conn->fd);
}
