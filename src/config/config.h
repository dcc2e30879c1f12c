/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration as plain structs: what the program reads after load.h has checked everything.
 * Immutable once loaded. Relative paths have been made absolute against the file's folder.
 */
#ifndef SALLYPORT_CONFIG_CONFIG_H
#define SALLYPORT_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"
#include "base/log.h"
#include "base/parse.h"
#include "config/control.h"
#include "config/values.h"
#include "limits/clients.h"

/* Where proxy and operator meet if nobody says otherwise. */
#define ADMIN_SOCKET_DEFAULT "/run/sallyport/admin.sock"

enum config_loop { CONFIG_LOOP_AUTO, CONFIG_LOOP_IO_URING, CONFIG_LOOP_EPOLL };
enum config_reload { CONFIG_RELOAD_AUTO, CONFIG_RELOAD_MANUAL };
enum config_sandbox { CONFIG_SANDBOX_AUTO, CONFIG_SANDBOX_REQUIRED, CONFIG_SANDBOX_OFF };
enum config_role { CONFIG_ROLE_FRONT, CONFIG_ROLE_EGRESS };
enum config_ktls { CONFIG_KTLS_AUTO, CONFIG_KTLS_REQUIRED, CONFIG_KTLS_OFF };
enum config_padding { CONFIG_PADDING_ANY, CONFIG_PADDING_NONE };
enum config_splice { CONFIG_SPLICE_AUTO, CONFIG_SPLICE_ON, CONFIG_SPLICE_OFF };
enum config_tls_version { CONFIG_TLS_1_2 = 0x0303, CONFIG_TLS_1_3 = 0x0304 };
enum config_on_failure { CONFIG_AUDIT_CONTINUE, CONFIG_AUDIT_REFUSE };
enum config_cipher {
	CONFIG_AES_128_GCM,
	CONFIG_AES_256_GCM,
	CONFIG_CHACHA20_POLY1305,
	CONFIG_CIPHER_COUNT
};

enum config_proxy_header { CONFIG_PROXY_HEADER_OFF, CONFIG_PROXY_HEADER_V2 };
/* What a header that is sent says of the client's TLS session. */
enum config_proxy_tls {
	CONFIG_PROXY_TLS_VERIFIED,
	CONFIG_PROXY_TLS_VERSION,
	CONFIG_PROXY_TLS_CN,
	CONFIG_PROXY_TLS_CIPHER,
	CONFIG_PROXY_TLS_SIG_ALG,
	CONFIG_PROXY_TLS_KEY_ALG,
	CONFIG_PROXY_TLS_DER,
	CONFIG_PROXY_TLS_COUNT
};
enum config_unnamed { CONFIG_UNNAMED_ALLOW, CONFIG_UNNAMED_REFUSE };
/* Who spreads on the wire what passes in turns. */
enum config_pacing { CONFIG_PACING_OFF, CONFIG_PACING_SOCKET, CONFIG_PACING_BPF };
/* What a Kafka broker is told of a client. */
enum config_identity { CONFIG_IDENTITY_NONE, CONFIG_IDENTITY_OAUTHBEARER };
enum config_token_algorithm { CONFIG_EDDSA, CONFIG_ES256, CONFIG_RS256 };
/* What a peer is called after. */
enum config_name_source { CONFIG_NAME_CN, CONFIG_NAME_URI, CONFIG_NAME_DNS, CONFIG_NAME_COUNT };
enum config_overflow { CONFIG_OVERFLOW_PERMISSIVE, CONFIG_OVERFLOW_DENY };

/* A rule matches when each pattern that it has (not NULL) matches: fnmatch(3) globs on the peer's
 * verified names. */
struct config_rule {
	char *cn, *dns, *uri, *issuer_cn;
};

struct config_rules {
	struct config_rule *items;
	size_t count;
};

/* Who is called so must have a certificate of these issuers: each list that is there names one. */
struct config_issuer {
	char *name;			/* fnmatch(3) glob */
	struct config_strings root_cns; /* globs */
	struct config_strings keys;	/* SHA-256 in hex, perhaps with colons */
	struct {
		struct config_mark start, root_cns, keys;
	} marks;
};

struct config_issuers {
	struct config_issuer *items;
	size_t count;
};

enum config_roots_from { CONFIG_ROOTS_FROM_FILES, CONFIG_ROOTS_FROM_VAULT };

struct config_tls_marks {
	struct config_mark certificate, key, certificate_from, roots, roots_from, alpn, server_name;
};

struct config_tls {
	char *certificate, *key;
	char *certificate_from; /* name of one of `certificates`, instead of the two; NULL: none */
	struct config_strings roots;
	enum config_roots_from roots_from; /* beside the files of `roots` */
	enum config_tls_version min_version;
	enum config_cipher ciphers[CONFIG_CIPHER_COUNT]; /* in order of preference */
	size_t cipher_count;
	struct config_strings alpn;
	char *server_name; /* NULL: none */
	struct config_tls_marks marks;
};

struct config_timeouts { /* milliseconds, 0 = off (handshake and connect can not be off) */
	uint64_t handshake_ms, connect_ms, idle_ms, drain_ms, linger_ms;
	uint64_t identity_ms;  /* for the broker to take a client's identity */
	uint64_t tcp_user_ms;  /* TCP_USER_TIMEOUT */
	uint64_t keepalive_ms; /* first TCP keepalive probe after this much silence */
};

