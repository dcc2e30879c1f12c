/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory runs out at every allocation of a whole connection in turn: accept, handshake with libssl
 * at the other end, connect, both directions of the relay with blocked output, close. Never a crash
 * or a leak (a sanitizer looks), never a connection that stays, always one counted reason; and the
 * next connection is served.
 */
#include "unit/dataplane/rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/log.h"
#include "config/load.h"
#include "dataplane/worker_listen.h"
#include "lib/failing_alloc.h"
#include "lib/fake_ktls.h"
#include "unit/tls/pki.h"

#define STREAM_BYTES   300000
#define ALLOCATION_MAX 300

static uint8_t stream[STREAM_BYTES];

static struct {
	struct pki_cert root, door, guest;
	struct tls_context *server, *client;
	SSL_CTX *peer_client, *peer_server;
} tls;

/* The far end of a connection: sends the stream and reads one, both a little at a time. */
struct far_end {
	int fd;
	SSL *ssl; /* NULL: plain */
	bool shaken, shut, ended, failed;
	size_t sent, got;
};

struct scene {
	struct rig rig;
	int listener, upstream;
	struct sockaddr_in address;
	struct loop_accept accept;
	struct far_end client, service;
};

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
	const struct pki_cert *chain[] = { cert }, *roots[] = { &tls.root };
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

static int tls_setup(void **state)
{
	struct pki_spec root = { .cn = "Root", .is_ca = true },
			door = { .cn = "door", .san = "DNS:door.example", .usage = "serverAuth" },
			guest = { .cn = "guest", .usage = "clientAuth" };

	(void)state;
	pki_make(&tls.root, NULL, &root);
	pki_make(&tls.door, &tls.root, &door);
	pki_make(&tls.guest, &tls.root, &guest);
	tls.server = our_context(true, &tls.door, "door");
	tls.client = our_context(false, &tls.guest, "guest");
	tls.peer_client = peer_context(TLS_client_method(), &tls.guest);
	tls.peer_server = peer_context(TLS_server_method(), &tls.door);
	rig_pattern(stream, sizeof(stream), 31);
	return 0;
}

static int tls_teardown(void **state)
{
	(void)state;
	tls_context_unref(tls.server);
	tls_context_unref(tls.client);
	SSL_CTX_free(tls.peer_client);
	SSL_CTX_free(tls.peer_server);
	pki_cert_fini(&tls.root);
	pki_cert_fini(&tls.door);
	pki_cert_fini(&tls.guest);
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
	struct scene *s = container_of(accept, struct scene, accept);

	assert_true(fd >= 0);
	conn_accept(&s->rig.worker, &s->rig.route, fd);
}

static void scene_open(struct scene *s, enum config_role role, enum config_splice splice)
{
	struct sockaddr_in upstream;

	rig_init(&s->rig);
	s->rig.config.role = role;
	s->rig.config.splice = splice;
	s->rig.config.timeouts.handshake_ms = s->rig.config.timeouts.connect_ms = 10000;
	s->rig.route.tls = role == CONFIG_ROLE_FRONT ? tls.server : tls.client;
	s->upstream = listen_on(&upstream);
	memcpy(&s->rig.route.addresses[0].addr, &upstream, sizeof(upstream));
	s->rig.route.addresses[0].len = sizeof(upstream);
	s->rig.route.address_count = 1;
	s->listener = listen_on(&s->address);
	s->accept = (struct loop_accept){ .fd = -1 };
	assert_int_equal(loop_accept_start(s->rig.worker.loop, &s->accept, s->listener, on_accept),
			 0);
	s->client.fd = s->service.fd = -1;
}

static void scene_close(struct scene *s)
{
	loop_accept_close(s->rig.worker.loop, &s->accept);
	close(s->upstream);
	rig_fini(&s->rig);
}

static void end_open(struct far_end *end, int fd, SSL_CTX *ctx, bool is_server)
{
	*end = (struct far_end){ .fd = fd, .shaken = !ctx };
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

static void end_sends(struct far_end *end)
{
	size_t want = MIN(STREAM_BYTES - end->sent, (size_t)20000);
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
	n = end->ssl ? SSL_write(end->ssl, stream + end->sent, (int)want)
		     : send(end->fd, stream + end->sent, want, MSG_NOSIGNAL);
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
		assert_true(end->got + (size_t)n <= STREAM_BYTES);
		assert_memory_equal(bytes, stream + end->got, (size_t)n);
		end->got += (size_t)n;
	} else if (end->ssl ? SSL_get_error(end->ssl, (int)n) == SSL_ERROR_ZERO_RETURN : n == 0) {
		end->ended = true;
	} else if (!must_wait(end, (int)n)) {
		end->failed = true;
	}
}

