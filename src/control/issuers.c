/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which CAs are in force: Consul's key, or the configuration, names their mounts, and Vault gives
 * their certificates. They come into force together or not at all: as long as one can not be read,
 * or has no root, what was good stays. The turning thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/control_impl.h"

/* A CA may get another certificate under the same mount. */
#define REREAD_NS	 (45 * 60 * NSEC_PER_SEC)
#define REREAD_SPREAD_NS (30 * 60 * NSEC_PER_SEC)

static void forget_read(struct following *f)
{
	for (size_t i = 0; i < f->read; i++)
		free(f->pems[i]);
	f->read = 0;
}

/* What is named can not be followed; told once, unless the server's own line says it. */
static void refused(struct control *control, enum cause cause, const struct err_text *why)
{
	struct log_line line;
	bool news;

	pthread_mutex_lock(&control->mutex);
	news = control->trust.cause != cause || strcmp(control->trust.text.text, why->text) != 0;
	control->trust.cause = cause;
	control->trust.text = *why;
	pthread_mutex_unlock(&control->mutex);
	if (!news || cause_is_of_source(cause))
		return;
	log_begin(&line, LOG_ERROR, "trust_refused");
	log_str(&line, "cause", cause_name(cause));
	log_str(&line, "msg", why->text);
	log_bool(&line, "last_good_in_force", control->following.trust != NULL);
	log_end(&line);
}

static void well(struct control *control)
{
	if (control->following.value_refused)
		return;
	pthread_mutex_lock(&control->mutex);
	control->trust.cause = CAUSE_NONE;
	control->trust.text.text[0] = 0;
	pthread_mutex_unlock(&control->mutex);
}

/* --- what is wanted --- */

void issuers_want(struct control *control, const struct issuers *issuers)
{
	struct following *f = &control->following;

	if (f->has_wanted && issuers_equal(&f->wanted, issuers)) {
		/* Consul may have said something else in between. */
		if (!f->due && !f->reading)
			well(control);
		return;
	}
	f->wanted = *issuers;
	f->has_wanted = true;
	f->backoff = (struct backoff){ 0 };
	issuers_read_again(control);
}

void issuers_read_again(struct control *control)
{
	/* One that is under way ends as one that nobody wants. */
	forget_read(&control->following);
	control->following.due = true;
}

void issuers_on_value(const char *value, size_t bytes, void *arg)
{
	struct control *control = arg;
	const char *key = control->options.consul->key;
	struct issuers issuers;
	struct err_text why, told;

	control->following.value_refused = true;
	if (!value) {
		err_set(&told, 0, "Consul has no key %s; put {\"primary_issuer\": …} there", key);
		refused(control, CAUSE_NOT_FOUND, &told);
	} else if (issuers_parse(value, bytes, &issuers, &why) < 0) {
		err_set(&told, 0, "the value of Consul's key %s: %.300s", key, why.text);
		refused(control, CAUSE_MALFORMED, &told);
	} else {
		control->following.value_refused = false;
		issuers_want(control, &issuers);
	}
}

/* --- what is in force --- */

static void show(struct control *control)
{
	struct control_trust_status *status = &control->trust;
	const struct trust *trust = control->following.trust;

	pthread_mutex_lock(&control->mutex);
	status->good = true;
	snprintf(status->primary, sizeof(status->primary), "%s", trust->issuers.paths[0]);
	status->secondaries = trust->issuers.count - 1;
	status->roots = trust->root_count;
	status->since = control_now();
	pthread_mutex_unlock(&control->mutex);
}

static void log_trust(const struct trust *trust)
{
	struct log_line line;

	log_begin(&line, LOG_INFO, "trust");
	log_str(&line, "primary", trust->issuers.paths[0]);
	log_u64(&line, "secondaries", trust->issuers.count - 1);
	log_u64(&line, "roots", trust->root_count);
	log_end(&line);
}

