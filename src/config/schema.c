/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of keys (schema.h). To add a key: a field in config.h, a row here, a line in
 * docs/configuration.md (a test compares them). Constant data; any thread.
 */
#include "config/schema_table.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "config/schema_control.h"
#include "limits/limits.h"
#include "limits/pattern.h"

/* RFC 7301 would allow 255; no registered protocol comes near, and logs hold this many. */
#define ALPN_BYTES_MAX 31

static const struct schema_word reload_words[] = {
	{ "auto", CONFIG_RELOAD_AUTO },
	{ "manual", CONFIG_RELOAD_MANUAL },
	{ NULL, 0 },
};

static const struct schema_word loop_words[] = {
	{ "auto", CONFIG_LOOP_AUTO },
	{ "io_uring", CONFIG_LOOP_IO_URING },
	{ "epoll", CONFIG_LOOP_EPOLL },
	{ NULL, 0 },
};

static const struct schema_word sandbox_words[] = {
	{ "auto", CONFIG_SANDBOX_AUTO },
	{ "required", CONFIG_SANDBOX_REQUIRED },
	{ "off", CONFIG_SANDBOX_OFF },
	{ NULL, 0 },
};

static const struct schema_word auto_words[] = { { "auto", 0 }, { NULL, 0 } };

static const struct schema_word off_words[] = { { "off", 0 }, { NULL, 0 } };

static const struct schema_word bool_words[] = { { "false", 0 }, { "true", 1 }, { NULL, 0 } };

static const struct schema_word on_failure_words[] = {
	{ "continue", CONFIG_AUDIT_CONTINUE },
	{ "refuse", CONFIG_AUDIT_REFUSE },
	{ NULL, 0 },
};

static const struct schema_word level_words[] = {
	{ "error", LOG_ERROR },
	{ "warning", LOG_WARNING },
	{ "info", LOG_INFO },
	{ "debug", LOG_DEBUG },
	{ NULL, 0 },
};

static const struct schema_word format_words[] = {
	{ "auto", LOG_FORMAT_AUTO },
	{ "text", LOG_FORMAT_TEXT },
	{ "json", LOG_FORMAT_JSON },
	{ NULL, 0 },
};

static const struct schema_word role_words[] = {
	{ "front", CONFIG_ROLE_FRONT },
	{ "egress", CONFIG_ROLE_EGRESS },
	{ NULL, 0 },
};

static const struct schema_word version_words[] = {
	{ "1.2", CONFIG_TLS_1_2 },
	{ "1.3", CONFIG_TLS_1_3 },
	{ NULL, 0 },
};

static const struct schema_word roots_from_words[] = {
	{ "files", CONFIG_ROOTS_FROM_FILES },
	{ "vault", CONFIG_ROOTS_FROM_VAULT },
	{ NULL, 0 },
};

static const struct schema_word cipher_words[] = {
	{ "aes-128-gcm", CONFIG_AES_128_GCM },
	{ "aes-256-gcm", CONFIG_AES_256_GCM },
	{ "chacha20-poly1305", CONFIG_CHACHA20_POLY1305 },
	{ NULL, 0 },
};

static const struct schema_word ktls_words[] = {
	{ "auto", CONFIG_KTLS_AUTO },
	{ "required", CONFIG_KTLS_REQUIRED },
	{ "off", CONFIG_KTLS_OFF },
	{ NULL, 0 },
};

static const struct schema_word padding_words[] = {
	{ "any", CONFIG_PADDING_ANY },
	{ "none", CONFIG_PADDING_NONE },
	{ NULL, 0 },
};

static const struct schema_word splice_words[] = {
	{ "auto", CONFIG_SPLICE_AUTO },
	{ "on", CONFIG_SPLICE_ON },
	{ "off", CONFIG_SPLICE_OFF },
	{ NULL, 0 },
};

static const struct schema_word proxy_header_words[] = {
	{ "off", CONFIG_PROXY_HEADER_OFF },
	{ "v2", CONFIG_PROXY_HEADER_V2 },
	{ NULL, 0 },
};

