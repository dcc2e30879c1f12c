/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small parts of the data plane, each by itself: pipes, rules, listening sockets, counters, the
 * table of states, held output.
 */
#include "unit/dataplane/rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/log.h"
#include "dataplane/listen_socket.h"
#include "dataplane/socket_options.h"

/* --- pipes --- */

static void test_pipes_are_used_again(void **state)
{
	struct pipe_pair *pipes[20];
	struct pipe_pool pool;

	(void)state;
	pipe_pool_init(&pool);
	for (size_t i = 0; i < ARRAY_SIZE(pipes); i++) {
		pipes[i] = pipe_pool_get(&pool, 0);
		assert_non_null(pipes[i]);
		assert_true(pipes[i]->capacity >= PIPE_BYTES_MIN);
		assert_int_equal(pipes[i]->bytes, 0);
		assert_true(fcntl(pipes[i]->read_fd, F_GETFL) & O_NONBLOCK);
		assert_int_equal(fcntl(pipes[i]->read_fd, F_GETFD), FD_CLOEXEC);
	}
	assert_int_equal(pool.lent_count, 20);
	pipe_pool_put(&pool, pipes[0]);
	assert_ptr_equal(pipe_pool_get(&pool, 0), pipes[0]);
	for (size_t i = 0; i < ARRAY_SIZE(pipes); i++)
		pipe_pool_put(&pool, pipes[i]);
	assert_int_equal(pool.lent_count, 0);
	assert_int_equal(pool.idle_count, 16); /* not all that there ever were */
	pipe_pool_put(&pool, NULL);
	pipe_pool_fini(&pool);
	assert_int_equal(pool.idle_count, 0);
}

static void test_pipe_with_bytes_is_not_kept(void **state)
{
	struct pipe_pool pool;
	struct pipe_pair *pipe;
	int fd;

	(void)state;
	pipe_pool_init(&pool);
	pipe = pipe_pool_get(&pool, 0);
	fd = pipe->write_fd;
	assert_int_equal(write(fd, "x", 1), 1);
	pipe->bytes = 1;
	pipe_pool_put(&pool, pipe);
	assert_int_equal(pool.idle_count, 0);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	pipe_pool_fini(&pool);
}

static void test_no_pipe_is_asked_for_again_later(void **state)
{
	struct rlimit limit, none;
	struct pipe_pool pool;
	struct pipe_pair *pipe;

	(void)state;
	pipe_pool_init(&pool);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &none);
	assert_null(pipe_pool_get(&pool, NSEC_PER_SEC));
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_null(pipe_pool_get(&pool, NSEC_PER_SEC + 50 * NSEC_PER_MSEC));
	assert_int_equal(pool.refused, 1);
	assert_int_equal(pool.lent_count, 0);
	pipe = pipe_pool_get(&pool, 2 * NSEC_PER_SEC);
	assert_non_null(pipe);
	pipe_pool_put(&pool, pipe);
	pipe_pool_fini(&pool);
}

/* --- rules --- */

static const char *const dns[] = { "a.example", "b.example", NULL };
static const char *const uris[] = { "spiffe://house/svc/reader", NULL };
static const char *const no_names[] = { NULL };
static const struct peer reader = {
	.cn = "svc-reader", .issuer_cn = "Root A", .dns = dns, .uris = uris
};
static const struct peer nameless = {
	.cn = "", .issuer_cn = "Root A", .dns = no_names, .uris = no_names
};

