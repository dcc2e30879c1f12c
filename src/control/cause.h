/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that can go wrong with a server or with what it gave: one name each, for the log, the
 * metrics and the documentation, with how it is to be taken.
 */
#ifndef SALLYPORT_CONTROL_CAUSE_H
#define SALLYPORT_CONTROL_CAUSE_H

#include <stdbool.h>
#include <stdint.h>

/* X(enum suffix, name, of the whole source or of one request, meaning). The names are stable. */
#define CAUSES(X)                                                                                  \
	X(NONE, "none", REQUEST, "nothing is wrong")                                               \
	X(UNRESOLVED, "unresolved", SOURCE, "its name has no address")                             \
	X(REFUSED, "refused", SOURCE, "no connection: refused or unreachable")                     \
	X(TIMEOUT, "timeout", SOURCE, "no answer in time")                                         \
	X(TLS, "tls", SOURCE, "the TLS handshake failed, or our files for it are wrong")           \
	X(BROKEN, "broken", SOURCE, "the connection broke, or the answer is no HTTP")              \
	X(TOO_LARGE, "too_large", SOURCE, "the answer is larger than any that is expected")        \
	X(NOT_JSON, "not_json", SOURCE, "the answer is not the JSON that it should be")            \
	X(SEALED, "sealed", SOURCE, "Vault is sealed")                                             \
	X(SERVER_ERROR, "server_error", SOURCE, "the server reports an error of its own (5xx)")    \
	X(RATE_LIMITED, "rate_limited", SOURCE, "the server asks for patience (429)")              \
	X(DENIED, "denied", REQUEST, "the token, or its policy, does not allow it (403)")          \
	X(REJECTED, "rejected", REQUEST, "the request is not accepted (400)")                      \
	X(NOT_FOUND, "not_found", REQUEST, "mount, role or key is not there (404)")                \
	X(UNEXPECTED, "unexpected", REQUEST, "an HTTP status that has no meaning here")            \
	X(MALFORMED, "malformed", REQUEST, "a value is not of the form that is expected")          \
	X(NO_CREDENTIALS, "no_credentials", REQUEST, "a file with a token or id can not be used")  \
	X(KEY_MISMATCH, "key_mismatch", REQUEST, "the certificate is for another key than ours")   \
	X(NOT_VALID, "not_valid", REQUEST, "the certificate is expired, or not valid yet")         \
	X(UNTRUSTED, "untrusted", REQUEST, "the certificate comes from none of the trusted roots") \
	X(NO_ROOTS, "no_roots", REQUEST, "no trusted root would be left")                          \
	X(LOCAL, "local", REQUEST, "something on this host: disk, memory, files")

enum cause {
#define X(suffix, name, scope, meaning) CAUSE_##suffix,
	CAUSES(X)
#undef X
		CAUSE_COUNT
};

const char *cause_name(enum cause cause);
const char *cause_meaning(enum cause cause);
/* Whether it is the source as a whole that is out of order: other requests would fare no better. */
bool cause_is_of_source(enum cause cause);
/* Failures of all causes. */
uint64_t cause_sum(const uint64_t failures[CAUSE_COUNT]);

#endif
