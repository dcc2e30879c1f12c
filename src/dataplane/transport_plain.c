/* SPDX-License-Identifier: Apache-2.0 */
/* The transport of a leg without TLS: bytes in, bytes out. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "dataplane/transport.h"

static enum leg_result plain_recv(struct leg *leg, struct worker *worker, const struct leg *to,
				  size_t want, struct batch *batch)
{
	size_t asked = 0;
	ssize_t n;

	if (leg->ended)
		return LEG_EOF;
	batch_layout(batch, worker, to, want);
	for (size_t i = 0; i < batch->count; i++)
		asked += batch->pieces[i].iov_len;
	do {
		n = batch->count == 1
			    ? recv(leg_fd(leg), batch->pieces[0].iov_base, asked, MSG_DONTWAIT)
			    : readv(leg_fd(leg), batch->pieces, (int)batch->count);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN) {
		leg->readable = false;
		return LEG_AGAIN;
	}
	if (n < 0)
		return leg_fail_errno(leg, errno);
	if (n == 0) {
		leg->ended = true;
		return LEG_EOF;
	}
	leg_note_read(leg, (size_t)n, asked);
	batch_trim(batch, (size_t)n);
	return LEG_OK;
}

static enum leg_result plain_send(struct leg *leg, struct worker *worker, struct batch *batch)
{
	(void)worker;
	return leg_send_raw(leg, worker, batch->pieces, batch->count);
}

const struct transport transport_plain = {
	.name = "plain",
	.splice_in = true,
	.splice_out = true,
	.recv = plain_recv,
	.send = plain_send,
};
