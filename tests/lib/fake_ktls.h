/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket with kernel TLS, for machines whose kernel has none. It behaves to the program as
 * net/tls does (one record a splice, EINVAL at a control record, types in cmsgs, EKEYEXPIRED until
 * there is a new key, an error that stays on the socket after a bad MAC); what it sends and takes
 * stands in the clear on the other end, the "wire", for the test to read and write, each record
 * with the generation of the key that it is under.
 *
 * The seam is the linker: a test that uses this is linked with FAKE_KTLS_WRAPS of
 * tests/unit/dataplane/meson.build. Other sockets go through to the kernel. One thread.
 */
#ifndef SALLYPORT_TESTS_LIB_FAKE_KTLS_H
#define SALLYPORT_TESTS_LIB_FAKE_KTLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_KTLS_RECORD_BYTES_MAX 16384
#define FAKE_KTLS_RAW_BYTES_MAX	   (FAKE_KTLS_RECORD_BYTES_MAX + 256)

struct fake_ktls_record {
	uint8_t type, generation;
	size_t len;
	uint8_t data[FAKE_KTLS_RECORD_BYTES_MAX];
};

struct fake_ktls_stats {
	unsigned int splices_in, splices_out; /* that moved bytes */
	unsigned int splices_refused;	      /* EINVAL: a control record at the head */
	unsigned int into_used_pipe;	      /* splices in at which old kernels lose data */
	unsigned int into_small_pipe;	      /* likewise */
	unsigned int more;	    /* SPLICE_F_MORE, MSG_MORE: an open record stays unsent */
	unsigned int sends_refused; /* EAGAIN */
	uint8_t rx_generation, tx_generation;
};

/* ret[0] is the kTLS socket, ret[1] its wire. Both non-blocking. `can_rekey`: Linux >= 6.14. */
void fake_ktls_pair(int ret[2], bool can_rekey);
/* From now on it has keys for sending only: what the wire sends is read as it is (by recv), a
 * stream of packets of at most FAKE_KTLS_RAW_BYTES_MAX. */
void fake_ktls_receive_raw(int fd);
/* At most so many bytes a send or splice; 0: no limit. */
void fake_ktls_limit_send(int fd, size_t bytes);
const struct fake_ktls_stats *fake_ktls_stats(int fd);
/* The last key that was set for a direction: the first 16 bytes. */
const uint8_t *fake_ktls_key(int fd, bool sending);

/* A record onto the wire. False: no room now. */
bool fake_ktls_wire_send(int wire, uint8_t type, uint8_t generation, const void *data, size_t len);
/* A record that fails authentication. */
bool fake_ktls_wire_send_forged(int wire);
/* 1: a record, 0: nothing now, -1: the end. */
int fake_ktls_wire_recv(int wire, struct fake_ktls_record *ret);

#endif
