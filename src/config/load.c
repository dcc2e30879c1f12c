/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading (load.h): file -> bytes -> tree (tree.c) -> structs (walk.c, along schema.c) ->
 * contradictions (verify.c). Each stage adds to the same list of problems; a mistake of syntax ends
 * it, all others do not. No state; any thread.
 */
#include "config/load.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "config/agent.h"
#include "config/schema.h"
#include "config/tree.h"
#include "config/verify.h"
#include "config/walk.h"
#include "limits/limits.h"

#define PIPE_WAIT_MS 10000 /* for the writer of a pipe, such as /dev/stdin */

/* Texts hold pieces of the file: nothing of it may move a terminal's cursor or forge a line. */
static void make_printable(char *text)
{
	unsigned char *s = (unsigned char *)text;

	for (; *s; s++) {
		if (*s < 0x20 || *s == 0x7f)
			*s = '?';
		else if (s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0) /* C1 controls */
			s[0] = s[1] = '?';
	}
}

/* A text cut at its size may end within a character. */
static void trim_half_character(char *text)
{
	size_t len = strlen(text), start = len;

	while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
		start--;
	if (start == 0 || (unsigned char)text[start - 1] < 0xc0)
		return;
	unsigned char lead = (unsigned char)text[start - 1];
	size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;

	if (len - (start - 1) < need)
		text[start - 1] = 0;
}

static void problem_add(struct config_problems *problems, enum config_severity severity,
			struct config_mark at, const char *path, const char *fmt, va_list ap)
	__attribute__((format(printf, 5, 0)));

static void problem_add(struct config_problems *problems, enum config_severity severity,
			struct config_mark at, const char *path, const char *fmt, va_list ap)
{
	struct config_problem *p;

	if (severity == CONFIG_ERROR)
		problems->errors++;
	else
		problems->warnings++;
	if (problems->count == CONFIG_PROBLEMS_MAX) {
		problems->dropped++;
		return;
	}
	p = &problems->items[problems->count++];
	p->severity = severity;
	p->line = at.line;
	p->column = at.column;
	snprintf(p->path, sizeof(p->path), "%s", path);
	vsnprintf(p->text, sizeof(p->text), fmt, ap);
	trim_half_character(p->path);
	trim_half_character(p->text);
	make_printable(p->path);
	make_printable(p->text);
}

void config_error_add(struct config_problems *problems, struct config_mark at, const char *path,
		      const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	problem_add(problems, CONFIG_ERROR, at, path, fmt, ap);
	va_end(ap);
}

void config_warning_add(struct config_problems *problems, struct config_mark at, const char *path,
			const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	problem_add(problems, CONFIG_WARNING, at, path, fmt, ap);
	va_end(ap);
}

static bool before(const struct config_problem *a, const struct config_problem *b)
{
	return a->line < b->line || (a->line == b->line && a->column < b->column);
}

/* By insertion: stable, and the list is short. */
void config_problems_sort(struct config_problems *problems)
{
	for (size_t i = 1; i < problems->count; i++) {
		struct config_problem moved = problems->items[i];
		size_t j = i;

		for (; j > 0 && before(&moved, &problems->items[j - 1]); j--)
			problems->items[j] = problems->items[j - 1];
		problems->items[j] = moved;
	}
}

/* What a file is read as; each begins with a struct config. */
struct form {
	const struct schema_section *root;
	void (*verify)(const struct config *config, struct config_problems *problems);
	void (*free)(struct config *config);
};

static const struct form proxy_form = { &schema_root, config_verify, config_free };

static void verify_agent(const struct config *config, struct config_problems *problems)
{
	config_agent_verify((const struct config_agent *)config, problems);
}

static void free_agent(struct config *config)
{
	config_agent_free((struct config_agent *)config);
}

static const struct form agent_form = { &schema_agent_root, verify_agent, free_agent };

