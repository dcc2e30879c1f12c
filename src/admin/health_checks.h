/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at the proxy and says what is wrong: sets and ends those conditions that can be seen from
 * outside.
 */
#ifndef SALLYPORT_ADMIN_HEALTH_CHECKS_H
#define SALLYPORT_ADMIN_HEALTH_CHECKS_H

#include "admin/health.h"
#include "dataplane/proxy.h"

/* One thread at a time. Blocks for HEALTH_WORKER_MS at most, if a worker does not answer. */
void health_check(struct health *health, struct proxy *proxy);

/* The certificate of a route that ends first, and its own. Strings are cut, and without control
 * characters. */
struct certificate_end {
	enum tls_certificate_role role;
	char cn[128];
	char serial[PEER_SERIAL_TEXT_BYTES];
	int64_t not_before, not_after; /* seconds since the epoch; both 0: there is none */
};

struct certificate_ends {
	struct certificate_end own, first;
};

void certificate_ends_of(const struct route *route, struct certificate_ends *ret);
/* "certificate", "intermediate", "root" */
const char *certificate_role_name(enum tls_certificate_role role);

#endif
