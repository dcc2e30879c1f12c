/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator's side of a running proxy: watches its health, and answers on the admin socket
 * (HTTP and JSON; docs/operations.md has the paths). Who may ask is checked by the kernel's word:
 * root, the proxy's own user, and whom the configuration names.
 */
#ifndef SALLYPORT_ADMIN_ADMIN_H
#define SALLYPORT_ADMIN_ADMIN_H

#include "admin/health.h"
#include "base/err.h"
#include "config/config.h"
#include "dataplane/proxy.h"

struct admin;

struct admin_options {
	const struct config_admin *config; /* borrowed for admin_new() only */
	const char *user;		   /* whom the process becomes, or NULL; borrowed too */
	const char *config_file;	   /* for people; borrowed for the admin's life */
	const char *version;		   /* of the program; a literal */
};

/* Opens the socket: what asks there waits until the start. 0, or -errno with `err`: no memory, or a
 * socket that is asked for by name can not be had. */
int admin_new(const struct admin_options *options, struct admin **ret, struct err_text *err);
/* Starts its two threads; signals should be blocked. `proxy` is borrowed for the admin's life. 0,
 * or -errno with `err`. */
int admin_start(struct admin *admin, struct proxy *proxy, struct err_text *err);
/* Before the proxy is freed. NULL and not started are fine. */
void admin_free(struct admin *admin);

#endif
