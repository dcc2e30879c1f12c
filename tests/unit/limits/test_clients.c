/* SPDX-License-Identifier: Apache-2.0 */
/* The table of clients: who counts as what, who is let in, and what outlives what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "limits/client_orders.h"
#include "limits/clients.h"

#define NOW (500 * NSEC_PER_SEC)

static struct client_policy *new_policy(bool refuse_unnamed)
{
	struct client_policy *policy;

	assert_int_equal(client_policy_new(refuse_unnamed, &policy), 0);
	return policy;
}

static void add(struct client_policy *policy, const char *pattern, const char *group,
		struct client_limits limits)
{
	assert_int_equal(client_policy_add(policy, pattern, group, &limits), 0);
}

static void add_group(struct client_policy *policy, const char *name, struct client_limits limits)
{
	assert_int_equal(client_policy_add_group(policy, name, &limits), 0);
}

static struct client *enter(struct clients *clients, const char *name)
{
	struct client *client;
	struct err_text why;

	assert_int_equal(clients_enter(clients, name, NOW, &client, &why), CLIENT_LET_IN);
	return client;
}

static int setup(void **state)
{
	return clients_new((struct clients **)state);
}

static int teardown(void **state)
{
	clients_free(*state);
	return 0;
}

/* The most specific entry counts, wherever it stands, and that one alone. */
static void test_which(void **state)
{
	static const char *const patterns[] = { "*",	  "svc-*", "*-prod", "svc-a",
						"svc-a*", "",	   "b",	     "[bc]" };
	static const struct {
		const char *name, *pattern;
	} cases[] = {
		{ "svc-a", "svc-a" },
		{ "svc-ab", "svc-a*" },
		{ "svc-x", "svc-*" },
		{ "svc-x-prod", "*-prod" },
		{ "x-prod", "*-prod" },
		{ "other", "*" },
		{ "", "" },
		{ "b", "b" },
		{ "c", "[bc]" },
		{ "a/b\xc3\xbc", "*" },
	};
	struct client_policy *policy = new_policy(false);
	struct clients *clients = *state;

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
		add(policy, patterns[i], NULL, (struct client_limits){ .connections = i + 1 });
	clients_adopt(clients, policy, NOW);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct client *client = enter(clients, cases[i].name);

		assert_string_equal(client->pattern, cases[i].pattern);
		assert_string_equal(client->name, cases[i].name);
		clients_leave(clients, client, false);
	}
}

static void test_connections(void **state)
{
	struct client_policy *policy = new_policy(false);
	struct client *a[3], *b[3];
	struct clients *clients = *state;
	struct err_text why;

	add_group(policy, "g", (struct client_limits){ .connections = 3 });
	add(policy, "*", "g", (struct client_limits){ .connections = 2 });
	clients_adopt(clients, policy, NOW);
	for (size_t i = 0; i < 3; i++) {
		a[i] = enter(clients, "a");
		b[i] = enter(clients, "b");
	}
	assert_ptr_equal(a[0], a[1]);
	assert_int_equal(clients_admit(clients, a[0], NOW, &why), CLIENT_LET_IN);
	assert_int_equal(clients_admit(clients, a[1], NOW, &why), CLIENT_LET_IN);
	assert_int_equal(clients_admit(clients, a[2], NOW, &why), CLIENT_REFUSED_CONNECTIONS);
	assert_string_equal(why.text, "connections: 2 of the client");
	assert_int_equal(clients_admit(clients, b[0], NOW, &why), CLIENT_LET_IN);
	assert_int_equal(clients_admit(clients, b[1], NOW, &why), CLIENT_REFUSED_CONNECTIONS);
	assert_string_equal(why.text, "connections: 3 of its group 'g'");
	assert_int_equal(client_read(&a[0]->account.refused[CLIENT_REFUSED_CONNECTIONS]), 1);
	assert_int_equal(client_read(&a[0]->account.connections), 2);
	clients_leave(clients, a[2], false);
	clients_leave(clients, a[1], true);
	assert_int_equal(clients_admit(clients, b[1], NOW, &why), CLIENT_LET_IN);
	clients_leave(clients, a[0], true);
	clients_leave(clients, b[0], true);
	clients_leave(clients, b[1], true);
	clients_leave(clients, b[2], false);
	clients_leave(clients, NULL, true);
}

