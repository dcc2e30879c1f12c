/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Supply of certificates and roots (supply.h). The control plane runs on a thread of its own, so
 * that nobody who serves connections ever waits for a server; what it brings lies under a mutex
 * until the main thread makes a snapshot of it. Nothing here can end the proxy.
 */
#include "dataplane/supply.h"

#include <errno.h>
#include <pthread.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/util.h"
#include "config/compare.h"
#include "config/load.h"
#include "config/schema_control.h"

#define TURN_MS	     1000
#define RECORD_BYTES 2048

struct supply {
	struct config *config; /* a reference */
	const struct config_certificate **wanted;
	size_t wanted_count;
	bool wants_roots;
	struct control *control;
	struct audit *audit;
	int wake_fd; /* borrowed */
	pthread_t thread;
	bool started;
	atomic_bool stopping, changed;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	struct pki_credential **credentials; /* of `wanted`; under the mutex */
	struct trust *trust;		     /* under the mutex */
	/* What Consul's limits_key says, and what is wrong with what it says now. Under the mutex.
	 */
	struct config *limits;
	struct err_text limits_why; /* "": nothing */
};

/* --- what is wanted --- */

static bool uses(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->listener_count; i++) {
		const char *from = config->listeners[i].tls.certificate_from;

		if (from && strcmp(from, name) == 0)
			return true;
	}
	return false;
}

static bool wants_roots(const struct config *config)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (config->listeners[i].tls.roots_from == CONFIG_ROOTS_FROM_VAULT)
			return true;
	return false;
}

static bool follows_limits(const struct config *config)
{
	return config->consul.address && config->consul.limits_key;
}

static bool is_needed(const struct config *config)
{
	if (follows_limits(config))
		return true;
	for (size_t i = 0; i < config->certificates.count; i++)
		if (uses(config, config->certificates.items[i].name))
			return true;
	return wants_roots(config);
}

static size_t index_of(const struct supply *supply, const char *name)
{
	size_t i = 0;

	while (i < supply->wanted_count && strcmp(supply->wanted[i]->name, name) != 0)
		i++;
	return i;
}

bool supply_serves(const struct supply *supply, const struct config_listener *listener)
{
	const char *from = listener->tls.certificate_from;
	bool roots = listener->tls.roots_from == CONFIG_ROOTS_FROM_VAULT;

	if (!supply)
		return !from && !roots;
	return (!from || index_of(supply, from) < supply->wanted_count) &&
	       (!roots || supply->config->vault.address);
}

bool supply_fits(const struct supply *supply, const struct config *config)
{
	const struct config_certificates *ours, *theirs = &config->certificates;

	if (!supply)
		return !is_needed(config);
	ours = &supply->config->certificates;
	if (!config_section_equal(&schema_vault, &supply->config->vault, &config->vault) ||
	    !config_section_equal(&schema_consul, &supply->config->consul, &config->consul) ||
	    ours->count != theirs->count)
		return false;
	for (size_t i = 0; i < ours->count; i++)
		if (!config_section_equal(&schema_certificate, &ours->items[i], &theirs->items[i]))
			return false;
	return true;
}

/* --- what comes --- */

static void announce(struct supply *supply)
{
	pthread_cond_broadcast(&supply->cond);
	atomic_store(&supply->changed, true);
	eventfd_write(supply->wake_fd, 1);
}

static void record_issued(struct supply *supply, const char *name,
			  const struct pki_credential *credential, enum control_reason reason)
{
	char text[RECORD_BYTES], end[PKI_TIME_TEXT_BYTES];
	struct log_line line;

	if (!supply->audit)
		return;
	pki_time_text(credential->not_after, end);
	log_record(&line, text, sizeof(text), "certificate_issued");
	log_str(&line, "certificate", name);
	log_str(&line, "reason", control_reason_name(reason));
	log_str(&line, "cn", credential->cn);
	log_str(&line, "serial", credential->serial);
	log_str(&line, "issuer_cn", credential->issuer_cn);
	log_str(&line, "not_after", end);
	audit_put(supply->audit, text, log_record_end(&line));
}

static void on_issued(void *arg, const char *name, struct pki_credential *credential,
		      enum control_reason reason)
{
	struct supply *supply = arg;
	struct pki_credential *before;
	size_t i = index_of(supply, name);

