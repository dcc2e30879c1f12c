/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of config/ only: what peers are called, by one listener.
 */
#ifndef SALLYPORT_CONFIG_VERIFY_NAMES_H
#define SALLYPORT_CONFIG_VERIFY_NAMES_H

#include "config/load.h"

/* As config_verify(), of listener `index`. */
void config_verify_names(const struct config_listener *l, size_t index,
			 struct config_problems *problems);

#endif
