/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstream names that are looked up again: a resolver that does not answer keeps nobody waiting.
 * glibc's look-ups are replaced by one that ends when a test says so.
 */
#include "unit/dataplane/rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <string.h>

static struct {
	struct gaicb *running; /* keeps it reachable, as glibc's thread does */
	unsigned started;
	int refuses; /* to start */
	int result;  /* EAI_INPROGRESS: the resolver does not answer */
} fake;

int __wrap_getaddrinfo_a(int mode, struct gaicb *list[], int count, struct sigevent *event);
int __wrap_gai_error(struct gaicb *request);
int __wrap_gai_cancel(struct gaicb *request);

int __wrap_getaddrinfo_a(int mode, struct gaicb *list[], int count, struct sigevent *event)
{
	assert_int_equal(mode, GAI_NOWAIT);
	assert_int_equal(count, 1);
	assert_null(event);
	if (fake.refuses)
		return fake.refuses;
	fake.running = list[0];
	fake.started++;
	return 0;
}

int __wrap_gai_error(struct gaicb *request)
{
	assert_ptr_equal(request, fake.running);
	return fake.result;
}

int __wrap_gai_cancel(struct gaicb *request)
{
	assert_ptr_equal(request, fake.running);
	return fake.result == EAI_INPROGRESS ? EAI_NOTCANCELED : EAI_ALLDONE;
}

static void answer(const char *address)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };

	assert_string_equal(fake.running->ar_name, "kafka.example");
	assert_string_equal(fake.running->ar_service, "9092");
	assert_int_equal(
		getaddrinfo(address, fake.running->ar_service, &hints, &fake.running->ar_result),
		0);
	fake.result = 0;
}

struct route_state {
	struct config_listener config;
	struct route route;
	struct err_text err;
};

static int setup(void **state)
{
	static struct route_state s;

	memset(&fake, 0, sizeof(fake));
	fake.result = EAI_INPROGRESS;
	s = (struct route_state){ .config.upstream_text = (char *)"kafka.example:9092" };
	assert_int_equal(parse_endpoint("kafka.example:9092", &s.config.upstream), 0);
	s.route.config = &s.config;
	pthread_mutex_init(&s.route.addresses_mutex, NULL);
	*state = &s;
	return 0;
}

static int teardown(void **state)
{
	struct route_state *s = *state;

	pthread_mutex_destroy(&s->route.addresses_mutex);
	return 0;
}

static void assert_addresses(struct route *route, const char *expected)
{
	struct upstream_address addresses[UPSTREAM_ADDRESSES_MAX];
	const struct sockaddr_in *in = (const struct sockaddr_in *)&addresses[0].addr;
	char text[INET_ADDRSTRLEN];

	assert_int_equal(route_addresses(route, addresses), expected ? 1 : 0);
	if (expected) {
		assert_string_equal(inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)),
				    expected);
		assert_int_equal(ntohs(in->sin_port), 9092);
	}
}

static void test_nobody_waits(void **state)
{
	struct route_state *s = *state;

	assert_int_equal(route_renew(&s->route, false, &s->err), 0);
	assert_int_equal(fake.started, 0);
	for (size_t i = 0; i < 3; i++) /* one at a time */
		assert_int_equal(route_renew(&s->route, true, &s->err), 0);
	assert_int_equal(fake.started, 1);
	assert_addresses(&s->route, NULL);
	answer("127.0.0.7");
	assert_int_equal(route_renew(&s->route, false, &s->err), 0);
	assert_null(s->route.lookup);
	assert_addresses(&s->route, "127.0.0.7");
}

static void test_failure_keeps_the_addresses(void **state)
{
	struct route_state *s = *state;

	assert_int_equal(route_renew(&s->route, true, &s->err), 0);
	answer("127.0.0.7");
	assert_int_equal(route_renew(&s->route, false, &s->err), 0);
	fake.result = EAI_AGAIN;
	assert_int_equal(route_renew(&s->route, true, &s->err), -ENOENT);
	assert_non_null(strstr(s->err.text, "kafka.example:9092 does not resolve"));
	assert_null(s->route.lookup);
	fake.refuses = EAI_MEMORY;
	assert_int_equal(route_renew(&s->route, true, &s->err), -ENOENT);
	assert_null(s->route.lookup);
	assert_addresses(&s->route, "127.0.0.7");
}

static void test_addresses_are_not_looked_up(void **state)
{
	struct route_state *s = *state;

	assert_int_equal(parse_endpoint("127.0.0.1:9092", &s->config.upstream), 0);
	assert_int_equal(route_renew(&s->route, true, &s->err), 0);
	assert_int_equal(fake.started, 0);
	assert_addresses(&s->route, "127.0.0.1");
}

/* What still runs is left to its thread; what has ended is freed (which a sanitizer watches). */
static void test_dropped(void **state)
{
	struct route_state *s = *state;
	struct gaicb *running;

	assert_int_equal(route_renew(&s->route, true, &s->err), 0);
	running = fake.running;
	lookup_drop(s->route.lookup);
	assert_string_equal(running->ar_name, "kafka.example");
	lookup_drop(NULL);
	answer("127.0.0.7");
	lookup_drop(s->route.lookup);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nobody_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure_keeps_the_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_addresses_are_not_looked_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dropped, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
