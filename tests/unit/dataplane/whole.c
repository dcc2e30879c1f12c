/* SPDX-License-Identifier: Apache-2.0 */
/* See whole.h. One thread. */
#include "unit/dataplane/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>

#include "dataplane/identity.h"
#include "kafka/sasl_frames.h"

struct whole_tls whole_tls;
uint8_t whole_stream[STREAM_BYTES];

static SSL_CTX *peer_context(const SSL_METHOD *method, const struct pki_cert *cert)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	assert_non_null(ctx);
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert->x509), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, cert->key), 1);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* Tickets would come after the handshake, where an egress skips them. */
	SSL_CTX_set_num_tickets(ctx, 2);
	return ctx;
}

static struct tls_context *our_context(bool is_server, const struct pki_cert *cert,
				       const char *name)
{
	const struct pki_cert *chain[] = { cert }, *roots[] = { &whole_tls.root };
	const char *root_file = pki_write_certs("root.crt", roots, 1);
	char file[64];
	struct tls_context_params params = {
		.is_server = is_server,
		.root_files = &root_file,
		.root_file_count = 1,
		.min_version = VERSION_1_3,
		.ciphers = { TLS_CIPHER_AES_128_GCM_SHA256 },
		.cipher_count = 1,
		.server_name = is_server ? NULL : "door.example",
	};
	struct tls_context *context;
	struct err_text err;

	snprintf(file, sizeof(file), "%s.crt", name);
	params.certificate_file = pki_write_certs(file, chain, 1);
	snprintf(file, sizeof(file), "%s.key", name);
	params.key_file = pki_write_key(file, cert);
	if (tls_context_new(&params, &context, &err))
		fail_msg("%s", err.text);
	return context;
}

static void open_keys(void)
{
	struct config_identity_keys config = { .directory = whole_tls.keys,
					       .overlap_ms = 1000,
					       .jwks_mode = 0644 };
	struct err_text err;

	snprintf(whole_tls.keys, sizeof(whole_tls.keys), "/tmp/sallyport-whole-XXXXXX");
	assert_non_null(mkdtemp(whole_tls.keys));
	if (identity_open(&config, &whole_tls.identity, &err) < 0)
		fail_msg("%s", err.text);
}

static void remove_keys(void)
{
	char path[96];

	identity_free(whole_tls.identity);
	snprintf(path, sizeof(path), "%s/signing-keys.pem", whole_tls.keys);
	unlink(path);
	snprintf(path, sizeof(path), "%s/jwks.json", whole_tls.keys);
	unlink(path);
	rmdir(whole_tls.keys);
}

int whole_tls_setup(void **state)
{
	struct pki_spec root = { .cn = "Root", .is_ca = true },
			door = { .cn = "door", .san = "DNS:door.example", .usage = "serverAuth" },
			guest = { .cn = "guest", .usage = "clientAuth" };

	(void)state;
	pki_make(&whole_tls.root, NULL, &root);
	pki_make(&whole_tls.door, &whole_tls.root, &door);
	pki_make(&whole_tls.guest, &whole_tls.root, &guest);
	whole_tls.server = our_context(true, &whole_tls.door, "door");
	whole_tls.client = our_context(false, &whole_tls.guest, "guest");
	whole_tls.peer_client = peer_context(TLS_client_method(), &whole_tls.guest);
	whole_tls.peer_server = peer_context(TLS_server_method(), &whole_tls.door);
	rig_pattern(whole_stream, sizeof(whole_stream), 31);
	open_keys();
	return 0;
}

int whole_tls_teardown(void **state)
{
	(void)state;
	remove_keys();
	tls_context_unref(whole_tls.server);
	tls_context_unref(whole_tls.client);
	SSL_CTX_free(whole_tls.peer_client);
	SSL_CTX_free(whole_tls.peer_server);
	pki_cert_fini(&whole_tls.root);
	pki_cert_fini(&whole_tls.door);
	pki_cert_fini(&whole_tls.guest);
	return 0;
}

