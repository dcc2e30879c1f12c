/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thousand instances of the whole control plane, on a clock that the test turns, and a Vault that
 * is away for a while: they do not come back as a herd. Only the network is not the real one: each
 * request is counted and answered at once.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <openssl/pem.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "control/control.h"
#include "control/http_client.h"
#include "pki/certificate.h"

#define AGENTS	       1000
#define STEP_SECONDS   10
#define LIFE_SECONDS   3600 /* of certificates and tokens */
#define WARM_UP	       (LIFE_SECONDS + LIFE_SECONDS / 2)
#define STEADY_SECONDS 1800
#define OUTAGE_SECONDS 600
#define BUCKET_SECONDS 20

struct http_transfer {
	void (*done)(const struct http_reply *reply, void *arg);
	void *arg;
	char *body;
	enum cause cause;
	struct http_transfer *next;
};

static struct clock_fake now = { .monotonic_ns = 1000 * NSEC_PER_SEC,
				 .realtime_ns = 1800000000ULL * NSEC_PER_SEC };
static struct http_transfer *waiting; /* of the agent whose turn it is */
static bool away;
static uint64_t requests;
static EVP_PKEY *ca_key;
static X509 *ca;
static char *ca_pem;

static char *pem_of(X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes, *text;
	long len;

	assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
	len = BIO_get_mem_data(bio, &bytes);
	text = strndup(bytes, (size_t)len);
	BIO_free(bio);
	return text;
}

/* As Vault does it: for the key of the request, an hour from now. */
static char *sign(const char *body)
{
	const struct pki_subject subject = { .cn = "x", .usage = PKI_USAGE_BOTH, .days = 1 };
	json_t *request = json_loads(body, 0, NULL);
	const char *csr_pem = json_string_value(json_object_get(request, "csr"));
	BIO *bio = BIO_new_mem_buf(csr_pem, -1);
	X509_REQ *csr = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
	X509 *certificate = pki_leaf_new(&subject, X509_REQ_get0_pubkey(csr), ca, ca_key, NULL);
	time_t at = (time_t)(now.realtime_ns / NSEC_PER_SEC);
	char *pem, *text;
	json_t *reply;

	assert_non_null(ASN1_TIME_set(X509_getm_notBefore(certificate), at));
	assert_non_null(ASN1_TIME_set(X509_getm_notAfter(certificate), at + LIFE_SECONDS));
	assert_true(X509_sign(certificate, ca_key, EVP_sha256()) > 0);
	pem = pem_of(certificate);
	reply = json_pack("{s:{s:s, s:[s]}}", "data", "certificate", pem, "ca_chain", ca_pem);
	text = json_dumps(reply, 0);
	json_decref(reply);
	json_decref(request);
	free(pem);
	X509_free(certificate);
	X509_REQ_free(csr);
	BIO_free(bio);
	return text;
}

static char *answer(const struct http_call *call)
{
	char *text = NULL;
	json_t *reply;

	if (strstr(call->path, "/sign/"))
		return sign(call->body);
	if (strstr(call->path, "/cert/ca_chain"))
		reply = json_pack("{s:{s:s}}", "data", "certificate", ca_pem);
	else
		reply = json_pack("{s:{s:s, s:i, s:b}}", "auth", "client_token", "s.token",
				  "lease_duration", LIFE_SECONDS, "renewable", 1);
	text = json_dumps(reply, 0);
	json_decref(reply);
	return text;
}

struct http_transfer *__wrap_http_client_start(struct http_client *client,
					       const struct http_call *call,
					       void (*done)(const struct http_reply *, void *),
					       void *arg);
void __wrap_http_client_cancel(struct http_transfer *transfer);
void __wrap_http_client_turn(struct http_client *client, struct pollfd *fds, size_t fd_count,
			     unsigned int wait_ms);

struct http_transfer *__wrap_http_client_start(struct http_client *client,
					       const struct http_call *call,
					       void (*done)(const struct http_reply *, void *),
					       void *arg)
{
	struct http_transfer *transfer = calloc(1, sizeof(*transfer));

	(void)client;
	requests++;
	transfer->done = done;
	transfer->arg = arg;
	transfer->cause = away ? CAUSE_REFUSED : CAUSE_NONE;
	transfer->body = away ? strdup("") : answer(call);
	transfer->next = waiting;
	waiting = transfer;
	return transfer;
}

void __wrap_http_client_cancel(struct http_transfer *transfer)
{
	assert_null(transfer);
}

