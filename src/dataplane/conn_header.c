/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PROXY protocol headers of a connection: the step that reads the one of a trusted balancer, and
 * the making of the one that our upstream gets.
 *
 * Reads are for exactly what is missing: whatever follows the header stays in the socket, where the
 * handshake, and later perhaps the kernel, will look for it. The deadline is the handshake's, for
 * both together.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "dataplane/conn.h"
#include "dataplane/conn_log.h"
#include "tls/facts.h"

struct conn_header {
	size_t have, need;
	uint8_t start[PROXY_PROTOCOL_START_BYTES];
	uint8_t *bytes; /* start and rest, once the length is known */
};

void conn_header_free(struct conn *conn)
{
	if (!conn->header)
		return;
	free(conn->header->bytes);
	free(TAKE_PTR(conn->header));
}

static void refuse(struct conn *conn, const char *detail)
{
	conn_log_refused(conn, close_reason_name(CLOSE_PROXY_PROTOCOL), detail);
	conn_close(conn, CLOSE_PROXY_PROTOCOL);
}

/* It left, or its socket broke. Who has not said a byte may have looked whether we are there. */
static void on_left(struct conn *conn)
{
	if (conn->header->have)
		refuse(conn, "the connection ended within the PROXY protocol header");
	else
		conn_close(conn, CLOSE_HANDSHAKE_CLOSED);
}

/* The whole of it is there: from here on the client is who it says. */
static void on_header(struct conn *conn)
{
	struct conn_header *step = conn->header;
	struct proxy_protocol_addresses addresses;
	enum proxy_protocol_fault fault;
	bool known;

	fault = proxy_protocol_decode(step->bytes, step->have, &known, &addresses);
	if (fault != PROXY_PROTOCOL_OK) {
		refuse(conn, proxy_protocol_fault_text(fault));
		return;
	}
	conn_header_free(conn);
	if (known) {
		conn->proxied = malloc(sizeof(*conn->proxied));
		if (!conn->proxied) {
			conn_close(conn, CLOSE_NO_MEMORY);
			return;
		}
		*conn->proxied = (struct conn_proxied){ .balancer_ip = conn->client_ip,
							.balancer_port = conn->client_port,
							.addresses = addresses };
		conn->client_ip = addresses.client;
		conn->client_port = addresses.client_port;
		if (!conn_enter(conn))
			return;
	}
	conn_next_step(conn);
}

/* The bytes that came are looked at as they come: who sends something else is not waited for.
 * False: the connection has been ended. */
static bool look_at_start(struct conn *conn)
{
	struct conn_header *step = conn->header;
	size_t rest = 0;
	enum proxy_protocol_fault fault =
		proxy_protocol_check_start(step->start, step->have, &rest);

	if (fault != PROXY_PROTOCOL_OK) {
		refuse(conn, proxy_protocol_fault_text(fault));
		return false;
	}
	if (step->have < PROXY_PROTOCOL_START_BYTES)
		return true;
	step->bytes = malloc(PROXY_PROTOCOL_START_BYTES + rest);
	if (!step->bytes) {
		conn_close(conn, CLOSE_NO_MEMORY);
		return false;
	}
	memcpy(step->bytes, step->start, PROXY_PROTOCOL_START_BYTES);
	step->need += rest;
	return true;
}

void conn_header_ready(struct conn *conn, struct leg *leg, uint32_t events)
{
	struct conn_header *step = conn->header;

	(void)events;
	while (step->have < step->need) {
		uint8_t *into = step->bytes ? step->bytes : step->start;
		ssize_t n =
			recv(leg_fd(leg), into + step->have, step->need - step->have, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			leg->readable = false;
			return;
		}
		if (n <= 0) {
			on_left(conn);
			return;
		}
		step->have += (size_t)n;
		if (!step->bytes && !look_at_start(conn))
			return;
	}
	on_header(conn);
}

