/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets from one process to another, and whose they are: both ends in one process. */
#include "unit/dataplane/rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "dataplane/handover.h"

#define SOCKETS 300 /* more than one message holds */

/* A listening socket with an abstract name made of `number`, so that each can be told. */
static int listening(unsigned int number)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "sallyport-%d-%u", (int)getpid(),
		 number);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void expect_name(int fd, unsigned int number)
{
	struct sockaddr_un un = { 0 };
	socklen_t len = sizeof(un);
	char text[64];

	snprintf(text, sizeof(text), "sallyport-%d-%u", (int)getpid(), number);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&un, &len), 0);
	assert_string_equal(un.sun_path + 1, text);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static void test_all_arrive(void **state)
{
	struct config_listener listeners[2] = { { .name = (char *)"many" },
						{ .name = (char *)"by-name" } };
	struct config config = { .listeners = listeners, .listener_count = 2 };
	int fds[SOCKETS], one, ours, theirs;
	struct listen_group many = { .fds = fds, .count = SOCKETS, .owns_path = true };
	struct listen_group named = { .fds = &one, .count = 1, .by_name = true };
	struct listen_table table = { .groups = { &many, &named }, .count = 2 };
	struct inherited_sockets got = { .count = 0 };
	struct err_text err;
	size_t before = open_fds();

	(void)state;
	for (unsigned int i = 0; i < SOCKETS; i++)
		fds[i] = listening(i);
	one = listening(SOCKETS);
	assert_int_equal(handover_pair(&ours, &theirs), 0);
	assert_int_equal(handover_send_sockets(ours, &table, &config, &err), 0);
	assert_int_equal(handover_receive_sockets(theirs, &got, &err), 0);
	assert_int_equal(got.count, SOCKETS + 1);
	for (unsigned int i = 0; i <= SOCKETS; i++) {
		bool is_named = i == SOCKETS;

		expect_name(got.items[i].fd, i);
		assert_string_equal(got.items[i].name, is_named ? "by-name" : "");
		assert_int_equal(got.items[i].owns_path, !is_named);
		close(is_named ? one : fds[i]);
		close(TAKE_FD(got.items[i].fd));
	}
	inherited_fini(&got);
	assert_int_equal(handover_send(theirs, HANDOVER_READY), 0);
	assert_int_equal(handover_expect(ours, HANDOVER_READY), 0);
	assert_int_equal(handover_send(ours, HANDOVER_TAKEN), 0);
	assert_int_equal(handover_expect(theirs, HANDOVER_READY), -EPROTO);
	close(ours);
	assert_int_equal(handover_expect(theirs, HANDOVER_TAKEN), -EPIPE);
	close(theirs);
	assert_int_equal(open_fds(), before);
}

/* Another version, noise, an end too soon: said, and nothing leaks. */
static void test_what_is_not_understood(void **state)
{
	struct handover_message good = { .magic = HANDOVER_MAGIC,
					 .version = HANDOVER_VERSION,
					 .kind = HANDOVER_SOCKETS };
	struct handover_message bad[] = { good, good, good };
	size_t before = open_fds();

	(void)state;
	bad[0].magic++;
	bad[1].version++;
	bad[2].count = 1; /* but none comes */
	for (size_t i = 0; i < ARRAY_SIZE(bad) + 2; i++) {
		struct inherited_sockets got = { .count = 0 };
		struct err_text err = { "" };
		int ours, theirs;

		assert_int_equal(handover_pair(&ours, &theirs), 0);
		if (i < ARRAY_SIZE(bad))
			assert_true(send(ours, &bad[i], sizeof(bad[i]), 0) > 0);
		else if (i == ARRAY_SIZE(bad))
			assert_true(send(ours, "noise", 5, 0) > 0);
		close(ours);
		assert_int_equal(handover_receive_sockets(theirs, &got, &err),
				 i > ARRAY_SIZE(bad) ? -EPIPE : -EPROTO);
		assert_non_null(strstr(err.text, "did not arrive"));
		close(theirs);
		inherited_fini(&got);
	}
	assert_int_equal(open_fds(), before);
}

static void test_inherited_end(void **state)
{
	char text[16];

	(void)state;
	unsetenv(HANDOVER_FD_VARIABLE);
	assert_int_equal(handover_inherited_end(), -1);
	setenv(HANDOVER_FD_VARIABLE, "many", 1);
	assert_int_equal(handover_inherited_end(), -1);
	setenv(HANDOVER_FD_VARIABLE, "99999", 1); /* not open */
	assert_int_equal(handover_inherited_end(), -1);
	snprintf(text, sizeof(text), "%d", 0);
	setenv(HANDOVER_FD_VARIABLE, text, 1);
	assert_int_equal(handover_inherited_end(), 0);
	assert_null(getenv(HANDOVER_FD_VARIABLE));
}

static int tcp_listening(char ret_text[32])
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	snprintf(ret_text, 32, "127.0.0.1:%u", ntohs(sin.sin_port));
	return fd;
}

/* By name first, then by address; what no one takes is closed. */
static void test_whose_it_is(void **state)
{
	struct inherited_sockets sockets = { .count = 0 };
	struct config_listener listener = { .name = (char *)"kafka" };
	char address[32], other[32];
	bool by_name, owns_path;
	struct err_text err;
	int fds[4], no_listener;
	size_t before = open_fds();

	(void)state;
	log_init(2, LOG_ERROR, LOG_FORMAT_TEXT);
	fds[0] = tcp_listening(address);
	assert_int_equal(inherited_add(&sockets, fds[0], NULL, &err), 0);
	assert_int_equal(inherited_add(&sockets, tcp_listening(other), "kafka", &err), 0);
	assert_int_equal(inherited_add(&sockets, tcp_listening(other), "other", &err), 0);
	assert_int_equal(parse_endpoint(address, &listener.listen), 0);
	assert_int_equal(inherited_take(&sockets, &listener, fds, 4, &by_name, &owns_path), 1);
	assert_true(by_name);
	assert_true(sockets.items[0].fd >= 0 && sockets.items[1].fd < 0);
	close(fds[0]);
	assert_int_equal(inherited_take(&sockets, &listener, fds, 4, &by_name, &owns_path), 1);
	assert_false(by_name);
	close(fds[0]);
	assert_int_equal(inherited_take(&sockets, &listener, fds, 4, &by_name, &owns_path), 0);
	no_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(inherited_add(&sockets, no_listener, "kafka", &err), -EINVAL);
	assert_non_null(strstr(err.text, "kafka"));
	assert_int_equal(sockets.count, 3);
	inherited_fini(&sockets);
	assert_int_equal(open_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_arrive),
		cmocka_unit_test(test_what_is_not_understood),
		cmocka_unit_test(test_inherited_end),
		cmocka_unit_test(test_whose_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
