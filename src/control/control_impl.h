/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the control plane only: what control.c, certificates.c, issuers.c and kept.c share. All
 * of it is the turning thread's, but for the statuses and orders, which are under the mutex.
 */
#ifndef SALLYPORT_CONTROL_CONTROL_IMPL_H
#define SALLYPORT_CONTROL_CONTROL_IMPL_H

#include <pthread.h>

#include "base/util.h"
#include "control/backoff.h"
#include "control/consul.h"
#include "control/control.h"
#include "control/http_client.h"
#include "control/jitter.h"
#include "control/vault.h"
#include "pki/file_digest.h"

/* What a certificate's file says besides. */
struct kept_head {
	char issuer[ISSUER_PATH_BYTES_MAX + 1];
	uint64_t request;
	int64_t issued_at;
};

/* A certificate that is kept issued. */
struct managed {
	struct control *control;
	const struct config_certificate *config;
	struct pki_credential *credential;	/* NULL: none that is good */
	char issuer[ISSUER_PATH_BYTES_MAX + 1]; /* mount that it came from; "": not Vault */
	uint64_t request;	     /* number of what was asked for when it was issued */
	int64_t issued_at, renew_at; /* seconds since the epoch */
	uint64_t renew_ns;	     /* renew_at on CLOCK_MONOTONIC, as it was when it came */
	struct pki_request *pending; /* a request is under way */
	char pending_issuer[ISSUER_PATH_BYTES_MAX + 1];
	enum control_reason reason; /* why it will be issued next */
	struct backoff backoff;
	bool loaded;				  /* its event is still to be told */
	bool unkept;				  /* not on disk, where it belongs */
	uint8_t digests[2][FILE_DIGEST_BYTES];	  /* source files: as they were last read */
	bool ordered;				  /* by control_renew(); under the mutex */
	struct control_certificate_status status; /* under the mutex */
};

/* Which CAs are in force, and what is being done to find out. */
struct following {
	struct issuers wanted; /* what Consul, or the configuration, says */
	bool has_wanted;
	bool value_refused;  /* Consul says something else now, which can not be followed */
	struct trust *trust; /* in force; NULL: none */
	bool loaded;	     /* its event is still to be told */
	bool unkept;	     /* not on disk, where it belongs */
	bool due;	     /* the CAs of `wanted` are to be read */
	bool reading;
	char asked[ISSUER_PATH_BYTES_MAX + 1]; /* whose CA is being read */
	char *pems[ISSUERS_MAX];	       /* read so far */
	size_t read;
	uint64_t reread_ns; /* CLOCK_MONOTONIC */
	struct backoff backoff;
};

struct control {
	struct control_options options;
	struct control_events events;
	struct jitter jitter;
	struct http_client *http;
	struct vault *vault;   /* NULL: not used */
	struct consul *consul; /* NULL: not used */
	struct consul *limits; /* Consul's other key; NULL: not used */
	struct following following;
	struct managed *managed;
	size_t managed_count;
	uint64_t files_ns; /* when files are looked at again */
	uint64_t keep_ns;  /* when what is not on disk is written again; 0: all is */
	pthread_mutex_t mutex;
	struct control_source_status sources[CONTROL_SOURCE_COUNT]; /* under the mutex */
	struct control_trust_status trust;			    /* under the mutex */
};

int64_t control_now(void); /* seconds since the epoch */
/* Counts a request to a source and tells, in the log, what has changed. */
void control_note_source(struct control *control, enum control_source source, const char *what,
			 enum cause cause, const struct err_text *why);

/* certificates.c. What is due is begun; when to be called again. */
uint64_t certificates_turn(struct control *control, uint64_t now_ns);
bool certificates_need_vault(struct control *control, uint64_t now_ns);
/* The primary issuer is another one now, or known now. */
void certificates_issuer_changed(struct control *control);
/* A credential that was kept: it is in force if it is good. Takes it. */
void certificate_loaded(struct managed *m, struct pki_credential *credential,
			const struct kept_head *head);
void certificates_tell_loaded(struct control *control);
void certificates_fini(struct control *control);
/* A number that differs where something else is asked for. */
uint64_t certificate_request_number(const struct config_certificate *config);

/* issuers.c */
uint64_t issuers_turn(struct control *control, uint64_t now_ns);
void issuers_want(struct control *control, const struct issuers *issuers);
/* Consul's key: NULL if it is not there. */
void issuers_on_value(const char *value, size_t bytes, void *arg);
/* The CAs may be others than they were. */
void issuers_read_again(struct control *control);
void issuers_loaded(struct control *control, struct trust *trust);
void issuers_tell_loaded(struct control *control);
void issuers_fini(struct control *control);

/* kept.c: on disk, where the configuration says so. Failures are told, and nothing else; what could
 * not be saved is tried again until it can. */
void kept_load(struct control *control);
int kept_save_certificate(struct managed *m, struct err_text *err);
int kept_save_trust(struct control *control, struct err_text *err);
uint64_t kept_turn(struct control *control, uint64_t now_ns); /* when to be called again */

#endif
