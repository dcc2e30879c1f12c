/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the transports share: how a batch lies in the worker's buffer, and how pieces go to a
 * socket.
 */
#ifndef SALLYPORT_DATAPLANE_TRANSPORT_H
#define SALLYPORT_DATAPLANE_TRANSPORT_H

#include "dataplane/leg.h"
#include "dataplane/worker.h"

/* Empty pieces for `want` bytes, where `to` can seal them in place. */
void batch_layout(struct batch *batch, struct worker *worker, const struct leg *to, size_t want);
/* Cuts the pieces of a layout to the `len` bytes that were read into them. */
void batch_trim(struct batch *batch, size_t len);
/* Sends raw bytes; what the socket does not take is held. */
enum leg_result leg_send_raw(struct leg *leg, struct worker *worker, struct iovec *iov,
			     size_t count);
/* What transport_ktls_send does with what comes. */
enum leg_result aead_transport_recv(struct leg *leg, struct worker *worker, const struct leg *to,
				    size_t want, struct batch *batch);
enum leg_result aead_transport_rekey(struct leg *leg, struct worker *worker, bool sending);
/* After a read of `got` bytes where `asked` had room: is the socket drained? */
void leg_note_read(struct leg *leg, size_t got, size_t asked);

#endif
