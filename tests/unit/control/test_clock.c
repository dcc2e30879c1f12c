/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock of the day is set under the control plane: whatever it says afterwards, each
 * certificate is renewed when that is due, once, and nothing turns in circles meanwhile. The
 * embedded CA issues; both clocks are the test's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "control/control.h"
#include "control/http_client.h"
#include "pki/embedded_ca.h"

#define COUNT	      12
#define MINUTE	      60
#define HOUR	      3600
#define DAY	      86400 /* a certificate's life */
#define WAIT_MS	      1000  /* at the longest: the clock may be set meanwhile */
#define START_SECONDS 1800000000

static struct clock_fake now;
static char directory[] = "/tmp/sallyport-clock-XXXXXX";
static struct control *control;
static unsigned int issued, waited_ms;

void __wrap_http_client_turn(struct http_client *client, struct pollfd *fds, size_t fd_count,
			     unsigned int wait_ms);

void __wrap_http_client_turn(struct http_client *client, struct pollfd *fds, size_t fd_count,
			     unsigned int wait_ms)
{
	waited_ms = wait_ms;
}

static void on_issued(void *arg, const char *name, struct pki_credential *credential,
		      enum control_reason reason)
{
	issued++;
}

static void on_trusted(void *arg, struct trust *trust)
{
}

static int setup(void **state)
{
	static char names[COUNT][8];
	static struct config_certificate items[COUNT];
	static const struct config_certificate *certificates[COUNT];
	static const struct config_vault vault;
	static const struct config_consul consul;
	const struct embedded_ca_request root = { .dir = directory,
						  .subject = { .cn = "Root", .days = 365 } };
	const struct control_options options = { .vault = &vault,
						 .consul = &consul,
						 .certificates = certificates,
						 .certificate_count = COUNT,
						 .seed = 1 };
	const struct control_events events = { .issued = on_issued, .trusted = on_trusted };
	struct embedded_ca_result result;
	struct err_text err;

	log_init(2, LOG_ERROR, LOG_FORMAT_TEXT);
	now = (struct clock_fake){ .monotonic_ns = DAY * NSEC_PER_SEC,
				   .realtime_ns = START_SECONDS * NSEC_PER_SEC };
	clock_set_fake(&now);
	snprintf(directory, sizeof(directory), "/tmp/sallyport-clock-XXXXXX");
	assert_non_null(mkdtemp(directory));
	assert_int_equal(embedded_ca_create(&root, &result, &err), 0);
	for (size_t i = 0; i < COUNT; i++) {
		snprintf(names[i], sizeof(names[i]), "c%zu", i);
		items[i] = (struct config_certificate){ .name = names[i],
							.source = CONFIG_SOURCE_DEV,
							.dir = directory,
							.common_name = names[i],
							.ttl_ms = DAY * 1000ULL };
		certificates[i] = &items[i];
	}
	assert_int_equal(control_new(&options, &events, &control, &err), 0);
	issued = 0;
	return 0;
}

static int teardown(void **state)
{
	char path[64];

	control_free(control);
	clock_set_fake(NULL);
	for (const char *const *name =
		     (const char *const[]){ "ca.crt", "ca.key", "index.jsonl", NULL };
	     *name; name++) {
		snprintf(path, sizeof(path), "%s/%s", directory, *name);
		unlink(path);
	}
	assert_int_equal(rmdir(directory), 0);
	return 0;
}

/* Time passes, on both clocks. */
static void pass(int64_t seconds)
{
	now.monotonic_ns += (uint64_t)seconds * NSEC_PER_SEC;
	now.realtime_ns += (uint64_t)seconds * NSEC_PER_SEC;
}

/* Somebody sets the clock. */
static void set_by(int64_t seconds)
{
	now.realtime_ns += (uint64_t)seconds * NSEC_PER_SEC;
}

/* Turns many times without any time; how many certificates came of it. In the end it waits. */
static unsigned int turns(void)
{
	unsigned int before = issued;

	for (int i = 0; i < 50; i++)
		control_turn(control, NULL, 0, 5 * WAIT_MS);
	assert_int_equal(waited_ms, WAIT_MS);
	return issued - before;
}

/* Until so much has passed; how many certificates came of it. */
static unsigned int turns_for(int64_t seconds)
{
	unsigned int before = issued;

	for (int64_t at = 0; at < seconds; at += 10 * MINUTE) {
		pass(10 * MINUTE);
		turns();
	}
	return issued - before;
}

static void assert_all_good(void)
{
	int64_t seconds = (int64_t)(now.realtime_ns / NSEC_PER_SEC);

	for (size_t i = 0; i < COUNT; i++) {
		struct control_certificate_status status;

		control_certificate_status(control, i, &status);
		assert_true(status.good);
		assert_int_equal(status.cause, CAUSE_NONE);
		assert_in_range(seconds, status.not_before, status.not_after);
	}
}

static void test_nobody_sets_it(void **state)
{
	assert_int_equal(turns(), COUNT);
	assert_int_equal(turns_for(14 * HOUR), 0);
	assert_int_equal(turns_for(6 * HOUR), COUNT);
	assert_all_good();
}

static void test_set_forward(void **state)
{
	assert_int_equal(turns(), COUNT);
	pass(MINUTE);
	set_by(HOUR);
	assert_int_equal(turns(), 0);
	set_by(DAY);
	assert_int_equal(turns(), COUNT);
	assert_all_good();
	assert_int_equal(turns_for(14 * HOUR), 0);
	assert_int_equal(turns_for(6 * HOUR), COUNT);
	assert_all_good();
}

/* To before the certificates begin. */
static void test_set_far_back(void **state)
{
	assert_int_equal(turns(), COUNT);
	pass(MINUTE);
	set_by(-10 * DAY);
	assert_int_equal(turns(), COUNT);
	assert_all_good();
	assert_int_equal(turns_for(14 * HOUR), 0);
	assert_int_equal(turns_for(6 * HOUR), COUNT);
	assert_all_good();
}

/* They are good by both times; to the clocks of others they end when they would have. */
static void test_set_back(void **state)
{
	assert_int_equal(turns(), COUNT);
	assert_int_equal(turns_for(14 * HOUR), 0);
	set_by(-12 * HOUR);
	assert_int_equal(turns(), 0);
	assert_int_equal(turns_for(6 * HOUR), COUNT);
	assert_all_good();
}

/* Forward and back again: nothing is left of it. */
static void test_there_and_back(void **state)
{
	assert_int_equal(turns(), COUNT);
	pass(MINUTE);
	set_by(DAY);
	assert_int_equal(turns(), COUNT);
	pass(MINUTE);
	set_by(-DAY);
	assert_int_equal(turns(), COUNT);
	assert_all_good();
	assert_int_equal(turns_for(14 * HOUR), 0);
	assert_all_good();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nobody_sets_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set_forward, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set_far_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_there_and_back, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
