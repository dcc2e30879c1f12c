/* SPDX-License-Identifier: Apache-2.0 */
/* From a configuration to the sandbox that fits it. */
#ifndef SALLYPORT_DATAPLANE_CONFINE_H
#define SALLYPORT_DATAPLANE_CONFINE_H

#include "base/err.h"
#include "config/config.h"

/* Changes the user and applies the sandbox (kern/sandbox.h), once all sockets are bound and files
 * read and before any thread is made; says in one log line what is in force, and what a reload
 * will not be able to read. 0, or -errno with `err`. */
int confine(const struct config *config, struct err_text *err);

#endif
