/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host and this process may use, found by trying it, with reasons where it may not.
 */
#ifndef SALLYPORT_KERN_PROBE_H
#define SALLYPORT_KERN_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "tls/ktls.h"
#include "tls/ktls_calibrate.h"

#define PROBE_UNKNOWN UINT64_MAX /* a number that could not be read, or "unlimited" of a limit */

struct probe_limit {
	uint64_t soft, hard; /* PROBE_UNKNOWN: unlimited */
};

struct probe {
	char kernel[128];   /* release, as uname says it */
	unsigned int cores; /* that this process may run on */
	bool io_uring;
	struct err_text io_uring_why; /* "" if usable */
	struct ktls_support ktls;
	struct ktls_calibration calibration; /* of every suite for which the kernel is fit */
	int landlock_abi;		     /* 0: none */
	struct err_text landlock_why;	     /* "" if there is */
	uint64_t pipe_bytes_max;	     /* fs.pipe-max-size; PROBE_UNKNOWN */
	uint64_t pipe_user_pages_soft;	     /* fs.pipe-user-pages-soft; 0: no limit */
	bool pipe_full_size;		     /* a pipe of PIPE_BYTES could be had */
	struct err_text pacing_why;	     /* "": the program of pacing could be attached */
	char fq[256];			     /* interfaces that have it (pacing_devices()) */
	struct probe_limit open_files;	     /* RLIMIT_NOFILE */
	struct probe_limit locked_bytes;     /* RLIMIT_MEMLOCK */
	bool secrets_locked;		     /* memory for keys could be locked */
};

/* How many cores this process may run on; at least 1. */
unsigned int probe_cores(void);
/* Some milliseconds, and up to KTLS_CALIBRATION_MS_MAX more where TLS is measured; opens sockets on
 * loopback and pipes, leaves nothing but the program of pacing, which goes with the process. */
void probe_gather(struct probe *ret);
/* What `ktls: auto` means here for a listener with all suites and nothing else about TLS records in
 * its configuration; `ret_why` says why in a sentence. */
enum ktls_use probe_ktls_use(const struct probe *probe, uint16_t version, enum tls_cipher cipher,
			     struct err_text *ret_why);

#endif
