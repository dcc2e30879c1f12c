/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit stream: one JSON object a line for each connection that is opened, refused or closed.
 * Records have consecutive numbers (`seq`). Nothing is lost silently: where records are missing,
 * the next line that can be written says how many, and its number is that of the last of them.
 */
#ifndef SALLYPORT_DATAPLANE_AUDIT_H
#define SALLYPORT_DATAPLANE_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "config/config.h"

struct audit;

/* Opens the file or the journal and starts the thread. *ret is NULL if the configuration wants no
 * audit: all other functions take that. Signals should be blocked. 0, or -errno with `err`. */
int audit_new(const struct config_audit *config, struct audit **ret, struct err_text *err);
/* Nobody writes any more: what waits is written, for at most five seconds. */
void audit_free(struct audit *audit);

/* Any thread, never waits: a record as log_record() makes it, with its newline. */
void audit_put(struct audit *audit, const char *record, size_t len);
/* Any thread: an event without a record of its own; it becomes part of the next gap. */
void audit_skip(struct audit *audit);
/* Any thread: records can not be written (or soon can not), and the configuration says that nobody
 * is let in then. */
bool audit_refuses(struct audit *audit);
/* Any thread: opens the file again (the next moment). A renamed file is noticed without. */
void audit_reopen(struct audit *audit);

struct audit_stats {
	uint64_t records; /* so far, those that are lost too */
	uint64_t lost;
	uint64_t waiting_bytes;
	bool failing; /* the last write did not work; it is tried again and again */
};

/* Any thread; all 0 without an audit. */
void audit_stats(struct audit *audit, struct audit_stats *ret);

#endif