static const struct schema_word proxy_tls_words[] = {
	{ "verified", CONFIG_PROXY_TLS_VERIFIED },
	{ "version", CONFIG_PROXY_TLS_VERSION },
	{ "cn", CONFIG_PROXY_TLS_CN },
	{ "cipher", CONFIG_PROXY_TLS_CIPHER },
	{ "sig_alg", CONFIG_PROXY_TLS_SIG_ALG },
	{ "key_alg", CONFIG_PROXY_TLS_KEY_ALG },
	{ "der", CONFIG_PROXY_TLS_DER },
	{ NULL, 0 },
};

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static const char *refuse_name(const char *text)
{
	if (text[strspn(text, LETTERS "._-")])
		return "a name is made of letters, digits, '.', '_' and '-'";
	return NULL;
}

static const char *refuse_user(const char *text)
{
	if (text[strspn(text, LETTERS "._-")] || text[0] == '-' ||
	    !text[strspn(text, "0123456789")])
		return "not the name of a user (letters, digits, '.', '_' and '-'; no number)";
	return NULL;
}

static const char *refuse_server_name(const char *text)
{
	struct in6_addr address;

	if (inet_pton(AF_INET6, text, &address) == 1)
		return NULL;
	if (text[strspn(text, LETTERS "._-")] || text[0] == '.' || strstr(text, ".."))
		return "not a DNS name (letters, digits, '-' and '_' between dots; no wildcard, no "
		       "port)";
	return NULL;
}

static const char *refuse_alpn(const char *text)
{
	if (!text[0])
		return "an empty protocol name";
	if (strlen(text) > ALPN_BYTES_MAX)
		return "longer than 31 bytes: no ALPN protocol has such a name";
	return NULL;
}

static const struct schema_key rule_keys[] = {
	{ .name = "cn",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_rule, cn),
	  .min = 1,
	  .max = PATTERN_BYTES_MAX,
	  .help = "glob on the last CN of the subject" },
	{ .name = "dns",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_rule, dns),
	  .min = 1,
	  .max = PATTERN_BYTES_MAX,
	  .help = "glob; any DNS name of the certificate may match" },
	{ .name = "uri",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_rule, uri),
	  .min = 1,
	  .max = PATTERN_BYTES_MAX,
	  .help = "glob; any URI (SPIFFE ID) of it may match" },
	{ .name = "issuer_cn",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_rule, issuer_cn),
	  .min = 1,
	  .max = PATTERN_BYTES_MAX,
	  .help = "glob on the CN of the issuer" },
};

static const struct schema_section rule_section = {
	SECTION_OF(rule_keys),
	.bytes = sizeof(struct config_rule),
	.empty = "a rule without a pattern would match everyone: give it cn, dns, uri or issuer_cn "
		 "(\"*\" for any)",
};

static const struct schema_key tls_keys[] = {
	{ .name = "certificate",
	  .kind = SCHEMA_PATH,

	  AT(struct config_tls, certificate),
	  MARK(struct config_tls, certificate),
	  .max = PATH_BYTES_MAX,
	  .help = "PEM file: our certificate, its intermediates after it" },
	{ .name = "key",
	  .kind = SCHEMA_PATH,

	  AT(struct config_tls, key),
	  MARK(struct config_tls, key),
	  .max = PATH_BYTES_MAX,
	  .help = "PEM file: the certificate's private key, readable by its owner only" },
	{ .name = "certificate_from",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_tls, certificate_from),
	  MARK(struct config_tls, certificate_from),
	  .min = 1,
	  .max = CERTIFICATE_NAME_MAX,
	  .help = "instead of the two: the name of one of `certificates`" },
	{ .name = "roots",
	  .kind = SCHEMA_PATHS,
	  AT(struct config_tls, roots),
	  MARK(struct config_tls, roots),
	  .min = 1,
	  .max = ROOTS_MAX,
	  .help = "PEM files: the roots that a peer's certificate must come from" },
	{ .name = "roots_from",
	  .kind = SCHEMA_WORD,
	  AT(struct config_tls, roots_from),
	  MARK(struct config_tls, roots_from),
	  .words = roots_from_words,
	  .preset = "files",
	  .help = "vault: the CAs that Consul or vault.issuer names are trusted, too" },
	{ .name = "min_version",
	  .kind = SCHEMA_WORD,
	  AT(struct config_tls, min_version),
	  .words = version_words,
	  .preset = "1.3",
	  .help = "oldest TLS version that is spoken" },
	{ .name = "ciphers",
	  .kind = SCHEMA_WORDS,
	  AT(struct config_tls, ciphers),
	  .count_offset = offsetof(struct config_tls, cipher_count),
	  .words = cipher_words,
	  .min = 1,
	  .max = CONFIG_CIPHER_COUNT,
	  .preset = "aes-128-gcm, aes-256-gcm, chacha20-poly1305",
	  .help = "suites that are spoken, in order of preference" },
	{ .name = "alpn",
	  .kind = SCHEMA_TEXTS,
	  AT(struct config_tls, alpn),
	  MARK(struct config_tls, alpn),
	  .min = 0,
	  .max = ALPN_PROTOCOLS_MAX,
	  .preset = "[]",
	  .refuse = refuse_alpn,
	  .help = "protocols that are negotiated, in order; empty: ALPN is not spoken" },
	{ .name = "server_name",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_tls, server_name),
	  MARK(struct config_tls, server_name),
	  .min = 1,
	  .max = 253,
	  .refuse = refuse_server_name,
	  .help = "egress: name in the upstream's certificate; front: SNI must be it" },
};

