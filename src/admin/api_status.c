/* SPDX-License-Identifier: Apache-2.0 */
/* The status on the admin socket: what is wrong, and what runs with what. On the server's thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "admin/admin_impl.h"
#include "admin/health_checks.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/util.h"
#include "kern/sandbox.h"
#include "pki/certificate.h"
#include "pki/inspect.h"

static void put_time(FILE *out, const char *key, int64_t seconds)
{
	char text[PKI_TIME_TEXT_BYTES];

	pki_time_text(seconds, text);
	api_string(out, key, text, false);
}

static int64_t now_seconds(void)
{
	return (int64_t)(clock_realtime_ns() / NSEC_PER_SEC);
}

static void put_condition(FILE *out, const struct health_condition *c)
{
	int64_t since = (int64_t)(c->since_ns / NSEC_PER_SEC);

	fputc('{', out);
	api_string(out, "condition", health_kind_name(c->kind), true);
	api_string(out, "severity", health_severity_name(health_kind_severity(c->kind)), false);
	api_string(out, "subject", c->subject[0] ? c->subject : NULL, false);
	api_string(out, "detail", c->detail[0] ? c->detail : NULL, false);
	put_time(out, "since", since);
	fprintf(out, ",\"seconds\":%" PRId64, MAX(now_seconds() - since, (int64_t)0));
	api_string(out, "meaning", health_kind_meaning(c->kind), false);
	api_string(out, "remedy", health_kind_remedy(c->kind), false);
	fputc('}', out);
}

/* `list` has room for HEALTH_CONDITIONS_MAX. */
static void put_conditions(FILE *out, struct health *health, struct health_condition *list)
{
	enum health_severity worst;
	size_t count = health_list(health, list, HEALTH_CONDITIONS_MAX, &worst);

	api_string(out, "state", worst == HEALTH_NOTE ? "healthy" : health_severity_name(worst),
		   false);
	fputs(",\"conditions\":[", out);
	for (size_t i = 0; i < count; i++) {
		fputs(i ? ",\n" : "\n", out);
		put_condition(out, &list[i]);
	}
	fputc(']', out);
}

static void put_certificate(FILE *out, const char *key, const char *listener,
			    const struct certificate_end *c)
{
	fprintf(out, ",\"%s\":", key);
	if (!c->not_after) {
		fputs("null", out);
		return;
	}
	fputc('{', out);
	api_string(out, "kind", certificate_role_name(c->role), true);
	if (listener)
		api_string(out, "listener", listener, false);
	api_string(out, "cn", c->cn[0] ? c->cn : NULL, false);
	api_string(out, "serial", c->serial, false);
	put_time(out, "not_before", c->not_before);
	put_time(out, "not_after", c->not_after);
	fprintf(out, ",\"days_left\":%" PRId64 "}", (c->not_after - now_seconds()) / 86400);
}

static void put_sandbox(FILE *out)
{
	struct sandbox_fact facts[SANDBOX_PART_COUNT];

	sandbox_facts(facts);
	fputs(",\"sandbox\":[", out);
	for (int i = 0; i < SANDBOX_PART_COUNT; i++) {
		fputs(i ? ",\n{" : "\n{", out);
		api_string(out, "part", sandbox_part_name((enum sandbox_part)i), true);
		fprintf(out, ",\"in_force\":%s", facts[i].in_force ? "true" : "false");
		api_string(out, "detail", facts[i].text, false);
		fputc('}', out);
	}
	fputc(']', out);
}

struct listing {
	FILE *out;
	bool begun;
	struct certificate_end first;		    /* of all */
	char first_listener[LISTENER_NAME_MAX + 1]; /* whose it is */
};

static void put_listener(const struct route *route, void *arg)
{
	const struct config_listener *config = route->config;
	struct listing *listing = arg;
	struct certificate_ends ends;
	FILE *out = listing->out;

	certificate_ends_of(route, &ends);
	if (ends.first.not_after &&
	    (!listing->first.not_after || ends.first.not_after < listing->first.not_after)) {
		listing->first = ends.first;
		snprintf(listing->first_listener, sizeof(listing->first_listener), "%s",
			 config->name);
	}
	fputs(listing->begun ? ",\n{" : "\n{", out);
	listing->begun = true;
	api_string(out, "name", config->name, true);
	api_string(out, "role", config->role == CONFIG_ROLE_FRONT ? "front" : "egress", false);
	api_string(out, "listen", config->listen_text, false);
	api_string(out, "upstream", config->upstream_text, false);
	fprintf(out,
		",\"connections\":%" PRIu64 ",\"connections_max\":%" PRIu64
		",\"handshakes\":%" PRIu64 ",\"handshakes_max\":%" PRIu64,
		(uint64_t)atomic_load(&route->state->connections), config->limits.connections,
		(uint64_t)atomic_load(&route->state->handshakes), config->limits.handshakes);
	api_string(out, "transport", ktls_use_name(route->transport), false);
	api_string(out, "transport_why", route->transport_why.text, false);
	put_certificate(out, "certificate", NULL, &ends.own);
	put_certificate(out, "expires_first", NULL, &ends.first);
	fputc('}', out);
}

