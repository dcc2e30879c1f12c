/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept on disk (vault.persist), so that a start needs neither Vault nor Consul: a file for
 * each certificate, with its key, its chain and a line that says what it was asked for, and one for
 * the roots. Each is there whole or not at all. What is not good any more is left alone; the next
 * one replaces it. What can not be written is tried again. The turning thread, and before it the
 * one that makes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "control/control_impl.h"
#include "limits/limits.h"
#include "pki/store.h"

#define TRUST_FILE "trust.json"
#define HEAD	   "sallyport: issuer="
#define PATH_BYTES 4400
#define RETRY_NS   (5 * NSEC_PER_SEC)

static const char *folder(const struct control *control)
{
	return control->options.vault ? control->options.vault->persist : NULL;
}

/* What came from files lies on disk already. */
static bool is_kept(const struct managed *m)
{
	return folder(m->control) && m->config->source != CONFIG_SOURCE_FILES;
}

static int save(const struct control *control, const char *name, mode_t mode, const char *text,
		struct err_text *err)
{
	const struct store_file file = { name, mode, text, strlen(text) };
	struct store store = { .fd = -1 };
	int r = store_open(&store, folder(control), false, err);

	if (r == 0)
		r = store_write(&store, &file, 1, true, err);
	store_close(&store);
	return r;
}

static void file_name(const struct managed *m, char ret[CERTIFICATE_NAME_MAX + 8])
{
	snprintf(ret, CERTIFICATE_NAME_MAX + 8, "%s.pem", m->config->name);
}

static void write_head(const struct managed *m, char ret[CONTROL_ORIGIN_BYTES])
{
	snprintf(ret, CONTROL_ORIGIN_BYTES, HEAD "%s request=%016llx issued=%lld\n", m->issuer,
		 (unsigned long long)m->request, (long long)m->issued_at);
}

void control_origin(const struct control *control, const char *name, char ret[CONTROL_ORIGIN_BYTES])
{
	ret[0] = 0;
	for (size_t i = 0; i < control->managed_count; i++) {
		const struct managed *m = &control->managed[i];

		if (m->credential && strcmp(m->config->name, name) == 0)
			write_head(m, ret);
	}
}

