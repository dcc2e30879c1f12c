/* SPDX-License-Identifier: Apache-2.0 */
/* The section `clients`: what is refused, with its place, what is warned of, and what comes out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "limits/limits.h"
#include "unit/config/loading.h"

#define LIMITS(text) "clients: { limits: [ " text " ] }\n" GOOD

static void test_values(void **state)
{
	static const char text[] = GOOD
		"clients:\n"
		"  unnamed: refuse\n"
		"  pacing: bpf\n"
		"  limits:\n"
		"    - cn: \"\"\n"
		"    - {cn: 'svc-*', group: g, produce: 50MB/s, produce_burst: 1MiB, connections: "
		"10}\n"
		"    - {cn: a/b, consume: 100kB/s, connections_per_second: 5, "
		"handshakes_per_second: 6}\n"
		"  groups:\n"
		"    - {name: g, consume: 1GB/s, consume_burst: auto, produce: off}\n";
	struct config *config = NULL;
	const struct config_client *limits, *groups;

	assert_int_equal(load(text, sizeof(text) - 1, &config), 0);
	assert_clean();
	limits = config->clients.limits;
	groups = config->clients.groups;
	assert_int_equal(config->clients.unnamed, CONFIG_UNNAMED_REFUSE);
	assert_int_equal(config->clients.pacing, CONFIG_PACING_BPF);
	assert_int_equal(config->clients.limit_count, 3);
	assert_string_equal(limits[0].name, "");
	assert_null(limits[0].group);
	assert_string_equal(limits[1].group, "g");
	assert_int_equal(limits[1].limits.rate[CLIENT_PRODUCE], 50000000);
	assert_int_equal(limits[1].limits.burst[CLIENT_PRODUCE], 1 << 20);
	assert_int_equal(limits[1].limits.rate[CLIENT_CONSUME], 0);
	assert_int_equal(limits[1].limits.connections, 10);
	assert_int_equal(limits[2].limits.rate[CLIENT_CONSUME], 100000);
	assert_int_equal(limits[2].limits.connections_per_second, 5);
	assert_int_equal(limits[2].limits.handshakes_per_second, 6);
	assert_int_equal(config->clients.group_count, 1);
	assert_int_equal(groups[0].limits.rate[CLIENT_CONSUME], 1000000000);
	assert_int_equal(groups[0].limits.burst[CLIENT_CONSUME], 0);
	config_free(config);
	assert_int_equal(load(GOOD, sizeof(GOOD) - 1, &config), 0);
	assert_int_equal(config->clients.unnamed, CONFIG_UNNAMED_ALLOW);
	assert_int_equal(config->clients.pacing, CONFIG_PACING_SOCKET);
	assert_int_equal(config->clients.limit_count, 0);
	config_free(config);
}

static void test_refused(void **state)
{
	static const struct bad_row rows[] = {
		{ LIMITS("{cn: a, produce: -5MB/s}"), 1, 39, "clients.limits[0].produce",
		  "'-5MB/s' is not a rate from 10kB/s to 100GB/s: write it as in" },
		{ LIMITS("{cn: a, produce: 0}"), 1, 39, "clients.limits[0].produce", "or off" },
		{ LIMITS("{cn: a, produce: 0MB/s}"), 1, 39, "clients.limits[0].produce", "is not" },
		{ LIMITS("{cn: a, produce: 5MB}"), 1, 39, "clients.limits[0].produce", "is not" },
		{ LIMITS("{cn: a, produce: 50000/s}"), 1, 39, "clients.limits[0].produce",
		  "is not" },
		{ LIMITS("{cn: a, produce: 9kB/s}"), 1, 39, "clients.limits[0].produce", "is not" },
		{ LIMITS("{cn: a, consume: 1000GB/s}"), 1, 39, "clients.limits[0].consume",
		  "is not" },
		{ LIMITS("{cn: a, consume: 99999999999999999999GB/s}"), 1, 39,
		  "clients.limits[0].consume", "is not" },
		{ LIMITS("{cn: a, connections: 0}"), 1, 43, "clients.limits[0].connections",
		  "out of range" },
		{ LIMITS("{cn: a, connections: -1}"), 1, 43, "clients.limits[0].connections",
		  "not a number" },
		{ LIMITS("{cn: a, handshakes_per_second: 1e3}"), 1, 53,
		  "clients.limits[0].handshakes_per_second", "not a number" },
		{ LIMITS("{produce: 5MB/s}"), 1, 22, "clients.limits[0].cn", "missing" },
		{ LIMITS("{cn: \"a\\0b\"}"), 1, 27, "clients.limits[0].cn", "control characters" },
		{ LIMITS("{cn: a, produce_burst: 1MB}"), 1, 45, "clients.limits[0].produce_burst",
		  "a burst without produce" },
		{ LIMITS("{cn: a, produce: 1MB/s, produce_burst: 1kB}"), 1, 61,
		  "clients.limits[0].produce_burst", "from 32KiB" },
		{ LIMITS("{cn: a, consume: 1GB/s, consume_burst: 1MB}"), 1, 61,
		  "clients.limits[0].consume_burst", "less than 10 ms of consume (10000000)" },
		{ LIMITS("{cn: a}, {cn: b*}, {cn: a}"), 1, 46, "clients.limits[2].cn",
		  "'a' is here already (line 1)" },
		{ LIMITS("{cn: a, group: g}"), 1, 37, "clients.limits[0].group",
		  "there is no group 'g'" },
		{ "clients: { limits: [ {cn: a, group: bacth}, {cn: b, group: batch} ], groups: [ {name: batch} ] }\n" GOOD,
		  1, 37, "clients.limits[0].group", "did you mean 'batch'?" },
		{ "clients: { groups: [ {name: g}, {name: g} ], limits: [ {cn: a, group: g} ] }\n" GOOD,
		  1, 40, "clients.groups[1].name", "is here already" },
		{ "clients: { unnamed: no }\n" GOOD, 1, 21, "clients.unnamed", "allow, refuse" },
	};

	assert_rows(rows, ARRAY_SIZE(rows));
}

static void test_warned(void **state)
{
	static const struct bad_row rows[] = {
		{ LIMITS("{cn: svc-*}, {cn: '*-production'}"), 1, 40, "clients.limits[1].cn",
		  "overlaps with 'svc-*' (line 1): for names that match both, '*-production' counts, "
		  "the more specific one" },
		{ LIMITS("{cn: abc*}, {cn: '*cba'}"), 1, 39, "clients.limits[1].cn",
		  "'abc*' counts, the first one, since neither is more specific" },
		{ LIMITS("{cn: a, produce: 10kB/s, produce_burst: 1MB}"), 1, 62,
		  "clients.limits[0].produce_burst", "more than a minute of produce" },
		{ "clients: { limits: [ {cn: a, group: g, produce: 2MB/s} ], groups: [ {name: g, produce: "
		  "1MB/s} ] }\n" GOOD,
		  1, 49, "clients.limits[0].produce", "more than group 'g' has" },
		{ "clients: { limits: [ {cn: a, group: g, connections: 2} ], groups: [ {name: g, "
		  "connections: 1} ] }\n" GOOD,
		  1, 53, "clients.limits[0].connections", "never reached" },
		{ "clients: { limits: [ {cn: a} ], groups: [ {name: g} ] }\n" GOOD, 1, 50,
		  "clients.groups[0].name", "no entry" },
	};
	static const char quiet[] = LIMITS("{cn: '*'}, {cn: svc-*}, {cn: svc-a}, {cn: app-*}");
	struct config *config = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_row(&rows[i], CONFIG_WARNING);
	/* Where one is a part of the other nobody needs to be told. */
	assert_int_equal(load(quiet, sizeof(quiet) - 1, &config), 0);
	assert_clean();
	config_free(config);
}

/* As many patterns as there may be, all against all, and one more. */
static void test_many(void **state)
{
	size_t room = 64 * (CLIENT_GLOBS_MAX + 8), used;
	cleanup_free char *text = malloc(room);
	struct config *config = NULL;

	assert_non_null(text);
	for (size_t more = 0; more < 2; more++) {
		used = (size_t)snprintf(text, room, GOOD "clients:\n  limits:\n");
		for (size_t i = 0; i < CLIENT_GLOBS_MAX + more; i++)
			used += (size_t)snprintf(text + used, room - used,
						 "    - {cn: 'team-%zu-*'}\n", i);
		assert_int_equal(load(text, used, &config), more ? -EINVAL : 0);
		if (more)
			assert_non_null(strstr(problems.items[0].text, "more than 256 patterns"));
		else
			config_free(config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_warned),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
