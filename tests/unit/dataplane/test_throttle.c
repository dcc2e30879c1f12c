/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits because of a limit: the wheel, on a clock that the test turns, against the plain truth;
 * and a relay whose client has a limit, to the byte.
 */
#include <stdlib.h>
#include <string.h>

#include "unit/dataplane/rig.h"

#include "dataplane/throttle.h"

#define WAITERS	 200
#define START_MS 1000000ULL

struct waiter {
	struct throttle_entry entry;
	struct loop_task task;
	uint64_t due_ms; /* 0: it does not wait */
	unsigned int woken;
};

struct wheel_rig {
	struct rig rig;
	struct throttle *throttle;
	struct waiter waiters[WAITERS];
	uint64_t now_ms;
};

static void on_task(struct loop_task *task)
{
	struct waiter *waiter = container_of(task, struct waiter, task);

	waiter->woken++;
	waiter->due_ms = 0;
}

static int setup(void **state)
{
	struct wheel_rig *w = calloc(1, sizeof(*w));

	rig_init(&w->rig);
	w->throttle = &w->rig.worker.throttle;
	for (size_t i = 0; i < WAITERS; i++) {
		w->waiters[i].task.run = on_task;
		w->waiters[i].entry.task = &w->waiters[i].task;
	}
	rig_pass_ms(&w->rig, 0);
	w->now_ms = START_MS;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct wheel_rig *w = *state;

	for (size_t i = 0; i < WAITERS; i++)
		throttle_leave(w->throttle, &w->waiters[i].entry);
	rig_fini(&w->rig);
	free(w);
	return 0;
}

static void pass(struct wheel_rig *w, uint64_t ms)
{
	rig_pass_ms(&w->rig, ms);
	rig_turns(&w->rig, 2);
	w->now_ms += ms;
}

static void wait_ms(struct wheel_rig *w, struct waiter *waiter, uint64_t ms)
{
	waiter->due_ms = w->now_ms + MAX(ms, (uint64_t)1);
	waiter->woken = 0;
	throttle_wait(w->throttle, &waiter->entry, waiter->due_ms * NSEC_PER_MSEC);
}

/* Whoever is due has been woken once, nobody else. */
static void check(struct wheel_rig *w)
{
	for (size_t i = 0; i < WAITERS; i++) {
		struct waiter *waiter = &w->waiters[i];

		assert_true(waiter->woken <= 1);
		assert_true(!waiter->due_ms || waiter->due_ms > w->now_ms);
		assert_int_equal(waiter->entry.tick != 0, waiter->due_ms != 0);
	}
}

static void test_wheel(void **state)
{
	struct wheel_rig *w = *state;
	struct waiter *waiter;

	srandom(11);
	for (unsigned int step = 0; step < 20000; step++) {
		waiter = &w->waiters[(size_t)random() % WAITERS];
		switch (random() % 4) {
		case 0:
		case 1:
			wait_ms(w, waiter, (uint64_t)random() % 1000);
			break;
		case 2:
			throttle_leave(w->throttle, &waiter->entry);
			waiter->due_ms = 0;
			break;
		default:
			/* Now and then it sleeps for longer than the wheel has ticks. */
			pass(w, (uint64_t)random() % (step % 100 ? 20 : 3000));
			check(w);
		}
	}
	pass(w, 2000);
	check(w);
	for (size_t i = 0; i < WAITERS; i++)
		assert_int_equal(w->waiters[i].entry.tick, 0);
}

static void test_all(void **state)
{
	struct wheel_rig *w = *state;

	for (size_t i = 0; i < WAITERS; i++)
		wait_ms(w, &w->waiters[i], 100 + i);
	throttle_wake_all(w->throttle);
	rig_turns(&w->rig, 2);
	for (size_t i = 0; i < WAITERS; i++)
		assert_int_equal(w->waiters[i].woken, 1);
	/* Longer than a turn of the wheel is a turn of it. */
	wait_ms(w, &w->waiters[0], 100000);
	pass(w, THROTTLE_TICKS);
	assert_int_equal(w->waiters[0].woken, 1);
}

/* A limited relay. */
#define RATE	(1000 * 1000ULL)
#define BURST	(64 * 1024ULL)
#define DATA	(512 * 1024)
#define RECORDS (2 * CLIENT_SLOT_BYTES_MIN + CLIENT_FLOOR_BYTES)

struct limited {
	struct rig *rig;
	struct conn *conn;
	int client, service;
};

