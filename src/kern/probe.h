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
	int landlock_abi;		 /* 0: none */
	struct err_text landlock_why;	 /* "" if there is */
	uint64_t pipe_bytes_max;	 /* fs.pipe-max-size; PROBE_UNKNOWN */
	uint64_t pipe_user_pages_soft;	 /* fs.pipe-user-pages-soft; 0: no limit */
	bool pipe_full_size;		 /* a pipe of PIPE_BYTES could be had */
	struct err_text pacing_why;	 /* "": the program of pacing could be attached */
	char fq[256];			 /* interfaces that have it (pacing_devices()) */
	struct probe_limit open_files;	 /* RLIMIT_NOFILE */
	struct probe_limit locked_bytes; /* RLIMIT_MEMLOCK */
	bool secrets_locked;		 /* memory for keys could be locked */
};

/* How many cores this process may run on; at least 1. */
unsigned int probe_cores(void);
/* Some milliseconds; opens sockets on loopback and a pipe, leaves nothing but the program of
 * pacing, which goes with the process. */
void probe_gather(struct probe *ret);
/* What `ktls: auto` means here: true for the kernel's record layer, false for our own; `ret_why`
 * says why in a sentence. For TLS 1.3. */
bool probe_uses_ktls(const struct probe *probe, struct err_text *ret_why);

#endif