/* One step of what an end does; it leaves as soon as it is broken or through. */
static void end_step(struct far_end *end)
{
	int r;

	if (end->fd < 0)
		return;
	ERR_clear_error();
	if (!end->shaken) {
		r = SSL_do_handshake(end->ssl);
		end->shaken = r == 1;
		end->failed = r != 1 && !must_wait(end, r);
	} else {
		end_sends(end);
		if (!end->failed) /* the error was told: what comes after it is no end in order */
			end_reads(end);
	}
	if (end->failed || (end->shut && end->ended))
		end_close(end);
}

static void service_step(struct scene *s)
{
	int fd;

	if (s->service.fd >= 0) {
		end_step(&s->service);
		return;
	}
	fd = accept4(s->upstream, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		end_open(&s->service, fd,
			 s->rig.config.role == CONFIG_ROLE_EGRESS ? tls.peer_server : NULL, true);
}

static bool is_whole(const struct far_end *end)
{
	return end->sent == STREAM_BYTES && end->got == STREAM_BYTES && end->ended;
}

/* One whole connection. True if both streams arrived whole and ended in order. */
static bool connection(struct scene *s)
{
	uint64_t before = s->rig.worker.stats.accepted;
	unsigned int tries = 0;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	failing_alloc_suspend(true);
	rig_small_buffers(fd);
	assert_int_equal(connect(fd, (struct sockaddr *)&s->address, sizeof(s->address)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	s->service = (struct far_end){ .fd = -1 };
	end_open(&s->client, fd, s->rig.config.role == CONFIG_ROLE_FRONT ? tls.peer_client : NULL,
		 false);
	while (rig_patience(&tries)) {
		failing_alloc_suspend(false);
		rig_turns(&s->rig, 1);
		failing_alloc_suspend(true);
		end_step(&s->client);
		service_step(s);
		if (s->rig.worker.stats.accepted > before && !s->rig.worker.conn_count)
			break;
	}
	assert_int_equal(s->rig.worker.conn_count, 0);
	/* What they have not seen yet is on its way. */
	while ((s->client.fd >= 0 || s->service.fd >= 0) && rig_patience(&tries)) {
		end_step(&s->client);
		service_step(s);
	}
	end_close(&s->client);
	end_close(&s->service);
	return is_whole(&s->client) && is_whole(&s->service);
}

static uint64_t closes_of(const struct scene *s)
{
	uint64_t sum = 0;

	for (int i = 0; i < CLOSE_REASON_COUNT; i++)
		sum += s->rig.worker.stats.closes[i];
	return sum;
}

/* A stream that lost its end never looks as if it had ended in order. */
static void check_end(const char *whose, unsigned long n, const struct far_end *end)
{
	if (end->ended && end->got && end->got < STREAM_BYTES)
		fail_msg("allocation %lu: the %s has %zu bytes and an orderly end", n, whose,
			 end->got);
}

/* A failed allocation is the reason that is counted, and nothing else is blamed. */
static void check_reason(const struct scene *s, unsigned long n, bool whole)
{
	const struct stats *stats = &s->rig.worker.stats;
	uint64_t no_memory = stats->closes[CLOSE_NO_MEMORY];

	if (stats->closes[CLOSE_HANDSHAKE_FAILED])
		no_memory += stats->refusals[TLS_REFUSAL_NO_MEMORY];
	for (int i = 0; !whole && !no_memory && i < CLOSE_REASON_COUNT; i++)
		if (stats->closes[i])
			fail_msg("allocation %lu: closed as %s", n,
				 close_reason_name((enum close_reason)i));
}

static void walk(enum config_role role, enum config_splice splice, enum failing_alloc_mode mode)
{
	unsigned long n, last;
	struct scene s;

	for (n = 1; n < ALLOCATION_MAX; n++) {
		bool whole, failed;

		scene_open(&s, role, splice);
		failing_alloc_arm(n, mode);
		whole = connection(&s);
		failed = failing_alloc_disarm();
		last = failing_alloc_count();
		assert_int_equal(s.rig.worker.stats.accepted, 1);
		assert_int_equal(closes_of(&s), 1);
		check_reason(&s, n, whole);
		check_end("client", n, &s.client);
		check_end("service", n, &s.service);
		assert_int_equal(atomic_load(&s.rig.state.connections), 0);
		assert_int_equal(atomic_load(&s.rig.state.handshakes), 0);
		assert_int_equal(s.rig.worker.pipes.lent_count, 0);
		/* With memory again it works again. */
		assert_true(connection(&s));
		assert_int_equal(closes_of(&s), 2);
		scene_close(&s);
		if (!failed) {
			assert_true(whole);
			break;
		}
	}
	assert_true(n < ALLOCATION_MAX);
	assert_true(last > 12); /* else the walk has not gone where it should */
	print_message("%lu allocations\n", last);
}

static void test_front_one(void **state)
{
	(void)state;
	walk(CONFIG_ROLE_FRONT, CONFIG_SPLICE_AUTO, FAILING_ALLOC_ONE);
}

static void test_front_from(void **state)
{
	(void)state;
	walk(CONFIG_ROLE_FRONT, CONFIG_SPLICE_AUTO, FAILING_ALLOC_FROM);
}

static void test_egress_one(void **state)
{
	(void)state;
	walk(CONFIG_ROLE_EGRESS, CONFIG_SPLICE_AUTO, FAILING_ALLOC_ONE);
}

static void test_egress_from(void **state)
{
	(void)state;
	walk(CONFIG_ROLE_EGRESS, CONFIG_SPLICE_AUTO, FAILING_ALLOC_FROM);
}

/* No memory for a pipe: bytes are copied instead, and the stream is whole. */
static void test_no_memory_for_a_pipe(void **state)
{
	struct pipe_pool pool;
	struct pipe_pair *pipe;

	(void)state;
	pipe_pool_init(&pool);
	failing_alloc_arm(1, FAILING_ALLOC_ONE);
	assert_null(pipe_pool_get(&pool, NSEC_PER_SEC));
	assert_true(failing_alloc_disarm());
	assert_int_equal(pool.refused, 1);
	pipe = pipe_pool_get(&pool, 2 * NSEC_PER_SEC);
	assert_non_null(pipe);
	pipe_pool_put(&pool, pipe);
	pipe_pool_fini(&pool);
}

/* kTLS takes plaintext, so that a loss leaves no broken record that would show it: the alert has to
 * say so. */
static void test_ktls_output_that_can_not_be_held(void **state)
{
	static struct fake_ktls_record record;
	struct tls_keys *keys[2];
	int wire[2], service[2];
	unsigned int tries = 0;
	struct rig *rig = *state;
	struct conn *conn;
	size_t got = 0;

	rig->config.splice = CONFIG_SPLICE_OFF;
	fake_ktls_pair(wire, true);
	rig_socketpair(service);
	rig_keys(VERSION_1_3, TLS_CIPHER_AES_128_GCM_SHA256, keys);
	conn = rig_conn(rig, wire[0], service[0]);
	conn->secured = true;
	leg_use_ktls(&conn->accepted, keys[0], true);
	conn_relay_start(conn);
	failing_alloc_arm(1, FAILING_ALLOC_ONE);
	for (size_t at = 0; conn->state == CONN_RELAY && rig_patience(&tries);) {
		ssize_t n = send(service[1], stream + at, STREAM_BYTES - at, MSG_DONTWAIT);

		at = (at + (size_t)MAX(n, (ssize_t)0)) % STREAM_BYTES;
		rig_turns(rig, 1);
	}
	assert_true(failing_alloc_disarm());
	for (;;) {
		assert_int_equal(fake_ktls_wire_recv(wire[1], &record), 1);
		if (record.type != TLS_APPLICATION_DATA)
			break;
		got += record.len;
		rig_turns(rig, 1);
	}
	assert_true(got > 0);
	assert_int_equal(record.type, TLS_ALERT);
	assert_int_equal(record.data[0], TLS_ALERT_FATAL);
	assert_int_equal(record.data[1], TLS_ALERT_INTERNAL_ERROR);
	close(wire[1]);
	close(service[1]);
	tls_keys_free(keys[1]);
	rig_until(rig, rig_is_empty, rig);
	rig_assert_closed(rig, CLOSE_NO_MEMORY, 1);
}

/* --- what is made before the first connection --- */

/* Two listeners on ports of the kernel's choice. */
static struct config *two_listeners(void)
{
	const struct pki_cert *chain[] = { &tls.door }, *roots[] = { &tls.root };
	const char *certificate = pki_write_certs("walk.crt", chain, 1);
	const char *key = pki_write_key("walk.key", &tls.door);
	const char *root = pki_write_certs("walk-root.crt", roots, 1);
	struct config_problems *problems = calloc(1, sizeof(*problems));
	struct config *config = NULL;
	cleanup_free char *text = NULL;
	int len = asprintf(&text,
			   "listeners:\n"
			   "- { name: a, listen: \"127.0.0.1:1\", upstream: \"127.0.0.1:9\","
			   " ktls: off, tls: &t { certificate: %s, key: %s, roots: [ %s ] } }\n"
			   "- { name: b, listen: \"127.0.0.1:2\", upstream: \"127.0.0.1:9\","
			   " ktls: off, tls: *t }\n",
			   certificate, key, root);
	if (config_load_bytes(text, (size_t)len, "/", &config, problems) < 0)
		fail_msg("%s", problems->items[0].text);
	free(problems);
	for (size_t i = 0; i < config->listener_count; i++)
		config->listeners[i].listen.port = 0;
	return config;
}

static void test_start(void **state)
{
	bool failed = true;
	unsigned long n;

	(void)state;
	log_init(2, LOG_ERROR, LOG_FORMAT_TEXT);
	for (n = 1; failed && n < ALLOCATION_MAX; n++) {
		struct config *config = two_listeners();
		struct snapshot *snapshot = NULL;
		struct worker *worker = NULL;
		struct worker_plan *plan = NULL;
		struct listen_table none = { .count = 0 }, table = none;
		struct inherited_sockets no_sockets = { .count = 0 };
		struct err_text err = { "" };
		int r;

		failing_alloc_arm(n, FAILING_ALLOC_ONE);
		r = snapshot_new(config, NULL, &snapshot, &err);
		if (r < 0)
			config_free(config);
		else
			r = listen_table_open(&none, config, 1, &no_sockets, &table, &err);
		if (r == 0)
			r = worker_new(0, LOOP_EPOLL, &worker, &err);
		if (r == 0)
			r = worker_plan_new(worker, 1, snapshot, &table, &plan, &err);
		failed = failing_alloc_disarm();
		if (r < 0 && (!failed || !err.text[0]))
			fail_msg("allocation %lu: %d, \"%s\"", n, r, err.text);
		worker_plan_free(plan);
		worker_free(worker);
		listen_table_close(&table, NULL);
		snapshot_unref(snapshot);
	}
	assert_true(n > 5 && n < ALLOCATION_MAX);
}

/* From one configuration to the next: what fails leaves the first one as it was. */
static void test_change(void **state)
{
	struct listen_table none = { .count = 0 }, table;
	struct inherited_sockets no_sockets = { .count = 0 };
	struct config *first = two_listeners();
	struct snapshot *snapshot;
	struct worker *worker;
	struct err_text err = { "" };
	bool failed = true;
	unsigned long n;

	(void)state;
	log_init(2, LOG_ERROR, LOG_FORMAT_TEXT);
	assert_int_equal(snapshot_new(first, NULL, &snapshot, &err), 0);
	assert_int_equal(listen_table_open(&none, first, 1, &no_sockets, &table, &err), 0);
	assert_int_equal(worker_new(0, LOOP_EPOLL, &worker, &err), 0);
	for (n = 1; failed && n < ALLOCATION_MAX; n++) {
		struct config *config = two_listeners();
		struct snapshot *next = NULL;
		struct worker_plan *plan = NULL;
		struct listen_table next_table = none;
		int r;

		strcpy(config->listeners[1].listen.host, "127.0.0.9"); /* a new one */
		failing_alloc_arm(n, FAILING_ALLOC_ONE);
		r = snapshot_new(config, snapshot, &next, &err);
		if (r < 0)
			config_free(config);
		else
			r = listen_table_open(&table, config, 1, &no_sockets, &next_table, &err);
		if (r == 0)
			r = worker_plan_new(worker, 1, next, &next_table, &plan, &err);
		failed = failing_alloc_disarm();
		assert_true(r == 0 || failed);
		worker_plan_free(plan);
		listen_table_close(&next_table, &table);
		snapshot_unref(next);
		assert_int_equal(atomic_load(&snapshot->refs), 1);
		assert_int_equal(atomic_load(&snapshot->routes[0].state->refs), 1);
		assert_true(fcntl(table.groups[0]->fds[0], F_GETFD) >= 0);
	}
	assert_true(n > 5 && n < ALLOCATION_MAX);
	worker_free(worker);
	listen_table_close(&table, NULL);
	snapshot_unref(snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_front_one),
		cmocka_unit_test(test_front_from),
		cmocka_unit_test(test_egress_one),
		cmocka_unit_test(test_egress_from),
		cmocka_unit_test(test_no_memory_for_a_pipe),
		RIG_TEST(test_ktls_output_that_can_not_be_held),
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_change),
	};

	return cmocka_run_group_tests(tests, tls_setup, tls_teardown);
}
