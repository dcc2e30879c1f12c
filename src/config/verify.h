/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What no single key can tell: contradictions between keys and between listeners.
 */
#ifndef SALLYPORT_CONFIG_VERIFY_H
#define SALLYPORT_CONFIG_VERIFY_H

#include "config/load.h"

/* `config` as walked, possibly with mistakes: what could not be read is NULL or zero, and then not
 * judged. Adds errors and warnings. */
void config_verify(const struct config *config, struct config_problems *problems);
/* … of clients by name alone; config_verify() calls it. */
void config_verify_clients(const struct config_clients *clients, struct config_problems *problems);
/* Single sections, for who has few others of a proxy. */
void config_audit_verify(const struct config_audit *audit, struct config_problems *problems);
void config_metrics_verify(const struct config *config, struct config_problems *problems);

#endif
