/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of listening sockets: what goes on from one configuration to the next, who serves what. */
#include "unit/dataplane/rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "dataplane/listen_group.h"

#define DOORS_MAX 4

/* A configuration of listeners on loopback ports. */
struct doors {
	struct config_listener listeners[DOORS_MAX];
	char texts[DOORS_MAX][32], names[DOORS_MAX][8];
	struct config config;
	struct listen_table table;
};

static const struct listen_table nothing;
static struct inherited_sockets no_sockets;

/* Claimed until the test ends. */
static int claims[4];
static size_t claim_count;

static uint16_t claimed_port(void)
{
	uint16_t port;

	assert_true(claim_count < ARRAY_SIZE(claims));
	claims[claim_count++] = rig_claim_port(&port);
	return port;
}

static int release_ports(void **state)
{
	(void)state;
	while (claim_count)
		close(claims[--claim_count]);
	return 0;
}

static void doors_add(struct doors *d, const char *host, uint16_t port)
{
	size_t i = d->config.listener_count++;
	struct config_listener *listener = &d->listeners[i];

	snprintf(d->texts[i], sizeof(d->texts[i]), "%s:%u", host, port);
	snprintf(d->names[i], sizeof(d->names[i]), "door-%zu", i);
	assert_int_equal(parse_endpoint(d->texts[i], &listener->listen), 0);
	listener->name = d->names[i];
	listener->listen_text = d->texts[i];
	d->config.listeners = d->listeners;
}

static int try_connect(uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				   .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = connect(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 ? -errno : 0;

	close(fd);
	return r;
}

/* One stays (under another name and in another place), one goes, one comes. */
static void test_what_goes_on(void **state)
{
	uint16_t stays = claimed_port(), goes = claimed_port(), comes = claimed_port();
	struct doors first = { .config.workers = 0 }, second = first;
	size_t before = open_fds();
	struct err_text err;

	(void)state;
	doors_add(&first, "127.0.0.1", goes);
	doors_add(&first, "127.0.0.1", stays);
	doors_add(&second, "127.0.0.1", stays);
	doors_add(&second, "127.0.0.1", comes);
	assert_int_equal(
		listen_table_open(&nothing, &first.config, 2, &no_sockets, &first.table, &err), 0);
	assert_int_equal(open_fds(), before + 4);
	/* Another number of workers changes nothing about what is there. */
	assert_int_equal(listen_table_open(&first.table, &second.config, 3, &no_sockets,
					   &second.table, &err),
			 0);
	assert_ptr_equal(second.table.groups[0], first.table.groups[1]);
	assert_int_equal(second.table.groups[0]->count, 2);
	assert_int_equal(second.table.groups[1]->count, 3);
	assert_int_not_equal(second.table.groups[1]->id, first.table.groups[0]->id);
	assert_int_equal(try_connect(goes), 0); /* opened before the old ones close */
	listen_table_close(&first.table, &second.table);
	assert_int_equal(try_connect(goes), -ECONNREFUSED);
	assert_int_equal(try_connect(stays), 0);
	assert_int_equal(try_connect(comes), 0);
	listen_table_close(&second.table, NULL);
	assert_int_equal(open_fds(), before);
}

static void test_all_or_nothing(void **state)
{
	uint16_t ours = claimed_port(), fresh = claimed_port(), taken = claimed_port();
	struct doors stranger = { .config.workers = 0 }, first = stranger, second = stranger;
	struct err_text err = { "" };
	size_t before;

	(void)state;
	doors_add(&stranger, "127.0.0.1", taken);
	doors_add(&first, "127.0.0.1", ours);
	doors_add(&second, "127.0.0.1", ours);
	doors_add(&second, "127.0.0.1", fresh);
	doors_add(&second, "127.0.0.1", taken);
	assert_int_equal(listen_table_open(&nothing, &stranger.config, 1, &no_sockets,
					   &stranger.table, &err),
			 0);
	assert_int_equal(
		listen_table_open(&nothing, &first.config, 1, &no_sockets, &first.table, &err), 0);
	before = open_fds();
	assert_int_equal(listen_table_open(&first.table, &second.config, 1, &no_sockets,
					   &second.table, &err),
			 -EADDRINUSE);
	assert_non_null(strstr(err.text, "another program listens there"));
	assert_int_equal(open_fds(), before);
	assert_int_equal(try_connect(ours), 0);
	assert_int_equal(try_connect(fresh), -ECONNREFUSED);
	listen_table_close(&first.table, NULL);
	listen_table_close(&stranger.table, NULL);
}

/* From one address to all of them on the same port: not in our own way. */
static void test_wider_address(void **state)
{
	struct doors first = { .config.workers = 0 }, second = first;
	uint16_t port = claimed_port();
	struct err_text err = { "" };

	(void)state;
	doors_add(&first, "127.0.0.1", port);
	doors_add(&second, "0.0.0.0", port);
	assert_int_equal(
		listen_table_open(&nothing, &first.config, 2, &no_sockets, &first.table, &err), 0);
	if (listen_table_open(&first.table, &second.config, 2, &no_sockets, &second.table, &err) <
	    0)
		fail_msg("%s", err.text);
	listen_table_close(&first.table, &second.table);
	assert_int_equal(try_connect(port), 0);
	listen_table_close(&second.table, NULL);
}

/* Whatever the two numbers are: no socket without a worker, no worker without a socket. */
static void test_every_socket_is_served(void **state)
{
	for (size_t sockets = 1; sockets <= 9; sockets++) {
		for (unsigned int workers = 1; workers <= 9; workers++) {
			struct listen_group group = { .count = sockets };
			size_t shares = 0;

			for (unsigned int i = 0; i < workers; i++) {
				assert_true(listen_group_share(&group, i, workers) >= 1);
				shares += listen_group_share(&group, i, workers);
			}
			assert_int_equal(shares, MAX(sockets, (size_t)workers));
		}
	}
	(void)state;
}

static void test_copies_reach_every_socket(void **state)
{
	int pipes[3][2], fds[3], copy;
	struct listen_group group = { .fds = fds, .count = 3 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pipe(pipes[i]), 0);
		fds[i] = pipes[i][1];
	}
	for (unsigned int worker = 0; worker < 2; worker++) {
		for (size_t n = 0; n < listen_group_share(&group, worker, 2); n++) {
			copy = listen_group_copy(&group, worker, 2, n);
			assert_int_equal(write(copy, "x", 1), 1);
			close(copy);
		}
	}
	for (int i = 0; i < 3; i++) {
		char c;

		close(pipes[i][1]);
		assert_int_equal(read(pipes[i][0], &c, 1), 1);
		close(pipes[i][0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_what_goes_on, release_ports),
		cmocka_unit_test_teardown(test_all_or_nothing, release_ports),
		cmocka_unit_test_teardown(test_wider_address, release_ports),
		cmocka_unit_test(test_every_socket_is_served),
		cmocka_unit_test(test_copies_reach_every_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
