/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory runs out at every allocation of a whole connection in turn (whole.h). Never a crash or a
 * leak (a sanitizer looks), never a connection that stays, always one counted reason; and the next
 * connection is served. And once more between a balancer and a service that use the PROXY protocol,
 * and before a broker that is told who the client is.
 */
#include "unit/dataplane/whole.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "config/load.h"
#include "dataplane/worker_listen.h"
#include "lib/failing_alloc.h"
#include "lib/fake_ktls.h"

#define ALLOCATION_MAX 300

/* A failed allocation is the reason that is counted, and nothing else is blamed. */
static void check_reason(const struct whole *s, unsigned long n, bool whole)
{
	const struct stats *stats = &s->rig.worker.stats;
	uint64_t no_memory = stats->closes[CLOSE_NO_MEMORY];

	if (stats->closes[CLOSE_HANDSHAKE_FAILED])
		no_memory += stats->refusals[TLS_REFUSAL_NO_MEMORY];
	for (int i = 0; !whole && !no_memory && i < CLOSE_REASON_COUNT; i++)
		if (stats->closes[i])
			fail_msg("allocation %lu: closed as %s", n,
				 close_reason_name((enum close_reason)i));
}

enum beside { ALONE, WITH_HEADERS, WITH_IDENTITY, WITH_IDENTITY_PROVEN };

static void walk(enum config_role role, enum beside beside, enum failing_alloc_mode mode)
{
	unsigned long n, last;
	struct whole s;

	for (n = 1; n < ALLOCATION_MAX; n++) {
		bool whole, failed;

		whole_open(&s, role, CONFIG_SPLICE_AUTO, failing_alloc_suspend);
		if (beside == WITH_HEADERS)
			whole_use_headers(&s);
		else if (beside != ALONE)
			whole_use_identity(&s, beside == WITH_IDENTITY_PROVEN);
		failing_alloc_arm(n, mode);
		whole = whole_connection(&s);
		failed = failing_alloc_disarm();
		last = failing_alloc_count();
		assert_int_equal(s.rig.worker.stats.accepted, 1);
		assert_int_equal(whole_closes(&s), 1);
		check_reason(&s, n, whole);
		whole_check_ends(&s, n);
		assert_int_equal(atomic_load(&s.rig.state.connections), 0);
		assert_int_equal(atomic_load(&s.rig.state.handshakes), 0);
		assert_int_equal(s.rig.worker.pipes.lent_count, 0);
		/* With memory again it works again. */
		assert_true(whole_connection(&s));
		assert_int_equal(whole_closes(&s), 2);
		whole_close(&s);
		if (!failed) {
			assert_true(whole);
			break;
		}
	}
	assert_true(n < ALLOCATION_MAX);
	assert_true(last > 12); /* else the walk has not gone where it should */
	print_message("%lu allocations\n", last);
}

static void test_front_one(void **state)
{
	(void)state;
	walk(CONFIG_ROLE_FRONT, ALONE, FAILING_ALLOC_ONE);
}

static void test_front_from(void **state)
{
	(void)state;
	walk(CONFIG_ROLE_FRONT, ALONE, FAILING_ALLOC_FROM);
}

static void test_egress_one(void **state)
{
	(void)state;
	walk(CONFIG_ROLE_EGRESS, ALONE, FAILING_ALLOC_ONE);
}

static void test_egress_from(void **state)
{
	(void)state;
	walk(CONFIG_ROLE_EGRESS, ALONE, FAILING_ALLOC_FROM);
}

static void test_headers(void **state)
{
	(void)state;
	walk(CONFIG_ROLE_FRONT, WITH_HEADERS, FAILING_ALLOC_ONE);
	walk(CONFIG_ROLE_FRONT, WITH_HEADERS, FAILING_ALLOC_FROM);
	walk(CONFIG_ROLE_EGRESS, WITH_HEADERS, FAILING_ALLOC_ONE);
}

static void test_identity(void **state)
{
	(void)state;
	walk(CONFIG_ROLE_FRONT, WITH_IDENTITY, FAILING_ALLOC_ONE);
	walk(CONFIG_ROLE_FRONT, WITH_IDENTITY_PROVEN, FAILING_ALLOC_ONE);
	walk(CONFIG_ROLE_FRONT, WITH_IDENTITY_PROVEN, FAILING_ALLOC_FROM);
}

