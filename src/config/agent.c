/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent's configuration (agent.h): what contradicts itself in it, and how it is freed. What can
 * be told only on the host, such as names of users, is for others. Pure.
 */
#include "config/agent.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "config/verify.h"

struct key_path {
	char text[sizeof(((struct config_problem *)NULL)->path)];
};

static struct key_path key_path(size_t certificate, const char *list, size_t index, const char *key)
{
	struct key_path path;

	if (list)
		snprintf(path.text, sizeof(path.text), "certificates[%zu].%s[%zu]%s%s", certificate,
			 list, index, key[0] ? "." : "", key);
	else
		snprintf(path.text, sizeof(path.text), "certificates[%zu].%s", certificate, key);
	return path;
}

bool config_layout_has(const struct config_layout *layout, enum config_layout_format format)
{
	for (size_t i = 0; i < layout->format_count; i++)
		if (layout->formats[i] == format)
			return true;
	return false;
}

unsigned int config_agent_mode(const struct config_agent_certificate *certificate)
{
	return (unsigned int)strtoul(certificate->mode, NULL, 8);
}

static void verify_templates(const struct config_layout *layout, size_t certificate, size_t index,
			     struct config_problems *problems)
{
	static const char *const taken[] = { "tls.crt", "tls.key",	"chain.crt",
					     "ca.crt",	"keystore.p12", "truststore.p12" };

	for (size_t i = 0; i < layout->template_count; i++) {
		const struct config_template *t = &layout->templates[i];
		bool clash = false;

		for (size_t j = 0; t->target && j < ARRAY_SIZE(taken); j++)
			clash = clash || strcmp(t->target, taken[j]) == 0;
		for (size_t j = 0; t->target && j < i; j++)
			clash = clash || (layout->templates[j].target &&
					  strcmp(t->target, layout->templates[j].target) == 0);
		if (clash)
			config_error_add(problems, t->marks.target,
					 key_path(certificate, "layouts", index, "templates").text,
					 "'%s' is the name of another file of this layout",
					 t->target);
	}
}

static void verify_layout(const struct config_layout *layout, size_t certificate, size_t index,
			  struct config_problems *problems)
{
	if (config_layout_has(layout, CONFIG_LAYOUT_PKCS12) && !layout->password_file)
		config_error_add(problems, layout->marks.formats,
				 key_path(certificate, "layouts", index, "password_file").text,
				 "missing: Java reads no store without a password");
	if (!layout->format_count && !layout->template_count)
		config_error_add(problems, layout->marks.start,
				 key_path(certificate, "layouts", index, "formats").text,
				 "neither formats nor templates: there would be no files");
	verify_templates(layout, certificate, index, problems);
}

static void verify_directory(const struct config_agent *config, size_t certificate, size_t index,
			     struct config_problems *problems)
{
	const struct config_layout *layout = &config->certificates[certificate].layouts[index];

	for (size_t i = 0; layout->directory && i <= certificate; i++) {
		const struct config_agent_certificate *other = &config->certificates[i];
		size_t end = i == certificate ? index : other->layout_count;

		for (size_t j = 0; j < end; j++)
			if (other->layouts[j].directory &&
			    strcmp(other->layouts[j].directory, layout->directory) == 0)
				config_error_add(
					problems, layout->marks.directory,
					key_path(certificate, "layouts", index, "directory").text,
					"another layout (line %u) has this directory already",
					other->layouts[j].marks.directory.line);
	}
}

static void verify_certificate(const struct config_agent *config, size_t index,
			       struct config_problems *problems)
{
	const struct config_agent_certificate *c = &config->certificates[index];

	if (c->certificate.source == CONFIG_SOURCE_FILES && !c->roots.count)
		config_error_add(problems, c->certificate.marks.start,
				 key_path(index, NULL, 0, "roots").text,
				 "missing: the source files knows of no roots");
	for (size_t i = 0; i < c->layout_count; i++) {
		verify_layout(&c->layouts[i], index, i, problems);
		verify_directory(config, index, i, problems);
	}
	for (size_t i = 0; i < c->hook_count; i++)
		if (c->hooks[i].command.count && c->hooks[i].command.items[0][0] != '/')
			config_error_add(
				problems, c->hooks[i].marks.command,
				key_path(index, "hooks", i, "command").text,
				"'%s': an absolute path is expected; there is no shell and "
				"no search for it",
				c->hooks[i].command.items[0]);
}

/* The sections that a proxy has, too, want the certificates in an array of their own. */
static void verify_control(const struct config_agent *config, struct config_problems *problems)
{
	cleanup_free struct config_certificate *items =
		calloc(config->certificate_count + 1, sizeof(*items));
	const struct config_certificates certificates = { items, config->certificate_count };

	if (!items)
		return;
	for (size_t i = 0; i < certificates.count; i++)
		items[i] = config->certificates[i].certificate;
	config_control_verify(&config->process.vault, &config->process.consul, &certificates,
			      problems);
	if (config->process.consul.limits_key)
		config_error_add(problems, config->process.consul.marks.limits_key,
				 "consul.limits_key",
				 "limits are the proxy's: an agent has no clients");
}

void config_agent_verify(const struct config_agent *config, struct config_problems *problems)
{
	config_audit_verify(&config->process.audit, problems);
	config_metrics_verify(&config->process, problems);
	verify_control(config, problems);
	for (size_t i = 0; i < config->certificate_count; i++)
		verify_certificate(config, i, problems);
}

static void layout_fini(struct config_layout *layout)
{
	for (size_t i = 0; i < layout->template_count; i++) {
		free(layout->templates[i].source);
		free(layout->templates[i].target);
	}
	free(layout->templates);
	free(layout->directory);
	free(layout->password_file);
}

static void certificate_fini(struct config_agent_certificate *c)
{
	for (size_t i = 0; i < c->layout_count; i++)
		layout_fini(&c->layouts[i]);
	for (size_t i = 0; i < c->hook_count; i++)
		config_strings_fini(&c->hooks[i].command);
	free(c->layouts);
	free(c->hooks);
	free(c->owner);
	free(c->group);
	free(c->mode);
	config_strings_fini(&c->roots);
	config_certificate_fini(&c->certificate);
}

void config_agent_free(struct config_agent *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->certificate_count; i++)
		certificate_fini(&config->certificates[i]);
	free(config->certificates);
	free(config->textfile);
	config_free(&config->process); /* it is first: all of the memory */
}
