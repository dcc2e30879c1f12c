/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan of the sandbox (confine.h): everything that the configuration names, and nothing else.
 * Whatever part of the program opens files or makes sockets while it runs has its line here. Main
 * thread, once.
 */
#include "dataplane/confine.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "kern/sandbox.h"

#define DNS_PORT 53

static enum sandbox_mode mode_of(enum config_sandbox sandbox)
{
	static const enum sandbox_mode map[] = {
		[CONFIG_SANDBOX_AUTO] = SANDBOX_AUTO,
		[CONFIG_SANDBOX_REQUIRED] = SANDBOX_REQUIRED,
		[CONFIG_SANDBOX_OFF] = SANDBOX_OFF,
	};

	return map[sandbox];
}

static bool is_name(const struct endpoint *endpoint)
{
	struct sockaddr_storage address;
	socklen_t len;

	return !endpoint->is_unix && endpoint_sockaddr(endpoint, &address, &len) < 0;
}

static void plan_files(const struct config_listener *listener, struct sandbox_plan *plan)
{
	const struct config_tls *tls = &listener->tls;

	sandbox_allow_path(plan, tls->certificate, SANDBOX_READ_REPLACED);
	sandbox_allow_path(plan, tls->key, SANDBOX_READ_REPLACED);
	for (size_t i = 0; i < tls->roots.count; i++)
		sandbox_allow_path(plan, tls->roots.items[i], SANDBOX_READ_REPLACED);
}

static void plan_sockets(const struct config_listener *listener, struct sandbox_plan *plan)
{
	const struct endpoint *listen = &listener->listen, *upstream = &listener->upstream;

	if (listen->is_unix) {
		sandbox_allow_path(plan, listen->host, SANDBOX_SOCKET);
	} else {
		sandbox_allow_port(plan, listen->port, true);
		if (listen->port < IPPORT_RESERVED)
			plan->keep_bind_service = true;
	}
	if (!upstream->is_unix)
		sandbox_allow_port(plan, upstream->port, false);
	if (is_name(upstream)) /* an answer too long for UDP is asked for again by TCP */
		sandbox_allow_port(plan, DNS_PORT, false);
}

/* A server of the control plane: its port, how its name is found, and what we show it. */
static void plan_server(const char *address, const struct config_server_tls *tls,
			struct sandbox_plan *plan)
{
	struct endpoint endpoint;
	bool https;

	if (!address || config_url_parse(address, &https, &endpoint) < 0)
		return;
	sandbox_allow_port(plan, endpoint.port, false);
	if (is_name(&endpoint))
		sandbox_allow_port(plan, DNS_PORT, false);
	sandbox_allow_path(plan, tls->ca, SANDBOX_READ_REPLACED);
	sandbox_allow_path(plan, tls->client_certificate, SANDBOX_READ_REPLACED);
	sandbox_allow_path(plan, tls->client_key, SANDBOX_READ_REPLACED);
}

static void plan_control(const struct config *config, struct sandbox_plan *plan)
{
	const struct config_vault *vault = &config->vault;
	const struct config_vault_auth *auth = &vault->auth;

	plan_server(vault->address, &vault->tls, plan);
	plan_server(config->consul.address, &config->consul.tls, plan);
	sandbox_allow_path(plan, config->consul.token_file, SANDBOX_READ_REPLACED);
	sandbox_allow_path(plan, auth->token_file, SANDBOX_READ_REPLACED);
	sandbox_allow_path(plan, auth->role_id_file, SANDBOX_READ_REPLACED);
	sandbox_allow_path(plan, auth->secret_id_file, SANDBOX_READ_REPLACED);
	if (vault->address && auth->method == CONFIG_VAULT_KUBERNETES)
		sandbox_allow_path(plan, auth->jwt_file, SANDBOX_READ_REPLACED);
	sandbox_allow_path(plan, vault->persist, SANDBOX_STORE);
	for (size_t i = 0; i < config->certificates.count; i++) {
		const struct config_certificate *c = &config->certificates.items[i];

		sandbox_allow_path(plan, c->certificate, SANDBOX_READ_REPLACED);
		sandbox_allow_path(plan, c->key, SANDBOX_READ_REPLACED);
		sandbox_allow_path(plan, c->dir, SANDBOX_STORE);
	}
}

/* It has been made by now, or there is none. */
static void plan_default_admin_socket(struct sandbox_plan *plan)
{
	if (access(ADMIN_SOCKET_DEFAULT, F_OK) == 0)
		sandbox_allow_path(plan, ADMIN_SOCKET_DEFAULT, SANDBOX_SOCKET);
}

static void make_plan(const struct config *config, struct sandbox_plan *plan)
{
	plan->mode = mode_of(config->sandbox);
	plan->user = config->user;
	sandbox_allow_path(plan, config->file, SANDBOX_READ_REPLACED);
	sandbox_allow_path(plan, config->audit.file, SANDBOX_WRITE_REPLACED);
	sandbox_allow_path(plan, config->identity.directory, SANDBOX_STORE);
	if (strcmp(config->admin.socket, "auto") == 0)
		plan_default_admin_socket(plan);
	else if (strcmp(config->admin.socket, "off") != 0)
		sandbox_allow_path(plan, config->admin.socket, SANDBOX_SOCKET);
	/* After an upgrade the successor takes it when its predecessor has gone. */
	if (config->metrics.listen.port)
		sandbox_allow_port(plan, config->metrics.listen.port, true);
	plan_control(config, plan);
	for (size_t i = 0; i < config->listener_count; i++) {
		plan_files(&config->listeners[i], plan);
		plan_sockets(&config->listeners[i], plan);
	}
}

static void log_facts(void)
{
	struct sandbox_fact facts[SANDBOX_PART_COUNT];
	struct log_line line;
	char text[sizeof(facts[0].text) + 16];
	bool whole = true;

	sandbox_facts(facts);
	for (int i = 0; i < SANDBOX_PART_COUNT; i++)
		whole = whole && facts[i].in_force;
	if (whole)
		log_begin(&line, LOG_INFO, "sandbox");
	else
		log_begin(&line, LOG_WARNING, "sandbox");
	for (int i = 0; i < SANDBOX_PART_COUNT; i++) {
		snprintf(text, sizeof(text), "%s%s",
			 facts[i].in_force ? "" : "missing: ", facts[i].text);
		log_str(&line, sandbox_part_name((enum sandbox_part)i), text);
	}
	log_end(&line);
}

/* A reload reads what the start has read, but as a lesser process. */
static void warn_of_unreadable(const struct sandbox_plan *plan)
{
	for (size_t i = 0; i < plan->path_count; i++) {
		const char *path = plan->paths[i].path;
		cleanup_close int fd = -1;

		if (plan->paths[i].access != SANDBOX_READ_REPLACED)
			continue;
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd < 0)
			log_msg(LOG_WARNING, "reload_blind",
				"%s could be read at start, but a reload can not: %m", path);
	}
}

int confine(const struct config *config, struct err_text *err)
{
	struct sandbox_plan plan = { 0 };
	int r;

	make_plan(config, &plan);
	r = sandbox_apply(&plan, err);
	if (r == 0) {
		log_facts();
		warn_of_unreadable(&plan);
	}
	sandbox_plan_fini(&plan);
	return r;
}
