/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines and audit records of connections (conn_log.h). A line may be suppressed where there are
 * too many; each event has its record all the same. On the worker's thread.
 */
#include "dataplane/conn_log.h"

#include <string.h>

#include "base/cidr.h"
#include "base/log.h"
#include "base/util.h"
#include "dataplane/audit.h"
#include "dataplane/conn_info.h"
#include "dataplane/gate.h"
#include "dataplane/usdt.h"

/* An audit record while it is made. */
struct record {
	struct log_line line;
	char text[AUDIT_RECORD_BYTES_MAX];
};

void conn_log_client(struct log_line *line, const struct route *route, const struct in6_addr *from,
		     uint16_t port)
{
	char text[CONN_CLIENT_TEXT_BYTES];

	conn_client_text(route, from, port, text);
	log_str(line, "client", text);
}

static void log_conn(struct log_line *line, const struct conn *conn)
{
	char via[ADDRESS_TEXT_BYTES];

	log_u64(line, "conn", conn->id);
	log_str(line, "listener", conn->route->config->name);
	conn_log_client(line, conn->route, &conn->client_ip, conn->client_port);
	if (!conn->proxied)
		return;
	address_text(&conn->proxied->balancer_ip, conn->proxied->balancer_port, via);
	log_str(line, "via", via);
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
	log_str(line, "tls", conn->summary.version == TLS_VERSION_1_3 ? "1.3" : "1.2");
	log_str(line, "cipher", tls_cipher_name(conn->summary.cipher));
	log_str(line, "group", conn->summary.group);
	if (conn->summary.alpn[0])
		log_str(line, "alpn", conn->summary.alpn);
}

static void log_outcome(struct log_line *line, const struct conn *conn)
{
	uint64_t now_ns = loop_now_ns(conn->worker->loop);

	log_str(line, "client_transport", conn->accepted.transport->name);
	log_str(line, "upstream_transport", conn->dialed.transport->name);
	log_u64(line, "bytes_in", conn->inbound.bytes);
	log_u64(line, "bytes_out", conn->outbound.bytes);
	log_seconds(line, "seconds", now_ns - conn->started_ns);
	log_str(line, "reason", close_reason_name(conn->reason));
	if (conn->tls->peer_alert)
		log_str(line, "alert", tls_alert_name(conn->tls->peer_alert));
	if (conn->error)
		log_str(line, "error", strerrorname_np(conn->error));
}

static void record_begin(struct record *record, const struct conn *conn, const char *event)
{
	log_record(&record->line, record->text, sizeof(record->text), event);
	log_conn(&record->line, conn);
	log_session(&record->line, conn);
}

/* Who it was, at the record's end: if anything is cut, it is the last of many names. */
static void record_end(struct record *record, const struct conn *conn, const struct peer *peer)
{
	struct log_line *line = &record->line;

	if (peer) {
		log_bool(line, "verified", peer == conn->peer);
		log_str(line, "cn", peer->cn);
		log_str(line, "principal", conn->principal);
		log_str(line, "serial", peer->serial);
		log_str(line, "issuer", peer->issuer_cn);
		log_str(line, "subject", peer->subject);
		log_strs(line, "uris", peer->uris);
		log_strs(line, "dns", peer->dns);
	}
	audit_put(conn->worker->audit, record->text, log_record_end(line));
}

static void record_closed(const struct conn *conn)
{
	struct record record;

	record_begin(&record, conn, "closed");
	log_outcome(&record.line, conn);
	record_end(&record, conn, conn->peer);
}

static void record_refused(const struct conn *conn, const struct peer *peer, const char *reason,
			   const char *detail)
{
	struct record record;

	record_begin(&record, conn, "refused");
	log_str(&record.line, "reason", reason);
	log_str(&record.line, "detail", detail);
	record_end(&record, conn, peer);
}

void conn_log_opened(const struct conn *conn)
{
	struct record record;

	if (!conn->worker->audit)
		return;
	record_begin(&record, conn, "opened");
	record_end(&record, conn, conn->peer);
}

void conn_log_closed(struct conn *conn)
{
	struct log_line line;

	if (conn->logged)
		return;
	conn->logged = true;
	if (conn->worker->audit)
		record_closed(conn);
	log_begin(&line, LOG_INFO, "closed");
	if (!line.on)
		return;
	log_conn(&line, conn);
	log_peer(&line, conn->peer);
	log_str(&line, "principal", conn->principal);
	log_session(&line, conn);
	log_outcome(&line, conn);
	log_end(&line);
}

void conn_log_refused(struct conn *conn, const char *reason, const char *detail)
{
	const struct peer *peer = conn->peer ? conn->peer : conn_handshake_claimed_peer(conn);
	struct log_line line;

	conn->logged = true;
	USDT_REFUSED(conn->id, conn->route->config->name, reason, detail);
	if (conn->worker->audit)
		record_refused(conn, peer, reason, detail);
	log_begin(&line, LOG_WARNING, "refused");
	if (!line.on)
		return;
	log_conn(&line, conn);
	log_peer(&line, peer);
	log_session(&line, conn);
	log_str(&line, "reason", reason);
	log_str(&line, "detail", detail);
	log_end(&line);
}

/* Where the audit itself is the reason, only the number of those who were turned away is kept. */
static void record_turned_away(struct worker *worker, const struct route *route,
			       const struct in6_addr *from, uint16_t port, enum close_reason reason)
{
	struct record record;

	if (reason == CLOSE_AUDIT_UNAVAILABLE) {
		audit_skip(worker->audit);
		return;
	}
	log_record(&record.line, record.text, sizeof(record.text), "refused");
	log_str(&record.line, "listener", route->config->name);
	conn_log_client(&record.line, route, from, port);
	log_str(&record.line, "reason", close_reason_name(reason));
	audit_put(worker->audit, record.text, log_record_end(&record.line));
}

void conn_log_turned_away(struct worker *worker, const struct route *route,
			  const struct in6_addr *from, uint16_t port, enum close_reason reason)
{
	USDT_LIMIT(route->config->name, close_reason_name(reason));
	if (worker->audit)
		record_turned_away(worker, route, from, port, reason);
	gate_log_refused(worker->gate, route, from, port, reason);
}