	record_issued(supply, name, credential, reason);
	pthread_mutex_lock(&supply->mutex);
	before = supply->credentials[i];
	supply->credentials[i] = pki_credential_ref(credential);
	announce(supply);
	pthread_mutex_unlock(&supply->mutex);
	pki_credential_unref(before);
}

static void on_trusted(void *arg, struct trust *trust)
{
	struct supply *supply = arg;
	struct trust *before;

	pthread_mutex_lock(&supply->mutex);
	before = supply->trust;
	supply->trust = trust_ref(trust);
	announce(supply);
	pthread_mutex_unlock(&supply->mutex);
	trust_unref(before);
}

/* The first mistake, as it would be told of a file. */
static void explain(const struct config_problems *problems, int r, struct err_text *ret)
{
	const struct config_problem *first = NULL;

	for (size_t i = 0; i < problems->count && !first; i++)
		if (problems->items[i].severity == CONFIG_ERROR)
			first = &problems->items[i];
	if (first)
		err_set(ret, 0, "%u:%u: %s%s%s", first->line, first->column, first->path,
			first->path[0] ? ": " : "", first->text);
	else
		err_set(ret, 0, "%s", strerror(-r));
}

static int read_limits(const char *value, size_t bytes, struct config **ret, struct err_text *why)
{
	struct config_problems *problems = calloc(1, sizeof(*problems));
	int r = problems ? config_load_clients(value, bytes, ret, problems) : -ENOMEM;

	if (problems && r < 0)
		explain(problems, r, why);
	else if (r < 0)
		err_set(why, 0, "out of memory");
	free(problems);
	return r;
}

static void tell_limits(const struct config *limits, const struct err_text *why)
{
	if (why->text[0])
		log_msg(LOG_WARNING, "limits_key_refused", "%s; the limits that are in force stay",
			why->text);
	else if (limits)
		log_msg(LOG_INFO, "limits_key", "limits of clients as Consul's key says");
	else
		log_msg(LOG_INFO, "limits_key",
			"Consul's key is not there: limits of clients as the configuration says");
}

/* A value that can not be taken leaves what is in force; one that has gone, the configuration's. */
static void on_limits(void *arg, const char *value, size_t bytes)
{
	struct supply *supply = arg;
	struct err_text why = { "" };
	struct config *limits = NULL, *before = NULL;
	int r = value ? read_limits(value, bytes, &limits, &why) : 0;

	pthread_mutex_lock(&supply->mutex);
	supply->limits_why = why;
	if (r == 0) {
		before = supply->limits;
		supply->limits = limits;
		if (before || limits)
			announce(supply);
	}
	pthread_mutex_unlock(&supply->mutex);
	config_free(before);
	if (value || before)
		tell_limits(limits, &why);
}

const struct config_clients *supply_clients(struct supply *supply, const struct config *config,
					    struct config **ret_held)
{
	*ret_held = NULL;
	if (!supply)
		return &config->clients;
	pthread_mutex_lock(&supply->mutex);
	if (supply->limits)
		*ret_held = config_ref(supply->limits);
	pthread_mutex_unlock(&supply->mutex);
	return *ret_held ? &(*ret_held)->clients : &config->clients;
}

bool supply_limits_refused(struct supply *supply, struct err_text *ret_why)
{
	if (!supply)
		return false;
	pthread_mutex_lock(&supply->mutex);
	*ret_why = supply->limits_why;
	pthread_mutex_unlock(&supply->mutex);
	return ret_why->text[0] != 0;
}

bool supply_changed(struct supply *supply)
{
	return supply && atomic_exchange(&supply->changed, false);
}

struct pki_credential *supply_credential(struct supply *supply, const char *name)
{
	struct pki_credential *credential = NULL;
	size_t i = supply ? index_of(supply, name) : 0;

	if (!supply || i == supply->wanted_count)
		return NULL;
	pthread_mutex_lock(&supply->mutex);
	if (supply->credentials[i])
		credential = pki_credential_ref(supply->credentials[i]);
	pthread_mutex_unlock(&supply->mutex);
	return credential;
}

struct trust *supply_trust(struct supply *supply)
{
	struct trust *trust = NULL;

	if (!supply)
		return NULL;
	pthread_mutex_lock(&supply->mutex);
	if (supply->trust)
		trust = trust_ref(supply->trust);
	pthread_mutex_unlock(&supply->mutex);
	return trust;
}

/* With the mutex held. */
static bool is_complete(const struct supply *supply)
{
	for (size_t i = 0; i < supply->wanted_count; i++)
		if (!supply->credentials[i])
			return false;
	return supply->trust || !supply->wants_roots;
}

