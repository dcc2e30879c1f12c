/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layouts (layout.h): which files there are and what is in them; generation.c puts them on disk.
 * PKCS#12 stores differ each time they are made (salts), so that what is on disk is compared by
 * what is inside of them. Main thread.
 */
#include "agent/layout.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "agent/template.h"
#include "base/secret.h"
#include "base/util.h"
#include "limits/limits.h"

#define CERTIFICATE_FILE "tls.crt"
#define KEY_FILE	 "tls.key"
#define CHAIN_FILE	 "chain.crt"
#define ROOTS_FILE	 "ca.crt"
#define KEYSTORE_FILE	 "keystore.p12"
#define TRUSTSTORE_FILE	 "truststore.p12"
#define ORIGIN_FILE	 ".origin" /* for us: control_origin() */
#define PASSWORD_MAX	 256

#define cleanup_bytes __attribute__((cleanup(pki_bytes_fini)))

/* What is laid out, and where. */
struct rendering {
	const struct layout *layout;
	const struct pki_credential *credential;
	const char *roots_pem, *origin;
	struct pki_bytes password; /* empty: there is none */
	char *full_chain;	   /* leaf and intermediates */
	struct generation *generation;
	struct err_text *err;
};

/* --- life --- */

static int find_owner(struct layout *layout, const char *name, struct err_text *err)
{
	const struct passwd *user = getpwnam(name);

	if (!user)
		return err_set(err, -EINVAL, "there is no user '%s' on this host", name);
	layout->uid = user->pw_uid;
	layout->gid = user->pw_gid;
	return 0;
}

static int find_group(struct layout *layout, const char *name, struct err_text *err)
{
	const struct group *group = getgrnam(name);

	if (!group)
		return err_set(err, -EINVAL, "there is no group '%s' on this host", name);
	layout->gid = group->gr_gid;
	return 0;
}

int layout_init(struct layout *layout, const struct config_agent_certificate *certificate,
		const struct config_layout *config, struct err_text *err)
{
	int r = 0;

	*layout = (struct layout){
		.certificate = certificate, .config = config, .uid = (uid_t)-1, .gid = (gid_t)-1
	};
	if (certificate->owner)
		r = find_owner(layout, certificate->owner, err);
	if (r == 0 && certificate->group)
		r = find_group(layout, certificate->group, err);
	return r;
}

static void file_path(const struct layout *layout, const char *name, char ret[PATH_MAX])
{
	generation_path(layout->config->directory, name, ret);
}

int layout_password(const char *file, struct pki_bytes *ret, struct err_text *err)
{
	struct pki_bytes bytes = { 0 };
	int r = generation_read(file, PASSWORD_MAX + 2, &bytes);
	size_t len;

	if (r < 0)
		return err_set(err, r, "%s: %s", file,
			       r == -EFBIG ? "larger than any password" : strerror(-r));
	len = strcspn(bytes.bytes, "\r\n");
	if (len && len <= PASSWORD_MAX) {
		bytes.bytes[len] = 0;
		*ret = bytes;
		return 0;
	}
	pki_bytes_fini(&bytes);
	return err_set(err, -EINVAL, "%s: no password in its first line", file);
}

/* --- making --- */

/* Takes `content`. */
static void add_file(struct rendering *r, const char *name, bool secret, struct pki_bytes content)
{
	r->generation->files[r->generation->count++] =
		(struct generation_file){ name, secret, content };
}

static int add_text(struct rendering *r, const char *name, bool secret, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return err_set(r->err, -ENOMEM, "no memory");
	add_file(r, name, secret, (struct pki_bytes){ copy, strlen(copy) });
	return 0;
}

static int render_pem(struct rendering *r)
{
	int code = add_text(r, CERTIFICATE_FILE, false, r->full_chain);

	if (code == 0)
		code = add_text(r, KEY_FILE, true, r->credential->key_pem);
	if (code == 0)
		code = add_text(r, CHAIN_FILE, false, r->credential->chain_pem);
	if (code == 0)
		code = add_text(r, ROOTS_FILE, false, r->roots_pem);
	return code;
}

static int render_pkcs12(struct rendering *r)
{
	struct pki_bytes store;
	int code = pkcs12_keystore(r->full_chain, r->credential->key_pem,
				   r->layout->certificate->certificate.name, r->password.bytes,
				   &store, r->err);

	if (code < 0)
		return code;
	add_file(r, KEYSTORE_FILE, true, store);
	code = pkcs12_truststore(r->roots_pem, r->password.bytes, &store, r->err);
	if (code == 0)
		add_file(r, TRUSTSTORE_FILE, false, store);
	return code;
}