/* No memory for a pipe: bytes are copied instead, and the stream is whole. */
static void test_no_memory_for_a_pipe(void **state)
{
	struct pipe_pool pool;
	struct pipe_pair *pipe;

	(void)state;
	pipe_pool_init(&pool);
	failing_alloc_arm(1, FAILING_ALLOC_ONE);
	assert_null(pipe_pool_get(&pool, NSEC_PER_SEC));
	assert_true(failing_alloc_disarm());
	assert_int_equal(pool.refused, 1);
	pipe = pipe_pool_get(&pool, 2 * NSEC_PER_SEC);
	assert_non_null(pipe);
	pipe_pool_put(&pool, pipe);
	pipe_pool_fini(&pool);
}

/* kTLS takes plaintext, so that a loss leaves no broken record that would show it: the alert has to
 * say so. */
static void test_ktls_output_that_can_not_be_held(void **state)
{
	static struct fake_ktls_record record;
	struct tls_keys *keys[2];
	int wire[2], service[2];
	unsigned int tries = 0;
	struct rig *rig = *state;
	struct conn *conn;
	size_t got = 0;

	rig->config.splice = CONFIG_SPLICE_OFF;
	fake_ktls_pair(wire, true);
	rig_socketpair(service);
	rig_keys(VERSION_1_3, TLS_CIPHER_AES_128_GCM_SHA256, keys);
	conn = rig_conn(rig, wire[0], service[0]);
	conn->secured = true;
	leg_use_ktls(&conn->accepted, keys[0], true);
	conn_relay_start(conn);
	failing_alloc_arm(1, FAILING_ALLOC_ONE);
	for (size_t at = 0; conn->state == CONN_RELAY && rig_patience(&tries);) {
		ssize_t n = send(service[1], whole_stream + at, STREAM_BYTES - at, MSG_DONTWAIT);

		at = (at + (size_t)MAX(n, (ssize_t)0)) % STREAM_BYTES;
		rig_turns(rig, 1);
	}
	assert_true(failing_alloc_disarm());
	for (;;) {
		assert_int_equal(fake_ktls_wire_recv(wire[1], &record), 1);
		if (record.type != TLS_APPLICATION_DATA)
			break;
		got += record.len;
		rig_turns(rig, 1);
	}
	assert_true(got > 0);
	assert_int_equal(record.type, TLS_ALERT);
	assert_int_equal(record.data[0], TLS_ALERT_FATAL);
	assert_int_equal(record.data[1], TLS_ALERT_INTERNAL_ERROR);
	close(wire[1]);
	close(service[1]);
	tls_keys_free(keys[1]);
	rig_until(rig, rig_is_empty, rig);
	rig_assert_closed(rig, CLOSE_NO_MEMORY, 1);
}

/* --- what is made before the first connection --- */

/* Two listeners on ports of the kernel's choice. */
static struct config *two_listeners(void)
{
	const struct pki_cert *chain[] = { &whole_tls.door }, *roots[] = { &whole_tls.root };
	const char *certificate = pki_write_certs("walk.crt", chain, 1);
	const char *key = pki_write_key("walk.key", &whole_tls.door);
	const char *root = pki_write_certs("walk-root.crt", roots, 1);
	struct config_problems *problems = calloc(1, sizeof(*problems));
	struct config *config = NULL;
	cleanup_free char *text = NULL;
	int len = asprintf(&text,
			   "listeners:\n"
			   "- { name: a, listen: \"127.0.0.1:1\", upstream: \"127.0.0.1:9\","
			   " ktls: off, tls: &t { certificate: %s, key: %s, roots: [ %s ] } }\n"
			   "- { name: b, listen: \"127.0.0.1:2\", upstream: \"127.0.0.1:9\","
			   " ktls: off, tls: *t }\n",
			   certificate, key, root);
	if (config_load_bytes(text, (size_t)len, "/", &config, problems) < 0)
		fail_msg("%s", problems->items[0].text);
	free(problems);
	for (size_t i = 0; i < config->listener_count; i++)
		config->listeners[i].listen.port = 0;
	return config;
}