static const struct schema_section tls_section = { SECTION_OF(tls_keys) };

static const struct schema_key timeout_keys[] = {
	{ .name = "handshake",
	  .kind = SCHEMA_DURATION,
	  AT(struct config_timeouts, handshake_ms),
	  .min = 100,
	  .max = 10 * MINUTE_MS,
	  .preset = "10s",
	  .help = "from accept to the end of the TLS handshake" },
	{ .name = "connect",
	  .kind = SCHEMA_DURATION,
	  AT(struct config_timeouts, connect_ms),
	  .min = 100,
	  .max = 10 * MINUTE_MS,
	  .preset = "5s",
	  .help = "to connect to the upstream" },
	{ .name = "identity",
	  .kind = SCHEMA_DURATION,
	  AT(struct config_timeouts, identity_ms),
	  .min = 100,
	  .max = 10 * MINUTE_MS,
	  .preset = "5s",
	  .help = "for a broker to take a client's identity (kafka.identity)" },
	{ .name = "idle",
	  .kind = SCHEMA_DURATION,
	  .off = true,
	  AT(struct config_timeouts, idle_ms),
	  .min = SECOND_MS,
	  .max = 365 * DAY_MS,
	  .preset = "off",
	  .help = "closes a connection that has carried nothing for so long" },
	{ .name = "drain",
	  .kind = SCHEMA_DURATION,
	  .off = true,
	  AT(struct config_timeouts, drain_ms),
	  .min = 100,
	  .max = DAY_MS,
	  .preset = "30s",
	  .help = "after SIGTERM: connections may end by themselves; off: they are cut" },
	{ .name = "linger",
	  .kind = SCHEMA_DURATION,
	  .off = true,
	  AT(struct config_timeouts, linger_ms),
	  .min = 100,
	  .max = MINUTE_MS,
	  .preset = "2s",
	  .help = "keeps a refused connection half open, so that the alert arrives" },
	{ .name = "tcp_user",
	  .kind = SCHEMA_DURATION,
	  .off = true,
	  AT(struct config_timeouts, tcp_user_ms),
	  .min = SECOND_MS,
	  .max = DAY_MS,
	  .preset = "30s",
	  .help = "TCP_USER_TIMEOUT: sent bytes that nobody acknowledges" },
	{ .name = "keepalive",
	  .kind = SCHEMA_DURATION,
	  .off = true,
	  AT(struct config_timeouts, keepalive_ms),
	  .min = SECOND_MS,
	  .max = 9 * HOUR_MS,
	  .preset = "60s",
	  .help = "silence before the first TCP keepalive probe" },
};

static const struct schema_section timeouts_section = { SECTION_OF(timeout_keys) };

