/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a connection ended: one row a reason. The names are stable: they stand in the log, in the
 * counters and in docs/operations.md. Refusals of the handshake have their own names
 * (tls_refusal_name).
 */
#ifndef SALLYPORT_DATAPLANE_REASONS_H
#define SALLYPORT_DATAPLANE_REASONS_H

/* X(enum suffix, name, what it says to an operator) */
#define CLOSE_REASONS(X)                                                                           \
	X(CLIENT_CLOSED, "client_closed", "the client ended first, in order")                      \
	X(UPSTREAM_CLOSED, "upstream_closed", "the upstream ended first, in order")                \
	X(PEER_TRUNCATED, "peer_truncated", "FIN without close_notify from the TLS peer")          \
	X(CLIENT_RESET, "client_reset", "the client's socket failed")                              \
	X(UPSTREAM_RESET, "upstream_reset", "the upstream's socket failed")                        \
	X(UPSTREAM_REFUSED, "upstream_refused", "no upstream address accepted the connection")     \
	X(UPSTREAM_TIMEOUT, "upstream_timeout", "the upstream did not accept in time")             \
	X(UPSTREAM_UNRESOLVED, "upstream_unresolved", "the upstream's name has no address")        \
	X(IDENTITY_MISSING, "identity_missing",                                                    \
	  "the certificate gives no name, or an empty principal")                                  \
	X(IDENTITY_ISSUER, "identity_issuer", "its issuers may not certify this name")             \
	X(IDENTITY_UNMAPPED, "identity_unmapped", "no rule of kafka.principal_rules matches")      \
	X(IDENTITY_RESERVED, "identity_reserved",                                                  \
	  "a broker would take the principal for somebody else's")                                 \
	X(IDENTITY_COSTLY, "identity_costly", "the rules need too many steps for this name")       \
	X(IDENTITY_UNUSABLE, "identity_unusable",                                                  \
	  "what Kafka would make of the name is not certain, or not safe")                         \
	X(IDENTITY_REFUSED, "identity_refused", "the broker does not take the client's identity")  \
	X(IDENTITY_UNSUPPORTED, "identity_unsupported",                                            \
	  "the broker's listener has no OAUTHBEARER")                                              \
	X(IDENTITY_GARBAGE, "identity_garbage", "the upstream does not answer like a broker")      \
	X(IDENTITY_TIMEOUT, "identity_timeout", "the broker did not take the identity in time")    \
	X(IDENTITY_CLOSED, "identity_closed", "the upstream left instead of taking the identity")  \
	X(HANDSHAKE_FAILED, "handshake_failed", "see the refusal of the same line")                \
	X(HANDSHAKE_TIMEOUT, "handshake_timeout", "the handshake did not end in time")             \
	X(HANDSHAKE_CLOSED, "handshake_closed", "the peer left during the handshake")              \
	X(NOT_TLS_HTTP, "plaintext_http", "HTTP in clear on a TLS port")                           \
	X(NOT_TLS_KAFKA, "plaintext_kafka", "Kafka in clear on a TLS port")                        \
	X(NOT_TLS, "not_tls", "something else that is not TLS")                                    \
	X(DENIED, "denied", "a deny rule matched, or no allow rule did")                           \
	X(LIMIT_CONNECTIONS, "limit_connections", "limits.connections is reached")                 \
	X(LIMIT_HANDSHAKES, "limit_handshakes", "limits.handshakes is reached")                    \
	X(AUDIT_UNAVAILABLE, "audit_unavailable",                                                  \
	  "audit.on_failure: refuse, and it can not be written")                                   \
	X(LIMIT_ACCEPT_RATE, "limit_accept_rate", "limits.accepts_per_second is reached")          \
	X(LIMIT_SOURCE, "limit_source", "limits.connections_per_source is reached")                \
	X(LIMIT_MEMORY, "limit_memory", "limits.memory is reached")                                \
	X(LIMIT_CLIENT_CONNECTIONS, "limit_client_connections",                                    \
	  "clients: connections of the client or of its group are reached")                        \
	X(LIMIT_CLIENT_RATE, "limit_client_rate",                                                  \
	  "clients: connections_per_second of the client or of its group are reached")             \
	X(LIMIT_CLIENT_HANDSHAKES, "limit_client_handshakes",                                      \
	  "clients: handshakes_per_second of the client or of its group are reached")              \
	X(CLIENT_UNNAMED, "client_unnamed",                                                        \
	  "clients.unnamed: refuse, and the certificate has no CN")                                \
	X(PENALTY, "penalty", "too many handshakes of this source have failed: see penalties")     \
	X(PROXY_PROTOCOL, "proxy_protocol", "a PROXY protocol header that is missing or wrong")    \
	X(AWAITING_CERTIFICATE, "awaiting_certificate",                                            \
	  "the listener's certificate or roots have not come yet")                                 \
	X(KTLS_UNAVAILABLE, "ktls_unavailable", "ktls: required, and the kernel refused")          \
	X(BAD_RECORD_MAC, "bad_record_mac", "a record failed authentication")                      \
	X(BAD_RECORD, "bad_record", "a record was malformed or not allowed here")                  \
	X(PEER_ALERT, "peer_alert", "the TLS peer sent a fatal alert")                             \
	X(RENEGOTIATION, "renegotiation", "the TLS peer tried to renegotiate")                     \
	X(KEY_UPDATE_STORM, "key_update_storm", "more KeyUpdates than allowed")                    \
	X(KEY_UPDATE_UNSUPPORTED, "key_update_unsupported",                                        \
	  "KeyUpdate, and this kernel can not re-key")                                             \
	X(KEY_EXHAUSTED, "key_exhausted", "the record limit of a key that can not be renewed")     \
	X(EMPTY_RECORDS, "empty_records", "a flood of records that carry nothing")                 \
	X(IDLE_TIMEOUT, "idle_timeout", "no byte for timeouts.idle")                               \
	X(DRAIN, "drain", "the proxy is stopping")                                                 \
	X(KILLED, "killed", "an operator ended it (sallyport kill)")                               \
	X(NO_MEMORY, "no_memory", "an allocation failed")                                          \
	X(INTERNAL, "internal", "an error that should not happen: see the log line")

enum close_reason {
#define X(suffix, name, text) CLOSE_##suffix,
	CLOSE_REASONS(X)
#undef X
		CLOSE_REASON_COUNT
};

const char *close_reason_name(enum close_reason reason);

#endif
