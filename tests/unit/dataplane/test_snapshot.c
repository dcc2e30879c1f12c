/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots: who keeps them, and what goes on from one to the next. */
#include "unit/dataplane/rig.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "config/load.h"
#include "unit/tls/pki.h"

static struct pki_cert root, door;
static const char *tls_text;

static int setup(void **state)
{
	const struct pki_cert *chain[] = { &door }, *roots[] = { &root };
	static char text[1024];

	(void)state;
	log_init(2, LOG_ERROR, LOG_FORMAT_TEXT);
	pki_make(&root, NULL, &(struct pki_spec){ .cn = "Root", .is_ca = true });
	pki_make(&door, &root, &(struct pki_spec){ .cn = "door", .usage = "serverAuth" });
	snprintf(text, sizeof(text), "{ certificate: %s, key: %s, roots: [ %s ] }",
		 pki_write_certs("door.crt", chain, 1), pki_write_key("door.key", &door),
		 pki_write_certs("root.crt", roots, 1));
	tls_text = text;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pki_cert_fini(&root);
	pki_cert_fini(&door);
	return 0;
}

/* Listeners of these names on ports from 9001 on, with their upstreams; NULL-ended pairs. */
static struct config *config_of(const char *const *names_and_upstreams)
{
	struct config_problems *problems = calloc(1, sizeof(*problems));
	struct config *config = NULL;
	char text[8192] = "listeners:\n";

	for (int i = 0; names_and_upstreams[2 * i]; i++) {
		size_t used = strlen(text);

		snprintf(text + used, sizeof(text) - used,
			 "- { name: %s, listen: \"127.0.0.1:%d\", upstream: \"%s\", ktls: off,"
			 " tls: %s }\n",
			 names_and_upstreams[2 * i], 9001 + i, names_and_upstreams[2 * i + 1],
			 tls_text);
	}
	if (config_load_bytes(text, strlen(text), "/", &config, problems) < 0)
		fail_msg("%s", problems->items[0].text);
	free(problems);
	return config;
}

static struct snapshot *snapshot_of(struct snapshot *previous,
				    const char *const *names_and_upstreams)
{
	struct snapshot *snapshot = NULL;
	struct err_text err = { "" };

	if (snapshot_new(config_of(names_and_upstreams), previous, NULL, &snapshot, &err) < 0)
		fail_msg("%s", err.text);
	return snapshot;
}

#define SNAPSHOT(previous, ...) snapshot_of(previous, (const char *const[]){ __VA_ARGS__, NULL })

/* The state goes with the name, wherever the listener stands in the file. */
static void test_states(void **state)
{
	struct snapshot *first = SNAPSHOT(NULL, "a", "127.0.0.1:1", "b", "127.0.0.1:2");
	struct snapshot *second = SNAPSHOT(first, "b", "127.0.0.1:2", "c", "127.0.0.1:3");
	struct listener_state *kept = snapshot_route(first, "b")->state;

	(void)state;
	assert_int_equal(first->generation, 1);
	assert_int_equal(second->generation, 2);
	assert_ptr_equal(snapshot_route(second, "b")->state, kept);
	assert_int_equal(atomic_load(&kept->refs), 2);
	assert_int_equal(atomic_load(&snapshot_route(second, "c")->state->refs), 1);
	assert_null(snapshot_route(second, "a"));
	atomic_store(&kept->connections, 7);
	snapshot_unref(first);
	assert_int_equal(atomic_load(&kept->refs), 1);
	assert_int_equal(atomic_load(&snapshot_route(second, "b")->state->connections), 7);
	snapshot_unref(second);
}

/* A route keeps all that it is made of, after its snapshot has been replaced. */
static void test_a_route_keeps_its_snapshot(void **state)
{
	struct snapshot *first = SNAPSHOT(NULL, "a", "127.0.0.1:1");
	struct route *route = route_ref(snapshot_route(first, "a"));

	(void)state;
	assert_int_equal(atomic_load(&first->refs), 2);
	snapshot_unref(first);
	assert_string_equal(route->config->name, "a"); /* a sanitizer would tell */
	assert_non_null(route->tls);
	route_unref(route);
	snapshot_unref(NULL);
}

static uint16_t port_of(struct route *route)
{
	struct upstream_address addresses[UPSTREAM_ADDRESSES_MAX];

	assert_int_equal(route_addresses(route, addresses), 1);
	return ntohs(((const struct sockaddr_in *)&addresses[0].addr)->sin_port);
}

/* Addresses that are known are kept for an upstream that stays, and looked up for one that does
 * not. */
static void test_addresses(void **state)
{
	struct snapshot *first = SNAPSHOT(NULL, "a", "127.0.0.1:1", "b", "127.0.0.1:2");
	struct route *a = snapshot_route(first, "a"), *b = snapshot_route(first, "b");
	struct snapshot *second;

	(void)state;
	/* As if a look-up had told so. */
	((struct sockaddr_in *)&a->addresses[0].addr)->sin_port = htons(7777);
	((struct sockaddr_in *)&b->addresses[0].addr)->sin_port = htons(8888);
	second = SNAPSHOT(first, "a", "127.0.0.1:1", "b", "127.0.0.1:3");
	assert_int_equal(port_of(snapshot_route(second, "a")), 7777);
	assert_int_equal(port_of(snapshot_route(second, "b")), 3);
	snapshot_unref(first);
	snapshot_unref(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_a_route_keeps_its_snapshot),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
