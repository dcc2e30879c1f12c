/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker with its thread, on both back ends: start, accept with too few descriptors, limits,
 * drain. Its connections never get further than the first byte of a handshake here.
 */
#include "unit/dataplane/rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/notify.h"
#include "dataplane/watchdog.h"
#include "dataplane/worker_listen.h"

struct scene {
	struct config_listener config;
	struct listener_state state;
	struct route route;
	struct snapshot snapshot;
	struct config whole;
	struct listen_table table;
	struct gate *gate;
	struct worker *worker;
	struct sockaddr_in address;
	char text[32];
	int port_claim;
};

/* The seam: so many calls of it fail from now on. */
static atomic_uint accept_starts_failing, accept_starts_failed;

int __real_loop_accept_start(struct loop *loop, struct loop_accept *accept, int fd,
			     void (*on_accept)(struct loop_accept *accept, int fd));
int __wrap_loop_accept_start(struct loop *loop, struct loop_accept *accept, int fd,
			     void (*on_accept)(struct loop_accept *accept, int fd));

int __wrap_loop_accept_start(struct loop *loop, struct loop_accept *accept, int fd,
			     void (*on_accept)(struct loop_accept *accept, int fd))
{
	if (atomic_load(&accept_starts_failing)) {
		atomic_fetch_sub(&accept_starts_failing, 1);
		atomic_fetch_add(&accept_starts_failed, 1);
		return -ENOMEM;
	}
	return __real_loop_accept_start(loop, accept, fd, on_accept);
}

static struct inherited_sockets no_sockets;
static enum loop_kind kinds[] = { LOOP_IO_URING, LOOP_EPOLL };

static void scene_init(struct scene *s)
{
	struct err_text err;
	uint16_t port;

	memset(s, 0, sizeof(*s));
	s->port_claim = rig_claim_port(&port);
	s->address = (struct sockaddr_in){ .sin_family = AF_INET,
					   .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
					   .sin_port = htons(port) };
	snprintf(s->text, sizeof(s->text), "127.0.0.1:%u", port);
	assert_int_equal(parse_endpoint(s->text, &s->config.listen), 0);
	s->config.name = (char *)"unit";
	s->config.listen_text = s->text;
	s->config.role = CONFIG_ROLE_FRONT;
	s->config.limits = (struct config_limits){ .connections = 100, .handshakes = 100 };
	s->config.timeouts.handshake_ms = 600000;
	s->config.timeouts.linger_ms = 1;
	atomic_init(&s->snapshot.refs, 1);
	s->route.snapshot = &s->snapshot;
	s->route.state = &s->state;
	s->route.config = &s->config;
	s->whole = (struct config){ .listeners = &s->config, .listener_count = 1 };
	s->snapshot.generation = 1;
	pthread_mutex_init(&s->route.addresses_mutex, NULL);
	s->snapshot.routes = &s->route;
	s->snapshot.route_count = 1;
	assert_int_equal(gate_new(&s->whole, &s->gate, &err), 0);
}

static void scene_start(struct scene *s, enum loop_kind kind)
{
	struct worker_plan *plan = NULL;
	struct listen_table none = { .count = 0 };
	struct err_text err = { "" };

	if (listen_table_open(&none, &s->whole, 1, &no_sockets, &s->table, &err) < 0 ||
	    worker_new(0, kind, s->gate, &s->worker, &err) < 0 ||
	    worker_plan_new(s->worker, 1, &s->snapshot, &s->table, &plan, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(worker_start(s->worker), 0);
	worker_plan_post(plan, -1);
}

/* It has ended, and has let go of everything. */
static void scene_fini(struct scene *s)
{
	assert_int_equal(s->worker->conn_count, 0);
	worker_free(s->worker);
	assert_int_equal(gate_held(s->gate), 0);
	gate_free(s->gate);
	assert_int_equal(atomic_load(&s->snapshot.refs), 1);
	assert_int_equal(atomic_load(&s->state.connections), 0);
	listener_stats_fini(&s->state.stats);
	pthread_mutex_destroy(&s->route.addresses_mutex);
	close(s->port_claim);
}

static void scene_end(struct scene *s)
{
	worker_join(s->worker);
	scene_fini(s);
}

static void scene_stop(struct scene *s, uint64_t deadline_ms)
{
	worker_drain(s->worker, deadline_ms);
	listen_table_close(&s->table, NULL);
	scene_end(s);
}

/* One test, on each back end that there is. */
static void on_each_loop(void (*run)(enum loop_kind kind))
{
	struct err_text why;

	log_init(2, LOG_ERROR, LOG_FORMAT_TEXT);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i] == LOOP_IO_URING && !loop_io_uring_usable(&why)) {
			/* Where it is promised, its absence is a failure. */
			assert_null(getenv("SALLYPORT_TEST_IO_URING_PROMISED"));
			print_message("no io_uring here: %s\n", why.text);
			continue;
		}
		run(kinds[i]);
	}
}

