/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is told of a connection (conn_info.h). Everything here runs on the thread of the
 * connection's worker and only reads; what comes out belongs to the caller.
 */
#include "dataplane/conn_info.h"

#include <arpa/inet.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "dataplane/conn.h"

const char *conn_wait_name(enum conn_wait wait)
{
	static const char *const names[CONN_WAIT_COUNT] = {
#define X(suffix, name) [CONN_WAIT_##suffix] = name,
		CONN_WAITS(X)
#undef X
	};

	return names[wait];
}

void conn_client_text(const struct route *route, const struct in6_addr *ip, uint16_t port,
		      char ret[CONN_CLIENT_TEXT_BYTES])
{
	char text[INET6_ADDRSTRLEN];

	if (route->config->listen.is_unix) {
		snprintf(ret, CONN_CLIENT_TEXT_BYTES, "unix");
	} else if (IN6_IS_ADDR_V4MAPPED(ip)) {
		inet_ntop(AF_INET, &ip->s6_addr[12], text, sizeof(text));
		snprintf(ret, CONN_CLIENT_TEXT_BYTES, "%s:%u", text, port);
	} else {
		inet_ntop(AF_INET6, ip, text, sizeof(text));
		snprintf(ret, CONN_CLIENT_TEXT_BYTES, "[%s]:%u", text, port);
	}
}

/* Patterns match as those of allow rules do: a name that is not there matches none. */
static bool glob_matches(const char *pattern, const char *name)
{
	return !pattern[0] || (name && name[0] && fnmatch(pattern, name, 0) == 0);
}

bool conn_filter_matches(const struct conn_filter *filter, const struct conn *conn)
{
	const struct peer *peer = conn->peer;

	if (filter->has_id && conn->id != filter->id)
		return false;
	if (filter->states && !(filter->states & (1u << conn->state)))
		return false;
	if (filter->listener[0] && strcmp(filter->listener, conn->route->config->name) != 0)
		return false;
	if (filter->transport[0] && strcmp(filter->transport, conn->tls->transport->name) != 0)
		return false;
	if (filter->serial[0] && (!peer || strcasecmp(filter->serial, peer->serial) != 0))
		return false;
	return glob_matches(filter->cn, peer ? peer->cn : NULL) &&
	       glob_matches(filter->issuer, peer ? peer->issuer_cn : NULL) &&
	       glob_matches(filter->principal, conn->principal);
}

/* When it last carried a byte, or else began. */
static uint64_t active_since_ns(const struct conn *conn)
{
	return MAX(conn->active_ns, conn->started_ns);
}

static bool is_blocked(const struct conn *conn, const struct flow *flow)
{
	return conn->state == CONN_RELAY && flow_undelivered(flow) > 0;
}

/* Since when a reader has taken nothing; UINT64_MAX: none is waited for. */
static uint64_t stalled_since_ns(const struct conn *conn)
{
	uint64_t since_ns = UINT64_MAX;

	if (is_blocked(conn, &conn->inbound))
		since_ns = conn->inbound.progress_ns;
	if (is_blocked(conn, &conn->outbound))
		since_ns = MIN(since_ns, conn->outbound.progress_ns);
	return since_ns;
}

uint64_t conn_rank(const struct conn *conn, enum conn_sort sort)
{
	/* Points in time, not spans: these would grow while the list is gone through. */
	switch (sort) {
	case CONN_SORT_BYTES:
		return conn->inbound.bytes + conn->outbound.bytes;
	case CONN_SORT_IDLE:
		return UINT64_MAX - active_since_ns(conn);
	case CONN_SORT_STALL:
		return UINT64_MAX - stalled_since_ns(conn);
	case CONN_SORT_AGE:
	default:
		return UINT64_MAX - conn->started_ns;
	}
}

static enum conn_wait wait_of(const struct conn *conn)
{
	bool upstream = is_blocked(conn, &conn->inbound);
	bool client = is_blocked(conn, &conn->outbound);

	switch (conn->state) {
	case CONN_HANDSHAKE:
		return CONN_WAIT_HANDSHAKE;
	case CONN_CONNECT:
		return CONN_WAIT_CONNECT;
	case CONN_LINGER:
		return CONN_WAIT_CLOSE;
	default:
		return client && upstream      ? CONN_WAIT_BOTH_READ
		       : client		       ? CONN_WAIT_CLIENT_READS
		       : upstream	       ? CONN_WAIT_UPSTREAM_READS
		       : conn_is_limited(conn) ? CONN_WAIT_LIMITED
					       : CONN_WAIT_TRAFFIC;
	}
}

struct conn_info *conn_info_new(const struct conn *conn, uint64_t rank)
{
	const struct peer *peer = conn->peer;
	const char *texts[] = {
		conn->route->config->name,
		peer && peer->cn ? peer->cn : "",
		peer && peer->uris && peer->uris[0] ? peer->uris[0] : "",
		peer ? peer->serial : "",
		peer && peer->issuer_cn ? peer->issuer_cn : "",
		conn->principal ? conn->principal : "",
	};
	uint64_t now_ns = loop_now_ns(conn->worker->loop);
	uint64_t stalled_ns = stalled_since_ns(conn);
	const char *copies[ARRAY_SIZE(texts)];
	struct conn_info *info;
	size_t bytes = 0;
	char *at;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		bytes += strlen(texts[i]) + 1;
	info = malloc(sizeof(*info) + bytes);
	if (!info)
		return NULL;
	at = info->texts;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		copies[i] = at;
		at = stpcpy(at, texts[i]) + 1;
	}
	*info = (struct conn_info){
		.id = conn->id,
		.rank = rank,
		.bytes_in = conn->inbound.bytes,
		.bytes_out = conn->outbound.bytes,
		.age_ns = now_ns - conn->started_ns,
		.idle_ns = now_ns - active_since_ns(conn),
		.stall_ns = stalled_ns == UINT64_MAX ? 0 : now_ns - stalled_ns,
		.state = conn->state,
		.wait = wait_of(conn),
		.tls_version = conn->secured ? conn->summary.version : 0,
		.cipher = conn->summary.cipher,
		.client_transport = conn->accepted.transport->name,
		.upstream_transport = conn->dialed.transport->name,
		.listener = copies[0],
		.cn = copies[1],
		.uri = copies[2],
		.serial = copies[3],
		.issuer = copies[4],
		.principal = copies[5],
	};
	conn_client_text(conn->route, &conn->client_ip, conn->client_port, info->client);
	return info;
}
