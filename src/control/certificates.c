/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates that are kept issued: when each is due, what is asked for, and whether what comes
 * back is fit to be used. One that is in force stays so until a better one is there, or its end has
 * come. The turning thread.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/control_impl.h"
#include "control/renewal.h"
#include "pki/embedded_ca.h"

#define FILES_LOOK_NS	(2 * NSEC_PER_SEC)
#define SECONDS_NS(s)	((uint64_t)(s) * NSEC_PER_SEC)
#define SPACING_NS	(2 * NSEC_PER_SEC)    /* between two of one certificate, at least */
#define SPREAD_NS	(500 * NSEC_PER_MSEC) /* of those that another issuer makes due */
#define NAMES_BYTES_MAX 20000

static const enum pki_key_type key_types[] = {
	[CONFIG_KEY_EC_P256] = PKI_KEY_EC_P256,	  [CONFIG_KEY_EC_P384] = PKI_KEY_EC_P384,
	[CONFIG_KEY_ED25519] = PKI_KEY_ED25519,	  [CONFIG_KEY_RSA_2048] = PKI_KEY_RSA_2048,
	[CONFIG_KEY_RSA_3072] = PKI_KEY_RSA_3072, [CONFIG_KEY_RSA_4096] = PKI_KEY_RSA_4096,
};

/* --- what is asked for --- */

struct names {
	struct pki_san sans[PKI_SANS_MAX];
	size_t count;
};

static void add_names(struct names *names, enum pki_san_kind kind,
		      const struct config_strings *from)
{
	for (size_t i = 0; i < from->count && names->count < PKI_SANS_MAX; i++)
		names->sans[names->count++] = (struct pki_san){ kind, from->items[i] };
}

static struct pki_subject subject_of(const struct config_certificate *config, struct names *names)
{
	struct pki_subject subject = { .cn = config->common_name, .usage = PKI_USAGE_BOTH };

	*names = (struct names){ .count = 0 };
	add_names(names, PKI_SAN_DNS, &config->dns);
	add_names(names, PKI_SAN_IP, &config->ip);
	add_names(names, PKI_SAN_URI, &config->uri);
	subject.sans = names->sans;
	subject.san_count = names->count;
	/* Of the embedded CA. */
	subject.days = 1;
	subject.seconds = config->ttl_ms / 1000;
	return subject;
}

static void join(const struct config_strings *strings, char ret[NAMES_BYTES_MAX])
{
	size_t used = 0;

	ret[0] = 0;
	for (size_t i = 0; i < strings->count && used < NAMES_BYTES_MAX; i++)
		used += (size_t)snprintf(ret + used, NAMES_BYTES_MAX - used, "%s%s", i ? "," : "",
					 strings->items[i]);
}

/* NULL without memory. */
static char *sign_body(const struct config_certificate *config, const char *csr)
{
	cleanup_free char *names = malloc(3 * NAMES_BYTES_MAX);
	char *dns = names, *ip, *uri, *text;
	char ttl[32];
	json_t *body;

	if (!names)
		return NULL;
	ip = dns + NAMES_BYTES_MAX;
	uri = ip + NAMES_BYTES_MAX;
	join(&config->dns, dns);
	join(&config->ip, ip);
	join(&config->uri, uri);
	snprintf(ttl, sizeof(ttl), "%llus", (unsigned long long)(config->ttl_ms / 1000));
	body = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "csr", csr, "common_name",
			 config->common_name, "alt_names", dns, "ip_sans", ip, "uri_sans", uri,
			 "format", "pem");
	if (body && config->ttl_ms)
		json_object_set_new(body, "ttl", json_string(ttl));
	text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	return text;
}

/* FNV-1a: to see that something differs, not to keep anybody from making it look the same. */
uint64_t certificate_request_number(const struct config_certificate *config)
{
	cleanup_free char *body = sign_body(config, config->role ? config->role : "");
	uint64_t number = 0xcbf29ce484222325ULL + (uint64_t)config->key_type;

	for (const char *at = body; at && *at; at++)
		number = (number ^ (unsigned char)*at) * 0x100000001b3ULL;
	return number;
}

/* --- what is in force --- */

static int64_t left_of(const struct managed *m)
{
	return m->credential ? m->credential->not_after - control_now() : 0;
}

static void show_good(struct managed *m)
{
	struct control_certificate_status *status = &m->status;
	const struct pki_credential *c = m->credential;

	status->good = true;
	status->not_before = c->not_before;
	status->not_after = c->not_after;
	status->renew_at = m->renew_at;
	snprintf(status->cn, sizeof(status->cn), "%s", c->cn);
	snprintf(status->serial, sizeof(status->serial), "%s", c->serial);
	snprintf(status->issuer, sizeof(status->issuer), "%s", m->issuer);
}

