/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: certificates of a configuration, issued, renewed and laid out on disk for applications
 * that do TLS by themselves. Whatever goes wrong, what is on disk stays until there is better.
 */
#ifndef SALLYPORT_AGENT_AGENT_H
#define SALLYPORT_AGENT_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "config/agent.h"

/* How a run ends; docs/agent.md has them: they are the exit codes of `--once`. */
enum agent_end {
	AGENT_DONE = 0,
	AGENT_FAILED = 1, /* could not start */
	AGENT_UNREACHABLE = 10,
	AGENT_SEALED = 11,
	AGENT_RATE_LIMITED = 12,
	AGENT_DENIED = 13,
	AGENT_REFUSED = 14,
	AGENT_BAD_CERTIFICATE = 15,
	AGENT_LAYOUT_FAILED = 16,
	AGENT_HOOK_FAILED = 17,
	AGENT_TOO_LATE = 18, /* the deadline has passed, and nothing has failed */
};

struct agent_options {
	const char *config_file; /* borrowed, as are these */
	const char *version;
	bool once;
	uint64_t deadline_ms; /* of `once` */
	/* Reads the configuration again; NULL: it is wrong, which has been told. */
	struct config_agent *(*load)(const char *file);
};

/* Runs until SIGTERM or SIGINT, or until all is done. Takes `config`. The signals that it waits for
 * are to be blocked (agent_block_signals()) before any thread is there. Main thread. */
enum agent_end agent_run(const struct agent_options *options, struct config_agent *config);
void agent_block_signals(void);

/* Whether an agent could run with this on this host: adds what is wrong. Reads files, changes
 * nothing. */
void agent_check(const struct config_agent *config, struct config_problems *problems);

#endif