static int listen_on(struct sockaddr_in *ret)
{
	socklen_t len = sizeof(*ret);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*ret = (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	rig_small_buffers(fd); /* what it accepts inherits them */
	assert_int_equal(bind(fd, (struct sockaddr *)ret, len), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &len), 0);
	return fd;
}

static void on_accept(struct loop_accept *accept, int fd)
{
	struct whole *s = container_of(accept, struct whole, accept);

	if (fd < 0) { /* it has stopped accepting */
		loop_accept_start(s->rig.worker.loop, accept, accept->fd, on_accept);
		return;
	}
	conn_accept(&s->rig.worker, &s->rig.route, fd);
}

void whole_open(struct whole *s, enum config_role role, enum config_splice splice,
		void (*suspend)(bool suspended))
{
	struct sockaddr_in upstream;
	int listener;

	memset(s, 0, sizeof(*s));
	s->suspend = suspend;
	s->stream_bytes = STREAM_BYTES;
	s->write_max = 20000;
	rig_init(&s->rig);
	s->rig.config.role = role;
	s->rig.config.splice = splice;
	s->rig.config.timeouts.handshake_ms = s->rig.config.timeouts.connect_ms = 10000;
	s->rig.route.tls = role == CONFIG_ROLE_FRONT ? whole_tls.server : whole_tls.client;
	s->upstream = listen_on(&upstream);
	memcpy(&s->rig.route.addresses[0].addr, &upstream, sizeof(upstream));
	s->rig.route.addresses[0].len = sizeof(upstream);
	s->rig.route.address_count = 1;
	listener = listen_on(&s->address);
	s->accept = (struct loop_accept){ .fd = -1 };
	assert_int_equal(loop_accept_start(s->rig.worker.loop, &s->accept, listener, on_accept), 0);
	s->client.fd = s->service.fd = -1;
}

void whole_use_headers(struct whole *s)
{
	s->with_headers = true;
	assert_int_equal(cidr_parse("127.0.0.0/8", &s->loopback), 0);
	s->rig.config.proxy_protocol =
		(struct config_proxy_protocol){ .accept_from = { &s->loopback, 1 },
						.send = CONFIG_PROXY_HEADER_V2,
						.tls = { CONFIG_PROXY_TLS_DER },
						.tls_count = 1 };
	s->rig.config.limits.connections_per_source = 10;
}

void whole_use_identity(struct whole *s, bool proven)
{
	static const char *const rules[] = { "RULE:^CN=([^,]*).*$/$1/L" };
	struct err_text err;
	size_t at;

	s->with_identity = true;
	/* Tokens tell the time: one that the certificates are good for. */
	s->rig.clock.realtime_ns = 1700000000 * NSEC_PER_SEC;
	s->rig.worker.identity = whole_tls.identity;
	s->rig.config.kafka = (struct config_kafka){ .identity = CONFIG_IDENTITY_OAUTHBEARER,
						     .issuer = "i",
						     .audience = "a" };
	s->rig.config.timeouts.identity_ms = 10000;
	assert_int_equal(principal_rules_new(rules, 1, &s->rig.route.principal_rules, &at, &err),
			 0);
	if (proven)
		assert_true(route_vouch(&s->rig.route, &s->rig.route.addresses[0]));
}

void whole_close(struct whole *s)
{
	loop_accept_close(s->rig.worker.loop, &s->accept);
	close(s->upstream);
	principal_rules_free(s->rig.route.principal_rules);
	rig_fini(&s->rig);
}

static void end_open(struct far_end *end, int fd, size_t stream_bytes, SSL_CTX *ctx, bool is_server)
{
	*end = (struct far_end){ .fd = fd, .shaken = !ctx, .stream_bytes = stream_bytes };
	assert_true(fd >= 0);
	if (!ctx)
		return;
	end->ssl = SSL_new(ctx);
	assert_non_null(end->ssl);
	assert_int_equal(SSL_set_fd(end->ssl, fd), 1);
	if (is_server)
		SSL_set_accept_state(end->ssl);
	else
		SSL_set_connect_state(end->ssl);
}