static const struct admit_row {
	const char *what;
	const struct peer *peer;
	struct config_rule allow[2], deny[1];
	size_t allow_count, deny_count;
	bool admitted;
	const char *why;
} admit_rows[] = {
	{ "no rules", &reader, .admitted = true },
	{ "no rules and no name", &nameless, .admitted = true },
	{ "glob on the CN",
	  &reader,
	  { { .cn = (char *)"svc-*" } },
	  .allow_count = 1,
	  .admitted = true },
	{ "another CN",
	  &reader,
	  { { .cn = (char *)"svc-w*" } },
	  .allow_count = 1,
	  .why = "no allow rule matches" },
	{ "no name matches no pattern",
	  &nameless,
	  { { .cn = (char *)"*" } },
	  .allow_count = 1,
	  .why = "no allow rule matches" },
	{ "any of several names",
	  &reader,
	  { { .dns = (char *)"b.*" } },
	  .allow_count = 1,
	  .admitted = true },
	{ "URI",
	  &reader,
	  { { .uri = (char *)"spiffe://house/*" } },
	  .allow_count = 1,
	  .admitted = true },
	{ "all keys of a rule",
	  &reader,
	  { { .cn = (char *)"svc-reader", .issuer_cn = (char *)"Root A" } },
	  .allow_count = 1,
	  .admitted = true },
	{ "one key of a rule is not enough",
	  &reader,
	  { { .cn = (char *)"svc-reader", .issuer_cn = (char *)"Root B" } },
	  .allow_count = 1,
	  .why = "no allow rule matches" },
	{ "any rule suffices",
	  &reader,
	  { { .cn = (char *)"nobody" }, { .issuer_cn = (char *)"Root ?" } },
	  .allow_count = 2,
	  .admitted = true },
	{ "deny", &reader, .deny = { { .cn = (char *)"svc-r*" } }, .deny_count = 1,
	  .why = "a deny rule matches" },
	{ "deny goes before allow",
	  &reader,
	  { { .cn = (char *)"svc-reader" } },
	  { { .dns = (char *)"a.example" } },
	  1,
	  1,
	  .why = "a deny rule matches" },
	{ "deny of somebody else", &reader, .deny = { { .cn = (char *)"svc-bad" } },
	  .deny_count = 1, .admitted = true },
};

static void test_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(admit_rows); i++) {
		const struct admit_row *row = &admit_rows[i];
		struct config_listener config = {
			.allow = { (struct config_rule *)row->allow, row->allow_count },
			.deny = { (struct config_rule *)row->deny, row->deny_count },
		};
		struct route route = { .config = &config };
		const char *why = NULL;
		bool admitted = route_admits(&route, row->peer, &why);

		if (admitted != row->admitted)
			fail_msg("%s: %s", row->what, admitted ? "admitted" : "refused");
		if (row->why)
			assert_string_equal(why, row->why);
	}
}

/* --- listening sockets --- */

struct listener {
	struct config_listener config;
	struct err_text err;
	char text[160];
};

static void listener_init(struct listener *l, const char *text)
{
	memset(l, 0, sizeof(*l));
	snprintf(l->text, sizeof(l->text), "%s", text);
	assert_int_equal(parse_endpoint(text, &l->config.listen), 0);
	l->config.name = (char *)"front";
	l->config.listen_text = l->text;
}

static void test_workers_share_an_address(void **state)
{
	struct listener ours, second;
	char address[32];
	uint16_t port;
	int fds[3], claim = rig_claim_port(&port);

	(void)state;
	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	listener_init(&ours, address);
	for (unsigned int i = 0; i < 3; i++) {
		fds[i] = listen_socket_open(&ours.config, i == 0, &ours.err);
		assert_true(fds[i] >= 0);
		assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
		assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
	}
	/* A second instance of the program must not share it silently. */
	listener_init(&second, address);
	assert_int_equal(listen_socket_open(&second.config, true, &second.err), -EADDRINUSE);
	assert_non_null(strstr(second.err.text, "another program listens there"));
	assert_non_null(strstr(second.err.text, "ss -ltnp"));
	assert_non_null(strstr(second.err.text, address));
	assert_non_null(strstr(second.err.text, "front"));
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close(claim);
}

static void test_address_of_nobody(void **state)
{
	struct listener l;

	(void)state;
	listener_init(&l, "192.0.2.1:9093");
	assert_int_equal(listen_socket_open(&l.config, true, &l.err), -EADDRNOTAVAIL);
	assert_non_null(strstr(l.err.text, "no interface has this address"));
}

static char folder[] = "/tmp/sallyport-parts-XXXXXX";
static char socket_path[64], socket_text[80];