/* `keep`: what has errors is given too. */
static int load_bytes(const char *bytes, size_t len, const char *folder, const struct form *form,
		      bool keep, struct config **ret_config, struct config_problems *problems)
{
	struct config_tree tree = { 0 };
	struct config *config;
	int r = config_tree_parse(bytes, len, &tree, problems);

	if (r < 0)
		return r;
	config = calloc(1, form->root->bytes);
	r = config ? config_walk(&tree, folder, form->root, config, problems) : -ENOMEM;
	if (r == 0)
		form->verify(config, problems);
	config_tree_free(&tree);
	config_problems_sort(problems);
	if (r == 0 && problems->errors)
		r = -EINVAL;
	if (r == 0 || (r == -EINVAL && keep))
		*ret_config = config;
	else
		form->free(config);
	return r;
}

int config_load_bytes(const char *bytes, size_t len, const char *folder, struct config **ret_config,
		      struct config_problems *problems)
{
	return load_bytes(bytes, len, folder, &proxy_form, false, ret_config, problems);
}

static void verify_clients(const struct config *config, struct config_problems *problems)
{
	config_verify_clients(&config->clients, problems);
}

static const struct form clients_form = { &schema_clients_root, verify_clients, config_free };

int config_load_clients(const char *bytes, size_t len, struct config **ret_config,
			struct config_problems *problems)
{
	return load_bytes(bytes, len, "/", &clients_form, false, ret_config, problems);
}

/* Whole content of a file, at most CONFIG_FILE_BYTES_MAX. */
static int read_whole(int fd, char **ret, size_t *ret_len)
{
	cleanup_free char *bytes = malloc(CONFIG_FILE_BYTES_MAX + 1);
	struct pollfd readable = { .fd = fd, .events = POLLIN };
	size_t used = 0;
	ssize_t n;

	if (!bytes)
		return -ENOMEM;
	do {
		n = read(fd, bytes + used, CONFIG_FILE_BYTES_MAX + 1 - used);
		if (n < 0 && errno == EAGAIN && poll(&readable, 1, PIPE_WAIT_MS) == 0)
			return -ETIMEDOUT;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		used += n > 0 ? (size_t)n : 0;
	} while (n != 0 && used <= CONFIG_FILE_BYTES_MAX);
	if (used > CONFIG_FILE_BYTES_MAX)
		return -EFBIG;
	*ret = TAKE_PTR(bytes);
	*ret_len = used;
	return 0;
}

/* Symbolic links are not followed: paths in a file are relative to where its user sees it. */
static char *absolute(const char *file)
{
	cleanup_free char *here = NULL;
	char *path = NULL;

	if (file[0] == '/')
		return strdup(file);
	here = getcwd(NULL, 0);
	if (!here || asprintf(&path, "%s/%s", here, file) < 0)
		return NULL;
	return path;
}

/* Folder of an absolute path. */
static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash > path ? strndup(path, (size_t)(slash - path)) : strdup("/");
}

static int load_failed(struct config_problems *problems, int code, const char *doing)
{
	if (code == -EFBIG)
		config_error_add(problems, (struct config_mark){ 0 }, "",
				 "larger than %d bytes: this is not a configuration",
				 CONFIG_FILE_BYTES_MAX);
	else
		config_error_add(problems, (struct config_mark){ 0 }, "", "can not %s: %s", doing,
				 strerror(-code));
	return code;
}

static int load(const char *file, const struct form *form, bool keep, struct config **ret_config,
		struct config_problems *problems)
{
	/* Non-blocking: a FIFO that nobody writes must not hold us. */
	cleanup_close int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	cleanup_free char *bytes = NULL, *path = NULL, *folder = NULL;
	size_t len = 0;
	int r;

	if (fd < 0)
		return load_failed(problems, -errno, "open the file");
	r = read_whole(fd, &bytes, &len);
	if (r < 0)
		return load_failed(problems, r, "read the file");
	path = absolute(file);
	folder = path ? folder_of(path) : NULL;
	if (!folder)
		return load_failed(problems, errno ? -errno : -ENOMEM, "find the file's folder");
	r = load_bytes(bytes, len, folder, form, keep, ret_config, problems);
	if (r == -ENOMEM)
		return load_failed(problems, r, "hold the file");
	if (r == 0)
		(*ret_config)->file = TAKE_PTR(path);
	return r;
}

