/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions about connections and orders to end them: the asker is a thread of its own, the test
 * takes the worker's turns. The connections have no sockets: nothing here looks at any.
 */
#include "unit/dataplane/rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/conn_walk.h"

#define MANY (4 * CONN_SLICE + 17)

static struct conn *add_conn(struct rig *rig, uint64_t id, const char *cn)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	assert_non_null(conn);
	conn->worker = &rig->worker;
	conn->route = route_ref(&rig->route);
	conn->stats = &rig->share;
	conn->id = id;
	conn->state = CONN_RELAY;
	conn_stats_add(conn, conns[CONN_RELAY], 1);
	conn->accepted.transport = &transport_aead;
	conn->dialed.transport = &transport_plain;
	conn->accepted.watch.fd = conn->dialed.watch.fd = -1;
	conn->tls = &conn->accepted;
	conn->started_ns = loop_now_ns(rig->worker.loop);
	conn->inbound = (struct flow){ .from = &conn->accepted, .to = &conn->dialed };
	conn->outbound = (struct flow){ .from = &conn->dialed, .to = &conn->accepted };
	conn->secured = true;
	conn->summary.version = VERSION_1_3;
	if (cn) {
		conn->peer = calloc(1, sizeof(*conn->peer));
		assert_non_null(conn->peer);
		conn->peer->refs = 1;
		conn->peer->cn = cn;
		conn->peer->issuer_cn = "Unit root";
		strcpy(conn->peer->serial, "0a1b");
	}
	atomic_fetch_add(&rig->state.connections, 1);
	list_append(&rig->worker.conns, &conn->node);
	rig->worker.conn_count++;
	return conn;
}

/* A question on its way. */
struct asker {
	struct worker *worker;
	struct conn_query query;
	struct conn_list list;
	int r;
	pthread_t thread;
	atomic_bool done;
};

static void *ask_thread(void *arg)
{
	struct asker *asker = arg;

	asker->r = conn_walk(&asker->worker, 1, &asker->query, &asker->list);
	atomic_store(&asker->done, true);
	return NULL;
}

static void ask(struct rig *rig, struct asker *asker, struct conn_query query)
{
	*asker = (struct asker){ .worker = &rig->worker, .query = query };
	if (!asker->query.deadline_ms)
		asker->query.deadline_ms = 60000;
	assert_int_equal(pthread_create(&asker->thread, NULL, ask_thread, asker), 0);
}

static bool is_done(void *arg)
{
	return atomic_load(&((struct asker *)arg)->done);
}

static const struct conn_list *answer(struct rig *rig, struct asker *asker)
{
	rig_until(rig, is_done, asker);
	pthread_join(asker->thread, NULL);
	assert_int_equal(asker->r, 0);
	return &asker->list;
}

static void test_order_and_limit(void **state)
{
	struct rig *rig = *state;
	const struct conn_list *list;
	struct asker asker;

	for (uint64_t i = 0; i < MANY; i++) {
		struct conn *conn = add_conn(rig, i, "svc");

		/* Each amount twice, in no order. */
		conn->inbound.bytes = i * 7919 % MANY / 2;
	}
	ask(rig, &asker, (struct conn_query){ .sort = CONN_SORT_BYTES, .limit = 100 });
	list = answer(rig, &asker);
	assert_int_equal(list->count, 100);
	assert_int_equal(list->matched, MANY);
	assert_int_equal(list->live, MANY);
	assert_int_equal(list->silent_workers, 0);
	for (size_t i = 0; i < list->count; i++)
		assert_int_equal(list->items[i]->bytes_in, (MANY - 1 - i) / 2);
	for (size_t i = 1; i < list->count; i++)
		if (list->items[i - 1]->rank == list->items[i]->rank)
			assert_true(list->items[i - 1]->id < list->items[i]->id);
	conn_list_fini(&asker.list);
}

