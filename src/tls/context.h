/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything a handshake needs that does not change from one to the next: certificate, key, trusted
 * roots, versions, suites. Immutable and shared by all workers.
 */
#ifndef SALLYPORT_TLS_CONTEXT_H
#define SALLYPORT_TLS_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "tls/peer.h"
#include "tls/traffic_keys.h"

struct tls_context;

struct tls_context_params {
	bool is_server;
	/* PEM; chain in order after the leaf. A client may have none. */
	const char *certificate_file, *key_file;
	const char *const *root_files;
	size_t root_file_count;
	/* PEM texts of those two, then the files' names are only for messages; and roots beside
	 * those of files. NULL: none. */
	const char *certificate_pem, *key_pem, *roots_pem;
	uint16_t min_version;			   /* TLS_VERSION_… (traffic_keys.h) */
	enum tls_cipher ciphers[TLS_CIPHER_COUNT]; /* in order of preference */
	size_t cipher_count;
	const char *const *alpn; /* protocols, in order */
	size_t alpn_count;
	const char *server_name; /* client: a DNS name or an address, needed, verified in the
				    peer's certificate; server: SNI must equal it if given */
};

/* Which param a failure is about, so that `check` can point at the line. */
enum tls_context_fault {
	TLS_CONTEXT_FAULT_CERTIFICATE = 1,
	TLS_CONTEXT_FAULT_KEY = 2, /* unreadable, readable by others, does not match */
	TLS_CONTEXT_FAULT_ROOTS = 3,
	TLS_CONTEXT_FAULT_OTHER = 4,
};

/* 0, or a positive tls_context_fault, or -errno; `err` says file and reason. An expired own
 * certificate is a fault; one that expires soon is not. */
int tls_context_new(const struct tls_context_params *params, struct tls_context **ret,
		    struct err_text *err);
struct tls_context *tls_context_ref(struct tls_context *context); /* any thread */
void tls_context_unref(struct tls_context *context);

enum tls_certificate_role {
	TLS_CERTIFICATE_OWN,	      /* our leaf */
	TLS_CERTIFICATE_INTERMEDIATE, /* sent with it */
	TLS_CERTIFICATE_ROOT, /* that peers' chains may end at, or an intermediate beside it */
};

/* Each certificate that `context` holds in memory (its files may have others by now). `names` are
 * for people: doubtful bytes in them are replaced. 0, or -ENOMEM: some are missing. Any thread. */
int tls_context_visit_certificates(const struct tls_context *context,
				   void (*visit)(enum tls_certificate_role role,
						 const struct peer *names, void *arg),
				   void *arg);

#endif
