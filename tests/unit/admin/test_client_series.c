/* SPDX-License-Identifier: Apache-2.0 */
/* Which clients have series of their own, and what is left for all others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "admin/client_series.h"
#include "base/util.h"

#define NOW  (500 * NSEC_PER_SEC)
#define HOUR (3601 * NSEC_PER_SEC)

struct fixture {
	struct clients *clients;
	struct client_series series;
};

static int setup(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){ 0 };
	*state = &fixture;
	return clients_new(&fixture.clients);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	client_series_fini(&fixture->series);
	clients_free(fixture->clients);
	return 0;
}

/* A connection of `name` that has moved so much; for leave(). */
static struct client *move(struct fixture *fixture, const char *name, uint64_t bytes)
{
	struct client *client;
	struct err_text why;

	assert_int_equal(clients_enter(fixture->clients, name, NOW, &client, &why), CLIENT_LET_IN);
	assert_int_equal(clients_admit(fixture->clients, client, NOW, &why), CLIENT_LET_IN);
	client_count_bytes(client, CLIENT_CONSUME, bytes);
	return client;
}

static void leave(struct fixture *fixture, struct client *client)
{
	clients_leave(fixture->clients, client, true);
}

static const struct client_row *row(const struct fixture *fixture, const char *name)
{
	for (size_t i = 0; i < fixture->series.count; i++)
		if (strcmp(fixture->series.rows[i].name, name) == 0)
			return &fixture->series.rows[i];
	return NULL;
}

static uint64_t bytes_of(const struct client_row *row)
{
	return row->counts.bytes[CLIENT_CONSUME];
}

static void assert_others(const struct fixture *fixture, uint64_t bytes, uint64_t connections)
{
	assert_int_equal(bytes_of(&fixture->series.other), bytes);
	assert_int_equal(fixture->series.other.connections, connections);
}

static void test_who_moved_most(void **state)
{
	struct fixture *fixture = *state;
	struct client *a = move(fixture, "a", 10), *b = move(fixture, "b", 30),
		      *c = move(fixture, "c", 20);

	client_series_update(&fixture->series, fixture->clients, 2, NOW);
	assert_int_equal(fixture->series.known, 3);
	assert_int_equal(fixture->series.count, 2);
	assert_int_equal(bytes_of(row(fixture, "b")), 30);
	assert_int_equal(bytes_of(row(fixture, "c")), 20);
	assert_others(fixture, 10, 1);
	/* Whoever has a place keeps it. */
	client_count_bytes(a, CLIENT_CONSUME, 1000);
	client_series_update(&fixture->series, fixture->clients, 2, NOW);
	assert_null(row(fixture, "a"));
	assert_others(fixture, 1010, 1);
	leave(fixture, a);
	leave(fixture, b);
	leave(fixture, c);
}

/* A place changes hands, and no counter goes back for it. */
static void test_idle_make_room(void **state)
{
	struct fixture *fixture = *state;
	struct client *a, *b = move(fixture, "b", 30);

	client_series_update(&fixture->series, fixture->clients, 1, NOW);
	leave(fixture, b);
	client_series_update(&fixture->series, fixture->clients, 1, NOW + HOUR);
	assert_int_equal(bytes_of(row(fixture, "b")), 30); /* nobody wants it */
	a = move(fixture, "a", 10);
	client_series_update(&fixture->series, fixture->clients, 1, NOW + HOUR);
	assert_null(row(fixture, "b"));
	assert_int_equal(bytes_of(row(fixture, "a")), 10);
	assert_others(fixture, 30, 0);
	client_series_update(&fixture->series, fixture->clients, 2, NOW + HOUR);
	assert_int_equal(bytes_of(row(fixture, "b")), 30);
	assert_others(fixture, 30, 0); /* and waits until there is more */
	leave(fixture, a);
}

static void test_fewer_places(void **state)
{
	struct fixture *fixture = *state;
	struct client *a = move(fixture, "a", 10), *b = move(fixture, "b", 30);

	client_series_update(&fixture->series, fixture->clients, 2, NOW);
	assert_others(fixture, 0, 0);
	client_series_update(&fixture->series, fixture->clients, 1, NOW);
	assert_int_equal(fixture->series.count, 1);
	client_series_update(&fixture->series, fixture->clients, 0, NOW);
	assert_int_equal(fixture->series.count, 0);
	assert_others(fixture, 40, 2);
	leave(fixture, a);
	leave(fixture, b);
}

/* A client whose name is that of the row of all others, and one without a name. */
static void test_odd_names(void **state)
{
	struct fixture *fixture = *state;
	struct client *a = move(fixture, CLIENT_SERIES_OTHER, 10), *b = move(fixture, "", 30);

	client_series_update(&fixture->series, fixture->clients, 5, NOW);
	assert_int_equal(fixture->series.count, 1);
	assert_int_equal(bytes_of(row(fixture, "")), 30);
	assert_others(fixture, 10, 1);
	leave(fixture, a);
	leave(fixture, b);
}

/* Who is forgotten by the table is counted among the others. */
static void test_forgotten(void **state)
{
	struct fixture *fixture = *state;
	char name[32];

	for (unsigned int i = 0; i < CLIENTS_IDLE_MAX + 10; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		leave(fixture, move(fixture, name, 1));
		if (i == 0)
			client_series_update(&fixture->series, fixture->clients, 1, NOW);
	}
	client_series_update(&fixture->series, fixture->clients, 1, NOW);
	assert_null(row(fixture, "c0"));
	assert_int_equal(fixture->series.known, CLIENTS_IDLE_MAX);
	assert_others(fixture, CLIENTS_IDLE_MAX + 9, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_who_moved_most, setup, teardown),
		cmocka_unit_test_setup_teardown(test_idle_make_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fewer_places, setup, teardown),
		cmocka_unit_test_setup_teardown(test_odd_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forgotten, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
