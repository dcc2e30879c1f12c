/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One certificate of the agent: what is in force in memory (credential and roots) is brought to
 * disk, layout by layout, until it is there; then hooks are told. A layout that fails is tried
 * again with a back-off, and does not keep the others. Hooks that were not told when the process
 * was killed are told by the next one (generation_told()). Main thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "base/clock.h"
#include "base/util.h"
#include "limits/limits.h"
#include "pki/embedded_ca.h"

#define RETRY_FIRST_NS (1 * NSEC_PER_SEC)
#define RETRY_LAST_NS  (60 * NSEC_PER_SEC)

static const char *name_of(const struct agent_certificate *certificate)
{
	return certificate->config->certificate.name;
}

/* --- life --- */

static void on_hook_ended(void *arg, const struct hook_options *hook, enum hook_outcome outcome,
			  const char *text, bool last);

/* The words of the command, NULL-ended, in one array of pointers that the caller frees. */
static const char **command_of(const struct config_hook *config)
{
	const char **words = calloc(config->command.count + 1, sizeof(*words));

	for (size_t i = 0; words && i < config->command.count; i++)
		words[i] = config->command.items[i];
	return words;
}

static int init_hooks(struct agent_certificate *certificate)
{
	const struct config_agent_certificate *config = certificate->config;

	for (size_t i = 0; i < config->hook_count; i++) {
		const struct hook_options options = {
			.certificate = config->certificate.name,
			.command = command_of(&config->hooks[i]),
			.timeout_ms = config->hooks[i].timeout_ms,
			.attempts = config->hooks[i].attempts,
			.jitter = &certificate->agent->jitter,
			.ended = on_hook_ended,
			.arg = certificate,
		};

		hook_init(&certificate->hooks[i], &options);
		if (!options.command)
			return -ENOMEM;
	}
	return 0;
}

int agent_certificate_init(struct agent_certificate *certificate, struct agent *agent,
			   const struct config_agent_certificate *config, struct err_text *err)
{
	int r = 0;

	*certificate = (struct agent_certificate){
		.agent = agent,
		.config = config,
		.fresh = true,
		.layouts = calloc(config->layout_count, sizeof(*certificate->layouts)),
		.pending = calloc(config->layout_count, sizeof(*certificate->pending)),
		.hooks = calloc(config->hook_count + 1, sizeof(*certificate->hooks)),
	};
	if (!certificate->layouts || !certificate->pending || !certificate->hooks)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < config->layout_count && r == 0; i++)
		r = layout_init(&certificate->layouts[i], config, &config->layouts[i], err);
	if (r == 0 && init_hooks(certificate) < 0)
		r = err_set(err, -ENOMEM, "out of memory");
	return r;
}

void agent_certificate_fini(struct agent_certificate *certificate)
{
	for (size_t i = 0; certificate->hooks && i < certificate->config->hook_count; i++) {
		struct hook *hook = &certificate->hooks[i];

		if (hook->options.command)
			hook_fini(hook);
		free((void *)hook->options.command);
	}
	free(certificate->hooks);
	free(certificate->pending);
	free(certificate->layouts);
	pki_credential_unref(certificate->credential);
	free(certificate->roots_pem);
}

/* --- roots --- */

/* The text of a PEM file; empty with `err`. */
static struct pki_bytes read_roots(const char *file, struct err_text *err)
{
	struct pki_bytes bytes = { 0 };
	int r = generation_read(file, PEM_FILE_BYTES_MAX, &bytes);

	if (r < 0)
		err_set(err, r, "%s: %s", file, strerror(-r));
	return bytes;
}

/* All roots together: of the source, and of the configuration's files. NULL with `err`. */
static char *merge_roots(const struct agent_certificate *certificate, struct err_text *err)
{
	const struct config_agent_certificate *config = certificate->config;
	size_t count = config->roots.count + 1, used = 0, roots = 0;
	cleanup_free struct pki_bytes *files = calloc(count, sizeof(*files));
	cleanup_free const char **pems = calloc(count, sizeof(*pems));
	char path[EMBEDDED_CA_PATH_MAX], *merged = NULL;
	bool ok = files && pems;

	for (size_t i = 0; ok && i < config->roots.count; i++) {
		files[i] = read_roots(config->roots.items[i], err);
		ok = files[i].bytes != NULL;
		pems[used++] = files[i].bytes;
	}
	if (ok && config->certificate.source == CONFIG_SOURCE_DEV) {
		snprintf(path, sizeof(path), "%s/ca.crt", config->certificate.dir);
		files[count - 1] = read_roots(path, err);
		ok = files[count - 1].bytes != NULL;
		pems[used++] = files[count - 1].bytes;
	} else if (ok && config->certificate.source == CONFIG_SOURCE_VAULT) {
		pems[used++] = certificate->agent->trust->roots_pem;
	}
	if (ok && pki_merge_certificates(pems, used, &merged, &roots, err) == 0 && !roots) {
		err_set(err, 0, "no root is left to trust");
		free(TAKE_PTR(merged));
	}
	for (size_t i = 0; files && i < count; i++)
		pki_bytes_fini(&files[i]);
	return merged;
}

