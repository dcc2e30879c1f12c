/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /metrics, /livez and /readyz of a proxy, over HTTP on an address of the configuration.
 */
#ifndef SALLYPORT_ADMIN_METRICS_SERVER_H
#define SALLYPORT_ADMIN_METRICS_SERVER_H

#include "base/err.h"
#include "config/config.h"
#include "dataplane/proxy.h"

struct metrics_server;

/* Opens the socket; nobody is answered yet. 0, or -errno with `err`. *ret is NULL where metrics are
 * off, or where the default address is another program's, which is said in the log. If this process
 * takes over from another, which may have the address, it is asked for again at the start.
 * `config` is borrowed until then; `version` is a literal. Main thread, before proxy_new(). */
int metrics_server_new(const struct config_metrics *config, const char *version,
		       struct metrics_server **ret, struct err_text *err);
/* Answers from now on, until another process takes over. `proxy` is borrowed until
 * metrics_server_free(). 0, or -errno with `err`. NULL is fine, here and below. Main thread, before
 * proxy_run(). */
int metrics_server_start(struct metrics_server *server, struct proxy *proxy, struct err_text *err);
void metrics_server_free(struct metrics_server *server);

#endif