static int render_template(struct rendering *r, const struct config_template *template)
{
	const struct pki_credential *c = r->credential;
	char not_before[PKI_TIME_TEXT_BYTES], not_after[PKI_TIME_TEXT_BYTES];
	const struct template_values values = { {
		[TEMPLATE_CERTIFICATE] = c->certificate_pem,
		[TEMPLATE_CHAIN] = c->chain_pem,
		[TEMPLATE_PRIVATE_KEY] = c->key_pem,
		[TEMPLATE_ROOTS] = r->roots_pem,
		[TEMPLATE_STORE_PASSWORD] = r->password.bytes,
		[TEMPLATE_NAME] = r->layout->certificate->certificate.name,
		[TEMPLATE_COMMON_NAME] = c->cn,
		[TEMPLATE_SERIAL] = c->serial,
		[TEMPLATE_ISSUER] = c->issuer_cn,
		[TEMPLATE_NOT_BEFORE] = not_before,
		[TEMPLATE_NOT_AFTER] = not_after,
		[TEMPLATE_DIRECTORY] = r->layout->config->directory,
	} };
	cleanup_bytes struct pki_bytes source = { 0 };
	struct pki_bytes text;
	struct err_text why;
	unsigned int uses = 0;
	int code = generation_read(template->source, TEMPLATE_BYTES_MAX, &source);

	if (code < 0)
		return err_set(r->err, code, "template %s: %s", template->source, strerror(-code));
	pki_time_text(c->not_before, not_before);
	pki_time_text(c->not_after, not_after);
	code = template_check(source.bytes, source.len, &uses, &why);
	if (code == 0)
		code = template_render(source.bytes, source.len, &values, &text, &why);
	if (code < 0)
		return err_set(r->err, code, "template %s:%s", template->source, why.text);
	add_file(r, template->target, template_is_secret(uses), text);
	return 0;
}

static int render_files(struct rendering *r)
{
	const struct config_layout *config = r->layout->config;
	int code = 0;

	if (config->password_file)
		code = layout_password(config->password_file, &r->password, r->err);
	if (asprintf(&r->full_chain, "%s%s", r->credential->certificate_pem,
		     r->credential->chain_pem) < 0) {
		r->full_chain = NULL;
		code = err_set(r->err, -ENOMEM, "no memory");
	}
	if (code == 0 && config_layout_has(config, CONFIG_LAYOUT_PEM))
		code = render_pem(r);
	if (code == 0 && config_layout_has(config, CONFIG_LAYOUT_PKCS12))
		code = render_pkcs12(r);
	for (size_t i = 0; i < config->template_count && code == 0; i++)
		code = render_template(r, &config->templates[i]);
	if (code == 0)
		code = add_text(r, ORIGIN_FILE, false, r->origin);
	return code;
}

/* All files in memory; `ret` is the caller's to finish in any case. */
static int render(const struct layout *layout, const struct layout_content *content,
		  struct generation *ret, struct err_text *err)
{
	struct rendering r = { .layout = layout,
			       .credential = content->credential,
			       .roots_pem = content->roots_pem,
			       .origin = content->origin,
			       .generation = ret,
			       .err = err };
	int code;

	*ret = (struct generation){
		.directory = layout->config->directory,
		.uid = layout->uid,
		.gid = layout->gid,
		.secret_mode = config_agent_mode(layout->certificate),
		.keep_s = layout->certificate->keep_ms / 1000,
	};
	code = render_files(&r);
	pki_bytes_fini(&r.password);
	free(r.full_chain);
	return code;
}

/* --- what is there --- */

static void remember(struct layout *layout, const struct generation *generation)
{
	char path[PATH_MAX];

	layout->count = generation->count;
	layout->known = true;
	for (size_t i = 0; i < generation->count; i++) {
		snprintf(layout->files[i].name, sizeof(layout->files[i].name), "%s",
			 generation->files[i].name);
		file_path(layout, layout->files[i].name, path);
		if (file_digest(path, layout->files[i].digest) < 0)
			layout->known = false;
	}
}

int layout_write(struct layout *layout, const struct layout_content *content, struct err_text *err)
{
	struct generation generation;
	int r = render(layout, content, &generation, err);

	if (r == 0)
		r = generation_write(&generation, err);
	if (r == 0)
		remember(layout, &generation);
	generation_fini(&generation);
	return r;
}