static void log_issued(const struct managed *m, enum control_reason reason)
{
	char until[PKI_TIME_TEXT_BYTES], next[PKI_TIME_TEXT_BYTES];
	struct log_line line;

	pki_time_text(m->credential->not_after, until);
	pki_time_text(m->renew_at, next);
	log_begin(&line, LOG_INFO, "certificate_issued");
	log_str(&line, "certificate", m->config->name);
	log_str(&line, "reason", control_reason_name(reason));
	log_str(&line, "cn", m->credential->cn);
	log_str(&line, "serial", m->credential->serial);
	log_str(&line, "issuer", m->issuer[0] ? m->issuer : NULL);
	log_str(&line, "not_after", until);
	log_str(&line, "renewal", m->config->source == CONFIG_SOURCE_FILES ? NULL : next);
	log_end(&line);
}

/* Issuers date certificates back, short-lived ones too, of whose life that would be a good part. */
static void set_credential(struct managed *m, struct pki_credential *credential, int64_t issued_at)
{
	int64_t until;

	m->issued_at = issued_at;
	pki_credential_unref(m->credential);
	m->credential = credential;
	m->renew_at = renewal_at(MAX(credential->not_before, issued_at), credential->not_after,
				 &m->control->jitter);
	until = m->renew_at - control_now();
	m->renew_ns = clock_monotonic_ns() + (until > 0 ? SECONDS_NS(until) : 0);
}

/* Others may have come into force while it was being issued. */
static bool is_of_primary(const struct managed *m)
{
	const struct trust *trust = m->control->following.trust;

	return m->config->source != CONFIG_SOURCE_VAULT || !trust ||
	       strcmp(m->issuer, trust->issuers.paths[0]) == 0;
}

/* Takes the credential. */
static void succeeded(struct managed *m, struct pki_credential *credential,
		      enum control_reason reason)
{
	struct control *control = m->control;
	struct err_text why = { "" };
	int r;

	set_credential(m, credential, control_now());
	snprintf(m->issuer, sizeof(m->issuer), "%s", m->pending_issuer);
	m->request = certificate_request_number(m->config);
	/* Whatever was issued: not one after the other. */
	m->backoff = (struct backoff){ .not_before_ns = clock_monotonic_ns() + SPACING_NS };
	m->reason = is_of_primary(m) ? CONTROL_RENEWED : CONTROL_ISSUER_CHANGED;
	r = kept_save_certificate(m, &why);
	pthread_mutex_lock(&control->mutex);
	show_good(m);
	m->status.last_success = control_now();
	m->status.issued++;
	m->status.cause = r < 0 ? CAUSE_LOCAL : CAUSE_NONE;
	m->status.failures[CAUSE_LOCAL] += r < 0;
	m->status.text = why;
	pthread_mutex_unlock(&control->mutex);
	log_issued(m, reason);
	if (r < 0)
		log_msg(LOG_ERROR, "keep_failed", "%s; the certificate is in force all the same",
			why.text);
	control->events.issued(control->events.arg, m->config->name, credential, reason);
}

static void log_failed(const struct managed *m, enum cause cause, const struct err_text *why,
		       uint64_t now_ns)
{
	struct log_line line;

	log_begin(&line, LOG_WARNING, "certificate_failed");
	log_str(&line, "certificate", m->config->name);
	log_str(&line, "cause", cause_name(cause));
	log_str(&line, "msg", why->text[0] ? why->text : cause_meaning(cause));
	log_seconds(&line, "retry_in", m->backoff.not_before_ns - now_ns);
	log_bool(&line, "last_good_in_force", left_of(m) > 0);
	log_end(&line);
}

static void failed(struct managed *m, enum cause cause, const struct err_text *why,
		   uint64_t retry_after_ns)
{
	struct control *control = m->control;
	uint64_t now_ns = clock_monotonic_ns();
	/* Another issuer is wanted now, not when there is time for it. */
	bool good = left_of(m) > 0 && m->reason != CONTROL_ISSUER_CHANGED;
	bool news;

	backoff_failed(&m->backoff,
		       good ? backoff_while_good(SECONDS_NS(left_of(m))) : backoff_urgent(),
		       retry_after_ns, &control->jitter, now_ns);
	pthread_mutex_lock(&control->mutex);
	news = m->status.cause != cause;
	m->status.cause = cause;
	m->status.failures[cause]++;
	m->status.last_failure = control_now();
	m->status.text = *why;
	pthread_mutex_unlock(&control->mutex);
	if (news)
		log_failed(m, cause, why, now_ns);
}

static enum cause cause_of_fault(int fault)
{
	switch (fault) {
	case PKI_FAULT_UNREADABLE:
		return CAUSE_MALFORMED;
	case PKI_FAULT_KEY:
		return CAUSE_KEY_MISMATCH;
	case PKI_FAULT_TIME:
		return CAUSE_NOT_VALID;
	case PKI_FAULT_UNTRUSTED:
		return CAUSE_UNTRUSTED;
	default:
		return CAUSE_LOCAL;
	}
}

