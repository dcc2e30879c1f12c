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

#include "base/log.h"
#include "base/parse.h"

/* Where proxy and operator meet if nobody says otherwise. */
#define ADMIN_SOCKET_DEFAULT "/run/sallyport/admin.sock"

enum config_loop { CONFIG_LOOP_AUTO, CONFIG_LOOP_IO_URING, CONFIG_LOOP_EPOLL };
enum config_reload { CONFIG_RELOAD_AUTO, CONFIG_RELOAD_MANUAL };
enum config_role { CONFIG_ROLE_FRONT, CONFIG_ROLE_EGRESS };
enum config_ktls { CONFIG_KTLS_AUTO, CONFIG_KTLS_REQUIRED, CONFIG_KTLS_OFF };
enum config_splice { CONFIG_SPLICE_AUTO, CONFIG_SPLICE_ON, CONFIG_SPLICE_OFF };
enum config_tls_version { CONFIG_TLS_1_2 = 0x0303, CONFIG_TLS_1_3 = 0x0304 };
enum config_on_failure { CONFIG_AUDIT_CONTINUE, CONFIG_AUDIT_REFUSE };
enum config_cipher {
	CONFIG_AES_128_GCM,
	CONFIG_AES_256_GCM,
	CONFIG_CHACHA20_POLY1305,
	CONFIG_CIPHER_COUNT
};

/* Where something stands in the file, from 1, so that later checks can point at it. For a key that
 * is not in the file: where its section starts. */
struct config_mark {
	unsigned int line, column;
};

struct config_strings {
	char **items;
	size_t count;
	struct config_mark *marks; /* one an item */
};

/* A rule matches when each pattern that it has (not NULL) matches: fnmatch(3) globs on the peer's
 * verified names. */
struct config_rule {
	char *cn, *dns, *uri, *issuer_cn;
};

struct config_rules {
	struct config_rule *items;
	size_t count;
};

struct config_tls_marks {
	struct config_mark certificate, key, roots, alpn, server_name;
};

struct config_tls {
	char *certificate, *key;
	struct config_strings roots;
	enum config_tls_version min_version;
	enum config_cipher ciphers[CONFIG_CIPHER_COUNT]; /* in order of preference */
	size_t cipher_count;
	struct config_strings alpn;
	char *server_name; /* NULL: none */
	struct config_tls_marks marks;
};

struct config_timeouts { /* milliseconds, 0 = off (handshake and connect can not be off) */
	uint64_t handshake_ms, connect_ms, idle_ms, drain_ms, linger_ms;
	uint64_t tcp_user_ms;  /* TCP_USER_TIMEOUT */
	uint64_t keepalive_ms; /* first TCP keepalive probe after this much silence */
};

struct config_limits {
	uint64_t connections; /* live, all workers together */
	uint64_t handshakes;  /* in flight, all workers together */
};

struct config_listener_marks {
	struct config_mark start; /* of the listener as a whole */
	struct config_mark name, role, listen, upstream, tls, ktls, splice, allow, deny;
};

struct config_listener {
	char *name;
	enum config_role role;
	struct endpoint listen, upstream;
	char *upstream_text, *listen_text; /* as written, for people */
	struct config_tls tls;
	enum config_ktls ktls;
	enum config_splice splice;
	struct config_rules allow, deny;
	struct config_timeouts timeouts;
	struct config_limits limits;
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

struct config_admin {
	char *socket; /* "auto" (ADMIN_SOCKET_DEFAULT if it can be had), "off", or a path */
	struct config_strings allow_uids; /* decimal numbers */
};

struct config_marks {
	struct config_mark workers, loop;
};

struct config {
	unsigned int workers; /* 0 = one a core */
	enum config_loop loop;
	enum config_reload reload;
	enum log_level log_level;
	enum log_format log_format;
	unsigned int log_rate; /* lines a second of one event, 0 = off */
	struct config_audit audit;
	struct config_admin admin;
	struct config_listener *listeners;
	size_t listener_count;
	struct config_marks marks;
};

/* Frees all strings and the struct; NULL is fine. */
void config_free(struct config *config);

#endif