static bool bytes_equal(const struct pki_bytes *a, const struct pki_bytes *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static bool stores_equal(const struct layout *layout, const struct pki_bytes *a,
			 const struct pki_bytes *b)
{
	cleanup_bytes struct pki_bytes password = { 0 }, key_a = { 0 }, key_b = { 0 };
	cleanup_bytes struct pki_bytes certificates_a = { 0 }, certificates_b = { 0 };

	return layout_password(layout->config->password_file, &password, NULL) == 0 &&
	       pkcs12_read(a, password.bytes, &certificates_a, &key_a, NULL) == 0 &&
	       pkcs12_read(b, password.bytes, &certificates_b, &key_b, NULL) == 0 &&
	       bytes_equal(&certificates_a, &certificates_b) && bytes_equal(&key_a, &key_b);
}

static bool file_holds(const struct layout *layout, const struct generation *generation,
		       const struct generation_file *file)
{
	cleanup_bytes struct pki_bytes there = { 0 };
	char path[PATH_MAX];

	file_path(layout, file->name, path);
	if (!generation_file_stands(generation, file) ||
	    generation_read(path, PEM_FILE_BYTES_MAX, &there) < 0)
		return false;
	if (strcmp(file->name, KEYSTORE_FILE) == 0 || strcmp(file->name, TRUSTSTORE_FILE) == 0)
		return stores_equal(layout, &there, &file->content);
	return bytes_equal(&there, &file->content);
}

bool layout_holds(struct layout *layout, const struct layout_content *content)
{
	struct generation generation;
	bool holds = render(layout, content, &generation, NULL) == 0;

	for (size_t i = 0; i < generation.count && holds; i++)
		holds = file_holds(layout, &generation, &generation.files[i]);
	if (holds)
		remember(layout, &generation);
	generation_fini(&generation);
	return holds;
}

bool layout_stands(const struct layout *layout, const char **ret_name)
{
	char path[PATH_MAX];

	for (size_t i = 0; layout->known && i < layout->count; i++) {
		uint8_t digest[FILE_DIGEST_BYTES];

		file_path(layout, layout->files[i].name, path);
		/* Out of descriptors, say: then nothing is known. */
		if (file_digest(path, digest) < 0 ||
		    memcmp(digest, layout->files[i].digest, sizeof(digest)) == 0)
			continue;
		*ret_name = layout->files[i].name;
		return false;
	}
	return true;
}

/* --- reading back --- */

static int read_file(const struct layout *layout, const char *name, struct pki_bytes *ret,
		     struct err_text *err)
{
	char path[PATH_MAX];
	int r;

	file_path(layout, name, path);
	r = generation_read(path, PEM_FILE_BYTES_MAX, ret);
	return r < 0 ? err_set(err, r, "%s: %s", path, strerror(-r)) : 0;
}

static int read_pem(const struct layout *layout, struct pki_bytes *ret_chain,
		    struct pki_bytes *ret_key, struct pki_bytes *ret_roots, struct err_text *err)
{
	int r = read_file(layout, CERTIFICATE_FILE, ret_chain, err);

	if (r == 0)
		r = read_file(layout, KEY_FILE, ret_key, err);
	if (r == 0)
		r = read_file(layout, ROOTS_FILE, ret_roots, err);
	return r;
}

static int read_pkcs12(const struct layout *layout, struct pki_bytes *ret_chain,
		       struct pki_bytes *ret_key, struct pki_bytes *ret_roots, struct err_text *err)
{
	cleanup_bytes struct pki_bytes password = { 0 }, keys = { 0 }, trusted = { 0 };
	cleanup_bytes struct pki_bytes no_key = { 0 };
	int r = layout_password(layout->config->password_file, &password, err);

	if (r == 0)
		r = read_file(layout, KEYSTORE_FILE, &keys, err);
	if (r == 0)
		r = read_file(layout, TRUSTSTORE_FILE, &trusted, err);
	if (r == 0)
		r = pkcs12_read(&keys, password.bytes, ret_chain, ret_key, err);
	if (r == 0)
		r = pkcs12_read(&trusted, password.bytes, ret_roots, &no_key, err);
	return r;
}

int layout_read(const struct layout *layout, struct pki_credential **ret, char **ret_roots,
		char ret_origin[CONTROL_ORIGIN_BYTES], struct err_text *err)
{
	cleanup_bytes struct pki_bytes chain = { 0 }, key = { 0 }, roots = { 0 }, origin = { 0 };
	int r = -ENOTSUP;

	if (config_layout_has(layout->config, CONFIG_LAYOUT_PEM))
		r = read_pem(layout, &chain, &key, &roots, err);
	else if (config_layout_has(layout->config, CONFIG_LAYOUT_PKCS12))
		r = read_pkcs12(layout, &chain, &key, &roots, err);
	else
		err_set(err, r, "%s: only templates, which can not be read back",
			layout->config->directory);
	if (r == 0)
		r = read_file(layout, ORIGIN_FILE, &origin, err);
	if (r == 0) {
		r = pki_credential_parse(chain.bytes, key.bytes, roots.bytes, ret, err);
		r = r > 0 ? -EINVAL : r;
	}
	if (r == 0) {
		snprintf(ret_origin, CONTROL_ORIGIN_BYTES, "%s", origin.bytes);
		*ret_roots = TAKE_PTR(roots.bytes);
	}
	return r;
}
