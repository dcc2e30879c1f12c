/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of include/abi/handover.h: listening sockets from the running proxy to the one that
 * replaces it. Main thread.
 */
#ifndef SALLYPORT_DATAPLANE_HANDOVER_H
#define SALLYPORT_DATAPLANE_HANDOVER_H

#include "abi/handover.h"
#include "base/err.h"
#include "dataplane/inherited.h"
#include "dataplane/listen_group.h"

/* A pair for the two; each end gives up on the other after some seconds. 0 or -errno. */
int handover_pair(int *ret_ours, int *ret_theirs);

/* The old one: all sockets of `table`, whose listeners are in `config` in the same order. 0, or
 * -errno with `err`. */
int handover_send_sockets(int fd, const struct listen_table *table, const struct config *config,
			  struct err_text *err);
/* Either: a word without descriptors. 0 or -errno. */
int handover_send(int fd, enum handover_kind kind);
/* Either: waits for the word `kind` and for no other; -EPIPE: the other one has given up. */
int handover_expect(int fd, enum handover_kind kind);

/* The new one: the end that this process has inherited, or -1: it replaces nobody. The variable is
 * gone afterwards. */
int handover_inherited_end(void);
/* The new one: takes in all that comes. 0, or -errno with `err`. */
int handover_receive_sockets(int fd, struct inherited_sockets *ret, struct err_text *err);

#endif