static const struct schema_key limit_keys[] = {
	{ .name = "connections",
	  .kind = SCHEMA_NUMBER,
	  AT(struct config_limits, connections),
	  .min = 1,
	  .max = CONNECTIONS_MAX,
	  .preset = "20000",
	  .help = "live connections of the listener, all workers together" },
	{ .name = "handshakes",
	  .kind = SCHEMA_NUMBER,
	  AT(struct config_limits, handshakes),
	  .min = 1,
	  .max = CONNECTIONS_MAX,
	  .preset = "2000",
	  .help = "of these, handshakes in flight" },
	{ .name = "accepts_per_second",
	  .kind = SCHEMA_NUMBER,
	  AT(struct config_limits, accepts_per_second),
	  .min = 1,
	  .max = ACCEPTS_PER_SECOND_MAX,
	  .words = off_words,
	  .preset = "off",
	  .help = "connections taken a second, on average; a second's worth at once" },
	{ .name = "connections_per_source",
	  .kind = SCHEMA_NUMBER,
	  AT(struct config_limits, connections_per_source),
	  .min = 1,
	  .max = CONNECTIONS_MAX,
	  .words = off_words,
	  .preset = "off",
	  .help = "live connections of one source address (penalties.ipv4_mask, ipv6_mask)" },
};

static const struct schema_section limits_section = { SECTION_OF(limit_keys) };

static const struct schema_key proxy_protocol_keys[] = {
	{ .name = "accept_from",
	  .kind = SCHEMA_CIDRS,
	  AT(struct config_proxy_protocol, accept_from),
	  MARK(struct config_proxy_protocol, accept_from),
	  .max = NETWORKS_MAX,
	  .help = "networks of load balancers: their connections must begin with a v2 header" },
	{ .name = "send",
	  .kind = SCHEMA_WORD,
	  AT(struct config_proxy_protocol, send),
	  MARK(struct config_proxy_protocol, send),
	  .words = proxy_header_words,
	  .preset = "off",
	  .help = "v2: connections to the upstream begin with a header; not for Kafka" },
	{ .name = "tls",
	  .kind = SCHEMA_WORDS,
	  AT(struct config_proxy_protocol, tls),
	  MARK(struct config_proxy_protocol, tls),
	  .count_offset = offsetof(struct config_proxy_protocol, tls_count),
	  .max = CONFIG_PROXY_TLS_COUNT,
	  .words = proxy_tls_words,
	  .preset = "verified, version, cn",
	  .help = "what the header that is sent says of the client's TLS session" },
};

static const struct schema_section proxy_protocol_section = { SECTION_OF(proxy_protocol_keys) };

