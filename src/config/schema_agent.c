/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of an agent's configuration (schema.h): the sections that it shares with a proxy's, and
 * what becomes of a certificate on disk. To add a key: a field in agent.h, a row here, a line in
 * docs/agent.md (a test compares them). Constant data; any thread.
 */
#include <stdio.h>
#include <string.h>

#include "config/agent.h"
#include "config/schema.h"
#include "config/schema_control.h"
#include "config/schema_table.h"
#include "limits/limits.h"

static const struct schema_word format_words[] = {
	{ "pem", CONFIG_LAYOUT_PEM },
	{ "pkcs12", CONFIG_LAYOUT_PKCS12 },
	{ NULL, 0 },
};

static const char *refuse_target(const char *text)
{
	if (text[0] == '.' || strchr(text, '/'))
		return "a file name is expected: no '/' in it, and no '.' at its start";
	return NULL;
}

static const char *refuse_mode(const char *text)
{
	char *end;
	unsigned long mode = strtoul(text, &end, 8);

	if (*end || strspn(text, "01234567") < 3 || mode > 0777)
		return "a mode in octal is expected, such as 0640";
	if (mode & 0007)
		return "files with keys are not for everybody: give them a group";
	if (!(mode & 0400))
		return "nobody could read them";
	return NULL;
}

static const struct schema_key template_keys[] = {
	{ .name = "source",
	  .kind = SCHEMA_PATH,
	  .required = true,
	  AT(struct config_template, source),
	  MARK(struct config_template, source),
	  .max = PATH_BYTES_MAX,
	  .help = "file with text and {{ variables }}" },
	{ .name = "target",
	  .kind = SCHEMA_TEXT,
	  .required = true,
	  AT(struct config_template, target),
	  MARK(struct config_template, target),
	  .min = 1,
	  .max = LAYOUT_FILE_NAME_MAX,
	  .refuse = refuse_target,
	  .help = "name of the file that it becomes, in the layout's directory" },
};

static const struct schema_section template_section = {
	SECTION_OF(template_keys),
	.bytes = sizeof(struct config_template),
	.mark_offset = offsetof(struct config_template, marks.start),
};

static const struct schema_key layout_keys[] = {
	{ .name = "directory",
	  .kind = SCHEMA_PATH,
	  .required = true,
	  AT(struct config_layout, directory),
	  MARK(struct config_layout, directory),
	  .max = PATH_BYTES_MAX,
	  .help = "of these files alone; made if its parent is there" },
	{ .name = "formats",
	  .kind = SCHEMA_WORDS,
	  AT(struct config_layout, formats),
	  MARK(struct config_layout, formats),
	  .count_offset = offsetof(struct config_layout, format_count),
	  .max = CONFIG_LAYOUT_FORMAT_COUNT,
	  .words = format_words,
	  .preset = "pem",
	  .help = "pem: tls.crt, tls.key, chain.crt, ca.crt; pkcs12: keystore and truststore.p12" },
	{ .name = "password_file",
	  .kind = SCHEMA_PATH,
	  AT(struct config_layout, password_file),
	  MARK(struct config_layout, password_file),
	  .max = PATH_BYTES_MAX,
	  .help = "password of the stores: the first line of this file" },
	{ .name = "templates",
	  .kind = SCHEMA_SECTIONS,
	  AT(struct config_layout, templates),
	  MARK(struct config_layout, templates),
	  .count_offset = offsetof(struct config_layout, template_count),
	  .max = LAYOUT_TEMPLATES_MAX,
	  .section = &template_section,
	  .help = "files made of text with the certificate, its key and facts of it" },
};

static const struct schema_section layout_section = {
	SECTION_OF(layout_keys),
	.bytes = sizeof(struct config_layout),
	.mark_offset = offsetof(struct config_layout, marks.start),
};

static const struct schema_key hook_keys[] = {
	{ .name = "command",
	  .kind = SCHEMA_TEXTS,
	  .required = true,
	  AT(struct config_hook, command),
	  MARK(struct config_hook, command),
	  .min = 1,
	  .max = HOOK_ARGUMENTS_MAX,
	  .help = "program and arguments; no shell is between" },
	{ .name = "timeout",
	  .kind = SCHEMA_DURATION,
	  AT(struct config_hook, timeout_ms),
	  .min = 100,
	  .max = HOUR_MS,
	  .preset = "30s",
	  .help = "then its whole process group is ended" },
	{ .name = "attempts",
	  .kind = SCHEMA_NUMBER,
	  AT(struct config_hook, attempts),
	  .min = 1,
	  .max = 100,
	  .preset = "5",
	  .help = "for one change, with growing pauses" },
};

static const struct schema_section hook_section = {
	SECTION_OF(hook_keys),
	.bytes = sizeof(struct config_hook),
	.mark_offset = offsetof(struct config_hook, marks.start),
};

