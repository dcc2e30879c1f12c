/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command that is run after files have changed: with a timeout that ends its whole process group,
 * retried with a back-off, its output in the log. Nothing here waits: the owner polls and turns.
 */
#ifndef SALLYPORT_AGENT_HOOK_H
#define SALLYPORT_AGENT_HOOK_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "control/backoff.h"

#define HOOK_FDS_MAX	      2
#define HOOK_LINE_BYTES	      256
#define HOOK_OUTPUT_LINES_MAX 64 /* of one run in the log; the others are thrown away */
#define HOOK_ENVIRONMENT_MAX  16

enum hook_outcome {
	HOOK_DONE,	/* exit code 0 */
	HOOK_FAILED,	/* … another, or a signal, or it could not be started */
	HOOK_TIMED_OUT, /* was ended */
	HOOK_OUTCOME_COUNT
};
const char *hook_outcome_name(enum hook_outcome outcome);

struct hook_options {
	const char *certificate;    /* whose; for the log */
	const char *const *command; /* NULL-ended */
	uint64_t timeout_ms;
	unsigned int attempts; /* for one change; at least 1 */
	struct jitter *jitter;
	/* After each run. `last`: it is not tried again. */
	void (*ended)(void *arg, const struct hook_options *hook, enum hook_outcome outcome,
		      const char *text, bool last);
	void *arg;
};

struct hook {
	struct hook_options options;		     /* what it points to is borrowed */
	char *environment[HOOK_ENVIRONMENT_MAX + 1]; /* "NAME=value" of the change, owned */
	bool due;				     /* it is to run, at `backoff` */
	unsigned int attempt;
	struct backoff backoff;
	pid_t pid; /* 0: it does not run */
	int pid_fd, output_fd;
	uint64_t deadline_ns;
	bool timed_out;
	unsigned int lines; /* of this run */
	char line[HOOK_LINE_BYTES];
	size_t line_used;
};

void hook_init(struct hook *hook, const struct hook_options *options);
/* Ends what runs. */
void hook_fini(struct hook *hook);
/* There is a change: run with these (NULL-ended, "NAME=value", copied). If it runs, it runs once
 * more after that. 0 or -ENOMEM. */
int hook_trigger(struct hook *hook, const char *const *environment);
bool hook_is_busy(const struct hook *hook);
/* What to poll; returns how many. */
size_t hook_fds(const struct hook *hook, struct pollfd ret[HOOK_FDS_MAX]);
/* Does what is due at `now_ns` (monotonic); when to be called again at the latest, UINT64_MAX:
 * only if there is something to read. */
uint64_t hook_turn(struct hook *hook, uint64_t now_ns);

#endif
