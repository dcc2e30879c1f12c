/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing the configuration of the running proxy: the file is loaded and everything that it names
 * is read before anything changes; if any of it is wrong, all stays as it was, and the log and the
 * state say what is wrong. Connections that live do not notice.
 *
 * The main thread does it; proxy_reload() lets other threads order it and wait for the outcome.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/util.h"
#include "config/load.h"
#include "dataplane/proxy_impl.h"

#define WORKERS_ANSWER_NS (10 * NSEC_PER_SEC)
#define ORDER_WAIT_SEC	  30

void reload_init(struct proxy *proxy)
{
	orders_init(&proxy->reloads);
	pthread_mutex_init(&proxy->reload_state_mutex, NULL);
	pthread_mutex_init(&proxy->snapshot_mutex, NULL);
}

void reload_fini(struct proxy *proxy)
{
	free(proxy->at_start.audit_file);
	free(proxy->at_start.identity.directory);
	file_watch_free(proxy->watch);
	pthread_mutex_destroy(&proxy->snapshot_mutex);
	pthread_mutex_destroy(&proxy->reload_state_mutex);
	orders_fini(&proxy->reloads);
}

void reload_watch(struct proxy *proxy, const struct config *config)
{
	if (config->reload == CONFIG_RELOAD_MANUAL) {
		file_watch_free(proxy->watch);
		proxy->watch = NULL;
		return;
	}
	if (!proxy->watch)
		proxy->watch = file_watch_new(proxy->config_file);
	if (!proxy->watch || file_watch_follow(proxy->watch, config) < 0)
		log_msg(LOG_WARNING, "file_watch",
			"out of memory: changes of files may not be seen");
}

static bool workers_have(struct proxy *proxy, uint64_t generation)
{
	for (unsigned int i = 0; i < proxy->worker_count; i++)
		if (worker_generation(proxy->workers[i]) < generation)
			return false;
	return true;
}

/* New connections are served by the new snapshot when this returns. A worker that hangs gets the
 * news whenever it is back. */
static void wait_for_workers(struct proxy *proxy)
{
	struct pollfd pfd = { .fd = proxy->applied_fd, .events = POLLIN };
	uint64_t until_ns = clock_monotonic_ns() + WORKERS_ANSWER_NS;
	eventfd_t count;

	while (!workers_have(proxy, proxy->snapshot->generation)) {
		if (clock_monotonic_ns() > until_ns) {
			log_msg(LOG_WARNING, "reload",
				"not all workers have answered yet; they will change over when "
				"they do");
			return;
		}
		poll(&pfd, 1, 100);
		eventfd_read(proxy->applied_fd, &count);
	}
}

static void add_word(char *words, size_t room, const char *word)
{
	size_t used = strlen(words);

	snprintf(words + used, room - used, "%s%s", used ? ", " : "", word);
}

static bool audit_differs(const struct settings_at_start *start, const struct config_audit *audit)
{
	return strcmp(audit->file ? audit->file : "", start->audit_file) != 0 ||
	       audit->journald != start->audit_journald ||
	       audit->queue_kib != start->audit_queue_kib ||
	       audit->on_failure != start->audit_on_failure;
}

static bool identity_differs(const struct config_identity_keys *start,
			     const struct config_identity_keys *now)
{
	return strcmp(now->directory ? now->directory : "", start->directory) != 0 ||
	       now->algorithm != start->algorithm ||
	       now->rotate_every_ms != start->rotate_every_ms ||
	       now->overlap_ms != start->overlap_ms || now->jwks_mode != start->jwks_mode;
}

static void describe_admin(const struct config_admin *admin, char ret[SETTINGS_ADMIN_BYTES])
{
	size_t used = (size_t)snprintf(ret, SETTINGS_ADMIN_BYTES, "%s", admin->socket);

	for (size_t i = 0; i < admin->allow_uids.count && used < SETTINGS_ADMIN_BYTES; i++)
		used += (size_t)snprintf(ret + used, SETTINGS_ADMIN_BYTES - used, " %s",
					 admin->allow_uids.items[i]);
}