static void test_everything_is_told(void **state)
{
	struct rig *rig = *state;
	const struct conn_list *list;
	struct asker asker;

	for (uint64_t i = 0; i < MANY; i++)
		add_conn(rig, i, i % 2 ? "odd" : "even");
	ask(rig, &asker, (struct conn_query){ .limit = CONN_LIST_MAX, .filter.cn = "o?d" });
	list = answer(rig, &asker);
	assert_int_equal(list->count, MANY / 2);
	assert_int_equal(list->matched, MANY / 2);
	for (size_t i = 0; i < list->count; i++) {
		assert_int_equal(list->items[i]->id, 2 * i + 1);
		assert_string_equal(list->items[i]->cn, "odd");
		assert_string_equal(list->items[i]->listener, "unit");
		assert_string_equal(list->items[i]->issuer, "Unit root");
		assert_string_equal(list->items[i]->serial, "0a1b");
		assert_string_equal(list->items[i]->uri, "");
		assert_string_equal(list->items[i]->client_transport, "aead");
	}
	conn_list_fini(&asker.list);
}

static void test_filters(void **state)
{
	static const struct {
		struct conn_filter filter;
		uint64_t matched;
	} cases[] = {
		{ { .cn = "" }, 4 },
		{ { .cn = "svc-*" }, 2 },
		{ { .cn = "*" }, 3 }, /* who has no name matches no pattern */
		{ { .cn = "SVC-*" }, 0 },
		{ { .issuer = "Unit*" }, 3 },
		{ { .issuer = "Unit" }, 0 },
		{ { .serial = "0A1B" }, 3 },
		{ { .serial = "0a" }, 0 },
		{ { .listener = "unit" }, 4 },
		{ { .listener = "u*" }, 0 },
		{ { .transport = "aead" }, 4 },
		{ { .transport = "ktls" }, 0 },
		{ { .states = CONN_BIT(RELAY) }, 4 },
		{ { .states = CONN_BIT(HANDSHAKE) | CONN_BIT(LINGER) }, 0 },
		{ { .id = 0, .has_id = true }, 0 },
		{ { .id = 3, .has_id = true }, 1 },
		{ { .id = 3, .has_id = true, .cn = "other" }, 0 },
	};
	struct rig *rig = *state;

	add_conn(rig, 1, "svc-a");
	add_conn(rig, 2, "svc-b");
	add_conn(rig, 3, "else");
	add_conn(rig, 4, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct asker asker;

		ask(rig, &asker, (struct conn_query){ .filter = cases[i].filter });
		assert_int_equal(answer(rig, &asker)->matched, cases[i].matched);
		assert_int_equal(asker.list.count, 0); /* no limit: none is told of */
		conn_list_fini(&asker.list);
	}
}

static void test_ages_and_stalls(void **state)
{
	struct rig *rig = *state;
	const struct conn_list *list;
	struct asker asker;
	struct conn *conn;

	for (uint64_t i = 0; i < 3; i++) {
		conn = add_conn(rig, i, "svc");
		rig_pass_ms(rig, 1000);
	}
	conn->active_ns = loop_now_ns(rig->worker.loop);
	assert_int_equal(leg_hold(&conn->accepted, &rig->worker, "x", 1), LEG_OK);
	conn->outbound.progress_ns = loop_now_ns(rig->worker.loop);
	rig_pass_ms(rig, 500);
	ask(rig, &asker, (struct conn_query){ .sort = CONN_SORT_STALL, .limit = 3 });
	list = answer(rig, &asker);
	assert_int_equal(list->items[0]->id, 2);
	assert_int_equal(list->items[0]->stall_ns, 500 * NSEC_PER_MSEC);
	assert_int_equal(list->items[0]->wait, CONN_WAIT_CLIENT_READS);
	assert_int_equal(list->items[0]->age_ns, 1500 * NSEC_PER_MSEC);
	assert_int_equal(list->items[0]->idle_ns, 500 * NSEC_PER_MSEC);
	assert_int_equal(list->items[1]->id, 0);
	assert_int_equal(list->items[1]->stall_ns, 0);
	assert_int_equal(list->items[1]->wait, CONN_WAIT_TRAFFIC);
	conn_list_fini(&asker.list);
	ask(rig, &asker, (struct conn_query){ .sort = CONN_SORT_IDLE, .limit = 1 });
	list = answer(rig, &asker);
	assert_int_equal(list->items[0]->id, 0);
	assert_int_equal(list->items[0]->idle_ns, 3500 * NSEC_PER_MSEC);
	conn_list_fini(&asker.list);
}

static bool walks_are_underway(void *arg)
{
	return !list_empty(&((struct rig *)arg)->worker.walks);
}

