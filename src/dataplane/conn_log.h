/* SPDX-License-Identifier: Apache-2.0 */
/* The lines that a connection leaves in the log: one at its end, or one that says why it was
 * refused; and its records in the audit, the same and one when it is let in. */
#ifndef SALLYPORT_DATAPLANE_CONN_LOG_H
#define SALLYPORT_DATAPLANE_CONN_LOG_H

#include "dataplane/conn.h"

/* Identity is established and the rules let it in. */
void conn_log_opened(const struct conn *conn);
/* The one line of a connection at its end; nothing if it was refused (it has its line already). */
void conn_log_closed(struct conn *conn);
/* The one line about a peer that is not let in: `reason` is a stable name, `detail` (may be NULL)
 * is for people. */
void conn_log_refused(struct conn *conn, const char *reason, const char *detail);
/* A connection, of which `fd` is the socket, that a limit turned away before it was one: at most a
 * line a second for each worker. */
void conn_log_turned_away(struct worker *worker, const struct route *route, int fd,
			  enum close_reason reason);

#endif
