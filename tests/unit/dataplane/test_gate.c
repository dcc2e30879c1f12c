/* SPDX-License-Identifier: Apache-2.0 */
/* The gate without connections: what it lets in, what it remembers, what it says. */
#include "unit/dataplane/rig.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/log.h"
#include "dataplane/gate.h"

static struct in6_addr address(const char *text)
{
	struct cidr cidr;

	assert_int_equal(cidr_parse(text, &cidr), 0);
	return cidr.address;
}

static struct gate *make(const struct config *config)
{
	struct gate *gate;
	struct err_text err;

	assert_int_equal(gate_new(config, &gate, &err), 0);
	return gate;
}

static void test_memory(void **state)
{
	struct rig *rig = *state;
	struct config config = { .memory = 1000 };
	struct gate *gate = make(&config);

	gate_hold(gate, 999);
	assert_int_equal(gate_check_load(gate, &rig->route, 1), GATE_OPEN);
	gate_hold(gate, 1);
	assert_int_equal(gate_check_load(gate, &rig->route, 1), CLOSE_LIMIT_MEMORY);
	gate_hold(gate, -1);
	assert_int_equal(gate_held(gate), 999);
	assert_int_equal(gate_check_load(gate, &rig->route, 1), GATE_OPEN);
	gate_free(gate);
}

static void test_rate(void **state)
{
	struct rig *rig = *state;
	struct config config = { 0 };
	struct gate *gate = make(&config);

	rig->config.limits.accepts_per_second = 2;
	assert_int_equal(gate_check_load(gate, &rig->route, NSEC_PER_SEC), GATE_OPEN);
	assert_int_equal(gate_check_load(gate, &rig->route, NSEC_PER_SEC), GATE_OPEN);
	assert_int_equal(gate_check_load(gate, &rig->route, NSEC_PER_SEC), CLOSE_LIMIT_ACCEPT_RATE);
	assert_int_equal(gate_check_load(gate, &rig->route, 2 * NSEC_PER_SEC), GATE_OPEN);
	gate_free(gate);
}

static void test_source(void **state)
{
	struct rig *rig = *state;
	struct config config = { .penalties = { .max_ms = 60000,
						.min_ms = 1000,
						.denied_ms = 1000,
						.ipv4_mask = 32,
						.ipv6_mask = 64,
						.sources = 8 } };
	struct in6_addr a = address("192.0.2.1"), b = address("192.0.2.2");
	struct gate *gate = make(&config);
	struct source *first, *second;

	rig->config.limits.connections_per_source = 1;
	assert_int_equal(gate_check_source(gate, &rig->route, &a, 1, &first), GATE_OPEN);
	assert_int_equal(gate_check_source(gate, &rig->route, &a, 1, &second), CLOSE_LIMIT_SOURCE);
	assert_null(second);
	gate_leave(gate, first);
	gate_punish(gate, &rig->route, &a, 1, PENALTY_LEFT, 1); /* free here */
	assert_int_equal(gate_check_source(gate, &rig->route, &a, 1, &first), GATE_OPEN);
	gate_leave(gate, first);
	gate_punish(gate, &rig->route, &a, 1, PENALTY_DENIED, 1);
	assert_int_equal(gate_check_source(gate, &rig->route, &a, 1, &first), CLOSE_PENALTY);
	assert_int_equal(gate_check_source(gate, &rig->route, &b, 1, &first), GATE_OPEN);
	gate_leave(gate, first);
	gate_free(gate);
}

/* Penalties that are off: nothing is remembered. */
static void test_no_penalties(void **state)
{
	struct rig *rig = *state;
	struct config config = { .penalties = { .denied_ms = 1000 } };
	struct in6_addr a = address("192.0.2.1");
	struct gate *gate = make(&config);
	struct source *source;

	for (int i = 0; i < 100; i++)
		gate_punish(gate, &rig->route, &a, 1, PENALTY_DENIED, 1);
	assert_int_equal(gate_check_source(gate, &rig->route, &a, 1, &source), GATE_OPEN);
	assert_null(source);
	gate_free(gate);
}

/* The lines that `say` leaves in the log. */
static size_t lines_of(void (*say)(struct rig *rig, struct gate *gate), struct rig *rig, char *ret,
		       size_t size)
{
	struct config config = { 0 };
	struct gate *gate = make(&config);
	size_t count = 0;
	int fds[2];
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	log_init(fds[1], LOG_WARNING, LOG_FORMAT_TEXT);
	say(rig, gate);
	close(fds[1]);
	log_init(2, LOG_ERROR, LOG_FORMAT_TEXT);
	n = read(fds[0], ret, size - 1);
	ret[MAX(n, (ssize_t)0)] = 0;
	close(fds[0]);
	for (const char *at = ret; (at = strchr(at, '\n')); at++)
		count++;
	gate_free(gate);
	return count;
}

static void say_many(struct rig *rig, struct gate *gate)
{
	struct in6_addr a = address("192.0.2.1");

	for (int second = 0; second < 2; second++) {
		for (int i = 0; i < 10; i++)
			gate_log_refused(gate, &rig->route, &a, 77, CLOSE_PENALTY);
		gate_log_refused(gate, &rig->route, &a, 77, CLOSE_LIMIT_SOURCE);
		rig->clock.monotonic_ns += NSEC_PER_SEC;
	}
}

/* One line a second for each reason; the second says how many there were since the first. */
static void test_log(void **state)
{
	char text[4096];

	assert_int_equal(lines_of(say_many, *state, text, sizeof(text)), 4);
	assert_non_null(strstr(text, "client=192.0.2.1:77"));
	assert_non_null(strstr(text, "reason=penalty count=1 "));
	assert_non_null(strstr(text, "reason=penalty count=10 "));
	assert_non_null(strstr(text, "reason=limit_source count=1 "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_memory),	     RIG_TEST(test_rate), RIG_TEST(test_source),
		RIG_TEST(test_no_penalties), RIG_TEST(test_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
