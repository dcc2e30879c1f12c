/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control plane in the proxy: a thread that turns it (control/control.h), and the newest
 * certificates and roots that it has brought, which the main thread makes snapshots of.
 */
#ifndef SALLYPORT_DATAPLANE_SUPPLY_H
#define SALLYPORT_DATAPLANE_SUPPLY_H

#include <stdbool.h>

#include "base/err.h"
#include "config/config.h"
#include "control/control.h"
#include "dataplane/audit.h"

struct supply;

/* Takes a reference of `config`, which it goes by until the end, and takes what is kept on disk.
 * Writes to `wake_fd` (an eventfd) when there is something new. *ret is NULL if no listener needs
 * it: the others take that. 0, or -errno with `err`. */
int supply_new(struct config *config, int wake_fd, struct supply **ret, struct err_text *err);
/* Starts the thread; `audit` (NULL: none) gets a record for each certificate. 0 or -errno. */
int supply_start(struct supply *supply, struct audit *audit);
void supply_free(struct supply *supply); /* not before the audit's end; NULL is fine */

/* Main thread: whether there is something new since the last call. */
bool supply_changed(struct supply *supply);
/* Waits until everything that listeners need has come, at most so long. */
void supply_wait(struct supply *supply, unsigned int ms);
/* Any thread; references, or NULL: not there (yet). */
struct pki_credential *supply_credential(struct supply *supply, const char *name);
struct trust *supply_trust(struct supply *supply);
/* Whether `listener` can get what it wants from here at all, be it later; or not before a restart.
 */
bool supply_serves(const struct supply *supply, const struct config_listener *listener);
/* Whether the sections that it goes by are the same in `config`. NULL: whether there is still no
 * need for it. */
bool supply_fits(const struct supply *supply, const struct config *config);
/* The section `clients` that counts: Consul's, if its limits_key has one, in a configuration of
 * which there is nothing else (*ret_held, for config_free()), or the one of `config`. */
const struct config_clients *supply_clients(struct supply *supply, const struct config *config,
					    struct config **ret_held);
/* Any thread: whether what limits_key says now can not be taken; `ret_why` says why not. */
bool supply_limits_refused(struct supply *supply, struct err_text *ret_why);
/* For who looks at its state; NULL if there is none. */
struct control *supply_control(struct supply *supply);

#endif
