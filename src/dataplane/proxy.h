/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The running proxy: builds the snapshot, starts the workers, then waits on the main thread for
 * signals until it is told to stop.
 */
#ifndef SALLYPORT_DATAPLANE_PROXY_H
#define SALLYPORT_DATAPLANE_PROXY_H

#include "config/config.h"

/* Returns the process's exit code: 0 stopped in order, 1 could not start. `config` is borrowed. */
int proxy_run(const struct config *config);

#endif
