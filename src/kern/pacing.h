/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pacing of all of a client's sockets together, by the kernel (bpf/pacing.bpf.c): whether that is
 * there, and whose a socket is. The queueing discipline fq on the way out does the waiting; without
 * it what is asked for here has no effect.
 */
#ifndef SALLYPORT_KERN_PACING_H
#define SALLYPORT_KERN_PACING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Whether the program is in this binary. */
bool pacing_is_built(void);
/* Whether it is attached already: by the process that this one replaces, and it stays. */
bool pacing_is_inherited(void);
/* Attaches the program to the cgroup that this process is in, until the process ends, and those
 * that take over from it. It must still have CAP_BPF and CAP_NET_ADMIN. Once; main thread. 0, or
 * -errno with `err`: what is missing; -EOPNOTSUPP: the program is not in this binary. */
int pacing_attach(struct err_text *err);
/* What is sent on this socket counts for `client` (0: nobody), who gets `rate` bytes a second (0:
 * no limit) on all of them together. Any thread. False: nobody paces it. */
bool pacing_set(int fd, uint64_t client, uint64_t rate);
/* Names of interfaces that have fq, "eth0, eth1", as many as there is room for; "": none has. */
void pacing_devices(char *ret, size_t size);

#endif