/* True if the roots are others than before. What can not be read changes nothing. */
static bool update_roots(struct agent_certificate *certificate)
{
	struct err_text err = { "out of memory" };
	char *merged;

	if (certificate->config->certificate.source == CONFIG_SOURCE_VAULT &&
	    !certificate->agent->trust)
		return false;
	merged = merge_roots(certificate, &err);
	if (!merged) {
		log_msg(LOG_ERROR, "roots_failed", "%s: %s; what was trusted stays",
			name_of(certificate), err.text);
		return false;
	}
	if (certificate->roots_pem && strcmp(certificate->roots_pem, merged) == 0) {
		free(merged);
		return false;
	}
	free(certificate->roots_pem);
	certificate->roots_pem = merged;
	return true;
}

/* --- what is to be on disk --- */

static void lay_out_all(struct agent_certificate *certificate, const char *reason)
{
	for (size_t i = 0; i < certificate->config->layout_count; i++)
		certificate->pending[i] = true;
	certificate->due = true;
	certificate->reason = reason;
	backoff_succeeded(&certificate->backoff);
	pthread_mutex_lock(&certificate->agent->mutex);
	certificate->numbers.laid_out = false;
	pthread_mutex_unlock(&certificate->agent->mutex);
}

struct pki_credential *agent_certificate_kept(struct agent_certificate *certificate,
					      char ret_origin[CONTROL_ORIGIN_BYTES])
{
	struct pki_credential *credential = NULL;
	struct err_text err = { "" };
	char *roots = NULL;
	bool good;

	for (size_t i = 0; i < certificate->config->layout_count && !credential; i++)
		if (layout_read(&certificate->layouts[i], &credential, &roots, ret_origin, &err) <
		    0)
			log_msg(LOG_DEBUG, "layout_unread", "%s: %s", name_of(certificate),
				err.text);
	if (!credential)
		return NULL;
	/* What was trusted when it was laid out is, until the source says what is now. */
	if (certificate->config->certificate.source == CONFIG_SOURCE_VAULT) {
		certificate->roots_pem = roots;
		return credential;
	}
	free(roots);
	update_roots(certificate);
	good = certificate->roots_pem &&
	       pki_credential_check(credential, certificate->roots_pem, &err) == 0;
	if (!good) {
		log_msg(LOG_INFO, "layout_unread", "%s: %s", name_of(certificate), err.text);
		pki_credential_unref(TAKE_PTR(credential));
	}
	return credential;
}

void agent_certificate_issued(struct agent_certificate *certificate,
			      struct pki_credential *credential, const char *reason)
{
	pki_credential_unref(certificate->credential);
	certificate->credential = pki_credential_ref(credential);
	control_origin(certificate->agent->control, name_of(certificate), certificate->origin);
	update_roots(certificate);
	lay_out_all(certificate, reason);
	pthread_mutex_lock(&certificate->agent->mutex);
	snprintf(certificate->numbers.issuer_cn, sizeof(certificate->numbers.issuer_cn), "%s",
		 credential->issuer_cn);
	pthread_mutex_unlock(&certificate->agent->mutex);
	agent_audit_issued(certificate->agent, certificate);
}

void agent_certificate_trusted(struct agent_certificate *certificate)
{
	if (certificate->credential && update_roots(certificate))
		lay_out_all(certificate, "roots_changed");
}