int config_load(const char *file, struct config **ret_config, struct config_problems *problems)
{
	return load(file, &proxy_form, false, ret_config, problems);
}

int config_load_for_check(const char *file, struct config **ret_config,
			  struct config_problems *problems)
{
	return load(file, &proxy_form, true, ret_config, problems);
}

static int load_agent(const char *file, bool keep, struct config_agent **ret_config,
		      struct config_problems *problems)
{
	struct config *config = NULL;
	int r = load(file, &agent_form, keep, &config, problems);

	if (config)
		*ret_config = (struct config_agent *)config;
	return r;
}

int config_agent_load(const char *file, struct config_agent **ret_config,
		      struct config_problems *problems)
{
	return load_agent(file, false, ret_config, problems);
}

int config_agent_load_for_check(const char *file, struct config_agent **ret_config,
				struct config_problems *problems)
{
	return load_agent(file, true, ret_config, problems);
}

void config_strings_fini(struct config_strings *strings)
{
	for (size_t i = 0; i < strings->count; i++)
		free(strings->items[i]);
	free(strings->items);
	free(strings->marks);
}

static void rules_fini(struct config_rules *rules)
{
	for (size_t i = 0; i < rules->count; i++) {
		free(rules->items[i].cn);
		free(rules->items[i].dns);
		free(rules->items[i].uri);
		free(rules->items[i].issuer_cn);
	}
	free(rules->items);
}

static void issuers_fini(struct config_issuers *issuers)
{
	for (size_t i = 0; i < issuers->count; i++) {
		free(issuers->items[i].name);
		config_strings_fini(&issuers->items[i].root_cns);
		config_strings_fini(&issuers->items[i].keys);
	}
	free(issuers->items);
}

static void listener_fini(struct config_listener *l)
{
	free(l->name);
	free(l->listen_text);
	free(l->upstream_text);
	free(l->tls.certificate);
	free(l->tls.key);
	free(l->tls.certificate_from);
	config_strings_fini(&l->tls.roots);
	config_strings_fini(&l->tls.alpn);
	free(l->tls.server_name);
	rules_fini(&l->allow);
	rules_fini(&l->deny);
	free(l->proxy_protocol.accept_from.items);
	free(l->kafka.issuer);
	free(l->kafka.audience);
	config_strings_fini(&l->kafka.principal_rules);
	issuers_fini(&l->issuers);
}

bool config_kafka_chosen(const struct config_listener *listener)
{
	const struct config_listener_marks *marks = &listener->marks;

	return marks->kafka.line != marks->start.line || marks->kafka.column != marks->start.column;
}

static void clients_fini(struct config_client *clients, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(clients[i].name);
		free(clients[i].group);
	}
	free(clients);
}

bool config_metrics_chosen(const struct config_metrics *metrics)
{
	const struct config_metrics_marks *marks = &metrics->marks;

	return marks->listen.line != marks->start.line ||
	       marks->listen.column != marks->start.column;
}

const struct config_certificate *config_certificate(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->certificates.count; i++) {
		const struct config_certificate *c = &config->certificates.items[i];

		if (c->name && strcmp(c->name, name) == 0)
			return c;
	}
	return NULL;
}

struct config *config_ref(struct config *config)
{
	__atomic_add_fetch(&config->more_refs, 1, __ATOMIC_RELAXED);
	return config;
}

void config_free(struct config *config)
{
	if (!config || __atomic_fetch_sub(&config->more_refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (size_t i = 0; i < config->listener_count; i++)
		listener_fini(&config->listeners[i]);
	free(config->listeners);
	config_vault_fini(&config->vault);
	config_consul_fini(&config->consul);
	config_certificates_fini(&config->certificates);
	free(config->audit.file);
	free(config->identity.directory);
	free(config->user);
	free(config->file);
	free(config->penalties.exempt.items);
	clients_fini(config->clients.limits, config->clients.limit_count);
	clients_fini(config->clients.groups, config->clients.group_count);
	free(config->metrics.listen_text);
	free(config->admin.socket);
	config_strings_fini(&config->admin.allow_uids);
	free(config);
}