static const struct schema_key listener_keys[] = {
	{ .name = "name",
	  .kind = SCHEMA_TEXT,
	  .required = true,
	  AT(struct config_listener, name),
	  MARK(struct config_listener, name),
	  .min = 1,
	  .max = LISTENER_NAME_MAX,
	  .refuse = refuse_name,
	  .help = "what logs call it; no two listeners share one" },
	{ .name = "role",
	  .kind = SCHEMA_WORD,
	  AT(struct config_listener, role),
	  MARK(struct config_listener, role),
	  .words = role_words,
	  .preset = "front",
	  .help = "front: TLS in, plain to the upstream; egress: plain in, TLS to it" },
	{ .name = "listen",
	  .kind = SCHEMA_ENDPOINT,
	  .required = true,
	  AT(struct config_listener, listen),
	  MARK(struct config_listener, listen),
	  .text_offset = offsetof(struct config_listener, listen_text),
	  .help = "ADDRESS:PORT, [IPV6]:PORT, *:PORT or unix:/path" },
	{ .name = "upstream",
	  .kind = SCHEMA_ENDPOINT,
	  .required = true,
	  AT(struct config_listener, upstream),
	  MARK(struct config_listener, upstream),
	  .text_offset = offsetof(struct config_listener, upstream_text),
	  .help = "HOST:PORT, [IPV6]:PORT or unix:/path of the service" },
	{ .name = "tls",
	  .kind = SCHEMA_SECTION,
	  .required = true,
	  AT(struct config_listener, tls),
	  MARK(struct config_listener, tls),
	  .section = &tls_section,
	  .help = "certificate, key and whom we trust" },
	{ .name = "ktls",
	  .kind = SCHEMA_WORD,
	  AT(struct config_listener, ktls),
	  MARK(struct config_listener, ktls),
	  .words = ktls_words,
	  .preset = "auto",
	  .help = "TLS records in the kernel; auto: where it can also re-key" },
	{ .name = "ktls_padding",
	  .kind = SCHEMA_WORD,
	  AT(struct config_listener, ktls_padding),
	  MARK(struct config_listener, ktls_padding),
	  .words = padding_words,
	  .preset = "any",
	  .help = "what peers' records carry; none: cheaper to receive with kTLS" },
	{ .name = "splice",
	  .kind = SCHEMA_WORD,
	  AT(struct config_listener, splice),
	  MARK(struct config_listener, splice),
	  .words = splice_words,
	  .preset = "auto",
	  .help = "kernel to kernel without copies, with kTLS only; auto: for bulk" },
	{ .name = "allow",
	  .kind = SCHEMA_SECTIONS,
	  AT(struct config_listener, allow.items),
	  MARK(struct config_listener, allow),
	  .count_offset = offsetof(struct config_listener, allow.count),
	  .min = 1,
	  .max = RULES_MAX,
	  .section = &rule_section,
	  .help = "any rule lets a verified peer in; without it all verified peers" },
	{ .name = "deny",
	  .kind = SCHEMA_SECTIONS,
	  AT(struct config_listener, deny.items),
	  MARK(struct config_listener, deny),
	  .count_offset = offsetof(struct config_listener, deny.count),
	  .max = RULES_MAX,
	  .section = &rule_section,
	  .help = "any rule refuses a peer, whatever allow says" },
	{ .name = "name_from",
	  .kind = SCHEMA_WORDS,
	  AT(struct config_listener, name_from),
	  MARK(struct config_listener, name_from),
	  .count_offset = offsetof(struct config_listener, name_from_count),
	  .min = 1,
	  .max = CONFIG_NAME_COUNT,
	  .words = schema_name_words,
	  .preset = "cn",
	  .help = "what a peer is called after: the first of these that its certificate has" },
	{ .name = "issuers",
	  .kind = SCHEMA_SECTIONS,
	  AT(struct config_listener, issuers.items),
	  MARK(struct config_listener, issuers),
	  .count_offset = offsetof(struct config_listener, issuers.count),
	  .min = 1,
	  .max = RULES_MAX,
	  .section = &schema_issuer,
	  .help = "who may certify whom: each rule that is about a peer must hold" },
	{ .name = "timeouts",
	  .kind = SCHEMA_SECTION,
	  AT(struct config_listener, timeouts),
	  .section = &timeouts_section,
	  .help = "deadlines: 250ms, 10s, 5m, 2h, 1d" },
	{ .name = "limits",
	  .kind = SCHEMA_SECTION,
	  AT(struct config_listener, limits),
	  .section = &limits_section,
	  .help = "how much at once" },
	{ .name = "proxy_protocol",
	  .kind = SCHEMA_SECTION,
	  AT(struct config_listener, proxy_protocol),
	  .section = &proxy_protocol_section,
	  .help = "PROXY protocol v2: from load balancers, to the upstream" },
	{ .name = "kafka",
	  .kind = SCHEMA_SECTION,
	  AT(struct config_listener, kafka),
	  MARK(struct config_listener, kafka),
	  .section = &schema_kafka,
	  .help = "the upstream is a Kafka broker: what it is told of its clients" },
};

static const struct schema_section listener_section = {
	SECTION_OF(listener_keys),
	.bytes = sizeof(struct config_listener),
	.mark_offset = offsetof(struct config_listener, marks.start),
};

static const struct schema_key log_keys[] = {
	{ .name = "level",
	  .kind = SCHEMA_WORD,
	  AT(struct config, log_level),
	  .words = level_words,
	  .preset = "info",
	  .help = "least important lines that are written" },
	{ .name = "format",
	  .kind = SCHEMA_WORD,
	  AT(struct config, log_format),
	  .words = format_words,
	  .preset = "auto",
	  .help = "auto: text on a terminal, JSON elsewhere" },
	{ .name = "rate",
	  .kind = SCHEMA_NUMBER,
	  AT(struct config, log_rate),
	  .min = 1,
	  .max = LOG_RATE_MAX,
	  .words = off_words,
	  .preset = "100",
	  .help = "lines a second of one event; ten times as many at once" },
};

