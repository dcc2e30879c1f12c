/* SPDX-License-Identifier: Apache-2.0 */
/* Having certificates issued anew, by an agent or by a proxy, and waiting for it. */
#ifndef SALLYPORT_CLI_RENEWAL_H
#define SALLYPORT_CLI_RENEWAL_H

#include "cli/admin_client.h"

struct renewal {
	const char *status_path;	     /* "/v1/status" */
	const char *status_verb;	     /* for people, "sallyport status" */
	void (*print)(const json_t *status); /* what has come of it */
};

/* Gives the order that `client` is prepared for, of the certificate of this name (NULL: all), and
 * ends its request. An exit code: CLI_OK when each has been issued, and laid out by an agent. */
int renewal_order(const struct renewal *renewal, struct admin_client *client, const char *name);

#endif