void supply_wait(struct supply *supply, unsigned int ms)
{
	struct timespec until = thread_deadline(ms);

	if (!supply)
		return;
	pthread_mutex_lock(&supply->mutex);
	while (!is_complete(supply) &&
	       pthread_cond_timedwait(&supply->cond, &supply->mutex, &until) == 0)
		;
	pthread_mutex_unlock(&supply->mutex);
}

struct control *supply_control(struct supply *supply)
{
	return supply ? supply->control : NULL;
}

/* --- life --- */

static int collect_wanted(struct supply *supply)
{
	const struct config_certificates *all = &supply->config->certificates;

	supply->wanted = calloc(all->count + 1, sizeof(struct config_certificate *));
	supply->credentials = calloc(all->count + 1, sizeof(*supply->credentials));
	if (!supply->wanted || !supply->credentials)
		return -ENOMEM;
	/* One that nobody shows is not asked for. */
	for (size_t i = 0; i < all->count; i++)
		if (uses(supply->config, all->items[i].name))
			supply->wanted[supply->wanted_count++] = &all->items[i];
	supply->wants_roots = wants_roots(supply->config);
	return 0;
}

static int start_control(struct supply *supply, struct err_text *err)
{
	const struct control_options options = {
		.vault = &supply->config->vault,
		.consul = &supply->config->consul,
		.certificates = supply->wanted,
		.certificate_count = supply->wanted_count,
		.wants_roots = supply->wants_roots,
	};
	const struct control_events events = {
		.issued = on_issued, .trusted = on_trusted, .limits = on_limits, .arg = supply
	};
	int r = control_new(&options, &events, &supply->control, err);

	if (r == 0)
		control_tell_kept(supply->control);
	return r;
}

/* As whom it will be written to: we may be root for a little while still. What else there is to say
 * of it, whoever writes there says. */
static void make_folder(const struct config *config)
{
	const struct passwd *user = config->user && geteuid() == 0 ? getpwnam(config->user) : NULL;
	const char *folder = config->vault.persist;

	if (folder && mkdir(folder, 0700) == 0 && user &&
	    chown(folder, user->pw_uid, user->pw_gid) < 0)
		log_msg(LOG_ERROR, "keep_failed", "can not give the folder %s to %s: %s", folder,
			config->user, strerror(errno));
}

int supply_new(struct config *config, int wake_fd, struct supply **ret, struct err_text *err)
{
	struct supply *supply;
	int r;

	*ret = NULL;
	if (!is_needed(config))
		return 0;
	supply = calloc(1, sizeof(*supply));
	if (!supply)
		return err_set(err, -ENOMEM, "out of memory");
	supply->config = config_ref(config);
	supply->wake_fd = wake_fd;
	pthread_mutex_init(&supply->mutex, NULL);
	thread_cond_init(&supply->cond);
	make_folder(config);
	r = collect_wanted(supply);
	r = r < 0 ? err_set(err, r, "out of memory") : start_control(supply, err);
	if (r < 0) {
		supply_free(supply);
		return r;
	}
	/* What is kept on disk will be in the first snapshot. */
	atomic_store(&supply->changed, false);
	*ret = supply;
	return 0;
}

static void *supply_main(void *arg)
{
	struct supply *supply = arg;

	pthread_setname_np(pthread_self(), "control");
	while (!atomic_load(&supply->stopping))
		control_turn(supply->control, NULL, 0, TURN_MS);
	return NULL;
}

int supply_start(struct supply *supply, struct audit *audit)
{
	int r;

	if (!supply)
		return 0;
	supply->audit = audit;
	r = -pthread_create(&supply->thread, NULL, supply_main, supply);
	supply->started = r == 0;
	return r;
}

void supply_free(struct supply *supply)
{
	if (!supply)
		return;
	if (supply->started) {
		atomic_store(&supply->stopping, true);
		control_wake(supply->control);
		pthread_join(supply->thread, NULL);
	}
	control_free(supply->control);
	for (size_t i = 0; i < supply->wanted_count; i++)
		pki_credential_unref(supply->credentials[i]);
	trust_unref(supply->trust);
	config_free(supply->limits);
	free(supply->credentials);
	free(supply->wanted);
	config_free(supply->config);
	pthread_cond_destroy(&supply->cond);
	pthread_mutex_destroy(&supply->mutex);
	free(supply);
}