static void end_close(struct far_end *end)
{
	SSL_free(end->ssl);
	end->ssl = NULL;
	if (end->fd >= 0)
		close(end->fd);
	end->fd = -1;
}

/* True: it only has to wait. */
static bool must_wait(struct far_end *end, int r)
{
	int error;

	if (!end->ssl)
		return errno == EAGAIN;
	error = SSL_get_error(end->ssl, r);
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static void end_sends(struct far_end *end, size_t write_max)
{
	size_t want = MIN(end->stream_bytes - end->sent, write_max);
	ssize_t n;

	if (end->shut)
		return;
	if (!want) {
		end->shut = true;
		if (end->ssl)
			SSL_shutdown(end->ssl);
		shutdown(end->fd, SHUT_WR);
		return;
	}
	errno = 0;
	n = end->ssl ? SSL_write(end->ssl, whole_stream + end->sent, (int)want)
		     : send(end->fd, whole_stream + end->sent, want, MSG_NOSIGNAL);
	if (n > 0)
		end->sent += (size_t)n;
	else if (!must_wait(end, (int)n))
		end->failed = true;
}

static void end_reads(struct far_end *end)
{
	uint8_t bytes[9000];
	ssize_t n;

	if (end->ended)
		return;
	errno = 0;
	n = end->ssl ? SSL_read(end->ssl, bytes, sizeof(bytes))
		     : recv(end->fd, bytes, sizeof(bytes), 0);
	if (n > 0) {
		assert_true(end->got + (size_t)n <= end->stream_bytes);
		assert_memory_equal(bytes, whole_stream + end->got, (size_t)n);
		end->got += (size_t)n;
	} else if (end->ssl ? SSL_get_error(end->ssl, (int)n) == SSL_ERROR_ZERO_RETURN : n == 0) {
		end->ended = true;
	} else if (!must_wait(end, (int)n)) {
		end->failed = true;
	}
}

/* Reads the header that comes first, and not a byte more, once all of it is there. */
static bool header_is_gone(struct far_end *end)
{
	uint8_t header[PROXY_HEADER_BYTES_MAX];
	ssize_t n = recv(end->fd, header, sizeof(header), MSG_PEEK | MSG_DONTWAIT);
	size_t rest = 0;

	if (n == 0 || (n < 0 && errno != EAGAIN))
		end->failed = true;
	if (n < PROXY_PROTOCOL_START_BYTES)
		return false;
	assert_int_equal(proxy_protocol_check_start(header, PROXY_PROTOCOL_START_BYTES, &rest),
			 PROXY_PROTOCOL_OK);
	if ((size_t)n < PROXY_PROTOCOL_START_BYTES + rest)
		return false;
	recv(end->fd, header, PROXY_PROTOCOL_START_BYTES + rest, 0);
	end->header = false;
	return true;
}

/* Answers the two requests that come first, and reads not a byte more, once they are there. */
static bool identity_is_told(struct far_end *end)
{
	static const char answers[] = "\0\0\0\x17\0\0\0\1\0\0\0\0\0\1\0\x0bOAUTHBEARER"
				      "\0\0\0\x14\0\0\0\2\0\0\xff\xff\0\0\0\0"
				      "\0\0\0\0\0\0\0\0";
	static uint8_t requests[SASL_REQUESTS_BYTES_MAX];
	ssize_t n = recv(end->fd, requests, sizeof(requests), MSG_PEEK | MSG_DONTWAIT);
	size_t len = 0;

	if (n == 0 || (n < 0 && errno != EAGAIN))
		end->failed = true;
	for (int i = 0; i < 2; i++) {
		if (n < (ssize_t)len + 4)
			return false;
		len += 4 + ((size_t)requests[len + 2] << 8) + requests[len + 3];
	}
	if (n < (ssize_t)len)
		return false;
	recv(end->fd, requests, len, 0);
	if (send(end->fd, answers, sizeof(answers) - 1, MSG_NOSIGNAL) < 0) {
		end->failed = true;
		return false;
	}
	end->identity = false;
	return true;
}

/* One step of what an end does; it leaves as soon as it is broken or through. */
static void end_step(struct far_end *end, size_t write_max)
{
	int r;

	if (end->fd < 0)
		return;
	ERR_clear_error();
	if (end->header && !header_is_gone(end)) {
		if (end->failed)
			end_close(end);
		return;
	}
	if (end->identity && !identity_is_told(end)) {
		if (end->failed)
			end_close(end);
		return;
	}
	if (!end->shaken) {
		r = SSL_do_handshake(end->ssl);
		end->shaken = r == 1;
		end->failed = r != 1 && !must_wait(end, r);
	} else {
		end_sends(end, write_max);
		if (!end->failed) /* the error was told: what comes after it is no end in order */
			end_reads(end);
	}
	if (end->failed || (end->shut && end->ended))
		end_close(end);
}

static void service_step(struct whole *s)
{
	int fd;

	if (s->service.fd >= 0) {
		end_step(&s->service, s->write_max);
		return;
	}
	fd = accept4(s->upstream, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		end_open(&s->service, fd, s->stream_bytes,
			 s->rig.config.role == CONFIG_ROLE_EGRESS ? whole_tls.peer_server : NULL,
			 true);
	s->service.header = fd >= 0 && s->with_headers;
	s->service.identity = fd >= 0 && s->with_identity;
}

static bool is_whole(const struct far_end *end)
{
	return end->sent == end->stream_bytes && end->got == end->stream_bytes && end->ended;
}

bool whole_connection(struct whole *s)
{
	static const char header[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07"
				     "\xcb\0\x71\x09\x30\x39\x23\x85";
	uint64_t before = s->rig.worker.stats.accepted;
	unsigned int tries = 0;
	int fd;

	s->suspend(true);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	rig_small_buffers(fd);
	assert_int_equal(connect(fd, (struct sockaddr *)&s->address, sizeof(s->address)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	if (s->with_headers)
		assert_int_equal(send(fd, header, sizeof(header) - 1, 0), sizeof(header) - 1);
	s->service = (struct far_end){ .fd = -1 };
	end_open(&s->client, fd, s->stream_bytes,
		 s->rig.config.role == CONFIG_ROLE_FRONT ? whole_tls.peer_client : NULL, false);
	while (rig_patience(&tries)) {
		s->suspend(false);
		rig_turns(&s->rig, 1);
		s->suspend(true);
		end_step(&s->client, s->write_max);
		service_step(s);
		if (s->meanwhile)
			s->meanwhile(s);
		if (s->rig.worker.stats.accepted > before && !s->rig.worker.conn_count)
			break;
	}
	assert_int_equal(s->rig.worker.conn_count, 0);
	/* What they have not seen yet is on its way. */
	while ((s->client.fd >= 0 || s->service.fd >= 0) && rig_patience(&tries)) {
		end_step(&s->client, s->write_max);
		service_step(s);
	}
	end_close(&s->client);
	end_close(&s->service);
	return is_whole(&s->client) && is_whole(&s->service);
}

uint64_t whole_closes(const struct whole *s)
{
	uint64_t sum = 0;

	for (int i = 0; i < CLOSE_REASON_COUNT; i++)
		sum += s->rig.worker.stats.closes[i];
	return sum;
}

static void check_end(const char *whose, unsigned long n, const struct far_end *end)
{
	if (end->ended && end->got && end->got < end->stream_bytes)
		fail_msg("failure %lu: the %s has %zu bytes and an orderly end", n, whose,
			 end->got);
}

void whole_check_ends(const struct whole *s, unsigned long n)
{
	check_end("client", n, &s->client);
	check_end("service", n, &s->service);
}
