/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control plane as a whole (control.h): one turn looks at everything that may be due, tokens,
 * Consul's key, roots, certificates, and then waits for the network. State is kept in plain structs
 * that only the turning thread touches; what others may see is copied under a mutex.
 */
#include "control/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/control_impl.h"

#define WAIT_MS_MAX 1000 /* the clock may be set meanwhile */

const char *control_reason_name(enum control_reason reason)
{
	static const char *const names[CONTROL_REASON_COUNT] = {
		[CONTROL_FIRST] = "first",     [CONTROL_LOADED] = "loaded",
		[CONTROL_RENEWED] = "renewed", [CONTROL_ISSUER_CHANGED] = "issuer_changed",
		[CONTROL_ORDERED] = "ordered", [CONTROL_FILES_CHANGED] = "files_changed",
	};

	return names[reason];
}

const char *control_source_name(enum control_source source)
{
	return source == CONTROL_VAULT ? "vault" : "consul";
}

int64_t control_now(void)
{
	return (int64_t)(clock_realtime_ns() / NSEC_PER_SEC);
}

/* --- what others see --- */

static void log_source(enum control_source source, const char *what, enum cause cause,
		       const struct err_text *why)
{
	struct log_line line;

	log_begin(&line, LOG_WARNING, "source_failed");
	log_str(&line, "source", control_source_name(source));
	log_str(&line, "request", what);
	log_str(&line, "cause", cause_name(cause));
	log_str(&line, "msg", why->text[0] ? why->text : cause_meaning(cause));
	log_end(&line);
}

void control_note_source(struct control *control, enum control_source source, const char *what,
			 enum cause cause, const struct err_text *why)
{
	struct control_source_status *status = &control->sources[source];
	enum cause before;

	pthread_mutex_lock(&control->mutex);
	before = status->cause;
	status->requests++;
	status->cause = cause;
	if (cause == CAUSE_NONE) {
		status->last_success = control_now();
		status->text.text[0] = 0;
	} else {
		status->failures[cause]++;
		status->last_failure = control_now();
		status->text = *why;
	}
	pthread_mutex_unlock(&control->mutex);
	/* The same again is no news. */
	if (cause == before)
		return;
	if (cause != CAUSE_NONE)
		log_source(source, what, cause, why);
	else
		log_msg(LOG_INFO, "source_recovered", "%s answers as it should again",
			control_source_name(source));
}

static void on_vault_note(const char *what, const struct vault_outcome *outcome, void *arg)
{
	control_note_source(arg, CONTROL_VAULT, what, outcome->cause, &outcome->why);
}

static void on_limits_note(enum cause cause, const struct err_text *why, void *arg)
{
	control_note_source(arg, CONTROL_CONSUL, "limits_key", cause, why);
}

static void on_limits_value(const char *value, size_t bytes, void *arg)
{
	struct control *control = arg;

	control->events.limits(control->events.arg, value, bytes);
}

static void on_consul_note(enum cause cause, const struct err_text *why, void *arg)
{
	control_note_source(arg, CONTROL_CONSUL, "key", cause, why);
}

void control_source_status(struct control *control, enum control_source source,
			   struct control_source_status *ret)
{
	pthread_mutex_lock(&control->mutex);
	*ret = control->sources[source];
	pthread_mutex_unlock(&control->mutex);
}

size_t control_certificate_count(const struct control *control)
{
	return control->managed_count;
}

void control_certificate_status(struct control *control, size_t index,
				struct control_certificate_status *ret)
{
	pthread_mutex_lock(&control->mutex);
	*ret = control->managed[index].status;
	pthread_mutex_unlock(&control->mutex);
	/* It ends without anybody telling. */
	ret->good = ret->good && control_now() < ret->not_after;
}

void control_trust_status(struct control *control, struct control_trust_status *ret)
{
	pthread_mutex_lock(&control->mutex);
	*ret = control->trust;
	pthread_mutex_unlock(&control->mutex);
}

int control_renew(struct control *control, const char *name)
{
	bool found = false;

	pthread_mutex_lock(&control->mutex);
	for (size_t i = 0; i < control->managed_count; i++) {
		struct managed *m = &control->managed[i];

		if (name && strcmp(m->config->name, name) != 0)
			continue;
		m->ordered = true;
		found = true;
	}
	pthread_mutex_unlock(&control->mutex);
	control_wake(control);
	return found || !name ? 0 : -ENOENT;
}

/* --- life --- */

static bool uses_vault(const struct control_options *options)
{
	for (size_t i = 0; i < options->certificate_count; i++)
		if (options->certificates[i]->source == CONFIG_SOURCE_VAULT)
			return true;
	return options->wants_roots;
}

static int follow(struct control *control, const char *key, const struct consul_events *events,
		  struct consul **ret)
{
	const struct config_consul *config = control->options.consul;

	if (!config || !config->address || !key)
		return 0;
	control->sources[CONTROL_CONSUL].used = true;
	return consul_new(config, key, control->http, &control->jitter, events, ret);
}

