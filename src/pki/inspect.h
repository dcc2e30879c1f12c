/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at certificate, key and root files as a careful operator would: what is wrong with them,
 * and what they say. Reads files, changes nothing.
 */
#ifndef SALLYPORT_PKI_INSPECT_H
#define SALLYPORT_PKI_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "OpenSSL 3.0.22 25 Aug 2026": the library that is loaded. */
const char *pki_openssl_version(void);

/* What a finding is about, so that it can be shown at the right line. */
enum pki_finding_about { PKI_ABOUT_CERTIFICATE, PKI_ABOUT_KEY, PKI_ABOUT_ROOTS };

#define PKI_FINDINGS_MAX 16

struct pki_finding {
	enum pki_finding_about about;
	bool error; /* else a warning */
	char text[300];
};

struct pki_findings {
	struct pki_finding items[PKI_FINDINGS_MAX];
	size_t count; /* more than fit are dropped */
	size_t errors;
};

struct pki_identity {
	char cn[256];	    /* "" if there is none; no control characters */
	int64_t not_after;  /* seconds since the epoch */
	size_t chain_count; /* intermediates after the leaf */
};

/* Our own certificate with its key. `is_server`: which purpose it must serve. True if the
 * certificate could be read, and `ret` filled. */
bool pki_inspect_identity(const char *certificate_file, const char *key_file, bool is_server,
			  struct pki_identity *ret, struct pki_findings *findings);
/* One file of roots. Returns how many it holds. */
size_t pki_inspect_roots(const char *file, struct pki_findings *findings);

#endif
