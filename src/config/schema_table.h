/* SPDX-License-Identifier: Apache-2.0 */
/* How rows of the table of keys are written, and the sections that have a file of their own. */
#ifndef SALLYPORT_CONFIG_SCHEMA_TABLE_H
#define SALLYPORT_CONFIG_SCHEMA_TABLE_H

#include "base/util.h"
#include "config/config.h"
#include "config/schema.h"

#define PATH_BYTES_MAX 4095

#define AT(type, field)	  .offset = offsetof(type, field), .width = sizeof(((type *)NULL)->field)
#define MARK(type, field) .mark_offset = offsetof(type, marks.field)
#define SECTION_OF(table) .keys = table, .key_count = ARRAY_SIZE(table)

extern const struct schema_section schema_clients;
extern const struct schema_word schema_name_words[]; /* listeners[].name_from */
extern const struct schema_section schema_issuer;    /* listeners[].issuers[] */
extern const struct schema_section schema_kafka;    /* listeners[].kafka */
extern const struct schema_section schema_identity; /* identity */
extern const struct schema_section schema_penalties; /* penalties */

#endif