/* Connections that go and come between two slices: each that stays is told of once. */
static void test_list_changes_on_the_way(void **state)
{
	struct rig *rig = *state;
	const struct conn_list *list;
	struct list_node *it, *next;
	struct asker asker;
	size_t nth = 0;

	for (uint64_t i = 0; i < MANY; i++)
		add_conn(rig, i, "svc");
	ask(rig, &asker, (struct conn_query){ .limit = CONN_LIST_MAX });
	rig_until(rig, walks_are_underway, rig);
	/* Whatever the walk stands on is among them. */
	list_for_each_safe (it, next, &rig->worker.conns)
		if (nth++ >= CONN_SLICE / 2 && nth < 3 * CONN_SLICE)
			conn_close(container_of(it, struct conn, node), CLOSE_CLIENT_CLOSED);
	add_conn(rig, MANY, "late");
	list = answer(rig, &asker);
	assert_true(list->count >= MANY + 1 - 3 * CONN_SLICE);
	assert_true(list->count < MANY);
	for (size_t i = 1; i < list->count; i++)
		assert_true(list->items[i - 1]->id < list->items[i]->id);
	assert_string_equal(list->items[list->count - 1]->cn, "late");
	conn_list_fini(&asker.list);
}

static void test_kill(void **state)
{
	struct rig *rig = *state;
	struct asker asker;

	for (uint64_t i = 0; i < MANY; i++)
		add_conn(rig, i, i % 3 ? "stays" : "goes");
	ask(rig, &asker, (struct conn_query){ .kill = true, .filter.cn = "goes" });
	assert_int_equal(answer(rig, &asker)->matched, (MANY + 2) / 3);
	assert_int_equal(asker.list.count, 0);
	rig_assert_closed(rig, CLOSE_KILLED, (MANY + 2) / 3);
	assert_int_equal(rig->worker.conn_count, MANY - (MANY + 2) / 3);
}

/* The last connection of a worker that drains: it stops in the middle of the walk. */
static void test_kill_ends_a_draining_worker(void **state)
{
	struct rig *rig = *state;
	struct asker asker;

	for (uint64_t i = 0; i < CONN_SLICE + 5; i++)
		add_conn(rig, i, "svc");
	rig->worker.draining = true;
	ask(rig, &asker, (struct conn_query){ .kill = true, .filter.cn = "*" });
	assert_int_equal(answer(rig, &asker)->matched, CONN_SLICE + 5);
	assert_true(rig->worker.stopping);
}

/* Nobody turns the loop: the asker is told so at its deadline, and what it left behind is cleaned
 * up later. */
static void test_silent_worker(void **state)
{
	struct rig *rig = *state;
	struct asker askers[CONN_REQUESTS_MAX];
	struct conn_list list;

	add_conn(rig, 1, "svc");
	for (size_t i = 0; i < ARRAY_SIZE(askers); i++)
		ask(rig, &askers[i],
		    (struct conn_query){ .limit = 10, .deadline_ms = 1, .kill = i % 2 });
	for (size_t i = 0; i < ARRAY_SIZE(askers); i++) {
		pthread_join(askers[i].thread, NULL);
		assert_int_equal(askers[i].r, 0);
		assert_int_equal(askers[i].list.silent_workers, 1);
		assert_int_equal(askers[i].list.matched, 0);
	}
	assert_int_equal(conn_walk(&askers[0].worker, 1, &askers[0].query, &list), -EBUSY);
	rig_turns(rig, 4);
	/* An order that nobody waits for any more is not carried out. */
	assert_int_equal(rig->worker.conn_count, 1);
	ask(rig, &askers[0], (struct conn_query){ .limit = 10 });
	assert_int_equal(answer(rig, &askers[0])->count, 1);
	conn_list_fini(&askers[0].list);
}

static void test_no_connections(void **state)
{
	struct rig *rig = *state;
	struct asker asker;

	ask(rig, &asker, (struct conn_query){ .limit = 10 });
	assert_int_equal(answer(rig, &asker)->live, 0);
	assert_null(asker.list.items);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_order_and_limit),
		RIG_TEST(test_everything_is_told),
		RIG_TEST(test_filters),
		RIG_TEST(test_ages_and_stalls),
		RIG_TEST(test_list_changes_on_the_way),
		RIG_TEST(test_kill),
		RIG_TEST(test_kill_ends_a_draining_worker),
		RIG_TEST(test_silent_worker),
		RIG_TEST(test_no_connections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