void conn_header_start(struct conn *conn)
{
	conn->header = calloc(1, sizeof(*conn->header));
	if (!conn->header) {
		conn_close(conn, CLOSE_NO_MEMORY);
		return;
	}
	conn->header->need = PROXY_PROTOCOL_START_BYTES;
	conn_set_state(conn, CONN_HEADER);
	conn_header_ready(conn, &conn->accepted, 0);
}

/* Where the client is and where it wanted to go; false for a unix socket. */
static bool find_addresses(const struct conn *conn, struct proxy_protocol_addresses *ret)
{
	struct sockaddr_storage ours = { 0 };
	socklen_t len = sizeof(ours);

	if (conn->proxied) {
		*ret = conn->proxied->addresses;
		return true;
	}
	if (conn->route->config->listen.is_unix ||
	    getsockname(leg_fd(&conn->accepted), (struct sockaddr *)&ours, &len) < 0)
		return false;
	ret->client = conn->client_ip;
	ret->client_port = conn->client_port;
	address_from_sockaddr(&ours, &ret->server, &ret->server_port);
	return true;
}

/* Of what is known, that which is to be told. */
static void choose_facts(const struct config_proxy_protocol *config, const struct tls_facts *facts,
			 const char *cn, struct proxy_protocol_tls *ret)
{
	for (size_t i = 0; i < config->tls_count; i++) {
		switch (config->tls[i]) {
		case CONFIG_PROXY_TLS_VERSION:
			ret->version = facts->version;
			break;
		case CONFIG_PROXY_TLS_CN:
			ret->cn = cn;
			break;
		case CONFIG_PROXY_TLS_CIPHER:
			ret->cipher = facts->cipher;
			break;
		case CONFIG_PROXY_TLS_SIG_ALG:
			ret->sig_alg = facts->sig_alg;
			break;
		case CONFIG_PROXY_TLS_KEY_ALG:
			ret->key_alg = facts->key_alg;
			break;
		case CONFIG_PROXY_TLS_DER:
			ret->der = facts->der;
			ret->der_bytes = facts->der_bytes;
			break;
		case CONFIG_PROXY_TLS_VERIFIED:
		case CONFIG_PROXY_TLS_COUNT:
			break;
		}
	}
}

static bool wants_der(const struct config_proxy_protocol *config)
{
	for (size_t i = 0; i < config->tls_count; i++)
		if (config->tls[i] == CONFIG_PROXY_TLS_DER)
			return true;
	return false;
}

static int hold(struct conn *conn, const struct proxy_protocol_info *info)
{
	/* Nobody else uses the worker's buffer while a step runs. */
	size_t len = proxy_protocol_encode(info, conn->worker->buffer);

	if (!len)
		return -EMSGSIZE;
	return leg_hold(&conn->dialed, conn->worker, conn->worker->buffer, len) == LEG_OK ? 0
											  : -ENOMEM;
}

int conn_header_hold(struct conn *conn, const struct tls_handshake *hs)
{
	const struct config_proxy_protocol *config = &conn->route->config->proxy_protocol;
	struct proxy_protocol_addresses addresses;
	struct proxy_protocol_tls tls = { 0 };
	struct proxy_protocol_info info = { 0 };
	struct tls_facts facts = { 0 };
	int r;

	if (config->send == CONFIG_PROXY_HEADER_OFF)
		return 0;
	if (find_addresses(conn, &addresses))
		info.addresses = &addresses;
	if (!hs)
		return hold(conn, &info);
	r = tls_facts_take(hs, wants_der(config), &facts);
	if (r == 0) {
		info.alpn = facts.alpn;
		info.authority = facts.server_name;
		choose_facts(config, &facts, tls_handshake_claimed_peer(hs)->cn, &tls);
		info.tls = config->tls_count ? &tls : NULL;
		r = hold(conn, &info);
	}
	tls_facts_fini(&facts);
	return r;
}