static int open_sources(struct control *control)
{
	const struct control_options *options = &control->options;
	const struct consul_events issuers = { .value = issuers_on_value,
					       .note = on_consul_note,
					       .arg = control };
	const struct consul_events limits = { .value = on_limits_value,
					      .note = on_limits_note,
					      .arg = control };
	int r = http_client_new(&control->http);

	if (r == 0 && options->consul && control->events.limits)
		r = follow(control, options->consul->limits_key, &limits, &control->limits);
	if (r < 0 || !options->vault || !options->vault->address || !uses_vault(options))
		return r;
	control->sources[CONTROL_VAULT].used = true;
	r = vault_new(options->vault, control->http, &control->jitter, on_vault_note, control,
		      &control->vault);
	if (r == 0 && options->consul)
		r = follow(control, options->consul->key, &issuers, &control->consul);
	return r;
}

static int add_certificates(struct control *control)
{
	const struct control_options *options = &control->options;

	control->managed =
		calloc(MAX(options->certificate_count, (size_t)1), sizeof(*control->managed));
	if (!control->managed)
		return -ENOMEM;
	for (; control->managed_count < options->certificate_count; control->managed_count++) {
		struct managed *m = &control->managed[control->managed_count];

		m->control = control;
		m->config = options->certificates[control->managed_count];
		snprintf(m->status.name, sizeof(m->status.name), "%s", m->config->name);
	}
	return 0;
}

/* Without Consul it is the configuration that says who issues. */
static void want_configured(struct control *control)
{
	const struct config_vault *config = control->options.vault;
	struct issuers issuers = { .count = 1 };

	if (!control->vault || control->consul || !config->issuer)
		return;
	snprintf(issuers.paths[0], sizeof(issuers.paths[0]), "%s", config->issuer);
	issuers_want(control, &issuers);
}

int control_new(const struct control_options *options, const struct control_events *events,
		struct control **ret, struct err_text *err)
{
	struct control *control = calloc(1, sizeof(*control));
	int r;

	if (!control)
		return err_set(err, -ENOMEM, "out of memory");
	pthread_mutex_init(&control->mutex, NULL);
	control->options = *options;
	control->events = *events;
	jitter_init(&control->jitter, options->seed);
	r = open_sources(control);
	if (r == 0)
		r = add_certificates(control);
	if (r < 0) {
		control_free(control);
		return err_set(err, r, "the control plane can not start: out of memory");
	}
	kept_load(control);
	want_configured(control);
	*ret = control;
	return 0;
}

void control_free(struct control *control)
{
	if (!control)
		return;
	vault_free(control->vault);
	consul_free(control->consul);
	consul_free(control->limits);
	certificates_fini(control);
	issuers_fini(control);
	http_client_free(control->http);
	pthread_mutex_destroy(&control->mutex);
	free(control);
}

void control_wake(struct control *control)
{
	http_client_wake(control->http);
}

/* --- a turn --- */

static void show_circuits(struct control *control)
{
	pthread_mutex_lock(&control->mutex);
	if (control->vault)
		control->sources[CONTROL_VAULT].circuit_open = vault_circuit_open(control->vault);
	if (control->consul || control->limits)
		control->sources[CONTROL_CONSUL].circuit_open =
			(control->consul && consul_circuit_open(control->consul)) ||
			(control->limits && consul_circuit_open(control->limits));
	pthread_mutex_unlock(&control->mutex);
}

/* Until something is due. */
static unsigned int wait_of(uint64_t due_ns, unsigned int wait_ms)
{
	uint64_t now_ns = clock_monotonic_ns();

	if (due_ns <= now_ns)
		return 0;
	return (unsigned int)MIN((due_ns - now_ns) / NSEC_PER_MSEC + 1,
				 (uint64_t)MIN(wait_ms, (unsigned int)WAIT_MS_MAX));
}

void control_tell_kept(struct control *control)
{
	issuers_tell_loaded(control);
	certificates_tell_loaded(control);
}

void control_turn(struct control *control, struct pollfd *fds, size_t fd_count,
		  unsigned int wait_ms)
{
	uint64_t now_ns = clock_monotonic_ns(), due_ns = UINT64_MAX;

	control_tell_kept(control);
	if (control->vault)
		due_ns = MIN(due_ns, vault_turn(control->vault,
						certificates_need_vault(control, now_ns), now_ns));
	if (control->consul)
		due_ns = MIN(due_ns, consul_turn(control->consul, now_ns));
	if (control->limits)
		due_ns = MIN(due_ns, consul_turn(control->limits, now_ns));
	due_ns = MIN(due_ns, issuers_turn(control, now_ns));
	due_ns = MIN(due_ns, certificates_turn(control, now_ns));
	due_ns = MIN(due_ns, kept_turn(control, now_ns));
	show_circuits(control);
	http_client_turn(control->http, fds, fd_count, wait_of(due_ns, wait_ms));
}