/* A certificate has come. */
static void judge(struct managed *m, const char *certificate, const char *chain, const char *roots)
{
	struct pki_credential *credential = NULL;
	struct err_text why = { "out of memory" };
	int r = pki_credential_new(m->pending, certificate, chain, roots, &credential, &why);

	if (r == 0)
		succeeded(m, credential, m->reason);
	else
		failed(m, cause_of_fault(r), &why, 0);
	/* The mount may have got another CA meanwhile. */
	if (r == PKI_FAULT_UNTRUSTED && m->config->source == CONFIG_SOURCE_VAULT)
		issuers_read_again(m->control);
}

/* --- Vault --- */

static void on_signed(const struct vault_outcome *outcome, const struct vault_signed *reply,
		      void *arg)
{
	struct managed *m = arg;
	const struct trust *trust = m->control->following.trust;

	if (outcome->cause == CAUSE_NONE)
		judge(m, reply->certificate, reply->chain, trust->roots_pem);
	else
		failed(m, outcome->cause, &outcome->why, outcome->retry_after_ns);
	pki_request_free(TAKE_PTR(m->pending));
}

static void ask_vault(struct managed *m)
{
	struct control *control = m->control;
	const struct trust *trust = control->following.trust;
	cleanup_free char *body = NULL;
	struct err_text why = { "out of memory" };
	struct names names;
	struct pki_subject subject = subject_of(m->config, &names);

	if (pki_request_new(key_types[m->config->key_type], &subject, &m->pending, &why) < 0) {
		failed(m, CAUSE_LOCAL, &why, 0);
		return;
	}
	snprintf(m->pending_issuer, sizeof(m->pending_issuer), "%s", trust->issuers.paths[0]);
	body = sign_body(m->config, pki_request_csr(m->pending));
	if (body &&
	    vault_sign(control->vault, m->pending_issuer, m->config->role, body, on_signed, m))
		return;
	pki_request_free(TAKE_PTR(m->pending));
	err_set(&why, 0, "out of memory");
	failed(m, CAUSE_LOCAL, &why, 0);
}

/* --- the embedded CA --- */

static void ask_dev(struct managed *m)
{
	cleanup_free char *certificate = NULL, *root = NULL;
	struct names names;
	struct pki_subject subject = subject_of(m->config, &names);
	struct err_text why = { "" };
	int r = pki_request_new(key_types[m->config->key_type], &subject, &m->pending, &why);

	if (r == 0)
		r = embedded_ca_sign(m->config->dir, &subject, pki_request_key(m->pending),
				     &certificate, &root, &why);
	if (r == 0)
		judge(m, certificate, NULL, root);
	else
		failed(m, CAUSE_LOCAL, &why, 0);
	pki_request_free(TAKE_PTR(m->pending));
}

/* --- files --- */

static bool files_differ(struct managed *m)
{
	uint8_t digests[2][FILE_DIGEST_BYTES] = { { 0 } };

	if (file_digest(m->config->certificate, digests[0]) < 0 ||
	    file_digest(m->config->key, digests[1]) < 0 ||
	    memcmp(digests, m->digests, sizeof(digests)) == 0)
		return false;
	memcpy(m->digests, digests, sizeof(digests));
	return true;
}

static void read_files(struct managed *m)
{
	enum control_reason reason = m->credential ? CONTROL_FILES_CHANGED : CONTROL_FIRST;
	struct pki_credential *credential = NULL;
	struct err_text why = { "out of memory" };
	int r = pki_credential_load(m->config->certificate, m->config->key, &credential, &why);

	if (r == 0)
		succeeded(m, credential, reason);
	else
		failed(m, cause_of_fault(r), &why, 0);
}

/* --- turns --- */

static bool take_order(struct managed *m)
{
	bool ordered;

	pthread_mutex_lock(&m->control->mutex);
	ordered = m->ordered;
	m->ordered = false;
	pthread_mutex_unlock(&m->control->mutex);
	return ordered;
}

/* The clock was set back since: nobody who goes by it would take this one. */
static bool is_early(const struct managed *m)
{
	return m->credential->not_before > control_now() + PKI_AHEAD_SECONDS;
}

/* When it is to be issued next, on the monotonic clock; its reason is in m->reason. Whichever clock
 * comes first: that of the day may be set, the other one stands still while the host sleeps. */
static uint64_t due_of(struct managed *m, uint64_t now_ns)
{
	uint64_t due_ns = m->backoff.not_before_ns;
	int64_t until = m->renew_at - control_now();

	if (!m->credential || m->reason != CONTROL_RENEWED || until <= 0 || is_early(m))
		return due_ns;
	return MAX(due_ns, MIN(m->renew_ns, now_ns + SECONDS_NS(until)));
}