/* A time that may not have come yet. */
static void put_time_or_null(FILE *out, const char *key, int64_t seconds)
{
	if (seconds)
		put_time(out, key, seconds);
	else
		api_string(out, key, NULL, false);
}

static void put_cause(FILE *out, enum cause cause, const struct err_text *text)
{
	api_string(out, "cause", cause == CAUSE_NONE ? NULL : cause_name(cause), false);
	api_string(out, "detail", cause == CAUSE_NONE ? NULL : text->text, false);
}

static void put_sources(FILE *out, struct control *control)
{
	struct control_source_status status;
	bool begun = false;

	fputs(",\"sources\":[", out);
	for (int i = 0; control && i < CONTROL_SOURCE_COUNT; i++) {
		control_source_status(control, (enum control_source)i, &status);
		if (!status.used)
			continue;
		fputs(begun ? ",\n{" : "\n{", out);
		begun = true;
		api_string(out, "source", control_source_name((enum control_source)i), true);
		put_time_or_null(out, "last_success", status.last_success);
		put_cause(out, status.cause, &status.text);
		fprintf(out, ",\"circuit_open\":%s}", status.circuit_open ? "true" : "false");
	}
	fputc(']', out);
}

static void put_issued(FILE *out, const struct control_certificate_status *status)
{
	fputc('{', out);
	api_string(out, "name", status->name, true);
	fprintf(out, ",\"good\":%s", status->good ? "true" : "false");
	api_string(out, "cn", status->good ? status->cn : NULL, false);
	api_string(out, "serial", status->good ? status->serial : NULL, false);
	api_string(out, "issuer", status->issuer[0] ? status->issuer : NULL, false);
	put_time_or_null(out, "not_after", status->not_after);
	put_time_or_null(out, "renewal", status->renew_at);
	put_time_or_null(out, "last_success", status->last_success);
	fprintf(out, ",\"issued\":%" PRIu64 ",\"failures\":%" PRIu64, status->issued,
		cause_sum(status->failures));
	put_cause(out, status->cause, &status->text);
	fputc('}', out);
}

static void put_trust(FILE *out, struct control *control)
{
	struct control_trust_status status;

	control_trust_status(control, &status);
	fputs(",\"trust\":{", out);
	api_string(out, "primary", status.good ? status.primary : NULL, true);
	fprintf(out, ",\"secondaries\":%zu,\"roots\":%zu", status.secondaries, status.roots);
	put_time_or_null(out, "since", status.since);
	put_cause(out, status.cause, &status.text);
	fputc('}', out);
}

static void put_control(FILE *out, struct control *control)
{
	struct control_certificate_status status;

	put_sources(out, control);
	fputs(",\"certificates\":[", out);
	for (size_t i = 0; control && i < control_certificate_count(control); i++) {
		control_certificate_status(control, i, &status);
		fputs(i ? ",\n" : "\n", out);
		put_issued(out, &status);
	}
	fputc(']', out);
	if (control)
		put_trust(out, control);
	else
		fputs(",\"trust\":null", out);
}

static void put_process(FILE *out, const struct admin *admin)
{
	struct proxy_facts facts;
	struct utsname kernel;
	int64_t started;

	proxy_facts(admin->proxy, &facts);
	started = (int64_t)(facts.started_ns / NSEC_PER_SEC);
	api_string(out, "version", admin->version, false);
	api_string(out, "openssl", pki_openssl_version(), false);
	api_string(out, "kernel", uname(&kernel) == 0 ? kernel.release : NULL, false);
	fprintf(out, ",\"pid\":%ld,\"workers\":%u", (long)getpid(), facts.workers);
	api_string(out, "loop", loop_kind_name(facts.loop), false);
	api_string(out, "config_file", admin->config_file, false);
	api_string(out, "log_level", log_level_name(log_level()), false);
	put_time(out, "started", started);
	fprintf(out, ",\"uptime_seconds\":%" PRId64 ",\"draining\":%s",
		MAX(now_seconds() - started, (int64_t)0), facts.draining ? "true" : "false");
}

void api_status(const struct http_request *request, struct http_answer *answer, void *arg)
{
	cleanup_free struct health_condition *conditions =
		calloc(HEALTH_CONDITIONS_MAX, sizeof(*conditions));
	struct listing listing = { .out = answer->body };
	struct admin *admin = arg;

	(void)request;
	if (!conditions) {
		api_fail(answer, 503, "out of memory");
		return;
	}
	admin_check(admin);
	answer->content_type = "application/json";
	fputs("{\"api\":1", answer->body);
	put_conditions(answer->body, admin->health, conditions);
	put_process(answer->body, admin);
	put_sandbox(answer->body);
	put_control(answer->body, proxy_control(admin->proxy));
	fputs(",\"listeners\":[", answer->body);
	proxy_visit_routes(admin->proxy, put_listener, &listing);
	fputc(']', answer->body);
	put_certificate(answer->body, "expires_first", listing.first_listener, &listing.first);
	fputs("}\n", answer->body);
}