/* What a group refuses is not taken from the client's own, and the other way round. */
static void test_rates(void **state)
{
	struct client_policy *policy = new_policy(false);
	struct client *a, *b, *once;
	struct clients *clients = *state;
	struct err_text why;

	add_group(
		policy, "g",
		(struct client_limits){ .connections_per_second = 3, .handshakes_per_second = 5 });
	add(policy, "*", "g", (struct client_limits){ .connections_per_second = 2 });
	clients_adopt(clients, policy, NOW);
	a = enter(clients, "a");
	b = enter(clients, "b");
	assert_int_equal(clients_admit(clients, a, NOW, &why), CLIENT_LET_IN);
	assert_int_equal(clients_admit(clients, a, NOW, &why), CLIENT_LET_IN);
	assert_int_equal(clients_admit(clients, a, NOW, &why), CLIENT_REFUSED_CONNECTION_RATE);
	assert_string_equal(why.text, "connections_per_second: 2 of the client");
	assert_int_equal(clients_admit(clients, b, NOW, &why), CLIENT_LET_IN);
	assert_int_equal(clients_admit(clients, b, NOW, &why), CLIENT_REFUSED_CONNECTION_RATE);
	assert_string_equal(why.text, "connections_per_second: 3 of its group 'g'");
	assert_int_equal(clients_admit(clients, b, NOW + NSEC_PER_SEC / 3 + 1, &why),
			 CLIENT_LET_IN);
	for (size_t i = 0; i < 3; i++)
		clients_leave(clients, enter(clients, "c"), false);
	assert_int_equal(clients_enter(clients, "c", NOW, &once, &why), CLIENT_REFUSED_HANDSHAKES);
	assert_string_equal(why.text, "handshakes_per_second: 5 of its group 'g'");
	clients_leave(clients, once, false);
	clients_leave(clients, a, true);
	clients_leave(clients, b, true);
}

static void test_unnamed(void **state)
{
	struct clients *clients = *state;
	struct client *client;
	struct err_text why;

	client = enter(clients, "");
	clients_leave(clients, client, false);
	clients_adopt(clients, new_policy(true), NOW);
	assert_int_equal(clients_enter(clients, "", NOW, &client, &why), CLIENT_REFUSED_UNNAMED);
	assert_int_equal(client_read(&client->account.refused[CLIENT_REFUSED_UNNAMED]), 1);
	clients_leave(clients, client, false);
	clients_leave(clients, enter(clients, "x"), false);
}

static void count(const struct client *client, void *arg)
{
	(void)client;
	++*(size_t *)arg;
}

static void sum_groups(const struct client_group *group, void *arg)
{
	*(uint64_t *)arg += client_read(&group->account.connections);
}

/* Live ones change in place, with their connections; those without come along when they are next
 * looked at; what is counted stays. */
static void test_changes(void **state)
{
	struct clients *clients = *state;
	struct client *live = enter(clients, "live"), *idle = enter(clients, "idle");
	struct client_policy *policy = new_policy(false);
	uint64_t in_groups = 0;
	struct err_text why;
	size_t seen = 0;

	client_count_bytes(idle, CLIENT_CONSUME, 77);
	clients_leave(clients, idle, false);
	assert_int_equal(clients_admit(clients, live, NOW, &why), CLIENT_LET_IN);
	for (unsigned int round = 0; round < 3; round++) {
		char group[16], limit = (char)('1' + round);

		snprintf(group, sizeof(group), "g%u", round % 2);
		add_group(policy, group, (struct client_limits){ .rate = { 50000, 0 } });
		add(policy, "*", group,
		    (struct client_limits){ .rate = { 10000u * (uint64_t)(limit - '0'), 0 } });
		clients_adopt(clients, policy, NOW);
		policy = new_policy(false);
		assert_string_equal(atomic_load(&live->group)->name, group);
		assert_int_equal(client_read(&live->account.allowances[CLIENT_PRODUCE].rate),
				 10000u * (round + 1));
		assert_false(allowance_is_limited(&live->account.allowances[CLIENT_CONSUME]));
		in_groups = 0;
		clients_visit_groups(clients, sum_groups, &in_groups);
		assert_int_equal(in_groups, 1);
	}
	clients_adopt(clients, policy, NOW);
	assert_null(atomic_load(&live->group));
	assert_null(live->pattern);
	clients_visit(clients, NOW, count, &seen);
	assert_int_equal(seen, 2);
	idle = enter(clients, "idle");
	assert_int_equal(client_read(&idle->account.usage[CLIENT_CONSUME].bytes), 77);
	clients_leave(clients, idle, false);
	clients_leave(clients, live, true);
}

/* Of those without connections so many are kept, and who left first is forgotten first. */
static void test_bounded(void **state)
{
	struct clients *clients = *state;
	struct client *first = enter(clients, "first"), *again;
	char name[24];
	size_t seen = 0;

	client_count_bytes(first, CLIENT_PRODUCE, 5);
	clients_leave(clients, first, false);
	for (size_t i = 0; i < CLIENTS_IDLE_MAX; i++) {
		snprintf(name, sizeof(name), "client-%zu", i);
		clients_leave(clients, enter(clients, name), false);
	}
	clients_visit(clients, NOW, count, &seen);
	assert_int_equal(seen, CLIENTS_IDLE_MAX);
	again = enter(clients, "first");
	assert_int_equal(client_read(&again->account.usage[CLIENT_PRODUCE].bytes), 0);
	clients_leave(clients, again, false);
}

