/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many connections each source has, in each scope (a listener). Memory is that of the sources
 * that have one. Any thread.
 */
#ifndef SALLYPORT_LIMITS_SOURCES_H
#define SALLYPORT_LIMITS_SOURCES_H

#include <netinet/in.h>
#include <stdint.h>

#include "limits/source_key.h"

struct sources;
struct source;

/* 0, -ENOMEM, or -EIO if the kernel gives no random bytes. */
int sources_new(const struct source_masks *masks, struct sources **ret);
/* Sources are told apart otherwise from now on; those that are inside stay what they are. */
void sources_configure(struct sources *sources, const struct source_masks *masks);
/* No source may be inside. NULL is fine. */
void sources_free(struct sources *sources);

/* One connection more; it gives `ret` back with sources_leave(). 0; -EDQUOT: it has `max` already;
 * -ENOMEM. */
int sources_enter(struct sources *sources, uint64_t scope, const struct in6_addr *address,
		  uint64_t max, struct source **ret);
void sources_leave(struct sources *sources, struct source *source); /* NULL is fine */

#endif
