/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks against files and host (check_host.h). What keeps the proxy from starting is an error;
 * what may be right on another host or at another time (names, addresses, the kernel) a warning.
 * The configuration may have mistakes: what could not be read of it is zero. Main thread.
 */
#include "cli/check_host.h"

#include <errno.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/util.h"
#include "cli/check_control.h"
#include "kern/pacing.h"
#include "kern/sandbox.h"
#include "loop/loop.h"
#include "tls/context.h"
#include "tls/ktls.h"

_Static_assert((int)CONFIG_AES_128_GCM == (int)TLS_CIPHER_AES_128_GCM_SHA256 &&
		       (int)CONFIG_AES_256_GCM == (int)TLS_CIPHER_AES_256_GCM_SHA384 &&
		       (int)CONFIG_CHACHA20_POLY1305 == (int)TLS_CIPHER_CHACHA20_POLY1305_SHA256,
	       "the configuration's ciphers are those of tls/, in the same order");

struct check {
	const struct config_listener *listener;
	size_t index;
	struct config_problems *problems;
	char path[64];
};

static const char *path_of(struct check *c, const char *key)
{
	snprintf(c->path, sizeof(c->path), "listeners[%zu].%s", c->index, key);
	return c->path;
}

static void add_finding(struct check *c, const struct pki_finding *finding, struct config_mark at,
			const char *key)
{
	if (finding->error)
		config_error_add(c->problems, at, path_of(c, key), "%s", finding->text);
	else
		config_warning_add(c->problems, at, path_of(c, key), "%s", finding->text);
}

static void check_identity(struct check *c, struct check_facts *facts)
{
	const struct config_tls *tls = &c->listener->tls;
	struct pki_findings findings = { 0 };

	if (!tls->certificate || !tls->key)
		return;
	facts->has_identity = pki_inspect_identity(tls->certificate, tls->key,
						   c->listener->role == CONFIG_ROLE_FRONT,
						   &facts->identity, &findings);
	for (size_t i = 0; i < findings.count; i++) {
		bool key = findings.items[i].about == PKI_ABOUT_KEY;

		add_finding(c, &findings.items[i], key ? tls->marks.key : tls->marks.certificate,
			    key ? "tls.key" : "tls.certificate");
	}
}

static void check_roots(struct check *c, struct check_facts *facts)
{
	const struct config_strings *roots = &c->listener->tls.roots;
	char key[32];

	for (size_t i = 0; i < roots->count; i++) {
		struct pki_findings findings = { 0 };

		facts->root_count += pki_inspect_roots(roots->items[i], &findings);
		snprintf(key, sizeof(key), "tls.roots[%zu]", i);
		for (size_t j = 0; j < findings.count; j++)
			add_finding(c, &findings.items[j], roots->marks[i], key);
	}
}

/* The last word has what the proxy itself will use. */
static void check_context(struct check *c)
{
	const struct config_tls *tls = &c->listener->tls;
	struct tls_context_params params = {
		.is_server = c->listener->role == CONFIG_ROLE_FRONT,
		.certificate_file = tls->certificate,
		.key_file = tls->key,
		.root_files = (const char *const *)tls->roots.items,
		.root_file_count = tls->roots.count,
		.min_version = (uint16_t)tls->min_version,
		.cipher_count = tls->cipher_count,
		.alpn = (const char *const *)tls->alpn.items,
		.alpn_count = tls->alpn.count,
		.server_name = tls->server_name,
	};
	struct err_text err = { "no memory" };
	struct config_mark at = c->listener->marks.tls;
	struct tls_context *context = NULL;
	const char *key = "tls";
	int r;

	/* What comes from the control plane is not there yet. */
	if (tls->certificate_from || tls->roots_from == CONFIG_ROOTS_FROM_VAULT)
		return;
	for (size_t i = 0; i < tls->cipher_count; i++)
		params.ciphers[i] = (enum tls_cipher)tls->ciphers[i];
	r = tls_context_new(&params, &context, &err);
	tls_context_unref(context);
	if (r == 0)
		return;
	if (r == TLS_CONTEXT_FAULT_CERTIFICATE) {
		at = tls->marks.certificate;
		key = "tls.certificate";
	} else if (r == TLS_CONTEXT_FAULT_KEY) {
		at = tls->marks.key;
		key = "tls.key";
	} else if (r == TLS_CONTEXT_FAULT_ROOTS) {
		at = tls->marks.roots;
		key = "tls.roots";
	}
	config_error_add(c->problems, at, path_of(c, key), "%s", err.text);
}

static void check_upstream(struct check *c)
{
	const struct endpoint *upstream = &c->listener->upstream;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	struct stat st;
	int r;

	if (upstream->is_unix) {
		if (stat(upstream->host, &st) < 0 || !S_ISSOCK(st.st_mode))
			config_warning_add(c->problems, c->listener->marks.upstream,
					   path_of(c, "upstream"), "there is no socket %s now",
					   upstream->host);
		return;
	}
	r = getaddrinfo(upstream->host, NULL, &hints, &found);
	if (r == 0)
		freeaddrinfo(found);
	else
		config_warning_add(c->problems, c->listener->marks.upstream, path_of(c, "upstream"),
				   "'%s' does not resolve here: %s", upstream->host,
				   gai_strerror(r));
}

