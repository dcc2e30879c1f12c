/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether two configurations say the same in a section.
 */
#ifndef SALLYPORT_CONFIG_COMPARE_H
#define SALLYPORT_CONFIG_COMPARE_H

#include <stdbool.h>

#include "config/schema.h"

/* `a` and `b`: structs that the section describes. Where something stands does not count. Pure. */
bool config_section_equal(const struct schema_section *section, const void *a, const void *b);

#endif