bool certificates_need_vault(struct control *control, uint64_t now_ns)
{
	if (!control->following.trust)
		return false;
	for (size_t i = 0; i < control->managed_count; i++) {
		struct managed *m = &control->managed[i];

		if (m->config->source == CONFIG_SOURCE_VAULT && !m->pending &&
		    due_of(m, now_ns) <= now_ns)
			return true;
	}
	return false;
}

static uint64_t turn_one(struct managed *m, uint64_t now_ns)
{
	struct control *control = m->control;
	uint64_t due_ns;

	if (take_order(m)) {
		m->reason = CONTROL_ORDERED;
		m->backoff = (struct backoff){ 0 };
		memset(m->digests, 0, sizeof(m->digests));
	}
	due_ns = due_of(m, now_ns);
	if (m->pending)
		return UINT64_MAX;
	if (due_ns > now_ns)
		return due_ns;
	if (m->config->source == CONFIG_SOURCE_DEV) {
		ask_dev(m);
		return due_of(m, now_ns);
	}
	/* A token, an issuer, the breaker: who waits for them is woken by what brings them. */
	if (!control->vault || !control->following.trust || !vault_ready(control->vault, now_ns))
		return UINT64_MAX;
	ask_vault(m);
	return m->pending ? UINT64_MAX : due_of(m, now_ns);
}

uint64_t certificates_turn(struct control *control, uint64_t now_ns)
{
	bool look = now_ns >= control->files_ns, any_files = false, ordered;
	uint64_t due_ns = UINT64_MAX;

	for (size_t i = 0; i < control->managed_count; i++) {
		struct managed *m = &control->managed[i];

		if (m->config->source == CONFIG_SOURCE_FILES) {
			any_files = true;
			ordered = take_order(m);
			if (ordered) /* again, whether they differ or not */
				memset(m->digests, 0, sizeof(m->digests));
			if ((look || ordered) && files_differ(m))
				read_files(m);
			continue;
		}
		due_ns = MIN(due_ns, turn_one(m, now_ns));
	}
	if (look)
		control->files_ns = now_ns + FILES_LOOK_NS;
	return any_files ? MIN(due_ns, control->files_ns) : due_ns;
}

/* The issuer is the one that it was: what was tried meanwhile is not wanted any more. */
static void settle(struct managed *m)
{
	if (m->reason != CONTROL_ISSUER_CHANGED)
		return;
	m->reason = CONTROL_RENEWED;
	m->backoff = (struct backoff){ 0 };
	pthread_mutex_lock(&m->control->mutex);
	m->status.cause = CAUSE_NONE;
	m->status.text.text[0] = 0;
	pthread_mutex_unlock(&m->control->mutex);
}

void certificates_issuer_changed(struct control *control)
{
	uint64_t now_ns = clock_monotonic_ns();

	for (size_t i = 0; i < control->managed_count; i++) {
		struct managed *m = &control->managed[i];

		if (m->config->source != CONFIG_SOURCE_VAULT || !m->credential)
			continue;
		if (is_of_primary(m)) {
			settle(m);
			continue;
		}
		m->reason = CONTROL_ISSUER_CHANGED;
		m->backoff =
			(struct backoff){ .not_before_ns = now_ns + jitter_up_to(&control->jitter,
										 SPREAD_NS) };
	}
}

void certificate_loaded(struct managed *m, struct pki_credential *credential,
			const struct kept_head *head)
{
	struct control *control = m->control;

	set_credential(m, credential, head->issued_at);
	memcpy(m->issuer, head->issuer, sizeof(m->issuer));
	m->request = head->request;
	m->loaded = true;
	m->reason = CONTROL_RENEWED;
	if (m->request != certificate_request_number(m->config))
		m->reason = CONTROL_FIRST; /* good, but not what is asked for now */
	else if (!is_of_primary(m))
		m->reason = CONTROL_ISSUER_CHANGED;
	pthread_mutex_lock(&control->mutex);
	show_good(m);
	pthread_mutex_unlock(&control->mutex);
	log_issued(m, CONTROL_LOADED);
}

void certificates_tell_loaded(struct control *control)
{
	for (size_t i = 0; i < control->managed_count; i++) {
		struct managed *m = &control->managed[i];

		if (!m->loaded)
			continue;
		m->loaded = false;
		control->events.issued(control->events.arg, m->config->name, m->credential,
				       CONTROL_LOADED);
	}
}

void certificates_fini(struct control *control)
{
	for (size_t i = 0; i < control->managed_count; i++) {
		pki_credential_unref(control->managed[i].credential);
		pki_request_free(control->managed[i].pending);
	}
	free(control->managed);
}