static int client_of(const struct scene *s)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&s->address, sizeof(s->address)), 0);
	return fd;
}

/* While the worker runs. */
static uint64_t value_of(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void expect_counter(const uint64_t *counter, uint64_t at_least)
{
	unsigned int tries = 0;

	while (value_of(counter) < at_least)
		assert_true(rig_patience(&tries));
}

static void expect_refs(struct snapshot *snapshot, unsigned int refs)
{
	unsigned int tries = 0;

	while (atomic_load(&snapshot->refs) != refs)
		assert_true(rig_patience(&tries));
}

static bool has_ended(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char c;

	assert_int_equal(poll(&p, 1, 30000), 1);
	return recv(fd, &c, 1, 0) <= 0;
}

static void drain_of_nobody(enum loop_kind kind)
{
	size_t before = open_fds();
	struct scene s;

	scene_init(&s);
	scene_start(&s, kind);
	scene_stop(&s, 600000); /* with nobody there is nothing to wait for */
	assert_int_equal(open_fds(), before);
}

static void test_drain_of_nobody(void **state)
{
	(void)state;
	on_each_loop(drain_of_nobody);
}

/* An order that comes when the worker has already ended: to stop at once, while another one is
 * still waiting for its connections. */
static void drain_after_the_end(enum loop_kind kind)
{
	size_t before = open_fds();
	struct scene s;

	scene_init(&s);
	scene_start(&s, kind);
	worker_drain(s.worker, 600000);
	worker_join(s.worker);
	worker_drain(s.worker, 0);
	listen_table_close(&s.table, NULL);
	scene_fini(&s);
	assert_int_equal(open_fds(), before);
}

static void test_drain_after_the_end(void **state)
{
	(void)state;
	on_each_loop(drain_after_the_end);
}

static void drain_with_a_stalled_handshake(enum loop_kind kind)
{
	struct scene s;
	int client, late;

	scene_init(&s);
	scene_start(&s, kind);
	client = client_of(&s);
	assert_int_equal(send(client, "\26\3\1", 3, 0), 3);
	expect_counter(&s.worker->stats.accepted, 1);
	worker_drain(s.worker, 1);
	listen_table_close(&s.table, NULL);
	assert_true(has_ended(client));
	expect_counter(&s.worker->stats.closes[CLOSE_DRAIN], 1);
	scene_end(&s);
	/* Nobody listens any more. */
	late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(late, (struct sockaddr *)&s.address, sizeof(s.address)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(late);
	close(client);
}

static void test_drain_with_a_stalled_handshake(void **state)
{
	(void)state;
	on_each_loop(drain_with_a_stalled_handshake);
}

static void limits(enum loop_kind kind)
{
	int clients[3];
	struct scene s;

	scene_init(&s);
	s.config.limits = (struct config_limits){ .connections = 2, .handshakes = 1 };
	scene_start(&s, kind);
	clients[0] = client_of(&s);
	expect_counter(&s.worker->stats.accepted, 1);
	clients[1] = client_of(&s); /* one handshake too many */
	expect_counter(&s.worker->stats.closes[CLOSE_LIMIT_HANDSHAKES], 1);
	assert_true(has_ended(clients[1]));
	close(clients[0]);
	expect_counter(&s.worker->stats.closes[CLOSE_HANDSHAKE_CLOSED], 1);
	clients[0] = client_of(&s); /* the place is free again */
	expect_counter(&s.worker->stats.accepted, 3);
	assert_int_equal(value_of(&s.worker->stats.closes[CLOSE_LIMIT_HANDSHAKES]), 1);
	close(clients[0]);
	close(clients[1]);
	expect_counter(&s.worker->stats.closes[CLOSE_HANDSHAKE_CLOSED], 2);
	scene_stop(&s, 0);

	scene_init(&s);
	s.config.limits = (struct config_limits){ .connections = 2, .handshakes = 10 };
	scene_start(&s, kind);
	for (int i = 0; i < 3; i++) {
		clients[i] = client_of(&s);
		expect_counter(&s.worker->stats.accepted, (uint64_t)i + 1);
	}
	expect_counter(&s.worker->stats.closes[CLOSE_LIMIT_CONNECTIONS], 1);
	assert_true(has_ended(clients[2]));
	for (int i = 0; i < 3; i++)
		close(clients[i]);
	scene_stop(&s, 0);
}

static void test_limits(void **state)
{
	(void)state;
	on_each_loop(limits);
}

/* Descriptors run out: who comes then waits, and is served when there are some again, even if the
 * loop could not take the order at first. */
static void accept_backs_off(enum loop_kind kind)
{
	int fillers[64], count = 0, client, next = dup(0);
	unsigned int tries = 0;
	struct rlimit limit, low;
	struct scene s;
	size_t held;

	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = (rlim_t)next + 32;
	/* Before the start: io_uring looks at the limit when it is asked to accept. */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	scene_init(&s);
	scene_start(&s, kind);
	client = client_of(&s);
	expect_counter(&s.worker->stats.accepted, 1);
	held = open_fds();
	close(client);
	expect_counter(&s.worker->stats.closes[CLOSE_HANDSHAKE_CLOSED], 1);
	/* The loop lets go of its socket late, which would make room again. */
	while (open_fds() > held - 2)
		assert_true(rig_patience(&tries));
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	while (count < 64 && (fillers[count] = dup(0)) >= 0)
		count++;
	assert_int_equal(connect(client, (struct sockaddr *)&s.address, sizeof(s.address)), 0);
	expect_counter(&s.worker->stats.accept_backoffs, 1);
	assert_int_equal(value_of(&s.worker->stats.accepted), 1);
	atomic_store(&accept_starts_failed, 0);
	atomic_store(&accept_starts_failing, 2);
	while (count)
		close(fillers[--count]);
	setrlimit(RLIMIT_NOFILE, &limit);
	expect_counter(&s.worker->stats.accepted, 2);
	assert_int_equal(atomic_load(&accept_starts_failed), 2);
	close(client);
	scene_stop(&s, 0);
}

static void test_accept_backs_off(void **state)
{
	(void)state;
	on_each_loop(accept_backs_off);
}

static void first_accept_fails(enum loop_kind kind)
{
	size_t before = open_fds();
	struct scene s;
	int client;

	scene_init(&s);
	atomic_store(&accept_starts_failing, 1);
	scene_start(&s, kind);
	client = client_of(&s);
	expect_counter(&s.worker->stats.accepted, 1);
	close(client);
	scene_stop(&s, 0);
	/* And one that never gets so far. */
	scene_init(&s);
	atomic_store(&accept_starts_failing, 1);
	scene_start(&s, kind);
	scene_stop(&s, 0);
	atomic_store(&accept_starts_failing, 0);
	assert_int_equal(open_fds(), before);
}

static void test_first_accept_fails(void **state)
{
	(void)state;
	log_init(2, LOG_ERROR, LOG_FORMAT_TEXT);
	on_each_loop(first_accept_fails);
}

/* A second configuration for the same worker. */
struct next {
	struct config_listener config;
	struct route route;
	struct snapshot snapshot;
	struct listen_table table;
};

static void next_init(struct next *n, struct scene *s)
{
	memset(n, 0, sizeof(*n));
	n->config = s->config;
	atomic_init(&n->snapshot.refs, 1);
	n->route.snapshot = &n->snapshot;
	n->route.state = &s->state;
	n->route.config = &n->config;
	pthread_mutex_init(&n->route.addresses_mutex, NULL);
	n->snapshot.routes = &n->route;
	n->snapshot.generation = 2;
}

/* The main thread's part of a change. */
static void next_apply(struct next *n, struct scene *s)
{
	struct worker_plan *plan = NULL;
	struct err_text err = { "" };
	unsigned int tries = 0;

	if (worker_plan_new(s->worker, 1, &n->snapshot, &n->table, &plan, &err) < 0)
		fail_msg("%s", err.text);
	worker_plan_post(plan, -1);
	listen_table_close(&s->table, &n->table);
	s->table = n->table;
	while (worker_generation(s->worker) < 2)
		assert_true(rig_patience(&tries));
}

/* The socket goes on, who is there keeps what it came by, who comes later gets the new. */
static void change_over(enum loop_kind kind)
{
	struct err_text err = { "" };
	int old, fresh, refused;
	struct scene s;
	struct next n;

	scene_init(&s);
	scene_start(&s, kind);
	old = client_of(&s);
	expect_counter(&s.worker->stats.accepted, 1);
	next_init(&n, &s);
	n.config.limits.connections = 2;
	n.snapshot.route_count = 1;
	s.table.groups[0]->workers_have_it = true;
	assert_int_equal(
		listen_table_open(&s.table,
				  &(struct config){ .listeners = &n.config, .listener_count = 1 },
				  1, &no_sockets, &n.table, &err),
		0);
	assert_ptr_equal(n.table.groups[0], s.table.groups[0]);
	next_apply(&n, &s);
	/* One connection is all that still needs the first one. */
	assert_int_equal(atomic_load(&s.snapshot.refs), 2);
	fresh = client_of(&s);
	expect_counter(&s.worker->stats.accepted, 2);
	refused = client_of(&s); /* the state counts the old one too */
	expect_counter(&s.worker->stats.closes[CLOSE_LIMIT_CONNECTIONS], 1);
	assert_true(has_ended(refused));
	close(refused);
	close(old);
	expect_counter(&s.worker->stats.closes[CLOSE_HANDSHAKE_CLOSED], 1);
	expect_refs(&s.snapshot, 1);
	close(fresh);
	scene_stop(&s, 0);
	assert_int_equal(atomic_load(&n.snapshot.refs), 1);
	pthread_mutex_destroy(&n.route.addresses_mutex);
}

static void test_change_over(void **state)
{
	(void)state;
	on_each_loop(change_over);
}

/* Nobody listens there any more, but who is there stays. */
static void listener_removed(enum loop_kind kind)
{
	int client, late;
	struct scene s;
	struct next n;

	scene_init(&s);
	scene_start(&s, kind);
	client = client_of(&s);
	expect_counter(&s.worker->stats.accepted, 1);
	next_init(&n, &s);
	next_apply(&n, &s);
	expect_refs(&s.snapshot, 2);
	late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(late, (struct sockaddr *)&s.address, sizeof(s.address)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(late);
	assert_int_equal(send(client, "\26\3\1", 3, 0), 3);
	close(client);
	expect_counter(&s.worker->stats.closes[CLOSE_HANDSHAKE_CLOSED], 1);
	scene_stop(&s, 0);
	pthread_mutex_destroy(&n.route.addresses_mutex);
}

static void test_listener_removed(void **state)
{
	(void)state;
	on_each_loop(listener_removed);
}

/* The manager of the watchdog, at an abstract name of this process. */
static int manager_open(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char name[64];

	snprintf(name, sizeof(name), "@sallyport-watchdog-%d", (int)getpid());
	memcpy(un.sun_path, name, strlen(name));
	un.sun_path[0] = 0;
	assert_int_equal(bind(fd, (struct sockaddr *)&un,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	setenv("NOTIFY_SOCKET", name, 1);
	notify_init();
	return fd;
}

static bool was_fed(int manager)
{
	char text[64] = "";

	if (recv(manager, text, sizeof(text) - 1, MSG_DONTWAIT) < 0)
		return false;
	assert_string_equal(text, "WATCHDOG=1");
	return true;
}

static void wait_answered(const struct worker *worker)
{
	unsigned int tries = 0;

	while (!worker_answered(worker))
		assert_true(rig_patience(&tries));
}

/* Two workers, of which one does nothing for a while. */
static void watchdog(enum loop_kind kind)
{
	int manager = manager_open();
	struct worker *workers[2];
	struct watchdog dog;
	struct err_text err;
	uint64_t now = 1;

	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(worker_new(i, kind, NULL, &workers[i], &err), 0);
	assert_int_equal(worker_start(workers[0]), 0);
	watchdog_init(&dog, 40);
	watchdog_turn(&dog, workers, 2, false, now);
	assert_true(was_fed(manager)); /* nobody owes an answer yet */
	watchdog_turn(&dog, workers, 2, false, now + 9);
	assert_false(was_fed(manager)); /* not due */
	wait_answered(workers[0]);
	for (int i = 0; i < 3; i++) {
		watchdog_turn(&dog, workers, 2, false, now += 10);
		assert_false(was_fed(manager));
	}
	assert_int_equal(worker_start(workers[1]), 0);
	wait_answered(workers[0]);
	wait_answered(workers[1]);
	watchdog_turn(&dog, workers, 2, false, now += 10);
	assert_true(was_fed(manager));
	/* Who has ended in a drain is not missed; at any other time he is. */
	worker_drain(workers[1], 0);
	worker_join(workers[1]);
	worker_ask(workers[1]);
	wait_answered(workers[0]);
	watchdog_turn(&dog, workers, 2, false, now += 10);
	assert_false(was_fed(manager));
	wait_answered(workers[0]);
	watchdog_turn(&dog, workers, 2, true, now += 10);
	assert_true(was_fed(manager));
	worker_drain(workers[0], 0);
	worker_join(workers[0]);
	worker_free(workers[0]);
	worker_free(workers[1]);
	notify_end();
	close(manager);
}

static void test_watchdog(void **state)
{
	(void)state;
	on_each_loop(watchdog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drain_of_nobody),
		cmocka_unit_test(test_drain_after_the_end),
		cmocka_unit_test(test_drain_with_a_stalled_handshake),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_accept_backs_off),
		cmocka_unit_test(test_first_accept_fails),
		cmocka_unit_test(test_change_over),
		cmocka_unit_test(test_listener_removed),
		cmocka_unit_test(test_watchdog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
