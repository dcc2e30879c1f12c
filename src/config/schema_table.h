/* SPDX-License-Identifier: Apache-2.0 */
/* How rows of the tables are written, the sections that have a file of their own, and what several
 * tables have. */
#ifndef SALLYPORT_CONFIG_SCHEMA_TABLE_H
#define SALLYPORT_CONFIG_SCHEMA_TABLE_H

#include "base/util.h"
#include "config/config.h"
#include "config/schema.h"

#define PATH_BYTES_MAX 4095
/* sun_path, without its NUL and the ".new" of a proxy that replaces another. */
#define ADMIN_SOCKET_BYTES_MAX 103

#define AT(type, field)	  .offset = offsetof(type, field), .width = sizeof(((type *)NULL)->field)
#define MARK(type, field) .mark_offset = offsetof(type, marks.field)
#define SECTION_OF(table) .keys = table, .key_count = ARRAY_SIZE(table)

extern const struct schema_section schema_clients;
extern const struct schema_word schema_name_words[]; /* listeners[].name_from */
extern const struct schema_section schema_issuer;    /* listeners[].issuers[] */
extern const struct schema_section schema_kafka;     /* listeners[].kafka */
extern const struct schema_section schema_identity;  /* identity */
extern const struct schema_section schema_penalties; /* penalties */
extern const struct schema_section schema_log;	     /* of a struct config */
extern const struct schema_section schema_audit;     /* … config_audit */

const char *schema_refuse_admin_socket(const char *text);
const char *schema_refuse_uid(const char *text);

#endif
