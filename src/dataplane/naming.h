/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a peer is called: by us (its name), and by a Kafka broker (its principal); and who may
 * certify that somebody is called so. Reads a route's configuration; any thread.
 */
#ifndef SALLYPORT_DATAPLANE_NAMING_H
#define SALLYPORT_DATAPLANE_NAMING_H

#include <stdbool.h>

#include "base/err.h"
#include "config/config.h"
#include "dataplane/reasons.h"
#include "kafka/principal_rules.h"
#include "tls/peer.h"

/* The peer's name by name_from, which lives as long as `peer`; or NULL, and in `ret_why`, static
 * text, why it has none. */
const char *naming_name(const struct config_listener *config, const struct peer *peer,
			const char **ret_why);

/* Whether this client may be who its certificate says, where anything depends on that.
 * *ret_principal is what a broker is to be told, for the caller to free; NULL where none is told
 * anything. False: refused, for *ret_reason, with one line for the log in `why`. */
bool naming_admits(const struct config_listener *config, const struct principal_rules *rules,
		   const struct peer *peer, char **ret_principal, enum close_reason *ret_reason,
		   struct err_text *why);

#endif