static int write_certificate(const struct managed *m, struct err_text *err)
{
	char name[CERTIFICATE_NAME_MAX + 8], head[CONTROL_ORIGIN_BYTES];
	char *text = NULL;
	int r;

	if (!is_kept(m))
		return 0;
	file_name(m, name);
	write_head(m, head);
	if (asprintf(&text, "%s%s%s%s", head, m->credential->key_pem,
		     m->credential->certificate_pem, m->credential->chain_pem) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	r = save(m->control, name, 0600, text, err);
	secret_wipe(text, strlen(text));
	free(text);
	return r;
}

static int write_trust(const struct control *control, struct err_text *err)
{
	const struct trust *trust = control->following.trust;
	json_t *secondaries = json_array(), *root;
	cleanup_free char *text = NULL;

	if (!folder(control)) {
		json_decref(secondaries);
		return 0;
	}
	for (size_t i = 1; i < trust->issuers.count; i++)
		json_array_append_new(secondaries, json_string(trust->issuers.paths[i]));
	root = json_pack("{s:s, s:o, s:s}", "primary_issuer", trust->issuers.paths[0],
			 "secondary_issuers", secondaries, "roots", trust->roots_pem);
	text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
	json_decref(root);
	if (!text)
		return err_set(err, -ENOMEM, "out of memory");
	return save(control, TRUST_FILE, 0644, text, err);
}

/* For who has written one: `failed`, and what comes of it. */
static void note(struct control *control, bool *unkept, bool failed)
{
	*unkept = failed;
	if (failed)
		control->keep_ns = clock_monotonic_ns() + RETRY_NS;
}

int kept_save_certificate(struct managed *m, struct err_text *err)
{
	int r = write_certificate(m, err);

	note(m->control, &m->unkept, r < 0);
	return r;
}

int kept_save_trust(struct control *control, struct err_text *err)
{
	int r = write_trust(control, err);

	note(control, &control->following.unkept, r < 0);
	return r;
}

static void tell_kept(struct managed *m)
{
	struct control_certificate_status *status = &m->status;

	log_msg(LOG_INFO, "kept", "%s/%s.pem is as it should be", folder(m->control),
		m->config->name);
	pthread_mutex_lock(&m->control->mutex);
	if (status->cause == CAUSE_LOCAL) {
		status->cause = CAUSE_NONE;
		status->text.text[0] = 0;
	}
	pthread_mutex_unlock(&m->control->mutex);
}

uint64_t kept_turn(struct control *control, uint64_t now_ns)
{
	struct err_text why;

	if (!control->keep_ns)
		return UINT64_MAX;
	if (now_ns < control->keep_ns)
		return control->keep_ns;
	control->keep_ns = 0;
	if (control->following.unkept && kept_save_trust(control, &why) == 0)
		log_msg(LOG_INFO, "kept", "%s/" TRUST_FILE " is as it should be", folder(control));
	for (size_t i = 0; i < control->managed_count; i++) {
		struct managed *m = &control->managed[i];

		if (m->unkept && kept_save_certificate(m, &why) == 0)
			tell_kept(m);
	}
	return control->keep_ns ? control->keep_ns : UINT64_MAX;
}

/* --- reading --- */

/* NULL and errno. The caller wipes it. */
static char *read_file(const struct control *control, const char *name)
{
	char path[PATH_BYTES];
	cleanup_close int fd = -1;
	struct stat st;
	char *text;
	ssize_t len;

	snprintf(path, sizeof(path), "%s/%s", folder(control), name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	if (st.st_size > PEM_FILE_BYTES_MAX || !S_ISREG(st.st_mode)) {
		errno = EFBIG;
		return NULL;
	}
	text = calloc(1, (size_t)st.st_size + 1);
	len = text ? read(fd, text, (size_t)st.st_size) : -1;
	if (len == st.st_size)
		return text;
	free(text);
	errno = EIO;
	return NULL;
}

static void not_good(const char *name, const char *why)
{
	log_msg(LOG_WARNING, "kept_unusable", "%s: %s; it will be replaced", name, why);
}

static struct trust *parse_trust(const char *text, struct err_text *why)
{
	json_t *root = json_loads(text, 0, NULL);
	const char *pem = json_string_value(json_object_get(root, "roots"));
	const char *pems[ISSUERS_MAX];
	struct trust *trust = NULL;
	struct issuers issuers;

	err_set(why, 0, "not of the form that was written");
	/* The roots of all issuers are one text here. */
	for (size_t i = 0; i < ISSUERS_MAX; i++)
		pems[i] = pem;
	if (pem && issuers_parse(text, strlen(text), &issuers, why) == 0)
		(void)trust_new(&issuers, pems, &trust, why);
	json_decref(root);
	return trust;
}

static void load_trust(struct control *control)
{
	cleanup_free char *text = read_file(control, TRUST_FILE);
	struct trust *trust;
	struct err_text why;

	if (!text) {
		if (errno != ENOENT)
			not_good(TRUST_FILE, strerror(errno));
		return;
	}
	trust = parse_trust(text, &why);
	if (trust)
		issuers_loaded(control, trust);
	else
		not_good(TRUST_FILE, why.text);
}

/* The line before the PEM. */
static bool parse_head(const char *text, struct kept_head *ret)
{
	static const char request[] = " request=", issued[] = " issued=";
	const char *at = text + strlen(HEAD);
	size_t len;
	char *end;

	if (strncmp(text, HEAD, strlen(HEAD)) != 0)
		return false;
	len = strcspn(at, " \n");
	if (len > ISSUER_PATH_BYTES_MAX || strncmp(at + len, request, strlen(request)) != 0)
		return false;
	memcpy(ret->issuer, at, len);
	ret->issuer[len] = 0;
	ret->request = strtoull(at + len + strlen(request), &end, 16);
	if (strncmp(end, issued, strlen(issued)) != 0)
		return false;
	ret->issued_at = strtoll(end + strlen(issued), &end, 10);
	return *end == '\n';
}

static void load_certificate(struct managed *m)
{
	const struct trust *trust = m->control->following.trust;
	const char *roots =
		trust && m->config->source == CONFIG_SOURCE_VAULT ? trust->roots_pem : NULL;
	char name[CERTIFICATE_NAME_MAX + 8], *text;
	struct pki_credential *credential = NULL;
	struct err_text why = { "not of the form that was written" };
	struct kept_head head;

	if (!is_kept(m))
		return;
	file_name(m, name);
	text = read_file(m->control, name);
	if (!text) {
		if (errno != ENOENT)
			not_good(name, strerror(errno));
		return;
	}
	if (parse_head(text, &head) &&
	    pki_credential_parse(text, text, roots, &credential, &why) == 0)
		certificate_loaded(m, credential, &head);
	else
		not_good(name, why.text);
	secret_wipe(text, strlen(text));
	free(text);
}

/* What the owner has kept by itself. */
static void ask_owner(struct managed *m)
{
	const struct control_events *events = &m->control->events;
	char origin[CONTROL_ORIGIN_BYTES] = "";
	struct pki_credential *credential;
	struct kept_head head;

	if (!events->kept || m->credential || m->config->source == CONFIG_SOURCE_FILES)
		return;
	credential = events->kept(events->arg, m->config->name, origin);
	if (credential && parse_head(origin, &head))
		certificate_loaded(m, credential, &head);
	else
		pki_credential_unref(credential);
}

void kept_load(struct control *control)
{
	/* Before rights are given up, which go by folders that are there. */
	if (folder(control) && access(folder(control), F_OK) < 0 &&
	    mkdir(folder(control), 0700) < 0)
		log_msg(LOG_ERROR, "keep_failed", "can not make the folder %s: %s", folder(control),
			strerror(errno));
	if (folder(control))
		load_trust(control);
	for (size_t i = 0; i < control->managed_count; i++) {
		if (folder(control))
			load_certificate(&control->managed[i]);
		ask_owner(&control->managed[i]);
	}
}
