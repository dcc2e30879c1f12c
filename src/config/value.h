/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One value of a configuration: from its text to its field, and if that can not be, why and what
 * to write instead.
 */
#ifndef SALLYPORT_CONFIG_VALUE_H
#define SALLYPORT_CONFIG_VALUE_H

#include "base/err.h"
#include "config/schema.h"

/* Stores `text` as `key` wants it (one item, for the kinds of lists of scalars; there `field` is
 * the item's place) into `field`. `folder`: what relative paths are relative to. 0, -ENOMEM, or
 * -EINVAL with the reason in `err`, and `field` as it was. */
int config_value_store(const struct schema_key *key, const char *text, const char *folder,
		       void *field, struct err_text *err);

#endif