void __wrap_http_client_turn(struct http_client *client, struct pollfd *fds, size_t fd_count,
			     unsigned int wait_ms)
{
	struct http_transfer *all = TAKE_PTR(waiting);

	while (all) {
		struct http_transfer *transfer = all;
		struct http_reply reply = { .cause = transfer->cause,
					    .status = transfer->cause ? 0 : 200,
					    .body = transfer->body,
					    .bytes = strlen(transfer->body) };

		all = transfer->next;
		transfer->done(&reply, transfer->arg);
		free(transfer->body);
		free(transfer);
	}
}

static void on_issued(void *arg, const char *name, struct pki_credential *credential,
		      enum control_reason reason)
{
}

static void on_trusted(void *arg, struct trust *trust)
{
}

static char address[] = "http://vault", name[] = "c", cn[] = "x", role[] = "r", mount[] = "pki";
static char id[] = "id", secret_file[] = "/tmp/sallyport-herd-XXXXXX";
static struct config_vault vault = { .address = address, .issuer = mount, .timeout_ms = 1000 };
static const struct config_consul consul;
static const struct config_certificate certificate = { .name = name,
						       .common_name = cn,
						       .role = role };
static const struct config_certificate *const certificates[] = { &certificate };

static struct control *agent_new(uint64_t seed)
{
	const struct control_options options = { .vault = &vault,
						 .consul = &consul,
						 .certificates = certificates,
						 .certificate_count = 1,
						 .seed = seed };
	const struct control_events events = { on_issued, on_trusted, NULL };
	struct control *control;

	assert_int_equal(control_new(&options, &events, &control, NULL), 0);
	return control;
}

/* Each has its turns until it waits for time to pass. */
static void step(struct control **agents, size_t count)
{
	clock_set_fake(&now);
	for (size_t i = 0; i < count; i++) {
		uint64_t before;

		do {
			before = requests;
			control_turn(agents[i], NULL, 0, 0);
		} while (requests != before);
	}
	now.monotonic_ns += STEP_SECONDS * NSEC_PER_SEC;
	now.realtime_ns += STEP_SECONDS * NSEC_PER_SEC;
}

static uint64_t requests_within(struct control **agents, unsigned int seconds)
{
	uint64_t before = requests;

	for (unsigned int at = 0; at < seconds; at += STEP_SECONDS)
		step(agents, AGENTS);
	return requests - before;
}

static void make_ca(void)
{
	const struct pki_subject subject = { .cn = "Root", .days = 365 };
	int fd = mkstemp(secret_file);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "secret", 6), 6);
	close(fd);
	vault.auth = (struct config_vault_auth){ .method = CONFIG_VAULT_APPROLE,
						 .role_id = id,
						 .secret_id_file = secret_file };
	clock_set_fake(&now);
	ca_key = pki_key_new(PKI_KEY_EC_P256, NULL);
	ca = pki_root_new(&subject, ca_key, NULL);
	ca_pem = pem_of(ca);
}

static void test_after_an_outage(void **state)
{
	struct control **agents = calloc(AGENTS, sizeof(struct control *));
	double steady, peak = 0;
	size_t count = 0;

	(void)state;
	log_init(2, LOG_ERROR, LOG_FORMAT_TEXT);
	make_ca();
	/* They were started one after the other, over a certificate's life. */
	for (unsigned int at = 0; at < WARM_UP; at += STEP_SECONDS) {
		while (count < AGENTS && count * LIFE_SECONDS / AGENTS <= at) {
			agents[count] = agent_new(count + 1);
			count++;
		}
		step(agents, count);
	}
	steady = (double)requests_within(agents, STEADY_SECONDS) / STEADY_SECONDS;
	away = true;
	requests_within(agents, OUTAGE_SECONDS);
	away = false;
	for (unsigned int at = 0; at < 60; at += BUCKET_SECONDS)
		peak = MAX(peak, (double)requests_within(agents, BUCKET_SECONDS) / BUCKET_SECONDS);
	print_message("steady %.2f requests a second, peak after the outage %.2f\n", steady, peak);
	assert_true(steady > 0.5);
	assert_true(peak < 2 * steady);
	/* And all are served before anything of theirs ends. */
	requests_within(agents, LIFE_SECONDS / 2);
	for (size_t i = 0; i < AGENTS; i++) {
		struct control_certificate_status status;

		control_certificate_status(agents[i], 0, &status);
		assert_true(status.good);
		assert_int_equal(status.cause, CAUSE_NONE);
		control_free(agents[i]);
	}
	free(agents);
	clock_set_fake(NULL);
	unlink(secret_file);
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	free(ca_pem);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_after_an_outage) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
