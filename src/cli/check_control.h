/* SPDX-License-Identifier: Apache-2.0 */
/* Of `check`: files that the control plane's sections name. */
#ifndef SALLYPORT_CLI_CHECK_CONTROL_H
#define SALLYPORT_CLI_CHECK_CONTROL_H

#include "config/config.h"
#include "config/load.h"

/* Adds warnings to `problems`. */
void check_control(const struct config *config, struct config_problems *problems);

#endif