struct config_limits {
	uint64_t connections;				     /* live, all workers together */
	uint64_t handshakes;				     /* in flight, all workers together */
	uint64_t accepts_per_second, connections_per_source; /* 0: no limit */
};

struct config_proxy_protocol {
	struct cidr_list accept_from;
	enum config_proxy_header send;
	enum config_proxy_tls tls[CONFIG_PROXY_TLS_COUNT];
	size_t tls_count;
	struct {
		struct config_mark accept_from, send, tls;
	} marks;
};

struct config_kafka {
	enum config_identity identity;
	char *issuer, *audience;
	uint64_t token_lifetime_ms;	       /* 0: as long as the certificate */
	struct config_strings principal_rules; /* none: DEFAULT */
	struct {
		struct config_mark identity;
	} marks;
};

struct config_listener_marks {
	struct config_mark start; /* of the listener as a whole */
	struct config_mark name, role, listen, upstream, tls, ktls, splice, allow, deny, kafka;
	struct config_mark ktls_padding, name_from, issuers;
};

struct config_listener {
	char *name;
	enum config_role role;
	struct endpoint listen, upstream;
	char *upstream_text, *listen_text; /* as written, for people */
	struct config_tls tls;
	enum config_ktls ktls;
	enum config_padding ktls_padding;
	enum config_splice splice;
	struct config_rules allow, deny;
	enum config_name_source name_from[CONFIG_NAME_COUNT];
	size_t name_from_count;
	struct config_issuers issuers;
	struct config_timeouts timeouts;
	struct config_limits limits;
	struct config_proxy_protocol proxy_protocol;
	struct config_kafka kafka;
	struct config_listener_marks marks;
};

struct config_audit_marks {
	struct config_mark file, journald, on_failure;
};

/* Neither file nor journald: no audit. */
struct config_audit {
	char *file;
	unsigned int journald; /* 0, 1 */
	enum config_on_failure on_failure;
	unsigned int queue_kib;
	struct config_audit_marks marks;
};

/* Milliseconds; a cost of 0: that kind of failure is free. */
struct config_penalties {
	uint64_t max_ms; /* 0: no penalties at all */
	uint64_t min_ms;
	uint64_t not_tls_ms, certificate_ms, handshake_ms, denied_ms, timeout_ms, left_ms;
	struct cidr_list exempt;
	unsigned int ipv4_mask, ipv6_mask;
	uint64_t sources;
	enum config_overflow overflow;
	struct {
		struct config_mark min;
	} marks;
};

struct config_client_marks {
	struct config_mark start;
	struct config_mark name, group;
	struct config_mark rate[CLIENT_DIRECTION_COUNT], burst[CLIENT_DIRECTION_COUNT];
	struct config_mark connections, connections_per_second, handshakes_per_second;
};

/* An entry (`name` is a pattern on names of clients) or a group. */
struct config_client {
	char *name;
	char *group; /* NULL: none */
	struct client_limits limits;
	struct config_client_marks marks;
};

struct config_clients {
	enum config_pacing pacing;
	enum config_unnamed unnamed;
	struct config_client *limits, *groups;
	size_t limit_count, group_count;
	struct {
		struct config_mark pacing;
	} marks;
};

struct config_metrics_marks {
	struct config_mark start; /* of the section, or where it would be */
	struct config_mark listen;
};

struct config_metrics {
	struct endpoint listen; /* port 0: off */
	char *listen_text;
	unsigned int clients; /* with series of their own */
	struct config_metrics_marks marks;
};

struct config_admin {
	char *socket; /* "auto" (ADMIN_SOCKET_DEFAULT if it can be had), "off", or a path */
	struct config_strings allow_uids; /* decimal numbers */
};

/* The keys that identities are signed with. */
struct config_identity_keys {
	char *directory; /* NULL: none */
	enum config_token_algorithm algorithm;
	uint64_t rotate_every_ms; /* 0: on order only */
	uint64_t overlap_ms;
	unsigned int jwks_mode;
	struct {
		struct config_mark directory, overlap;
	} marks;
};

struct config_marks {
	struct config_mark workers, loop, sandbox, user;
};

struct config {
	unsigned int workers; /* 0 = one a core */
	enum config_loop loop;
	enum config_reload reload;
	enum config_sandbox sandbox;
	char *user; /* to become once everything is open; NULL: stay who we are */
	char *file; /* this configuration, as named, absolute; NULL if it came as bytes */
	enum log_level log_level;
	enum log_format log_format;
	unsigned int log_rate; /* lines a second of one event, 0 = off */
	struct config_audit audit;
	uint64_t memory; /* bytes that all connections may hold; 0: no limit */
	struct config_penalties penalties;
	struct config_clients clients;
	struct config_metrics metrics;
	struct config_admin admin;
	struct config_identity_keys identity;
	struct config_vault vault;
	struct config_consul consul;
	struct config_certificates certificates;
	struct config_listener *listeners;
	size_t listener_count;
	struct config_marks marks;
	unsigned int more_refs; /* atomic */
};

/* Whether the section `kafka` is in the file. */
bool config_kafka_chosen(const struct config_listener *listener);
/* The one of this name, or NULL. */
const struct config_certificate *config_certificate(const struct config *config, const char *name);

/* Whether metrics.listen is in the file; else it is the default. */
bool config_metrics_chosen(const struct config_metrics *metrics);
struct config *config_ref(struct config *config); /* any thread */
/* Gives a reference back; the last one frees all strings and the struct. NULL is fine. Any thread.
 */
void config_free(struct config *config);

#endif