static void adopt(struct rig *rig, uint64_t rate)
{
	struct client_limits limits = { .rate = { rate, 0 }, .burst = { rate ? BURST : 0, 0 } };
	struct client_policy *policy;

	assert_int_equal(client_policy_new(false, &policy), 0);
	assert_int_equal(client_policy_add(policy, "*", NULL, &limits), 0);
	clients_adopt(gate_clients(rig->worker.gate), policy, loop_now_ns(rig->worker.loop));
}

/* A connection of "unit" that has DATA to move to the service. */
static struct limited begin(struct rig *rig, uint8_t *data)
{
	struct limited limited = { .rig = rig };
	int client[2], service[2], room = 4 * DATA;
	struct err_text why;

	rig_pass_ms(rig, 0);
	adopt(rig, RATE);
	rig_socketpair(client);
	rig_socketpair(service);
	setsockopt(client[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	setsockopt(service[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	limited.client = client[0];
	limited.service = service[0];
	limited.conn = rig_conn(rig, client[1], service[1]);
	assert_int_equal(clients_enter(gate_clients(rig->worker.gate), "unit",
				       loop_now_ns(rig->worker.loop), &limited.conn->client, &why),
			 CLIENT_LET_IN);
	rig_pattern(data, DATA, 5);
	return limited;
}

/* What has come to the service so far, all of it as it was sent. */
static size_t drain(const struct limited *limited, const uint8_t *data, size_t got)
{
	static uint8_t bytes[65536];
	ssize_t n;

	while ((n = recv(limited->service, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
		assert_memory_equal(bytes, data + got, (size_t)n);
		got += (size_t)n;
	}
	return got;
}

/* As much as may be in each millisecond, and all of it in the end; no turn of the loop is for
 * nothing. */
static void test_limited(void **state)
{
	struct rig *rig = *state;
	uint8_t *data = malloc(DATA);
	struct limited limited = begin(rig, data);
	size_t got = 0, sent = 0;
	uint64_t ms = 0;

	conn_relay_start(limited.conn);
	for (; got < DATA && ms < 2000; ms++) {
		ssize_t n = sent < DATA ? send(limited.client, data + sent, DATA - sent,
					       MSG_DONTWAIT | MSG_NOSIGNAL)
					: 0;

		sent += n > 0 ? (size_t)n : 0;
		rig_pass_ms(rig, 1);
		rig_turns(rig, 2);
		got = drain(&limited, data, got);
		assert_true(got <= BURST + RATE * (ms + 1) / 1000 + RECORDS);
		assert_true(got + RECORDS >= MIN(BURST + RATE * ms / 1000, (uint64_t)DATA));
		assert_true(got == DATA || conn_is_limited(limited.conn));
	}
	assert_int_equal(got, DATA);
	assert_int_equal(client_read(&limited.conn->client->account.usage[CLIENT_PRODUCE].bytes),
			 DATA);
	assert_true(client_read(&limited.conn->client->account.usage[CLIENT_PRODUCE].limited_ns) >
		    300 * NSEC_PER_MSEC);
	close(limited.client);
	close(limited.service);
	rig_pass_ms(rig, CLIENT_FLOOR_MS); /* an end is read like a byte */
	rig_until(rig, rig_is_empty, rig);
	free(data);
}

/* The limit goes: at once when all are woken. It comes back, and the connection is ended while it
 * waits: nothing is left behind. */
static void test_changed(void **state)
{
	struct rig *rig = *state;
	uint8_t *data = malloc(DATA);
	struct limited limited = begin(rig, data);
	size_t got;

	conn_relay_start(limited.conn);
	assert_true(send(limited.client, data, DATA / 4, 0) == DATA / 4);
	rig_turns(rig, 5);
	got = drain(&limited, data, 0);
	assert_true(got < DATA / 4 && conn_is_limited(limited.conn));
	adopt(rig, 0);
	throttle_wake_all(&rig->worker.throttle);
	rig_turns(rig, 5);
	got = drain(&limited, data, got);
	assert_int_equal(got, DATA / 4);
	assert_false(conn_is_limited(limited.conn));
	adopt(rig, RATE);
	assert_true(send(limited.client, data + got, DATA / 2, 0) == DATA / 2);
	rig_turns(rig, 5);
	assert_true(conn_is_limited(limited.conn));
	conn_kill(limited.conn);
	rig_turns(rig, 5);
	rig_assert_closed(rig, CLOSE_KILLED, 1);
	rig_pass_ms(rig, 2000);
	close(limited.client);
	close(limited.service);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_wheel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all, setup, teardown),
		RIG_TEST(test_limited),
		RIG_TEST(test_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
