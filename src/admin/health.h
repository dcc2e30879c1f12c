/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong right now: a list of conditions, each with how bad it is, since when it holds, what
 * it means and what to do. Whoever learns of one sets it, and clears it when it is over; begin and
 * end are a line in the log.
 */
#ifndef SALLYPORT_ADMIN_HEALTH_H
#define SALLYPORT_ADMIN_HEALTH_H

#include <stddef.h>
#include <stdint.h>

struct health;

/* Ascending. A note is good to know and makes nobody unhealthy. */
enum health_severity { HEALTH_NOTE, HEALTH_DEGRADED, HEALTH_FAILING };

/* X(enum suffix, name, severity, what it means, what to do). The names are stable. */
#define HEALTH_KINDS(X)                                                                            \
	X(WORKER_SILENT, "worker_silent", FAILING,                                                 \
	  "a worker thread does not answer: its connections stand still",                          \
	  "look at the log; if it does not recover, restart the proxy and report the case")        \
	X(CERTIFICATE_EXPIRED, "certificate_expired", FAILING,                                     \
	  "a certificate that the proxy shows is not valid any more: peers refuse it",             \
	  "put a new certificate and its key in place, then 'sallyport reload'")                   \
	X(UPSTREAM_UNREACHABLE, "upstream_unreachable", FAILING,                                   \
	  "the last attempt to connect to the upstream failed: clients get a clean end at once",   \
	  "see if the service runs and listens where 'upstream' points")                           \
	X(IDENTITY_NOT_TAKEN, "identity_not_taken", FAILING,                                       \
	  "the broker did not take the last identity that it was told: clients get a clean end",   \
	  "see the log lines 'refused' and the broker's own log: docs/identity.md has a table")    \
	X(ACCEPT_FAILED, "accept_failed", FAILING,                                                 \
	  "connections could not be accepted within the last minute; they wait in the kernel",     \
	  "out of file descriptors: raise LimitNOFILE of the unit, or lower limits.connections")   \
	X(CERTIFICATE_EXPIRES_SOON, "certificate_expires_soon", DEGRADED,                          \
	  "a certificate that the proxy shows ends soon",                                          \
	  "put a new certificate and its key in place, then 'sallyport reload'")                   \
	X(ROOT_EXPIRED, "root_expired", DEGRADED,                                                  \
	  "a trusted root is not valid any more: peers whose chain ends there are refused",        \
	  "replace it in the files of 'roots', then 'sallyport reload'")                           \
	X(ROOT_EXPIRES_SOON, "root_expires_soon", DEGRADED,                                        \
	  "a trusted root ends soon: peers whose chain ends there will be refused",                \
	  "add its successor to the files of 'roots', then 'sallyport reload'")                    \
	X(AWAITING_CERTIFICATE, "awaiting_certificate", FAILING,                                   \
	  "a listener's certificate or roots have not come yet: it refuses connections",           \
	  "see the conditions of the servers that they come from; with vault.persist a start "     \
	  "needs none of them")                                                                    \
	X(SOURCE_FAILING, "source_failing", DEGRADED,                                              \
	  "a server of the control plane does not answer as it should: what is in force stays",    \
	  "the cause is in the detail; docs/control-plane.md has a remedy for each")               \
	X(CERTIFICATE_NOT_RENEWED, "certificate_not_renewed", DEGRADED,                            \
	  "the last attempt to have a certificate issued, or kept on disk, failed",                \
	  "the cause is in the detail; docs/control-plane.md has a remedy for each")               \
	X(TRUST_REFUSED, "trust_refused", DEGRADED,                                                \
	  "the issuers that are named can not be followed: the roots of before stay in force",     \
	  "look at Consul's key and at the mounts that it names")                                  \
	X(LIMITS_KEY_REFUSED, "limits_key_refused", DEGRADED,                                      \
	  "what Consul's limits_key says can not be taken: the limits of before stay in force",    \
	  "mend the value: it is a section clients, as the configuration has it")                  \
	X(RELOAD_FAILED, "reload_failed", DEGRADED,                                                \
	  "the last reload was refused: what was in force before still is",                        \
	  "'sallyport check FILE' shows what is wrong; then 'sallyport reload'")                   \
	X(LIMIT_REACHED, "limit_reached", DEGRADED,                                                \
	  "connections were turned away at a limit within the last minute",                        \
	  "'sallyport conns' shows who is connected; raise the limit if that is as it should be")  \
	X(DRAINING, "draining", DEGRADED,                                                          \
	  "the proxy is stopping: no new connections are taken, live ones may finish",             \
	  "nothing: it was told to; 'sallyport drain --at-once' cuts what is left")                \
	X(IDENTITY_KEYS, "identity_keys", DEGRADED,                                                \
	  "the keys that sign identities can not be read or renewed: those known stay in use",     \
	  "see to the folder identity.directory: its owner, its mode, free space")                 \
	X(KEYS_NOT_LOCKED, "keys_not_locked", DEGRADED,                                            \
	  "memory with traffic keys is not locked: it may be written to swap",                     \
	  "raise LimitMEMLOCK of the unit (ulimit -l)")                                            \
	X(RESTART_NEEDED, "restart_needed", NOTE,                                                  \
	  "keys of the configuration have changed that a running proxy can not change",            \
	  "restart, or upgrade to a new process, when it suits")                                   \
	X(KTLS_NOT_IN_USE, "ktls_not_in_use", NOTE,                                                \
	  "TLS records are sealed and opened by the proxy, not by the kernel",                     \
	  "nothing has to be done; 'sallyport probe' says what this kernel lacks")                 \
	X(IO_URING_NOT_IN_USE, "io_uring_not_in_use", NOTE,                                        \
	  "the workers use epoll, at a somewhat higher cost",                                      \
	  "nothing has to be done; 'sallyport probe' says what forbids it")