/* The keys that this process can not change while it runs, as far as they differ. */
static void find_restart_keys(const struct proxy *proxy, const struct config *config,
			      char ret[RELOAD_KEYS_BYTES])
{
	char admin[SETTINGS_ADMIN_BYTES];

	ret[0] = 0;
	describe_admin(&config->admin, admin);
	if (strcmp(admin, proxy->at_start.admin) != 0)
		add_word(ret, RELOAD_KEYS_BYTES, "admin");
	if (config->workers != proxy->at_start.workers)
		add_word(ret, RELOAD_KEYS_BYTES, "workers");
	if (config->loop != proxy->at_start.loop)
		add_word(ret, RELOAD_KEYS_BYTES, "loop");
	if (config->sandbox != proxy->at_start.sandbox)
		add_word(ret, RELOAD_KEYS_BYTES, "sandbox");
	if (strcmp(config->user ? config->user : "", proxy->at_start.user) != 0)
		add_word(ret, RELOAD_KEYS_BYTES, "user");
	if (config->log_format != proxy->at_start.log_format)
		add_word(ret, RELOAD_KEYS_BYTES, "log.format");
	if (audit_differs(&proxy->at_start, &config->audit))
		add_word(ret, RELOAD_KEYS_BYTES, "audit");
	if (identity_differs(&proxy->at_start.identity, &config->identity))
		add_word(ret, RELOAD_KEYS_BYTES, "identity");
	if (config->penalties.sources != proxy->at_start.penalty_sources)
		add_word(ret, RELOAD_KEYS_BYTES, "penalties.sources");
	if (!supply_fits(proxy->supply, config))
		add_word(ret, RELOAD_KEYS_BYTES, "vault/consul/certificates");
	if (config->clients.pacing != proxy->at_start.pacing)
		add_word(ret, RELOAD_KEYS_BYTES, "clients.pacing");
	if (config->metrics.listen.port != proxy->at_start.metrics.port ||
	    strcmp(config->metrics.listen.host, proxy->at_start.metrics.host) != 0)
		add_word(ret, RELOAD_KEYS_BYTES, "metrics.listen");
}

/* Each problem a line; the first error, for the state, in `err`. */
static void tell_problems(const struct proxy *proxy, const struct config_problems *problems,
			  struct err_text *err)
{
	bool told = false;

	for (size_t i = 0; i < problems->count; i++) {
		const struct config_problem *p = &problems->items[i];

		log_msg(LOG_WARNING, "config", "%s:%u:%u: %s: %s", proxy->config_file, p->line,
			p->column, p->path, p->text);
		if (p->severity != CONFIG_ERROR || told)
			continue;
		told = true;
		err_set(err, 0, "%s:%u:%u: %s%s%s", proxy->config_file, p->line, p->column, p->path,
			p->path[0] ? ": " : "", p->text);
	}
}

static int load(const struct proxy *proxy, struct config **ret, struct err_text *err)
{
	cleanup_free struct config_problems *problems = calloc(1, sizeof(*problems));
	int r;

	if (!problems)
		return err_set(err, -ENOMEM, "out of memory");
	r = config_load(proxy->config_file, ret, problems);
	tell_problems(proxy, problems, err);
	return r;
}

/* The log's settings go with the file, unless the file has them as before: somebody may have
 * changed the level by hand meanwhile. */
static void change_log(enum log_level level, unsigned int rate, const struct config *now)
{
	if (now->log_level != level)
		log_set_level(now->log_level);
	if (now->log_rate != rate)
		log_set_rate(now->log_rate);
}

/* The manager waits between RELOADING=1 and READY=1; the time tells it which of them is whose. */
static void notify_begin(const struct proxy *proxy)
{
	if (!proxy->drains)
		notify_send("RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reading the configuration",
			    (unsigned long long)(clock_monotonic_ns() / 1000));
}

static void notify_outcome(const struct proxy *proxy, int result, const struct err_text *err)
{
	if (proxy->drains)
		return;
	if (result == 0)
		proxy_notify_ready(proxy);
	else
		notify_send("READY=1\nSTATUS=reload failed, the old configuration is in force: %s",
			    err->text);
}

/* The keys are opened at start, before the process has given up what that takes. */
static int check_identities(const struct proxy *proxy, const struct config *config,
			    struct err_text *err)
{
	for (size_t i = 0; i < config->listener_count && !proxy->identity; i++)
		if (config->listeners[i].kafka.identity == CONFIG_IDENTITY_OAUTHBEARER)
			return err_set(err, -EINVAL,
				       "listener %s: kafka.identity: oauthbearer is new, and "
				       "identity.directory is opened at start only: restart, or "
				       "'sallyport upgrade'",
				       config->listeners[i].name);
	return 0;
}

static int try_reload(struct proxy *proxy, char ret_restart_keys[RELOAD_KEYS_BYTES],
		      struct err_text *err)
{
	enum log_level level = proxy->snapshot->config->log_level;
	unsigned int rate = proxy->snapshot->config->log_rate;
	struct config *config = NULL;
	struct change change;
	int r;

	if (proxy->drains)
		return err_set(err, -ESHUTDOWN, "the proxy is draining: nothing is reloaded");
	if (upgrade_under_way(proxy))
		return err_set(err, -EBUSY, "another process is just taking over");
	if (proxy->watch)
		file_watch_reading(proxy->watch);
	r = load(proxy, &config, err);
	if (r == 0)
		reload_watch(proxy, config);
	if (r == 0) {
		r = check_identities(proxy, config, err);
		if (r < 0)
			config_free(config);
	}
	if (r == 0)
		r = change_prepare(proxy, config, &change, err);
	if (r < 0)
		return r;
	change_apply(proxy, &change);
	wait_for_workers(proxy);
	change_log(level, rate, proxy->snapshot->config);
	find_restart_keys(proxy, proxy->snapshot->config, ret_restart_keys);
	return 0;
}