void agent_certificate_look(struct agent_certificate *certificate)
{
	struct log_line line;
	const char *file;

	agent_certificate_trusted(certificate);
	for (size_t i = 0; i < certificate->config->layout_count; i++) {
		struct layout *layout = &certificate->layouts[i];

		generation_sweep(layout->config->directory, certificate->config->keep_ms / 1000);
		if (certificate->pending[i] || layout_stands(layout, &file))
			continue;
		log_begin(&line, LOG_WARNING, "file_changed");
		log_str(&line, "certificate", name_of(certificate));
		log_str(&line, "directory", layout->config->directory);
		log_str(&line, "file", file);
		log_str(&line, "msg", "somebody has changed or removed it: it is laid out again");
		log_end(&line);
		certificate->pending[i] = true;
		certificate->due = true;
		certificate->reason = "restored";
		pthread_mutex_lock(&certificate->agent->mutex);
		certificate->numbers.changed_files++;
		certificate->numbers.laid_out = false;
		pthread_mutex_unlock(&certificate->agent->mutex);
	}
}

/* --- laying out --- */

static void note_layout(struct agent_certificate *certificate, const struct layout *layout,
			const struct err_text *failure)
{
	struct agent_numbers *numbers = &certificate->numbers;
	struct log_line line;

	if (failure)
		log_begin(&line, LOG_ERROR, "layout_failed");
	else
		log_begin(&line, LOG_INFO, "laid_out");
	log_str(&line, "certificate", name_of(certificate));
	log_str(&line, "directory", layout->config->directory);
	log_str(&line, "reason", certificate->reason);
	log_str(&line, "serial", certificate->credential->serial);
	log_str(&line, "msg", failure ? failure->text : NULL);
	log_end(&line);
	agent_audit_layout(certificate->agent, certificate, layout, failure);
	pthread_mutex_lock(&certificate->agent->mutex);
	numbers->layouts += !failure;
	numbers->layout_failures += failure != NULL;
	numbers->layout_error = failure ? *failure : (struct err_text){ "" };
	if (!failure)
		numbers->last_layout = (int64_t)(clock_realtime_ns() / NSEC_PER_SEC);
	pthread_mutex_unlock(&certificate->agent->mutex);
}

/* False: it is tried again later. */
static bool lay_out(struct agent_certificate *certificate, size_t index)
{
	const struct layout_content content = { certificate->credential, certificate->roots_pem,
						certificate->origin };
	struct layout *layout = &certificate->layouts[index];
	struct err_text err;

	/* After a start nothing is written that is there already. */
	if (certificate->fresh && layout_holds(layout, &content)) {
		certificate->written =
			certificate->written || !generation_is_told(layout->config->directory);
		return true;
	}
	if (layout_write(layout, &content, &err) < 0) {
		note_layout(certificate, layout, &err);
		return false;
	}
	certificate->written = true;
	note_layout(certificate, layout, NULL);
	return true;
}

/* --- hooks --- */

#define ENVIRONMENT_TEXT_BYTES 2048

struct environment {
	const char *entries[HOOK_ENVIRONMENT_MAX + 1];
	char texts[HOOK_ENVIRONMENT_MAX][ENVIRONMENT_TEXT_BYTES];
	size_t count;
};

static void add_entry(struct environment *environment, const char *name, const char *value)
{
	char *text = environment->texts[environment->count];

	snprintf(text, ENVIRONMENT_TEXT_BYTES, "SALLYPORT_%s=%s", name, value);
	environment->entries[environment->count++] = text;
}

static void fill_environment(const struct agent_certificate *certificate,
			     struct environment *environment)
{
	const struct pki_credential *credential = certificate->credential;
	char text[PKI_TIME_TEXT_BYTES], directories[ENVIRONMENT_TEXT_BYTES - 32] = "";
	size_t used = 0;

	for (size_t i = 0; i < certificate->config->layout_count && used < sizeof(directories); i++)
		used += (size_t)snprintf(directories + used, sizeof(directories) - used, "%s%s",
					 i ? ":" : "", certificate->config->layouts[i].directory);
	add_entry(environment, "CERTIFICATE", name_of(certificate));
	add_entry(environment, "REASON", certificate->reason);
	add_entry(environment, "DIRECTORY", certificate->config->layouts[0].directory);
	add_entry(environment, "DIRECTORIES", directories);
	add_entry(environment, "COMMON_NAME", credential->cn);
	add_entry(environment, "SERIAL", credential->serial);
	add_entry(environment, "ISSUER", credential->issuer_cn);
	pki_time_text(credential->not_before, text);
	add_entry(environment, "NOT_BEFORE", text);
	pki_time_text(credential->not_after, text);
	add_entry(environment, "NOT_AFTER", text);
	snprintf(text, sizeof(text), "%" PRId64, credential->not_after);
	add_entry(environment, "NOT_AFTER_SECONDS", text);
}

