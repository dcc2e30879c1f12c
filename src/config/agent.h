/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of an agent as plain structs. Immutable once loaded.
 */
#ifndef SALLYPORT_CONFIG_AGENT_H
#define SALLYPORT_CONFIG_AGENT_H

#include "config/config.h"
#include "config/load.h"

/* Where agent and operator meet if nobody says otherwise. */
#define AGENT_SOCKET_DEFAULT "/run/sallyport-agent/agent.sock"

enum config_layout_format { CONFIG_LAYOUT_PEM, CONFIG_LAYOUT_PKCS12, CONFIG_LAYOUT_FORMAT_COUNT };

struct config_template_marks {
	struct config_mark start, source, target;
};

struct config_template {
	char *source; /* a file */
	char *target; /* name in the layout's directory */
	struct config_template_marks marks;
};

struct config_layout_marks {
	struct config_mark start, directory, formats, password_file, templates;
};

struct config_layout {
	char *directory;
	enum config_layout_format formats[CONFIG_LAYOUT_FORMAT_COUNT];
	size_t format_count;
	char *password_file; /* of the PKCS#12 stores; NULL: none */
	struct config_template *templates;
	size_t template_count;
	struct config_layout_marks marks;
};

struct config_hook_marks {
	struct config_mark start, command;
};

struct config_hook {
	struct config_strings command; /* and its arguments */
	uint64_t timeout_ms;
	unsigned int attempts;
	struct config_hook_marks marks;
};

struct config_agent_marks {
	struct config_mark start, roots, owner, group;
};

struct config_agent_certificate {
	struct config_certificate certificate; /* first: it is the base of the table */
	struct config_strings roots;	       /* beside those that the source knows */
	struct config_layout *layouts;
	size_t layout_count;
	char *owner, *group; /* names; NULL: the agent's own */
	char *mode;	     /* of files with secrets, in octal */
	uint64_t keep_ms;    /* an old set of files stays for so long */
	struct config_hook *hooks;
	size_t hook_count;
	struct config_agent_marks marks;
};

struct config_agent {
	/* First. Of it: log, audit, admin, metrics, vault and consul. */
	struct config process;
	char *textfile; /* of metrics; NULL: none */
	struct config_agent_certificate *certificates;
	size_t certificate_count;
};

/* As config_load() and config_load_for_check(). */
int config_agent_load(const char *file, struct config_agent **ret_config,
		      struct config_problems *problems);
int config_agent_load_for_check(const char *file, struct config_agent **ret_config,
				struct config_problems *problems);
/* Contradictions; as config_verify(). */
void config_agent_verify(const struct config_agent *config, struct config_problems *problems);
void config_agent_free(struct config_agent *config); /* NULL is fine */

/* Whether the layout has files of this format. */
bool config_layout_has(const struct config_layout *layout, enum config_layout_format format);
/* The mode of files with secrets: 0600 for instance. */
unsigned int config_agent_mode(const struct config_agent_certificate *certificate);

#endif
