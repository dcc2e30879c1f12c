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

static struct config *config_of_text(const char *text)
{
	struct config_problems *problems = calloc(1, sizeof(*problems));
	struct config *config = NULL;

	if (config_load_bytes(text, strlen(text), "/", &config, problems) < 0)
		fail_msg("%s", problems->items[0].text);
	free(problems);
	return config;
}

/* Listeners of these names on ports from 9001 on, with their upstreams; NULL-ended pairs. */
static struct config *config_of(const char *const *names_and_upstreams)
{
	char text[8192] = "listeners:\n";

	for (int i = 0; names_and_upstreams[2 * i]; i++) {
		size_t used = strlen(text);

		snprintf(text + used, sizeof(text) - used,
			 "- { name: %s, listen: \"127.0.0.1:%d\", upstream: \"%s\", ktls: off,"
			 " tls: %s }\n",
			 names_and_upstreams[2 * i], 9001 + i, names_and_upstreams[2 * i + 1],
			 tls_text);
	}
	return config_of_text(text);
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

/* As if it had been measured: a full record by our own layer 10000 ns, by the kernel these, copied
 * and spliced. */
static void set_costs(struct ktls_costs *costs, uint32_t copied, uint32_t spliced,
		      uint32_t receiving)
{
	costs->measured = true;
	for (int i = 0; i < KTLS_ROUNDS; i++) {
		costs->ns[KTLS_SENDING][KTLS_LARGE][KTLS_WAY_OWN][i] = 10000;
		costs->ns[KTLS_SENDING][KTLS_LARGE][KTLS_WAY_COPY][i] = copied;
		costs->ns[KTLS_SENDING][KTLS_LARGE][KTLS_WAY_SPLICE][i] = spliced;
		costs->ns[KTLS_RECEIVING][KTLS_LARGE][KTLS_WAY_OWN][i] = 10000;
		costs->ns[KTLS_RECEIVING][KTLS_LARGE][KTLS_WAY_COPY][i] = receiving;
		costs->ns[KTLS_RECEIVING][KTLS_LARGE][KTLS_WAY_UNPADDED][i] = 9000;
	}
}

static struct snapshot *measured_snapshot(void)
{
	struct snapshot *snapshot = SNAPSHOT(NULL, "x", "127.0.0.1:1");
	struct ktls_support *ktls = &snapshot->ktls;
	struct ktls_costs *costs = snapshot->calibration.costs[1];

	snapshot->ktls_probed = true;
	*ktls = (struct ktls_support){ .ulp = true, .rekey = true, .unpadded = true };
	memset(ktls->cipher13, true, sizeof(ktls->cipher13));
	set_costs(&costs[TLS_CIPHER_AES_128_GCM_SHA256], 12000, 8000, 12000);
	set_costs(&costs[TLS_CIPHER_AES_256_GCM_SHA384], 8000, 8000, 8000);
	set_costs(&costs[TLS_CIPHER_CHACHA20_POLY1305_SHA256], 12000, 12000, 12000);
	return snapshot;
}

static void expect_transport(struct snapshot *snapshot, const char *name, enum ktls_use use,
			     const char *why)
{
	struct route *route = snapshot_route(snapshot, name);

	assert_int_equal(route->transport, use);
	if (!strstr(route->transport_why.text, why))
		fail_msg("%s: %s", name, route->transport_why.text);
}

/* What was measured is kept from snapshot to snapshot, and each listener judges by its settings. */
static void test_ktls_auto(void **state)
{
	struct snapshot *first = measured_snapshot(), *second = NULL;
	const uint8_t *uses;
	struct err_text err = { "" };
	char text[8192];

	(void)state;
	snprintf(
		text, sizeof(text),
		"listeners:\n"
		"- { name: usual, listen: \"127.0.0.1:9001\", upstream: \"127.0.0.1:1\", tls: %s }\n"
		"- { name: copied, listen: \"127.0.0.1:9002\", upstream: \"127.0.0.1:1\","
		" splice: \"off\", tls: %s }\n"
		"- { name: unpadded, listen: \"127.0.0.1:9003\", upstream: \"127.0.0.1:1\","
		" ktls_padding: none, tls: %s }\n"
		"- { name: required, listen: \"127.0.0.1:9004\", upstream: \"127.0.0.1:1\","
		" ktls: required, tls: %s }\n"
		"- { name: none, listen: \"127.0.0.1:9005\", upstream: \"127.0.0.1:1\","
		" ktls: \"off\", tls: %s }\n",
		tls_text, tls_text, tls_text, tls_text, tls_text);
	if (snapshot_new(config_of_text(text), first, NULL, &second, &err) < 0)
		fail_msg("%s", err.text);
	snapshot_unref(first);
	expect_transport(second, "usual", KTLS_USE_SENDING,
			 "sending in the kernel costs 20 % less, receiving 20 % more; "
			 "TLS_AES_256_GCM_SHA384: ktls; TLS_CHACHA20_POLY1305_SHA256: aead");
	expect_transport(second, "copied", KTLS_USE_NONE, "costs 20 % more, receiving 20 % more");
	expect_transport(second, "unpadded", KTLS_USE_BOTH, "costs 20 % less, receiving 10 % less");
	expect_transport(second, "required", KTLS_USE_BOTH, "ktls: required");
	expect_transport(second, "none", KTLS_USE_NONE, "ktls: off");
	uses = snapshot_route(second, "usual")->ktls_use[1];
	assert_int_equal(uses[TLS_CIPHER_AES_256_GCM_SHA384], KTLS_USE_BOTH);
	assert_int_equal(uses[TLS_CIPHER_CHACHA20_POLY1305_SHA256], KTLS_USE_NONE);
	/* This kernel has nothing of TLS 1.2. */
	uses = snapshot_route(second, "usual")->ktls_use[0];
	assert_int_equal(uses[TLS_CIPHER_AES_128_GCM_SHA256], KTLS_USE_NONE);
	snapshot_unref(second);
}

/* Facts come before figures. */
static void test_ktls_auto_unfit(void **state)
{
	struct snapshot *first = measured_snapshot(), *second = NULL;
	struct err_text err = { "" };
	char text[2048];

	(void)state;
	first->ktls.rekey = false;
	snprintf(text, sizeof(text),
		 "listeners:\n"
		 "- { name: a, listen: \"127.0.0.1:9001\", upstream: \"127.0.0.1:1\", tls: %s }\n",
		 tls_text);
	if (snapshot_new(config_of_text(text), first, NULL, &second, &err) < 0)
		fail_msg("%s", err.text);
	snapshot_unref(first);
	expect_transport(second, "a", KTLS_USE_NONE, "can not change keys");
	snapshot_unref(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_a_route_keeps_its_snapshot),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_ktls_auto),
		cmocka_unit_test(test_ktls_auto_unfit),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
