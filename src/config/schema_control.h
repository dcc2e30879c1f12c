/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of the sections of control.h, for every configuration that has them.
 */
#ifndef SALLYPORT_CONFIG_SCHEMA_CONTROL_H
#define SALLYPORT_CONFIG_SCHEMA_CONTROL_H

#include "config/schema.h"

extern const struct schema_section schema_vault;       /* of a struct config_vault */
extern const struct schema_section schema_consul;      /* … config_consul */
extern const struct schema_section schema_certificate; /* … config_certificate */

#endif