static const struct schema_key certificate_keys[] = {
	{ .name = "roots",
	  .kind = SCHEMA_PATHS,
	  AT(struct config_agent_certificate, roots),
	  MARK(struct config_agent_certificate, roots),
	  .min = 1,
	  .max = ROOTS_MAX,
	  .help = "PEM files: roots to trust beside those that the source knows" },
	{ .name = "layouts",
	  .kind = SCHEMA_SECTIONS,
	  .required = true,
	  AT(struct config_agent_certificate, layouts),
	  .count_offset = offsetof(struct config_agent_certificate, layout_count),
	  .min = 1,
	  .max = LAYOUTS_MAX,
	  .section = &layout_section,
	  .help = "where and as what it is laid out on disk" },
	{ .name = "owner",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_agent_certificate, owner),
	  MARK(struct config_agent_certificate, owner),
	  .min = 1,
	  .max = USER_BYTES_MAX,
	  .help = "user that the files belong to; the agent's own if not given" },
	{ .name = "group",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_agent_certificate, group),
	  MARK(struct config_agent_certificate, group),
	  .min = 1,
	  .max = USER_BYTES_MAX,
	  .help = "group of the files" },
	{ .name = "mode",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_agent_certificate, mode),
	  .min = 3,
	  .max = 4,
	  .preset = "0600",
	  .refuse = refuse_mode,
	  .help = "of files with a key or a password, in octal; the others have 0644" },
	{ .name = "keep",
	  .kind = SCHEMA_DURATION,
	  .off = true,
	  AT(struct config_agent_certificate, keep_ms),
	  .min = SECOND_MS,
	  .max = 30 * DAY_MS,
	  .preset = "1h",
	  .help = "the last set of files stays for so long beside the new one" },
	{ .name = "hooks",
	  .kind = SCHEMA_SECTIONS,
	  AT(struct config_agent_certificate, hooks),
	  .count_offset = offsetof(struct config_agent_certificate, hook_count),
	  .max = HOOKS_MAX,
	  .section = &hook_section,
	  .help = "commands that are run after the files have changed" },
};

static const struct schema_section certificate_section = {
	SECTION_OF(certificate_keys),
	.bytes = sizeof(struct config_agent_certificate),
	.mark_offset = offsetof(struct config_agent_certificate, certificate.marks.start),
	.base = &schema_certificate,
};

static const struct schema_key metrics_keys[] = {
	{ .name = "listen",
	  .kind = SCHEMA_ENDPOINT,
	  .off = true,
	  AT(struct config_agent, process.metrics.listen),
	  .mark_offset = offsetof(struct config_agent, process.metrics.marks.listen),
	  .text_offset = offsetof(struct config_agent, process.metrics.listen_text),
	  .preset = "off",
	  .help = "where /metrics is, over HTTP; nobody is asked who he is" },
	{ .name = "textfile",
	  .kind = SCHEMA_PATH,
	  AT(struct config_agent, textfile),
	  .max = PATH_BYTES_MAX,
	  .help = "the same as a file for node_exporter's textfile collector" },
};

static const struct schema_section metrics_section = {
	SECTION_OF(metrics_keys),
	.mark_offset = offsetof(struct config_agent, process.metrics.marks.start),
};

static const struct schema_key admin_keys[] = {
	{ .name = "socket",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_agent, process.admin.socket),
	  .max = ADMIN_SOCKET_BYTES_MAX,
	  .preset = "auto",
	  .refuse = schema_refuse_admin_socket,
	  .help = "auto, off or a path; auto: " AGENT_SOCKET_DEFAULT " if it can be had" },
	{ .name = "allow_uids",
	  .kind = SCHEMA_TEXTS,
	  AT(struct config_agent, process.admin.allow_uids),
	  .max = ADMIN_UIDS_MAX,
	  .preset = "[]",
	  .refuse = schema_refuse_uid,
	  .help = "users (by number) besides root and the agent's own that may give orders" },
};

static const struct schema_section admin_section = { SECTION_OF(admin_keys) };

static const struct schema_key root_keys[] = {
	{ .name = "certificates",
	  .kind = SCHEMA_SECTIONS,
	  .required = true,
	  AT(struct config_agent, certificates),
	  .count_offset = offsetof(struct config_agent, certificate_count),
	  .min = 1,
	  .max = CERTIFICATES_MAX,
	  .section = &certificate_section,
	  .help = "what is issued, renewed and laid out" },
	{ .name = "vault",
	  .kind = SCHEMA_SECTION,
	  AT(struct config_agent, process.vault),
	  .section = &schema_vault,
	  .help = "Vault or OpenBao, which issues certificates" },
	{ .name = "consul",
	  .kind = SCHEMA_SECTION,
	  AT(struct config_agent, process.consul),
	  .section = &schema_consul,
	  .help = "Consul, one key of which says which CAs are in force" },
	/* Fields of several structs: offsets from the beginning. */
	{ .name = "admin",
	  .kind = SCHEMA_SECTION,
	  .offset = 0,
	  .section = &admin_section,
	  .help = "how 'sallyport agent status' and 'renew' reach the running agent" },
	{ .name = "metrics",
	  .kind = SCHEMA_SECTION,
	  .offset = 0,
	  .section = &metrics_section,
	  .help = "validity of the certificates, and what went wrong, for monitoring" },
	{ .name = "audit",
	  .kind = SCHEMA_SECTION,
	  AT(struct config_agent, process.audit),
	  .section = &schema_audit,
	  .help = "each issue, layout and hook: a stream of its own" },
	{ .name = "log",
	  .kind = SCHEMA_SECTION,
	  AT(struct config_agent, process),
	  .section = &schema_log,
	  .help = "one line an event on standard error" },
};

const struct schema_section schema_agent_root = {
	SECTION_OF(root_keys),
	.bytes = sizeof(struct config_agent),
};
