/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of the control plane's sections against files (check_control.h): all of them may come
 * later, and are read anew for each use, so nothing is an error. No server is asked. Main thread.
 */
#include "cli/check_control.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void check_readable(const char *file, struct config_mark at, const char *path,
			   struct config_problems *problems)
{
	if (file && access(file, R_OK) < 0)
		config_warning_add(problems, at, path, "%s: %s", file, strerror(errno));
}

static void check_secret(const char *file, struct config_mark at, const char *path,
			 struct config_problems *problems)
{
	struct stat st;

	check_readable(file, at, path, problems);
	if (file && stat(file, &st) == 0 && (st.st_mode & (S_IROTH | S_IWOTH | S_IWGRP)))
		config_warning_add(problems, at, path,
				   "%s: others may read or change it (mode %04o): chmod 600 %s",
				   file, (unsigned int)(st.st_mode & 07777), file);
}

static void check_vault(const struct config_vault *vault, struct config_problems *problems)
{
	const struct config_vault_auth *auth = &vault->auth;
	const struct config_vault_marks *marks = &vault->marks;
	struct stat st;

	check_readable(vault->tls.ca, marks->ca, "vault.ca", problems);
	check_readable(vault->tls.client_certificate, marks->client_certificate,
		       "vault.client_certificate", problems);
	check_secret(vault->tls.client_key, marks->client_key, "vault.client_key", problems);
	check_secret(auth->token_file, auth->marks.token_file, "vault.auth.token_file", problems);
	check_readable(auth->role_id_file, auth->marks.role_id_file, "vault.auth.role_id_file",
		       problems);
	check_secret(auth->secret_id_file, auth->marks.secret_id_file, "vault.auth.secret_id_file",
		     problems);
	if (auth->method == CONFIG_VAULT_KUBERNETES)
		check_readable(auth->jwt_file, auth->marks.jwt_file, "vault.auth.jwt_file",
			       problems);
	if (vault->persist && stat(vault->persist, &st) == 0 && !S_ISDIR(st.st_mode))
		config_warning_add(problems, marks->persist, "vault.persist", "%s: not a folder",
				   vault->persist);
}

void check_control(const struct config *config, struct config_problems *problems)
{
	const struct config_consul *consul = &config->consul;

	if (config->vault.address)
		check_vault(&config->vault, problems);
	check_readable(consul->tls.ca, consul->marks.ca, "consul.ca", problems);
	check_readable(consul->tls.client_certificate, consul->marks.client_certificate,
		       "consul.client_certificate", problems);
	check_secret(consul->tls.client_key, consul->marks.client_key, "consul.client_key",
		     problems);
	check_secret(consul->token_file, consul->marks.start, "consul.token_file", problems);
}