static void check_unix_listen(struct check *c, const char *socket_path)
{
	char folder[sizeof(c->listener->listen.host)];
	char *slash;
	struct stat st;

	snprintf(folder, sizeof(folder), "%s", socket_path);
	slash = strrchr(folder, '/');
	if (!slash)
		return;
	slash[slash == folder] = 0;
	if (stat(folder, &st) < 0 || !S_ISDIR(st.st_mode))
		config_warning_add(c->problems, c->listener->marks.listen, path_of(c, "listen"),
				   "there is no folder %s now", folder);
}

/* Binds, without listening, to any port of the address: the kernel knows best if it is ours. */
static void check_listen(struct check *c)
{
	struct endpoint any_port = c->listener->listen;
	struct sockaddr_storage address;
	cleanup_close int fd = -1;
	socklen_t len;

	if (any_port.is_unix) {
		check_unix_listen(c, any_port.host);
		return;
	}
	any_port.port = 0;
	if (endpoint_sockaddr(&any_port, &address, &len) < 0)
		return;
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, len) < 0 && errno == EADDRNOTAVAIL)
		config_warning_add(c->problems, c->listener->marks.listen, path_of(c, "listen"),
				   "no interface of this host has the address %s now",
				   any_port.host);
}

static void check_sandbox(const struct config *config, struct config_problems *problems)
{
	struct err_text why;

	if (config->user && !getpwnam(config->user))
		config_warning_add(problems, config->marks.user, "user",
				   "there is no user '%s' on this host", config->user);
	if (config->sandbox == CONFIG_SANDBOX_REQUIRED && sandbox_landlock_abi(&why) < 0)
		config_warning_add(problems, config->marks.sandbox, "sandbox",
				   "on this host there is no Landlock: %s", why.text);
}

static void check_kernel(const struct config *config, struct config_problems *problems)
{
	struct ktls_support ktls;
	struct err_text why;
	bool probed = false;

	if (config->loop == CONFIG_LOOP_IO_URING && !loop_io_uring_usable(&why))
		config_warning_add(problems, config->marks.loop, "loop",
				   "io_uring can not be used here: %s", why.text);
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *l = &config->listeners[i];
		char path[64];

		if (l->ktls != CONFIG_KTLS_REQUIRED)
			continue;
		if (!probed)
			ktls_probe(&ktls);
		probed = true;
		snprintf(path, sizeof(path), "listeners[%zu].ktls", i);
		if (ktls.why[0])
			config_warning_add(problems, l->marks.ktls, path, "on this host: %s",
					   ktls.why);
	}
}

/* Whether the proxy will be permitted to, only its start tells: that is another user, mostly. */
static void check_pacing(const struct config_clients *clients, struct config_problems *problems)
{
	char fq[64];

	if (clients->pacing != CONFIG_PACING_BPF)
		return;
	pacing_devices(fq, sizeof(fq));
	if (!pacing_is_built())
		config_warning_add(problems, clients->marks.pacing, "clients.pacing",
				   "this sallyport was built without bpf: it will be 'socket'");
	else if (!fq[0])
		config_warning_add(
			problems, clients->marks.pacing, "clients.pacing",
			"no interface of this host has fq now, which bpf needs: tc qdisc "
			"replace dev DEVICE root fq");
}

/* Whether the proxy may write there is its own user's matter; a folder must be there for anybody.
 */
static void check_folder_of(const char *file, struct config_mark at, const char *path,
			    struct config_problems *problems)
{
	cleanup_free char *folder = file ? strdup(file) : NULL;
	char *slash = folder ? strrchr(folder, '/') : NULL;
	struct stat st;

	if (!slash)
		return;
	slash[slash == folder] = 0; /* "/audit.log" lies in "/" */
	if (stat(folder, &st) < 0)
		config_error_add(problems, at, path, "%s: %s", folder, strerror(errno));
}

/* It is made, if there is where. */
static void check_signing_keys(const struct config_identity_keys *identity,
			       struct config_problems *problems)
{
	static const char path[] = "identity.directory";
	struct stat st;

	if (!identity->directory)
		return;
	if (stat(identity->directory, &st) < 0)
		check_folder_of(identity->directory, identity->marks.directory, path, problems);
	else if (!S_ISDIR(st.st_mode))
		config_error_add(problems, identity->marks.directory, path, "%s is not a folder",
				 identity->directory);
}

void check_host(const struct config *config, struct config_problems *problems,
		struct check_facts *facts)
{
	bool sound = !problems->errors;

	for (size_t i = 0; i < config->listener_count; i++) {
		struct check c = { &config->listeners[i], i, problems, "" };
		size_t errors = problems->errors;

		if (c.listener->listen.host[0])
			check_listen(&c);
		if (c.listener->upstream.host[0])
			check_upstream(&c);
		check_identity(&c, &facts[i]);
		check_roots(&c, &facts[i]);
		if (sound && problems->errors == errors)
			check_context(&c);
	}
	check_sandbox(config, problems);
	check_kernel(config, problems);
	check_pacing(&config->clients, problems);
	check_folder_of(config->audit.file, config->audit.marks.file, "audit.file", problems);
	check_signing_keys(&config->identity, problems);
	check_control(config, problems);
	config_problems_sort(problems);
}
