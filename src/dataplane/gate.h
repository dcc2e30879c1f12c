/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is let in at the door: penalties of sources, ceilings, and the memory that connections hold;
 * and the table of clients, who have limits by name. One for the process, shared by all workers;
 * any thread.
 */
#ifndef SALLYPORT_DATAPLANE_GATE_H
#define SALLYPORT_DATAPLANE_GATE_H

#include <netinet/in.h>
#include <stdint.h>

#include "base/err.h"
#include "config/config.h"
#include "dataplane/reasons.h"
#include "limits/clients.h"
#include "limits/penalty.h"
#include "limits/sources.h"

struct gate;
struct route;

#define GATE_OPEN CLOSE_REASON_COUNT /* a verdict: nothing is against it */

/* 0, or -errno with `err`. */
int gate_new(const struct config *config, struct gate **ret, struct err_text *err);
/* The limits of clients as they are configured. 0 or -ENOMEM. */
int gate_policy_new(const struct config_clients *config, struct client_policy **ret);
/* The configuration has changed; all but penalties.sources is in force from now on. Takes the
 * policy. */
void gate_configure(struct gate *gate, const struct config *config, struct client_policy *policy);
struct clients *gate_clients(const struct gate *gate);
void gate_free(struct gate *gate); /* NULL is fine */

/* One connection more for the route, whoever it is: rate and memory. */
enum close_reason gate_check_load(struct gate *gate, struct route *route, uint64_t now_ns);
/* Of this source: penalties and live connections. `ret` (NULL if none is counted) is given back
 * with gate_leave(). */
enum close_reason gate_check_source(struct gate *gate, struct route *route,
				    const struct in6_addr *address, uint64_t now_ns,
				    struct source **ret);
void gate_leave(struct gate *gate, struct source *source);

/* A failure of `address` at this route. */
void gate_punish(struct gate *gate, const struct route *route, const struct in6_addr *address,
		 uint16_t port, enum penalty_kind kind, uint64_t now_ns);

/* Says that somebody was turned away: at most a line a second for each reason, with the number of
 * those since the last one. */
void gate_log_refused(struct gate *gate, const struct route *route, const struct in6_addr *address,
		      uint16_t port, enum close_reason reason);

/* Connections hold so many bytes more than before, or less. */
void gate_hold(struct gate *gate, int64_t bytes);
uint64_t gate_held(const struct gate *gate);

#endif