const struct schema_section schema_log = { SECTION_OF(log_keys) };

static const struct schema_key audit_keys[] = {
	{ .name = "file",
	  .kind = SCHEMA_PATH,
	  AT(struct config_audit, file),
	  MARK(struct config_audit, file),
	  .max = PATH_BYTES_MAX,
	  .help = "one JSON line for each connection opened, refused, closed" },
	{ .name = "journald",
	  .kind = SCHEMA_WORD,
	  AT(struct config_audit, journald),
	  MARK(struct config_audit, journald),
	  .words = bool_words,
	  .preset = "false",
	  .help = "to the journal instead, as sallyport-audit" },
	{ .name = "on_failure",
	  .kind = SCHEMA_WORD,
	  AT(struct config_audit, on_failure),
	  MARK(struct config_audit, on_failure),
	  .words = on_failure_words,
	  .preset = "continue",
	  .help = "refuse: nobody new is let in while it can not be written" },
	{ .name = "queue",
	  .kind = SCHEMA_NUMBER,
	  AT(struct config_audit, queue_kib),
	  .min = AUDIT_QUEUE_KIB_MIN,
	  .max = AUDIT_QUEUE_KIB_MAX,
	  .preset = "4096",
	  .help = "KiB of records that may wait to be written" },
};

const struct schema_section schema_audit = {
	SECTION_OF(audit_keys),
	.empty = "nothing would be recorded: give it file or journald",
};

static const struct schema_key process_limit_keys[] = {
	{ .name = "memory",
	  .kind = SCHEMA_BYTES,
	  .off = true,
	  AT(struct config, memory),
	  .min = 1024 * 1024,
	  .max = 1ULL << 40,
	  .preset = "off",
	  .help = "what all connections together may hold" },
};

static const struct schema_section process_limits_section = { SECTION_OF(process_limit_keys) };

static const struct schema_key metrics_keys[] = {
	{ .name = "listen",
	  .kind = SCHEMA_ENDPOINT,
	  .off = true,
	  AT(struct config_metrics, listen),
	  MARK(struct config_metrics, listen),
	  .text_offset = offsetof(struct config_metrics, listen_text),
	  .preset = "127.0.0.1:9464",
	  .help = "where /metrics, /livez and /readyz are, over HTTP; nobody is asked who he is" },
	{ .name = "clients",
	  .kind = SCHEMA_NUMBER,
	  AT(struct config_metrics, clients),
	  .max = CLIENT_SERIES_MAX,
	  .preset = "20",
	  .help = "clients that have series of their own; all others are one" },
};

static const struct schema_section metrics_section = {
	SECTION_OF(metrics_keys),
	.mark_offset = offsetof(struct config_metrics, marks.start),
};
const char *schema_refuse_admin_socket(const char *text)
{
	if (strcmp(text, "auto") == 0 || strcmp(text, "off") == 0)
		return NULL;
	if (text[0] != '/')
		return "auto, off, or an absolute path such as " ADMIN_SOCKET_DEFAULT;
	return NULL;
}

const char *schema_refuse_uid(const char *text)
{
	uint64_t uid;

	/* The last one is the kernel's word for "none". */
	if (parse_u64(text, 0, UINT32_MAX - 1, &uid) < 0)
		return "the number of a user is expected (id -u NAME prints it)";
	return NULL;
}

static const struct schema_key admin_keys[] = {
	{ .name = "socket",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_admin, socket),
	  .max = ADMIN_SOCKET_BYTES_MAX,
	  .preset = "auto",
	  .refuse = schema_refuse_admin_socket,
	  .help = "auto, off or a path; auto: " ADMIN_SOCKET_DEFAULT " if it can be had" },
	{ .name = "allow_uids",
	  .kind = SCHEMA_TEXTS,
	  AT(struct config_admin, allow_uids),
	  .max = ADMIN_UIDS_MAX,
	  .preset = "[]",
	  .refuse = schema_refuse_uid,
	  .help = "users (by number) besides root and the proxy's own that may give orders" },
};

static const struct schema_section admin_section = { SECTION_OF(admin_keys) };