static void test_at_limit(void **state)
{
	struct client_usage usage = { 0 };

	(void)state;
	assert_int_equal(client_at_limit_ns(&usage, NOW), 0);
	client_note_limited(&usage, 0, NOW);
	assert_true(client_at_limit_ns(&usage, NOW) > 0);
	for (uint64_t i = 1; i <= 10; i++)
		client_note_limited(&usage, NSEC_PER_SEC, NOW + i * NSEC_PER_SEC);
	assert_int_equal(client_at_limit_ns(&usage, NOW + 10 * NSEC_PER_SEC), 10 * NSEC_PER_SEC);
	assert_int_equal(client_read(&usage.limited_ns), 10 * NSEC_PER_SEC);
	assert_int_equal(client_at_limit_ns(&usage, NOW + 13 * NSEC_PER_SEC), 0);
	client_note_limited(&usage, 0, NOW + 20 * NSEC_PER_SEC);
	assert_int_equal(client_at_limit_ns(&usage, NOW + 21 * NSEC_PER_SEC), NSEC_PER_SEC);
}

static uint64_t produce_rate(const struct client *client)
{
	return client_read(&client->account.allowances[CLIENT_PRODUCE].rate);
}

static int order(struct clients *clients, const char *name, bool of_group, unsigned int fields,
		 struct client_limits limits, uint64_t expires_ns)
{
	const struct client_order order = { .name = name,
					    .of_group = of_group,
					    .fields = fields,
					    .limits = &limits,
					    .expires_ns = expires_ns };

	return clients_order(clients, &order, NOW);
}

/* In force at once, over changes of the configuration, and only for what they are about. */
static void test_orders(void **state)
{
	struct client_policy *policy = new_policy(false);
	struct clients *clients = *state;
	struct client *client;

	add(policy, "a", NULL,
	    (struct client_limits){ .rate = { 1000000, 2000000 }, .connections = 5 });
	clients_adopt(clients, policy, NOW);
	client = enter(clients, "a");
	assert_int_equal(order(clients, "a", false, CLIENT_ORDER_PRODUCE,
			       (struct client_limits){ .rate = { 50000, 1 } }, UINT64_MAX),
			 0);
	assert_int_equal(produce_rate(client), 50000);
	assert_int_equal(client->account.limits.rate[CLIENT_CONSUME], 2000000);
	/* A second order of the same client adds to the first. */
	assert_int_equal(order(clients, "a", false, CLIENT_ORDER_CONNECTIONS,
			       (struct client_limits){ .connections = 9 }, NOW + 100),
			 0);
	clients_adopt(clients, new_policy(false), NOW);
	assert_int_equal(produce_rate(client), 50000);
	assert_int_equal(client->account.limits.connections, 9);
	assert_int_equal(client->account.limits.rate[CLIENT_CONSUME], 0);
	assert_int_equal(clients_next_expiry(clients), NOW + 100);
	assert_null(clients_take_expired(clients, NOW + 99));
	client_order_free(clients_take_expired(clients, NOW + 100));
	assert_int_equal(produce_rate(client), 0);
	assert_int_equal(client->account.limits.connections, 0);
	assert_int_equal(clients_next_expiry(clients), UINT64_MAX);
	assert_int_equal(clients_withdraw(clients, "a", false, NOW), -ENOENT);
	clients_leave(clients, client, false);
}

static void test_orders_of_groups(void **state)
{
	struct client_policy *policy = new_policy(false);
	struct clients *clients = *state;
	struct client_group *group;
	struct client *client;
	char name[32];

	assert_int_equal(order(clients, "g", true, CLIENT_ORDER_PRODUCE,
			       (struct client_limits){ .rate = { 50000 } }, UINT64_MAX),
			 -ENOENT);
	add_group(policy, "g", (struct client_limits){ .rate = { 7000000 } });
	add(policy, "a", "g", (struct client_limits){ 0 });
	clients_adopt(clients, policy, NOW);
	client = enter(clients, "a");
	group = atomic_load(&client->group);
	assert_int_equal(order(clients, "g", true, CLIENT_ORDER_PRODUCE,
			       (struct client_limits){ .rate = { 50000 } }, UINT64_MAX),
			 0);
	assert_int_equal(client_read(&group->account.allowances[CLIENT_PRODUCE].rate), 50000);
	assert_int_equal(clients_withdraw(clients, "g", false, NOW), -ENOENT);
	assert_int_equal(clients_withdraw(clients, "g", true, NOW), 0);
	assert_int_equal(client_read(&group->account.allowances[CLIENT_PRODUCE].rate), 7000000);
	clients_leave(clients, client, false);
	for (int i = 0; i <= CLIENT_ORDERS_MAX; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		assert_int_equal(order(clients, name, false, CLIENT_ORDER_CONNECTIONS,
				       (struct client_limits){ .connections = 1 }, UINT64_MAX),
				 i < CLIENT_ORDERS_MAX ? 0 : -ENOSPC);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_which, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connections, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rates, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unnamed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
		cmocka_unit_test(test_at_limit),
		cmocka_unit_test_setup_teardown(test_orders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_orders_of_groups, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