/* Takes `trust`. */
static void put_in_force(struct control *control, struct trust *trust)
{
	struct following *f = &control->following;
	bool other_primary =
		!f->trust || strcmp(f->trust->issuers.paths[0], trust->issuers.paths[0]) != 0;
	struct err_text why;

	trust_unref(f->trust);
	f->trust = trust;
	show(control);
	log_trust(trust);
	if (kept_save_trust(control, &why) < 0)
		log_msg(LOG_ERROR, "keep_failed", "%s; the roots are in force all the same",
			why.text);
	control->events.trusted(control->events.arg, trust);
	if (other_primary)
		certificates_issuer_changed(control);
}

void issuers_loaded(struct control *control, struct trust *trust)
{
	control->following.trust = trust;
	control->following.loaded = true;
	show(control);
}

void issuers_tell_loaded(struct control *control)
{
	struct following *f = &control->following;

	if (!f->loaded)
		return;
	f->loaded = false;
	control->events.trusted(control->events.arg, f->trust);
}

/* --- reading --- */

/* Others than those in force are wanted; else it is only to be seen whether they are as they were.
 */
static bool is_news(const struct following *f)
{
	return !f->trust || !issuers_equal(&f->trust->issuers, &f->wanted);
}

static void failed(struct control *control, enum cause cause, const struct err_text *why,
		   uint64_t retry_after_ns)
{
	struct following *f = &control->following;

	forget_read(f);
	backoff_failed(&f->backoff,
		       is_news(f) ? backoff_urgent() : backoff_while_good(2 * REREAD_NS),
		       retry_after_ns, &control->jitter, clock_monotonic_ns());
	refused(control, cause, why);
}

static void all_read(struct control *control)
{
	struct following *f = &control->following;
	struct trust *trust = NULL;
	struct err_text why = { "out of memory" };
	int r = trust_new(&f->wanted, (const char *const *)f->pems, &trust, &why);

	if (r < 0) {
		failed(control, r == -EINVAL ? CAUSE_NO_ROOTS : CAUSE_LOCAL, &why, 0);
		return;
	}
	forget_read(f);
	f->due = false;
	f->backoff = (struct backoff){ 0 };
	f->reread_ns =
		clock_monotonic_ns() + REREAD_NS + jitter_up_to(&control->jitter, REREAD_SPREAD_NS);
	well(control);
	if (trust_equal(f->trust, trust))
		trust_unref(trust);
	else
		put_in_force(control, trust);
}

static void on_read(const struct vault_outcome *outcome, const char *pem, void *arg)
{
	struct control *control = arg;
	struct following *f = &control->following;
	struct err_text why;

	f->reading = false;
	/* Others are wanted by now? */
	if (!f->due || strcmp(f->asked, f->wanted.paths[f->read]) != 0)
		return;
	if (outcome->cause != CAUSE_NONE) {
		err_set(&why, 0, "%s: %.400s", f->asked, outcome->why.text);
		failed(control, outcome->cause, &why, outcome->retry_after_ns);
		return;
	}
	f->pems[f->read] = strdup(pem);
	if (!f->pems[f->read])
		return; /* it is asked again */
	if (++f->read == f->wanted.count)
		all_read(control);
}

uint64_t issuers_turn(struct control *control, uint64_t now_ns)
{
	struct following *f = &control->following;

	if (!control->vault || !f->has_wanted || f->reading)
		return UINT64_MAX;
	if (!f->due && now_ns >= f->reread_ns)
		issuers_read_again(control);
	if (!f->due)
		return f->reread_ns;
	if (!backoff_allows(&f->backoff, now_ns))
		return f->backoff.not_before_ns;
	/* The breaker's own time is in what vault_turn() says. */
	if (!vault_reachable(control->vault, now_ns))
		return UINT64_MAX;
	snprintf(f->asked, sizeof(f->asked), "%s", f->wanted.paths[f->read]);
	f->reading = vault_read_ca(control->vault, f->asked, on_read, control);
	return f->reading ? UINT64_MAX : now_ns + NSEC_PER_SEC;
}

void issuers_fini(struct control *control)
{
	forget_read(&control->following);
	trust_unref(control->following.trust);
}
