/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checks of `sallyport check` that need more than the configuration itself: the files that it
 * names, and this host.
 */
#ifndef SALLYPORT_CLI_CHECK_HOST_H
#define SALLYPORT_CLI_CHECK_HOST_H

#include "config/load.h"
#include "pki/inspect.h"

/* What was learned of one listener. */
struct check_facts {
	bool has_identity; /* else `identity` is not filled */
	struct pki_identity identity;
	size_t root_count; /* certificates in all its root files */
};

/* Adds what is wrong to `problems`. `facts` has room for each listener. */
void check_host(const struct config *config, struct config_problems *problems,
		struct check_facts *facts);

#endif