static void test_start(void **state)
{
	bool failed = true;
	unsigned long n;

	(void)state;
	log_init(2, LOG_ERROR, LOG_FORMAT_TEXT);
	for (n = 1; failed && n < ALLOCATION_MAX; n++) {
		struct config *config = two_listeners();
		struct snapshot *snapshot = NULL;
		struct worker *worker = NULL;
		struct worker_plan *plan = NULL;
		struct listen_table none = { .count = 0 }, table = none;
		struct inherited_sockets no_sockets = { .count = 0 };
		struct gate *gate = NULL;
		struct err_text err = { "" };
		int r;

		failing_alloc_arm(n, FAILING_ALLOC_ONE);
		r = snapshot_new(config, NULL, NULL, &snapshot, &err);
		if (r < 0)
			config_free(config);
		else
			r = listen_table_open(&none, config, 1, &no_sockets, &table, &err);
		if (r == 0)
			r = gate_new(config, &gate, &err);
		if (r == 0)
			r = worker_new(0, LOOP_EPOLL, gate, &worker, &err);
		if (r == 0)
			r = worker_plan_new(worker, 1, snapshot, &table, &plan, &err);
		failed = failing_alloc_disarm();
		if (r < 0 && (!failed || !err.text[0]))
			fail_msg("allocation %lu: %d, \"%s\"", n, r, err.text);
		worker_plan_free(plan);
		worker_free(worker);
		listen_table_close(&table, NULL);
		snapshot_unref(snapshot);
		gate_free(gate);
	}
	assert_true(n > 5 && n < ALLOCATION_MAX);
}

/* From one configuration to the next: what fails leaves the first one as it was. */
static void test_change(void **state)
{
	struct listen_table none = { .count = 0 }, table;
	struct inherited_sockets no_sockets = { .count = 0 };
	struct config *first = two_listeners();
	struct snapshot *snapshot;
	struct worker *worker;
	struct err_text err = { "" };
	bool failed = true;
	unsigned long n;

	(void)state;
	log_init(2, LOG_ERROR, LOG_FORMAT_TEXT);
	assert_int_equal(snapshot_new(first, NULL, NULL, &snapshot, &err), 0);
	assert_int_equal(listen_table_open(&none, first, 1, &no_sockets, &table, &err), 0);
	assert_int_equal(worker_new(0, LOOP_EPOLL, NULL, &worker, &err), 0);
	for (n = 1; failed && n < ALLOCATION_MAX; n++) {
		struct config *config = two_listeners();
		struct snapshot *next = NULL;
		struct worker_plan *plan = NULL;
		struct listen_table next_table = none;
		int r;

		strcpy(config->listeners[1].listen.host, "127.0.0.9"); /* a new one */
		failing_alloc_arm(n, FAILING_ALLOC_ONE);
		r = snapshot_new(config, snapshot, NULL, &next, &err);
		if (r < 0)
			config_free(config);
		else
			r = listen_table_open(&table, config, 1, &no_sockets, &next_table, &err);
		if (r == 0)
			r = worker_plan_new(worker, 1, next, &next_table, &plan, &err);
		failed = failing_alloc_disarm();
		assert_true(r == 0 || failed);
		worker_plan_free(plan);
		listen_table_close(&next_table, &table);
		snapshot_unref(next);
		assert_int_equal(atomic_load(&snapshot->refs), 1);
		assert_int_equal(atomic_load(&snapshot->routes[0].state->refs), 1);
		assert_true(fcntl(table.groups[0]->fds[0], F_GETFD) >= 0);
	}
	assert_true(n > 5 && n < ALLOCATION_MAX);
	worker_free(worker);
	listen_table_close(&table, NULL);
	snapshot_unref(snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_front_one),
		cmocka_unit_test(test_front_from),
		cmocka_unit_test(test_egress_one),
		cmocka_unit_test(test_egress_from),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_no_memory_for_a_pipe),
		RIG_TEST(test_ktls_output_that_can_not_be_held),
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_change),
	};

	return cmocka_run_group_tests(tests, whole_tls_setup, whole_tls_teardown);
}