enum health_kind {
#define X(suffix, name, severity, meaning, remedy) HEALTH_##suffix,
	HEALTH_KINDS(X)
#undef X
		HEALTH_KIND_COUNT
};

#define HEALTH_BIT(suffix)   (1u << HEALTH_##suffix)
#define HEALTH_SUBJECT_BYTES 160
#define HEALTH_DETAIL_BYTES  512

struct health_condition {
	enum health_kind kind;
	char subject[HEALTH_SUBJECT_BYTES]; /* whom it is about, "" the process; a part of what it
					       is */
	char detail[HEALTH_DETAIL_BYTES];   /* one line more, "" none */
	uint64_t since_ns;		    /* clock_realtime_ns() */
	uint64_t round;			    /* private */
};

struct health *health_new(void); /* NULL without memory */
void health_free(struct health *health);

/* All: any thread. Holds now: anew, or still (then only `detail` is taken). What is
 * more than HEALTH_CONDITIONS_MAX is not taken. */
void health_set(struct health *health, enum health_kind kind, const char *subject, const char *fmt,
		...) __attribute__((format(printf, 4, 5)));
void health_clear(struct health *health, enum health_kind kind, const char *subject);
/* For who looks at everything in turn: what of `kinds` (HEALTH_BIT()s) has not been set since the
 * last sweep of these kinds is over. One thread at a time. */
void health_sweep(struct health *health, uint32_t kinds);

/* Copies at most `max` conditions, the worst and then the oldest first; returns how many there are.
 * `ret_worst`: of all. */
size_t health_list(struct health *health, struct health_condition *ret, size_t max,
		   enum health_severity *ret_worst);

const char *health_kind_name(enum health_kind kind);
enum health_severity health_kind_severity(enum health_kind kind);
const char *health_kind_meaning(enum health_kind kind);
const char *health_kind_remedy(enum health_kind kind);
const char *health_severity_name(enum health_severity severity); /* "note", "degraded", "failing" */

#endif
