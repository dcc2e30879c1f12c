/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What TLS costs on this host, in the kernel and by our own record layer: measured for a few tens
 * of milliseconds, so that ktls_choose() need not believe anything.
 */
#ifndef SALLYPORT_TLS_KTLS_CALIBRATE_H
#define SALLYPORT_TLS_KTLS_CALIBRATE_H

#include <stdbool.h>
#include <stdint.h>

#include "tls/ktls_choice.h"

#define KTLS_VERSION_COUNT 2 /* TLS 1.2, 1.3 */

/* Suites by version, as bits: 1 << enum tls_cipher. */
struct ktls_suites {
	unsigned int of[KTLS_VERSION_COUNT];
};

struct ktls_calibration {
	struct ktls_costs costs[KTLS_VERSION_COUNT][TLS_CIPHER_COUNT];
	uint32_t took_ms;
};

static inline unsigned int ktls_version_index(uint16_t version)
{
	return version == TLS_VERSION_1_3;
}

/* Measures the suites that are wanted, that this kernel has, and that have not been tried before,
 * TLS 1.3 first; for at most `ms_max` (KTLS_CALIBRATION_MS_MAX), and two seconds more if a socket
 * hangs. What could not be measured says why. Opens sockets on loopback and pipes; leaves nothing
 * behind. */
void ktls_calibrate(struct ktls_calibration *calibration, const struct ktls_support *support,
		    const struct ktls_suites *wanted, uint32_t ms_max);

#endif
