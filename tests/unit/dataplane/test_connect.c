/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The step that dials, with an upstream of two addresses: the clock is the test's, the sockets are
 * real. An egress dials before anything else; that it gets to its handshake, for which the limit
 * here leaves no room, says that it has connected.
 */
#include "unit/dataplane/rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/backlog.h"

#define FILLERS 16

struct upstream {
	int listener, fillers[FILLERS];
};

/* A listening socket; a full one answers no SYN. */
static void upstream_open(struct upstream *u, struct upstream_address *ret, bool full)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);

	u->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(u->listener, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(u->listener, full ? 0 : 16), 0);
	assert_int_equal(getsockname(u->listener, (struct sockaddr *)&in, &len), 0);
	for (size_t i = 0; i < FILLERS; i++) {
		u->fillers[i] = full ? socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0) : -1;
		if (full)
			connect(u->fillers[i], (struct sockaddr *)&in, len);
	}
	/* It is full when the first one waits to be accepted. */
	assert_true(!full || backlog_wait(u->listener, 1));
	memcpy(&ret->addr, &in, sizeof(in));
	ret->len = sizeof(in);
}

static void upstream_close(struct upstream *u)
{
	for (size_t i = 0; i < FILLERS; i++)
		if (u->fillers[i] >= 0)
			close(u->fillers[i]);
	close(u->listener);
}

static void dial_two(struct rig *rig, int client[2])
{
	rig->config.role = CONFIG_ROLE_EGRESS;
	rig->config.timeouts.connect_ms = 10000;
	rig->config.limits = (struct config_limits){ .connections = 10 };
	rig->route.address_count = 2;
	rig_tcp_pair(client);
	fcntl(client[0], F_SETFL, O_NONBLOCK);
	conn_accept(&rig->worker, &rig->route, client[0]);
	rig_turns(rig, 2);
	assert_int_equal(rig->worker.conn_count, 1);
}

static void test_silent_address_does_not_use_up_the_time(void **state)
{
	struct rig *rig = *state;
	struct upstream silent, alive;
	int client[2];

	upstream_open(&silent, &rig->route.addresses[0], true);
	upstream_open(&alive, &rig->route.addresses[1], false);
	dial_two(rig, client);
	rig_pass_ms(rig, 4999);
	assert_int_equal(rig->worker.stats.upstream_connects, 0);
	rig_pass_ms(rig, 1);
	rig_until(rig, rig_is_empty, rig);
	assert_int_equal(rig->worker.stats.upstream_connects, 1);
	rig_assert_closed(rig, CLOSE_LIMIT_HANDSHAKES, 1);
	close(client[1]);
	upstream_close(&silent);
	upstream_close(&alive);
}

static void test_all_silent(void **state)
{
	struct rig *rig = *state;
	struct upstream silent[2];
	int client[2];

	for (size_t i = 0; i < ARRAY_SIZE(silent); i++)
		upstream_open(&silent[i], &rig->route.addresses[i], true);
	dial_two(rig, client);
	rig_pass_ms(rig, 5000);
	rig_pass_ms(rig, 4999);
	assert_int_equal(rig->worker.stats.upstream_connect_failures, 0);
	rig_pass_ms(rig, 1);
	assert_int_equal(rig->worker.stats.upstream_connect_failures, 1);
	close(client[1]);
	rig_until(rig, rig_is_empty, rig);
	rig_assert_closed(rig, CLOSE_UPSTREAM_TIMEOUT, 1);
	for (size_t i = 0; i < ARRAY_SIZE(silent); i++)
		upstream_close(&silent[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_silent_address_does_not_use_up_the_time),
		RIG_TEST(test_all_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