static void log_outcome(const struct proxy *proxy, int result, const char *restart_keys,
			const struct err_text *err)
{
	struct log_line line;

	if (result < 0) {
		log_msg(LOG_ERROR, "reload_failed", "%s; the old configuration stays in force",
			err->text);
		return;
	}
	log_begin(&line, LOG_INFO, "reloaded");
	log_u64(&line, "generation", proxy->snapshot->generation);
	log_u64(&line, "listeners", proxy->snapshot->route_count);
	log_end(&line);
	if (restart_keys[0])
		log_msg(LOG_WARNING, "reload",
			"%s: changed, but needs a restart; the rest is in "
			"force",
			restart_keys);
}

/* Under the mutex. */
static void note_success(struct proxy *proxy, const char *restart_keys)
{
	struct reload_state *state = &proxy->reload_state;

	state->generation = proxy->snapshot->generation;
	state->success_ns = clock_realtime_ns();
	state->failing = false;
	snprintf(state->restart_keys, sizeof(state->restart_keys), "%s", restart_keys);
}

/* Under the mutex. */
static void note_failure(struct proxy *proxy, const struct err_text *err)
{
	struct reload_state *state = &proxy->reload_state;

	state->failures++;
	state->failing = true;
	state->failure_ns = clock_realtime_ns();
	state->failure = *err;
}

int reload_started(struct proxy *proxy, struct err_text *err)
{
	const struct config *config = proxy->snapshot->config;

	proxy->at_start = (struct settings_at_start){
		.workers = config->workers,
		.loop = config->loop,
		.sandbox = config->sandbox,
		.log_format = config->log_format,
		.penalty_sources = config->penalties.sources,
		.pacing = config->clients.pacing,
		.audit_file = strdup(config->audit.file ? config->audit.file : ""),
		.audit_journald = config->audit.journald,
		.audit_queue_kib = config->audit.queue_kib,
		.audit_on_failure = config->audit.on_failure,
		.metrics = config->metrics.listen,
		.identity = config->identity,
	};
	proxy->at_start.identity.directory =
		strdup(config->identity.directory ? config->identity.directory : "");
	snprintf(proxy->at_start.user, sizeof(proxy->at_start.user), "%s",
		 config->user ? config->user : "");
	if (!proxy->at_start.audit_file || !proxy->at_start.identity.directory)
		return err_set(err, -ENOMEM, "out of memory");
	describe_admin(&config->admin, proxy->at_start.admin);
	pthread_mutex_lock(&proxy->reload_state_mutex);
	note_success(proxy, "");
	pthread_mutex_unlock(&proxy->reload_state_mutex);
	return 0;
}

void reload(struct proxy *proxy)
{
	uint64_t number = orders_begin(&proxy->reloads); /* who comes later wants another one */
	char restart_keys[RELOAD_KEYS_BYTES] = "";
	struct err_text err = { "" };
	int r;

	notify_begin(proxy);
	r = try_reload(proxy, restart_keys, &err);
	pthread_mutex_lock(&proxy->reload_state_mutex);
	if (r == 0) {
		proxy->reload_state.successes++;
		note_success(proxy, restart_keys);
	} else {
		note_failure(proxy, &err);
	}
	pthread_mutex_unlock(&proxy->reload_state_mutex);
	/* Last, so that who hears of it and asks for the state finds it so. */
	notify_outcome(proxy, r, &err);
	log_outcome(proxy, r, restart_keys, &err);
	orders_done(&proxy->reloads, number, r, &err);
}

void reload_supplied(struct proxy *proxy)
{
	struct err_text err = { "" };
	struct change change;

	proxy->supplied = supply_changed(proxy->supply) || proxy->supplied;
	/* Whoever takes over has a supply of its own. */
	if (!proxy->supplied || proxy->drains || upgrade_under_way(proxy))
		return;
	proxy->supplied = false;
	if (change_prepare(proxy, config_ref(proxy->snapshot->config), &change, &err) < 0) {
		log_msg(LOG_ERROR, "supply_refused", "%s; what was in force stays", err.text);
		return;
	}
	change_apply(proxy, &change);
	wait_for_workers(proxy);
	pthread_mutex_lock(&proxy->reload_state_mutex);
	proxy->reload_state.generation = proxy->snapshot->generation;
	pthread_mutex_unlock(&proxy->reload_state_mutex);
	log_msg(LOG_DEBUG, "supplied", "new certificates or roots are in force");
}

void reload_on_order(struct proxy *proxy)
{
	if (orders_pending(&proxy->reloads))
		reload(proxy);
}

int proxy_reload(struct proxy *proxy, struct err_text *err)
{
	return orders_place(&proxy->reloads, proxy->order_fd, ORDER_WAIT_SEC, err);
}

void proxy_reload_state(struct proxy *proxy, struct reload_state *ret)
{
	pthread_mutex_lock(&proxy->reload_state_mutex);
	*ret = proxy->reload_state;
	pthread_mutex_unlock(&proxy->reload_state_mutex);
}
