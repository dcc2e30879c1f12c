/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hand-off of a connection's keys to the kernel's record layer (Documentation/networking/tls.rst),
 * and what this kernel can do.
 */
#ifndef SALLYPORT_TLS_KTLS_H
#define SALLYPORT_TLS_KTLS_H

#include <stdbool.h>

#include "base/err.h"
#include "tls/traffic_keys.h"

struct ktls_support {
	bool ulp;			 /* TCP_ULP "tls" */
	bool cipher13[TLS_CIPHER_COUNT]; /* both directions, TLS 1.3 */
	bool cipher12[TLS_CIPHER_COUNT];
	bool rekey;    /* a second TLS_TX / TLS_RX (Linux >= 6.14) */
	bool unpadded; /* ktls_expect_unpadded() (Linux >= 6.0) */
	char why[256]; /* what is missing and the remedy; "" if nothing is */
};

/* Tries everything on a loopback pair; some milliseconds. */
void ktls_probe(struct ktls_support *ret);

enum ktls_result {
	KTLS_OK = 0,
	KTLS_NOT_POSSIBLE = 1, /* nothing was changed that matters: the socket works as before (a
				  ULP without keys is plain TCP) */
};

/* Both directions. Checks every precondition first; KTLS_NOT_POSSIBLE with the reason in `err`;
 * -errno: the socket is half changed and must be closed. */
int ktls_install(int fd, const struct tls_keys *keys, const struct ktls_support *support,
		 struct err_text *err);
/* Only what we send; what comes stays as it is on the wire. KTLS_OK or KTLS_NOT_POSSIBLE. */
int ktls_install_sending(int fd, const struct tls_keys *keys, const struct ktls_support *support,
			 struct err_text *err);
/* After ktls_install(), TLS 1.3: the kernel opens what comes straight into the reader's buffer,
 * where it has no room for padding. A record that is padded all the same, or a control record, it
 * opens a second time. 0 or -errno: this kernel can not, and goes on as it was. */
int ktls_expect_unpadded(int fd);
/* New key for one direction after a KeyUpdate; sequence starts at 0. 0 or -errno (-EBUSY: this
 * kernel can not re-key). */
int ktls_rekey(int fd, const struct tls_keys *keys, bool sending);

#endif
