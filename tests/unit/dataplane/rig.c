/* SPDX-License-Identifier: Apache-2.0 */
/* See rig.h. One thread: the test takes the loop's turns between its own steps. */
#include "unit/dataplane/rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"

#define TRIES_A_SLEEP 256u
#define SLEEPS_MAX    30000u /* of a millisecond */
/* As in tests/lib/ports.py. */
#define PORT_FIRST 10240u
#define PORT_COUNT 1760u

void rig_init(struct rig *rig)
{
	struct err_text err;

	signal(SIGPIPE, SIG_IGN);
	log_init(2, LOG_ERROR, LOG_FORMAT_TEXT);
	memset(rig, 0, sizeof(*rig));
	rig->clock = (struct clock_fake){ .monotonic_ns = 1000 * NSEC_PER_SEC,
					  .realtime_ns = 1000 * NSEC_PER_SEC };
	clock_set_fake(&rig->clock);
	list_init(&rig->worker.conns);
	list_init(&rig->worker.walks);
	list_init(&rig->worker.ending);
	pipe_pool_init(&rig->worker.pipes);
	/* From malloc, so that a sanitizer sees both ends of it. */
	rig->worker.buffer = malloc(WORKER_BUFFER_BYTES);
	assert_non_null(rig->worker.buffer);
	assert_int_equal(aead_cache_new(8, &rig->worker.aead_cache), 0);
	assert_int_equal(loop_new(LOOP_EPOLL, &rig->worker.loop, &err), 0);
	turnstile_init(&rig->worker.turnstile, rig->worker.loop);
	throttle_init(&rig->worker.throttle, rig->worker.loop);
	assert_int_equal(gate_new(&rig->process, &rig->worker.gate, &err), 0);
	rig->config.name = (char *)"unit";
	rig->config.role = CONFIG_ROLE_FRONT;
	rig->config.limits = (struct config_limits){ .connections = 100, .handshakes = 100 };
	rig->config.timeouts.linger_ms = 2000;
	atomic_init(&rig->snapshot.refs, 1);
	rig->route.snapshot = &rig->snapshot;
	rig->route.state = &rig->state;
	rig->state.stats.of[0] = &rig->share;
	rig->route.config = &rig->config;
	pthread_mutex_init(&rig->route.addresses_mutex, NULL);
}

void rig_fini(struct rig *rig)
{
	struct list_node *it, *next;

	list_for_each_safe (it, next, &rig->worker.conns)
		conn_close(container_of(it, struct conn, node), CLOSE_DRAIN);
	clock_set_fake(NULL);
	loop_free(rig->worker.loop);
	pipe_pool_fini(&rig->worker.pipes);
	aead_cache_free(rig->worker.aead_cache);
	free(rig->worker.buffer);
	assert_int_equal(gate_held(rig->worker.gate), 0);
	gate_free(rig->worker.gate);
	pthread_mutex_destroy(&rig->route.addresses_mutex);
}

int rig_setup(void **state)
{
	struct rig *rig = malloc(sizeof(*rig));

	rig_init(rig);
	*state = rig;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *rig = *state;
	uint64_t live = 0;
	bool clean;

	rig_fini(rig);
	for (int i = 0; i < CONN_STATE_COUNT; i++)
		live += rig->worker.stats.conns[i] + rig->share.conns[i];
	clean = !live && !rig->worker.stats.held_bytes && !rig->worker.pipes.lent_count &&
		!rig->worker.conn_count && atomic_load(&rig->snapshot.refs) == 1 &&
		!atomic_load(&rig->state.connections) && !atomic_load(&rig->state.handshakes);
	free(rig);
	return clean ? 0 : -1;
}

static void turn(struct loop_task *task)
{
	struct rig *rig = container_of(task, struct rig, turner);

	if (rig->turns_left-- > 1)
		loop_task_queue(rig->worker.loop, task);
	else
		loop_stop(rig->worker.loop);
}

void rig_turns(struct rig *rig, unsigned int turns)
{
	rig->turner.run = turn;
	rig->turns_left = turns;
	loop_task_queue(rig->worker.loop, &rig->turner);
	assert_int_equal(loop_run(rig->worker.loop), 0);
}

void rig_pass_ms(struct rig *rig, uint64_t ms)
{
	rig->clock.monotonic_ns += ms * NSEC_PER_MSEC;
	rig_turns(rig, 2);
}

bool rig_patience(unsigned int *tries)
{
	if (++*tries % TRIES_A_SLEEP == 0)
		poll(NULL, 0, 1);
	return *tries < TRIES_A_SLEEP * SLEEPS_MAX;
}

void rig_until(struct rig *rig, bool (*done)(void *arg), void *arg)
{
	unsigned int tries = 0;

	while (!done(arg)) {
		if (!rig_patience(&tries))
			fail_msg("it does not come about");
		rig_turns(rig, 1);
	}
}

bool rig_is_empty(void *arg)
{
	const struct rig *rig = arg;

	return !rig->worker.conn_count;
}

static void accepted_ready(struct loop_watch *watch, uint32_t events)
{
	struct conn *conn = container_of(watch, struct conn, accepted.watch);

	conn_on_ready(conn, &conn->accepted, events);
}

static void dialed_ready(struct loop_watch *watch, uint32_t events)
{
	struct conn *conn = container_of(watch, struct conn, dialed.watch);

	conn_on_ready(conn, &conn->dialed, events);
}

/* The linger's deadline; the other states' are for tests with whole connections. */
static void on_deadline(struct loop_timer *timer)
{
	struct conn *conn = container_of(timer, struct conn, timer);

	assert_int_equal(conn->state, CONN_LINGER);
	conn_close(conn, conn->reason);
}

