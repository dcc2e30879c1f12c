/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines of connections (conn_log.h). On the worker's thread. */
#include "dataplane/conn_log.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"

#define OVER_LIMIT_LOG_NS NSEC_PER_SEC

static void log_client(struct log_line *line, const struct conn *conn)
{
	char ip[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 8];

	if (conn->route->config->listen.is_unix) {
		log_str(line, "client", "unix");
		return;
	}
	if (IN6_IS_ADDR_V4MAPPED(&conn->client_ip)) {
		inet_ntop(AF_INET, &conn->client_ip.s6_addr[12], ip, sizeof(ip));
		snprintf(text, sizeof(text), "%s:%u", ip, conn->client_port);
	} else {
		inet_ntop(AF_INET6, &conn->client_ip, ip, sizeof(ip));
		snprintf(text, sizeof(text), "[%s]:%u", ip, conn->client_port);
	}
	log_str(line, "client", text);
}

static void log_peer(struct log_line *line, const struct peer *peer)
{
	if (!peer)
		return;
	log_str(line, "cn", peer->cn);
	if (peer->uris && peer->uris[0])
		log_str(line, "uri", peer->uris[0]);
	log_str(line, "serial", peer->serial);
	log_str(line, "issuer", peer->issuer_cn);
}

static void log_session(struct log_line *line, const struct conn *conn)
{
	if (!conn->secured)
		return;
	log_str(line, "tls", conn->summary.version == 0x0304 ? "1.3" : "1.2");
	log_str(line, "cipher", tls_cipher_name(conn->summary.cipher));
	log_str(line, "group", conn->summary.group);
	if (conn->summary.alpn[0])
		log_str(line, "alpn", conn->summary.alpn);
}

void conn_log_closed(struct conn *conn)
{
	uint64_t now_ns = loop_now_ns(conn->worker->loop);
	struct log_line line;

	if (conn->logged)
		return;
	conn->logged = true;
	log_begin(&line, LOG_INFO, "closed");
	if (!line.on)
		return;
	log_u64(&line, "conn", conn->id);
	log_str(&line, "listener", conn->route->config->name);
	log_client(&line, conn);
	log_peer(&line, conn->peer);
	log_session(&line, conn);
	log_str(&line, "client_transport", conn->accepted.transport->name);
	log_str(&line, "upstream_transport", conn->dialed.transport->name);
	log_u64(&line, "bytes_in", conn->inbound.bytes);
	log_u64(&line, "bytes_out", conn->outbound.bytes);
	log_seconds(&line, "seconds", now_ns - conn->started_ns);
	log_str(&line, "reason", close_reason_name(conn->reason));
	if (conn->tls->peer_alert)
		log_str(&line, "alert", tls_alert_name(conn->tls->peer_alert));
	if (conn->error)
		log_str(&line, "error", strerrorname_np(conn->error));
	log_end(&line);
}

void conn_log_refused(struct conn *conn, const char *reason, const char *detail)
{
	struct log_line line;

	conn->logged = true;
	log_begin(&line, LOG_WARNING, "refused");
	if (!line.on)
		return;
	log_u64(&line, "conn", conn->id);
	log_str(&line, "listener", conn->route->config->name);
	log_client(&line, conn);
	log_peer(&line, conn->peer ? conn->peer : conn_handshake_claimed_peer(conn));
	log_session(&line, conn);
	log_str(&line, "reason", reason);
	log_str(&line, "detail", detail);
	log_end(&line);
}

void conn_log_over_limit(const struct route *route, enum close_reason reason)
{
	static _Thread_local uint64_t next_ns;
	uint64_t now_ns = clock_monotonic_ns();
	struct log_line line;

	if (now_ns < next_ns)
		return;
	next_ns = now_ns + OVER_LIMIT_LOG_NS;
	log_begin(&line, LOG_WARNING, "refused");
	log_str(&line, "listener", route->config->name);
	log_str(&line, "reason", close_reason_name(reason));
	log_str(&line, "detail",
		"more of these may have come within the second; the totals count each");
	log_end(&line);
}