static const struct schema_key root_keys[] = {
	{ .name = "workers",
	  .kind = SCHEMA_NUMBER,
	  AT(struct config, workers),
	  MARK(struct config, workers),
	  .min = 1,
	  .max = WORKERS_MAX,
	  .words = auto_words,
	  .preset = "auto",
	  .help = "worker threads; auto: one a core" },
	{ .name = "loop",
	  .kind = SCHEMA_WORD,
	  AT(struct config, loop),
	  MARK(struct config, loop),
	  .words = loop_words,
	  .preset = "auto",
	  .help = "kernel interface of the workers; auto: io_uring if allowed" },
	{ .name = "reload",
	  .kind = SCHEMA_WORD,
	  AT(struct config, reload),
	  .words = reload_words,
	  .preset = "auto",
	  .help = "auto: when files change, too; manual: on SIGHUP only" },
	{ .name = "sandbox",
	  .kind = SCHEMA_WORD,
	  AT(struct config, sandbox),
	  MARK(struct config, sandbox),
	  .words = sandbox_words,
	  .preset = "auto",
	  .help = "limits on ourselves; required: all of them, ports too, or no start" },
	{ .name = "user",
	  .kind = SCHEMA_TEXT,
	  AT(struct config, user),
	  MARK(struct config, user),
	  .min = 1,
	  .max = USER_BYTES_MAX,
	  .refuse = refuse_user,
	  .help = "started as root: the user to become once everything is open" },
	/* Its fields lie in struct config itself, hence the offset 0. */
	{ .name = "log",
	  .kind = SCHEMA_SECTION,
	  .offset = 0,
	  .section = &schema_log,
	  .help = "one line an event on standard error" },
	{ .name = "audit",
	  .kind = SCHEMA_SECTION,
	  AT(struct config, audit),
	  .section = &schema_audit,
	  .help = "who came, when, and why they went: a stream of its own" },
	{ .name = "admin",
	  .kind = SCHEMA_SECTION,
	  AT(struct config, admin),
	  .section = &admin_section,
	  .help = "how status, conns, kill and other verbs reach the running proxy" },
	{ .name = "identity",
	  .kind = SCHEMA_SECTION,
	  AT(struct config, identity),
	  .section = &schema_identity,
	  .help = "keys that sign what Kafka brokers are told of clients (kafka.identity)" },
	{ .name = "listeners",
	  .kind = SCHEMA_SECTIONS,
	  .required = true,
	  AT(struct config, listeners),
	  .count_offset = offsetof(struct config, listener_count),
	  .min = 1,
	  .max = LISTENERS_MAX,
	  .section = &listener_section,
	  .help = "the doors, each with its own address, certificate and rules" },
	{ .name = "limits",
	  .kind = SCHEMA_SECTION,
	  .offset = 0,
	  .section = &process_limits_section,
	  .help = "how much at once, all listeners together" },
	{ .name = "penalties",
	  .kind = SCHEMA_SECTION,
	  AT(struct config, penalties),
	  .section = &schema_penalties,
	  .help = "failed handshakes shut their source address out for a while" },
	{ .name = "clients",
	  .kind = SCHEMA_SECTION,
	  AT(struct config, clients),
	  .section = &schema_clients,
	  .help = "how much each client may move and open, by the name in its certificate" },
	{ .name = "metrics",
	  .kind = SCHEMA_SECTION,
	  AT(struct config, metrics),
	  .section = &metrics_section,
	  .help = "numbers and health for monitoring" },
	{ .name = "vault",
	  .kind = SCHEMA_SECTION,
	  AT(struct config, vault),
	  .section = &schema_vault,
	  .help = "Vault or OpenBao, which issues certificates" },
	{ .name = "consul",
	  .kind = SCHEMA_SECTION,
	  AT(struct config, consul),
	  .section = &schema_consul,
	  .help = "Consul, one key of which says which CAs are in force" },
	{ .name = "certificates",
	  .kind = SCHEMA_SECTIONS,
	  AT(struct config, certificates.items),
	  .count_offset = offsetof(struct config, certificates.count),
	  .max = CERTIFICATES_MAX,
	  .section = &schema_certificate,
	  .help = "certificates that are issued and renewed by themselves" },
};

const struct schema_section schema_root = { SECTION_OF(root_keys), .bytes = sizeof(struct config) };
