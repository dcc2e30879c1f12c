/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether an upstream that is told of nobody is a Kafka broker: asked once, as any client asks, of
 * listeners that have the section `kafka`. What it finds is a line in the log. Main thread.
 */
#ifndef SALLYPORT_DATAPLANE_UPSTREAM_PROBE_H
#define SALLYPORT_DATAPLANE_UPSTREAM_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "kafka/api_versions.h"

struct route;

enum upstream_probe_state {
	UPSTREAM_PROBE_DUE,
	UPSTREAM_PROBE_CONNECTING,
	UPSTREAM_PROBE_ASKED,
	UPSTREAM_PROBE_DONE, /* it has answered, or would not; or is not to be asked */
};

struct upstream_probe {
	enum upstream_probe_state state;
	bool asked; /* at some time */
	int fd;	    /* -1: none */
	uint64_t next_ns, deadline_ns;
	size_t have;
	uint8_t answer[API_VERSIONS_ANSWER_BYTES];
};

void upstream_probe_init(struct upstream_probe *probe, const struct config_listener *config);
void upstream_probe_fini(struct upstream_probe *probe); /* any thread, if nobody else uses it */
/* To be called every second or so; never waits. */
void upstream_probe_turn(struct route *route, uint64_t now_ns);

#endif
