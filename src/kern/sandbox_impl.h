/* SPDX-License-Identifier: Apache-2.0 */
/* The pieces of the sandbox, each in a file of its own. Inside of kern/ only; main thread. */
#ifndef SALLYPORT_KERN_SANDBOX_IMPL_H
#define SALLYPORT_KERN_SANDBOX_IMPL_H

#include "kern/sandbox.h"

void sandbox_fact_set(struct sandbox_fact *fact, bool in_force, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Becomes plan->user, if there is one and we are root. 0, or -errno with `err`. */
int sandbox_become_user(const struct sandbox_plan *plan, struct err_text *err);
/* Gives up all capabilities but the plan's. 0, or -errno: they are still there. */
int sandbox_drop_capabilities(const struct sandbox_plan *plan, struct sandbox_fact *fact);
/* Both need no-new-privileges to be set. */
void sandbox_landlock(const struct sandbox_plan *plan, struct sandbox_fact *fact);
void sandbox_seccomp(struct sandbox_fact *fact);

#endif