static bool hooks_busy(const struct agent_certificate *certificate)
{
	for (size_t i = 0; i < certificate->config->hook_count; i++)
		if (hook_is_busy(&certificate->hooks[i]))
			return true;
	return false;
}

static void tell_hooks(struct agent_certificate *certificate)
{
	cleanup_free struct environment *environment = calloc(1, sizeof(*environment));

	if (environment)
		fill_environment(certificate, environment);
	for (size_t i = 0; environment && i < certificate->config->hook_count; i++)
		if (hook_trigger(&certificate->hooks[i], environment->entries) < 0)
			log_msg(LOG_ERROR, "hook_lost", "%s: no memory to run %s",
				name_of(certificate), certificate->hooks[i].options.command[0]);
	pthread_mutex_lock(&certificate->agent->mutex);
	certificate->numbers.hooks_busy = hooks_busy(certificate);
	certificate->numbers.hooks_failed = false;
	pthread_mutex_unlock(&certificate->agent->mutex);
}

static void mark_told(struct agent_certificate *certificate)
{
	for (size_t i = 0; i < certificate->config->layout_count; i++)
		generation_told(certificate->config->layouts[i].directory);
}

static void on_hook_ended(void *arg, const struct hook_options *hook, enum hook_outcome outcome,
			  const char *text, bool last)
{
	struct agent_certificate *certificate = arg;
	struct agent_numbers *numbers = &certificate->numbers;

	agent_audit_hook(certificate->agent, certificate, hook, outcome, text);
	pthread_mutex_lock(&certificate->agent->mutex);
	numbers->hook_runs[outcome]++;
	numbers->hooks_failed = numbers->hooks_failed || (last && outcome != HOOK_DONE);
	numbers->hooks_busy = !last || hooks_busy(certificate);
	pthread_mutex_unlock(&certificate->agent->mutex);
	if (!numbers->hooks_busy && !numbers->hooks_failed && !certificate->due)
		mark_told(certificate);
}

static void on_all_laid_out(struct agent_certificate *certificate)
{
	certificate->due = false;
	certificate->fresh = false;
	backoff_succeeded(&certificate->backoff);
	agent_watch(certificate->agent, certificate);
	agent_trim_later(certificate->agent);
	if (certificate->written && certificate->config->hook_count)
		tell_hooks(certificate);
	else if (certificate->written)
		mark_told(certificate);
	certificate->written = false;
	/* Last, so that nobody is told that it is there and no hook runs before one does. */
	pthread_mutex_lock(&certificate->agent->mutex);
	certificate->numbers.laid_out = true;
	pthread_mutex_unlock(&certificate->agent->mutex);
}

static void lay_out_pending(struct agent_certificate *certificate, uint64_t now_ns)
{
	const struct backoff_bounds bounds = { RETRY_FIRST_NS, RETRY_LAST_NS };
	bool all = true;

	if (!certificate->credential || !certificate->roots_pem)
		return; /* the other half will come */
	for (size_t i = 0; i < certificate->config->layout_count; i++) {
		if (certificate->pending[i])
			certificate->pending[i] = !lay_out(certificate, i);
		all = all && !certificate->pending[i];
	}
	if (all)
		on_all_laid_out(certificate);
	else
		backoff_failed(&certificate->backoff, bounds, 0, &certificate->agent->jitter,
			       now_ns);
}

uint64_t agent_certificate_turn(struct agent_certificate *certificate, uint64_t now_ns)
{
	uint64_t due_ns = UINT64_MAX;

	if (certificate->due && backoff_allows(&certificate->backoff, now_ns))
		lay_out_pending(certificate, now_ns);
	if (certificate->due && certificate->credential && certificate->roots_pem)
		due_ns = certificate->backoff.not_before_ns;
	for (size_t i = 0; i < certificate->config->hook_count; i++) {
		uint64_t hook_ns = hook_turn(&certificate->hooks[i], now_ns);

		due_ns = MIN(due_ns, hook_ns);
	}
	return due_ns;
}

bool agent_certificate_is_done(const struct agent_certificate *certificate)
{
	return certificate->numbers.laid_out && !hooks_busy(certificate) &&
	       !certificate->numbers.hooks_failed;
}