static int folder_setup(void **state)
{
	(void)state;
	strcpy(folder + sizeof(folder) - 7, "XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(socket_path, sizeof(socket_path), "%s/door.sock", folder);
	snprintf(socket_text, sizeof(socket_text), "unix:%s", socket_path);
	return 0;
}

static int folder_teardown(void **state)
{
	(void)state;
	unlink(socket_path);
	return rmdir(folder);
}

static int unix_listen(int backlog)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(un.sun_path, socket_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static int unix_connect(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	strcpy(un.sun_path, socket_path);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void test_stale_unix_socket_is_replaced(void **state)
{
	struct listener l;
	int fd, client;

	(void)state;
	close(unix_listen(1)); /* its file stays */
	assert_int_equal(unix_connect(), -1);
	listener_init(&l, socket_text);
	fd = listen_socket_open(&l.config, true, &l.err);
	assert_true(fd >= 0);
	client = unix_connect();
	assert_true(client >= 0);
	close(client);
	client = accept(fd, NULL, NULL);
	assert_true(client >= 0);
	close(client);
	close(fd);
}

static void test_live_unix_socket_is_left_alone(void **state)
{
	struct listener l;
	int live = unix_listen(5), client;

	(void)state;
	listener_init(&l, socket_text);
	assert_int_equal(listen_socket_open(&l.config, true, &l.err), -EADDRINUSE);
	assert_non_null(strstr(l.err.text, "another program listens there"));
	assert_non_null(strstr(l.err.text, "ss -lxp"));
	client = unix_connect();
	assert_true(client >= 0);
	close(client);
	close(live);
}

static volatile sig_atomic_t hung;

static void on_alarm(int number)
{
	(void)number;
	hung = 1;
}

/* A live one that is so busy that its backlog is full. */
static void test_busy_unix_socket_does_not_hang_us(void **state)
{
	int live = unix_listen(0), clients[8], count = 0;
	struct sigaction action = { .sa_handler = on_alarm }; /* breaks a system call off */
	struct listener l;

	(void)state;
	while (count < 8 && (clients[count] = unix_connect()) >= 0)
		count++;
	assert_true(count > 0 && count < 8);
	listener_init(&l, socket_text);
	sigaction(SIGALRM, &action, NULL);
	alarm(20);
	assert_int_equal(listen_socket_open(&l.config, true, &l.err), -EADDRINUSE);
	alarm(0);
	assert_false(hung);
	while (count)
		close(clients[--count]);
	close(live);
}

static void test_file_in_the_way_is_not_removed(void **state)
{
	int file = open(socket_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	struct listener l;
	struct stat st;

	(void)state;
	close(file);
	listener_init(&l, socket_text);
	assert_int_equal(listen_socket_open(&l.config, true, &l.err), -EADDRINUSE);
	assert_int_equal(stat(socket_path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void test_socket_options(void **state)
{
	struct config_timeouts timeouts = { .keepalive_ms = 90000, .tcp_user_ms = 30000 };
	static const struct {
		int level, option, value;
	} rows[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 90 },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, 30000 },
	};
	int fds[2];

	(void)state;
	rig_tcp_pair(fds);
	socket_set_options(fds[0], AF_INET, &timeouts);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		socklen_t len = sizeof(int);
		int value = -1;

		assert_int_equal(getsockopt(fds[0], rows[i].level, rows[i].option, &value, &len),
				 0);
		assert_int_equal(value, rows[i].value);
	}
	close(fds[0]);
	close(fds[1]);
}

/* A reset does not hide who it was. */
static void test_socket_peer(void **state)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	struct sockaddr_in own;
	socklen_t len = sizeof(own);
	char text[ADDRESS_TEXT_BYTES], expected[ADDRESS_TEXT_BYTES];
	struct in6_addr ip;
	uint16_t port;
	int fds[2];

	(void)state;
	rig_tcp_pair(fds);
	assert_int_equal(getsockname(fds[1], (struct sockaddr *)&own, &len), 0);
	snprintf(expected, sizeof(expected), "127.0.0.1:%u", ntohs(own.sin_port));
	socket_peer(fds[0], &ip, &port);
	address_text(&ip, port, text);
	assert_string_equal(text, expected);
	setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fds[1]);
	assert_int_equal(getpeername(fds[0], (struct sockaddr *)&own, &len), -1);
	socket_peer(fds[0], &ip, &port);
	address_text(&ip, port, text);
	assert_string_equal(text, expected);
	close(fds[0]);
}

/* --- counters and names --- */

static void test_stats_sum(void **state)
{
	struct stats sum = { .accepted = 1 }, one = { .accepted = 2 };

	(void)state;
	one.bytes[STATS_IN][STATS_KTLS] = 1ULL << 40;
	one.closes[CLOSE_DRAIN] = 3;
	one.refusals[TLS_REFUSAL_COUNT - 1] = 4;
	stats_sum(&sum, &one);
	stats_sum(&sum, &one);
	assert_int_equal(sum.accepted, 5);
	assert_int_equal(stats_bytes(&sum, STATS_IN), 2ULL << 40);
	assert_int_equal(sum.closes[CLOSE_DRAIN], 6);
	assert_int_equal(sum.refusals[TLS_REFUSAL_COUNT - 1], 8);
	stats_add(&sum.accepted, 10);
	assert_int_equal(sum.accepted, 15);
}

static void test_totals_line(void **state)
{
	struct stats stats = { .accepted = 7 };
	char text[4096];
	int fds[2];
	ssize_t n;

	(void)state;
	stats.closes[CLOSE_BAD_RECORD_MAC] = 2;
	stats.refusals[TLS_REFUSAL_EXPIRED] = 3;
	/* One name for two: the line has it once. */
	stats.closes[CLOSE_PEER_ALERT] = 1;
	stats.refusals[TLS_REFUSAL_PEER_ALERT] = 4;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	log_init(fds[1], LOG_INFO, LOG_FORMAT_TEXT);
	stats_log(&stats);
	log_init(2, LOG_ERROR, LOG_FORMAT_TEXT);
	n = read(fds[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_non_null(strstr(text, " totals "));
	assert_non_null(strstr(text, " accepted=7"));
	assert_non_null(strstr(text, " bad_record_mac=2"));
	assert_non_null(strstr(text, " expired=3"));
	assert_non_null(strstr(text, " peer_alert=5"));
	assert_null(strstr(strstr(text, " peer_alert=") + 1, " peer_alert="));
	assert_null(strstr(text, "drain"));
	close(fds[0]);
	close(fds[1]);
}

static void check_name(const char *name)
{
	assert_non_null(name);
	assert_true(*name);
	assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(name));
}

static void test_names_are_unique(void **state)
{
	(void)state;
	for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
		check_name(close_reason_name((enum close_reason)i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(close_reason_name((enum close_reason)i),
						close_reason_name((enum close_reason)j));
	}
	for (int i = 0; i < TLS_REFUSAL_COUNT; i++) {
		check_name(tls_refusal_name((enum tls_refusal)i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(tls_refusal_name((enum tls_refusal)i),
						tls_refusal_name((enum tls_refusal)j));
	}
}

/* --- states --- */

static const uint32_t next_states[CONN_STATE_COUNT] = {
#define X(suffix, name, next) [CONN_##suffix] = next,
	CONN_STATES(X)
#undef X
};

static void test_states(void **state)
{
	uint32_t reached = CONN_BIT(NEW), before = 0;

	(void)state;
	while (reached != before) {
		before = reached;
		for (int i = 0; i < CONN_STATE_COUNT; i++)
			if (reached & (1u << i))
				reached |= next_states[i];
	}
	assert_int_equal(reached, (1u << CONN_STATE_COUNT) - 1);
	assert_int_equal(next_states[CONN_CLOSED], 0);
	for (int i = 0; i < CONN_STATE_COUNT; i++) {
		/* From everywhere there is a way out at once, and none back to the start. */
		assert_true(i == CONN_CLOSED || next_states[i] & CONN_BIT(CLOSED));
		assert_false(next_states[i] & (CONN_BIT(NEW) | 1u << i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(conn_state_name((enum conn_state)i),
						conn_state_name((enum conn_state)j));
	}
}

/* The child dies of an illegal step, and of no other. */
static bool step_is_legal(struct rig *rig, enum conn_state from, enum conn_state to)
{
	struct loop_timer timer = { 0 };
	struct conn conn = {
		.worker = &rig->worker, .route = &rig->route, .stats = &rig->share, .timer = timer
	};
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child) {
		struct rlimit no_core = { 0, 0 };

		setrlimit(RLIMIT_CORE, &no_core);
		close(2);
		conn.state = from;
		conn_set_state(&conn, to);
		_exit(conn.state == to ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	return false;
}

static void test_state_steps(void **state)
{
	for (int from = 0; from < CONN_STATE_COUNT; from++)
		for (int to = 0; to < CONN_STATE_COUNT; to++)
			assert_int_equal(
				step_is_legal(*state, (enum conn_state)from, (enum conn_state)to),
				(next_states[from] >> to) & 1);
}

/* --- held output --- */

static uint8_t held_bytes[300000], got_bytes[300000];

static void test_hold_grows_and_keeps_the_order(void **state)
{
	struct worker worker = { 0 };
	struct leg leg = { .transport = &transport_plain };
	size_t at = 0, got = 0, step = 1, most = 512;
	int fds[2];

	(void)state;
	rig_pattern(held_bytes, sizeof(held_bytes), 1);
	rig_socketpair(fds);
	rig_small_buffers(fds[0]);
	leg.watch.fd = fds[0];
	assert_int_equal(leg_hold(&leg, &worker, held_bytes, 0), LEG_OK);
	assert_false(leg_blocked(&leg));
	while (got < sizeof(held_bytes)) {
		size_t n = MIN(step, sizeof(held_bytes) - at);
		ssize_t r;

		/* Pieces that grow, some of it flushed in between, some read. Never more room than
		 * there once was need for. */
		most = MAX(most, n + (leg.out ? leg.out->end - leg.out->start : 0));
		assert_int_equal(leg_hold(&leg, &worker, held_bytes + at, n), LEG_OK);
		at += n;
		step = step * 3 % 40009;
		assert_int_not_equal(leg_flush(&leg, &worker), LEG_FAILED);
		r = recv(fds[1], got_bytes + got, 3000, MSG_DONTWAIT);
		got += r > 0 ? (size_t)r : 0;
		assert_true(!leg.out || leg.out->capacity <= most);
		assert_int_equal(worker.stats.held_bytes, leg.out ? leg.out->capacity : 0);
	}
	assert_int_equal(got, at);
	assert_memory_equal(got_bytes, held_bytes, sizeof(held_bytes));
	assert_int_equal(leg_flush(&leg, &worker), LEG_OK);
	assert_null(leg.out);
	close(fds[0]);
	close(fds[1]);
}

static void test_hold_of_a_little_is_little(void **state)
{
	struct worker worker = { 0 };
	struct leg leg = { .transport = &transport_plain };

	(void)state;
	assert_int_equal(leg_hold(&leg, &worker, "abc", 3), LEG_OK);
	assert_int_equal(leg.out->capacity, 512);
	assert_int_equal(leg_hold(&leg, &worker, held_bytes, 600), LEG_OK);
	assert_int_equal(leg.out->end - leg.out->start, 603);
	assert_memory_equal(leg.out->bytes, "abc", 3);
	held_free(&worker, leg.out);
	assert_int_equal(worker.stats.held_bytes, 0);
}

#define IN_FOLDER(fn) cmocka_unit_test_setup_teardown(fn, folder_setup, folder_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipes_are_used_again),
		cmocka_unit_test(test_pipe_with_bytes_is_not_kept),
		cmocka_unit_test(test_no_pipe_is_asked_for_again_later),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_workers_share_an_address),
		cmocka_unit_test(test_address_of_nobody),
		IN_FOLDER(test_stale_unix_socket_is_replaced),
		IN_FOLDER(test_live_unix_socket_is_left_alone),
		IN_FOLDER(test_busy_unix_socket_does_not_hang_us),
		IN_FOLDER(test_file_in_the_way_is_not_removed),
		cmocka_unit_test(test_socket_options),
		cmocka_unit_test(test_socket_peer),
		cmocka_unit_test(test_stats_sum),
		cmocka_unit_test(test_totals_line),
		cmocka_unit_test(test_names_are_unique),
		cmocka_unit_test(test_states),
		RIG_TEST(test_state_steps),
		cmocka_unit_test(test_hold_grows_and_keeps_the_order),
		cmocka_unit_test(test_hold_of_a_little_is_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