struct conn *rig_conn(struct rig *rig, int accepted_fd, int dialed_fd)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	struct loop *loop = rig->worker.loop;

	assert_non_null(conn);
	conn->worker = &rig->worker;
	conn->route = route_ref(&rig->route);
	conn->stats = &rig->share;
	conn->state = CONN_CONNECT;
	conn_stats_add(conn, conns[CONN_CONNECT], 1);
	conn->timer.on_fire = on_deadline;
	conn->accepted.transport = conn->dialed.transport = &transport_plain;
	conn->accepted.is_client = true;
	conn->dialed.we_are_client = true;
	conn->tls = rig->config.role == CONFIG_ROLE_FRONT ? &conn->accepted : &conn->dialed;
	conn->connected = true;
	atomic_fetch_add(&rig->state.connections, 1);
	list_append(&rig->worker.conns, &conn->node);
	rig->worker.conn_count++;
	assert_int_equal(loop_watch_start(loop, &conn->accepted.watch, accepted_fd, accepted_ready),
			 0);
	assert_int_equal(loop_watch_start(loop, &conn->dialed.watch, dialed_fd, dialed_ready), 0);
	return conn;
}

void rig_assert_closed(struct rig *rig, enum close_reason reason, uint64_t count)
{
	for (int i = 0; i < CLOSE_REASON_COUNT; i++)
		if (i != (int)reason && rig->worker.stats.closes[i])
			fail_msg("closed as %s, not %s", close_reason_name((enum close_reason)i),
				 close_reason_name(reason));
	assert_int_equal(rig->worker.stats.closes[reason], count);
}

void rig_socketpair(int ret[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret),
			 0);
}

void rig_tcp_pair(int ret[2])
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&sin, &len), 0);
	ret[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(ret[0], (struct sockaddr *)&sin, len), 0);
	assert_int_equal(fcntl(ret[0], F_SETFL, O_NONBLOCK), 0);
	ret[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(ret[1] >= 0);
	close(listener);
}

void rig_small_buffers(int fd)
{
	int bytes = 8192;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
}

void rig_write(struct rig *rig, int fd, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	unsigned int tries = 0;

	while (len && rig_patience(&tries)) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		assert_true(n > 0 || (n < 0 && errno == EAGAIN));
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
		rig_turns(rig, 1);
	}
	assert_int_equal(len, 0);
}

void rig_read(struct rig *rig, int fd, void *ret, size_t len)
{
	uint8_t *at = ret;
	unsigned int tries = 0;

	while (len && rig_patience(&tries)) {
		ssize_t n = recv(fd, at, len, MSG_DONTWAIT);

		assert_true(n > 0 || (n < 0 && errno == EAGAIN));
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
		rig_turns(rig, 1);
	}
	assert_int_equal(len, 0);
}

static bool has_something(void *arg)
{
	struct pollfd p = { .fd = *(int *)arg, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

void rig_expect_end(struct rig *rig, int fd)
{
	char c;

	rig_until(rig, has_something, &fd);
	assert_int_equal(recv(fd, &c, 1, MSG_DONTWAIT), 0);
}

void rig_expect_error(struct rig *rig, int fd, int err)
{
	char c;

	rig_until(rig, has_something, &fd);
	assert_int_equal(recv(fd, &c, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, err);
}

void rig_pattern(uint8_t *bytes, size_t len, uint32_t seed)
{
	uint32_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		bytes[i] = (uint8_t)(x >> 24);
	}
}

static void derive_13(enum tls_cipher cipher, struct traffic_keys *t, uint32_t seed)
{
	rig_pattern(t->secret, tls_cipher_secret_bytes(cipher), seed);
	assert_int_equal(tls13_derive_key(cipher, t), 0);
}

void rig_keys(uint16_t version, enum tls_cipher cipher, struct tls_keys *ret[2])
{
	uint8_t master[48], client_random[32], server_random[32];

	rig_pattern(master, sizeof(master), 3);
	rig_pattern(client_random, sizeof(client_random), 4);
	rig_pattern(server_random, sizeof(server_random), 5);
	for (int i = 0; i < 2; i++) {
		ret[i] = tls_keys_new();
		assert_non_null(ret[i]);
		ret[i]->version = version;
		ret[i]->cipher = (uint8_t)cipher;
		if (version == VERSION_1_3) {
			derive_13(cipher, &ret[i]->rx, i ? 1 : 2);
			derive_13(cipher, &ret[i]->tx, i ? 2 : 1);
		} else {
			assert_int_equal(tls12_derive_keys(ret[i], cipher, master, client_random,
							   server_random, i == 0),
					 0);
		}
	}
}

static bool port_is_free(uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_ANY),
				   .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is_free = bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0;

	close(fd);
	return is_free;
}

int rig_claim_port(uint16_t *ret_port)
{
	for (unsigned int i = 0; i < PORT_COUNT; i++) {
		unsigned int port = PORT_FIRST + ((unsigned int)getpid() * 31 + i) % PORT_COUNT;
		struct sockaddr_un un = { .sun_family = AF_UNIX };
		int claim = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		/* An abstract name: whose it is has the port. */
		int len = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1,
				   "sallyport-test-port-%u", port);

		if (bind(claim, (struct sockaddr *)&un,
			 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) ==
			    0 &&
		    port_is_free((uint16_t)port)) {
			*ret_port = (uint16_t)port;
			return claim;
		}
		close(claim);
	}
	fail_msg("no port is free");
	return -1;
}
