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
/* A connection that was turned away before it was one: a record each, and a line now and then (see
 * gate_log_refused()). */
void conn_log_turned_away(struct worker *worker, const struct route *route,
			  const struct in6_addr *from, uint16_t port, enum close_reason reason);
/* The field that says where somebody comes from. */
void conn_log_client(struct log_line *line, const struct route *route, const struct in6_addr *from,
		     uint16_t port);

#endif
