/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent's configuration against this host (agent.h): users, directories, templates, passwords,
 * hooks, roots. Says everything at once. Any thread.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/layout.h"
#include "agent/template.h"
#include "base/util.h"
#include "pki/inspect.h"

#define PATH_TEXT_BYTES 160

struct check {
	const struct config_agent_certificate *certificate;
	struct config_problems *problems;
	size_t index;
	char path[PATH_TEXT_BYTES];
};

/* "certificates[1].LIST[2].KEY"; `list` NULL: of the certificate itself. */
static const char *path_of(struct check *check, const char *list, size_t index, const char *key)
{
	if (list)
		snprintf(check->path, sizeof(check->path), "certificates[%zu].%s[%zu].%s",
			 check->index, list, index, key);
	else
		snprintf(check->path, sizeof(check->path), "certificates[%zu].%s", check->index,
			 key);
	return check->path;
}

static void check_owner(struct check *check)
{
	const struct config_agent_certificate *c = check->certificate;
	struct layout layout;
	struct err_text err;

	if (c->layout_count && layout_init(&layout, c, &c->layouts[0], &err) < 0)
		config_error_add(check->problems, c->owner ? c->marks.owner : c->marks.group,
				 path_of(check, NULL, 0, c->owner ? "owner" : "group"), "%s",
				 err.text);
}

/* The directory is made, its parent is not. */
static void check_directory(struct check *check, size_t index)
{
	const struct config_layout *layout = &check->certificate->layouts[index];
	cleanup_free char *parent = layout->directory ? strdup(layout->directory) : NULL;
	struct stat st;
	char *slash;

	if (!parent)
		return;
	if (stat(layout->directory, &st) == 0) {
		if (!S_ISDIR(st.st_mode))
			config_error_add(check->problems, layout->marks.directory,
					 path_of(check, "layouts", index, "directory"),
					 "%s is there and no directory", layout->directory);
		return;
	}
	slash = strrchr(parent, '/');
	slash[slash == parent] = 0;
	if (stat(parent, &st) < 0 || !S_ISDIR(st.st_mode))
		config_error_add(check->problems, layout->marks.directory,
				 path_of(check, "layouts", index, "directory"),
				 "%s is no directory in which this one could be made", parent);
}

static void check_template(struct check *check, size_t layout, const struct config_template *t)
{
	struct pki_bytes text = { 0 };
	struct err_text err;
	unsigned int uses;
	int r = t->source ? generation_read(t->source, TEMPLATE_BYTES_MAX, &text) : 0;

	if (r < 0)
		config_error_add(check->problems, t->marks.source,
				 path_of(check, "layouts", layout, "templates"), "%s: %s",
				 t->source, strerror(-r));
	else if (t->source && template_check(text.bytes, text.len, &uses, &err) < 0)
		config_error_add(check->problems, t->marks.source,
				 path_of(check, "layouts", layout, "templates"), "%s:%s", t->source,
				 err.text);
	else if (t->source && (uses & 1U << TEMPLATE_STORE_PASSWORD) &&
		 !check->certificate->layouts[layout].password_file)
		config_error_add(check->problems, t->marks.source,
				 path_of(check, "layouts", layout, "password_file"),
				 "missing: %s has {{ store_password }} in it", t->source);
	pki_bytes_fini(&text);
}

static void check_layout(struct check *check, size_t index)
{
	const struct config_layout *layout = &check->certificate->layouts[index];
	struct pki_bytes password = { 0 };
	struct err_text err;

	check_directory(check, index);
	if (layout->password_file && layout_password(layout->password_file, &password, &err) < 0)
		config_error_add(check->problems, layout->marks.password_file,
				 path_of(check, "layouts", index, "password_file"), "%s", err.text);
	pki_bytes_fini(&password);
	for (size_t i = 0; i < layout->template_count; i++)
		check_template(check, index, &layout->templates[i]);
}

static void check_hook(struct check *check, size_t index)
{
	const struct config_hook *hook = &check->certificate->hooks[index];
	const char *program = hook->command.count ? hook->command.items[0] : "";

	if (program[0] == '/' && access(program, X_OK) < 0)
		config_error_add(check->problems, hook->marks.command,
				 path_of(check, "hooks", index, "command"), "%s: %s", program,
				 strerror(errno));
}

static void check_roots(struct check *check)
{
	const struct config_strings *roots = &check->certificate->roots;

	for (size_t i = 0; i < roots->count; i++) {
		struct pki_findings findings = { 0 };

		pki_inspect_roots(roots->items[i], &findings);
		for (size_t j = 0; j < findings.count; j++)
			(findings.items[j].error ? config_error_add : config_warning_add)(
				check->problems, roots->marks[i], path_of(check, NULL, 0, "roots"),
				"%s", findings.items[j].text);
	}
}

static void check_source(struct check *check)
{
	const struct config_certificate *c = &check->certificate->certificate;
	char path[PATH_MAX];

	if (c->source != CONFIG_SOURCE_DEV || !c->dir)
		return;
	snprintf(path, sizeof(path), "%s/ca.key", c->dir);
	if (access(path, R_OK) < 0)
		config_error_add(check->problems, c->marks.dir, path_of(check, NULL, 0, "dir"),
				 "%s: %s; 'sallyport dev ca --dir %s' makes a CA", path,
				 strerror(errno), c->dir);
}

void agent_check(const struct config_agent *config, struct config_problems *problems)
{
	for (size_t i = 0; i < config->certificate_count; i++) {
		struct check check = { .certificate = &config->certificates[i],
				       .problems = problems,
				       .index = i };

		check_owner(&check);
		check_source(&check);
		check_roots(&check);
		for (size_t j = 0; j < check.certificate->layout_count; j++)
			check_layout(&check, j);
		for (size_t j = 0; j < check.certificate->hook_count; j++)
			check_hook(&check, j);
	}
	config_problems_sort(problems);
}
