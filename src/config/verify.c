/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contradictions (verify.h). Each check is one function that looks at one listener, or at one pair
 * of them; the messages say why it matters, because nothing here is a mistake of form. Pure.
 */
#include "config/verify.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "config/verify_names.h"

/* Path of a key of a listener, for messages. */
struct key_path {
	char text[sizeof(((struct config_problem *)NULL)->path)];
};

static struct key_path key_path(size_t listener, const char *key)
{
	struct key_path path;

	snprintf(path.text, sizeof(path.text), "listeners[%zu]%s%s", listener, key[0] ? "." : "",
		 key);
	return path;
}

static void verify_listen(const struct config_listener *l, size_t index,
			  struct config_problems *problems)
{
	struct sockaddr_storage address;
	socklen_t len;

	if (!l->listen_text || endpoint_sockaddr(&l->listen, &address, &len) == 0)
		return;
	config_error_add(
		problems, l->marks.listen, key_path(index, "listen").text,
		"'%s' is a name: a listening address is a number, such as %s:%u", l->listen.host,
		strcmp(l->listen.host, "localhost") == 0 ? "127.0.0.1" : "0.0.0.0", l->listen.port);
}

/* True if a key of `tls` is not in the file: it is then marked where the section starts. */
static bool is_absent(const struct config_listener *l, struct config_mark at)
{
	return at.line == l->marks.tls.line && at.column == l->marks.tls.column;
}

static bool is_any_address(const struct endpoint *ep)
{
	struct sockaddr_storage address;
	const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
	socklen_t len;

	if (endpoint_sockaddr(ep, &address, &len) < 0)
		return false;
	return (address.ss_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_ANY)) ||
	       (address.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr));
}

static void verify_upstream(const struct config_listener *l, size_t index,
			    struct config_problems *problems)
{
	struct key_path path = key_path(index, "upstream");

	if (!l->upstream_text)
		return;
	if (is_any_address(&l->upstream))
		config_error_add(problems, l->marks.upstream, path.text,
				 "'%s' is no address that one can connect to: write 127.0.0.1:%u?",
				 l->upstream_text, l->upstream.port);
	else if (l->listen_text && endpoint_equal(&l->listen, &l->upstream))
		config_error_add(problems, l->marks.upstream, path.text,
				 "the upstream is the listener itself: every connection would go "
				 "round in a circle");
}

/* Whether the two keys of the pair are there at all. Not judged where one could not be read: its
 * mark is then elsewhere than its section's. */
static void verify_pair_of_files(const struct config_listener *l, size_t index,
				 struct config_problems *problems)
{
	const struct config_tls_marks *marks = &l->tls.marks;
	bool front = l->role == CONFIG_ROLE_FRONT;

	if (!is_absent(l, marks->certificate_from)) {
		if (l->tls.certificate || l->tls.key)
			config_error_add(problems, marks->certificate_from,
					 key_path(index, "tls.certificate_from").text,
					 "there are files already: leave out certificate and key, "
					 "or this");
		return;
	}
	if (!l->tls.certificate && !l->tls.key && front && is_absent(l, marks->certificate) &&
	    is_absent(l, marks->key))
		config_error_add(problems, l->marks.tls, key_path(index, "tls.certificate").text,
				 "missing: a front must show a certificate (and tls.key its key; "
				 "or tls.certificate_from says where it comes from)");
	if (!l->tls.certificate && l->tls.key && is_absent(l, marks->certificate))
		config_error_add(problems, marks->key, key_path(index, "tls.certificate").text,
				 "missing: there is a key without a certificate");
	if (l->tls.certificate && !l->tls.key && is_absent(l, marks->key))
		config_error_add(problems, marks->certificate, key_path(index, "tls.key").text,
				 "missing: a certificate is of no use without its private key");
}

/* Where certificate and roots come from, if not from files. */
static void verify_origin(const struct config *config, const struct config_listener *l,
			  size_t index, struct config_problems *problems)
{
	const struct config_tls *tls = &l->tls;

	if (tls->certificate_from && !config_certificate(config, tls->certificate_from))
		config_error_add(problems, tls->marks.certificate_from,
				 key_path(index, "tls.certificate_from").text,
				 "'%s' is none of certificates", tls->certificate_from);
	if (tls->roots_from == CONFIG_ROOTS_FROM_VAULT && !config->vault.address)
		config_error_add(problems, tls->marks.roots_from,
				 key_path(index, "tls.roots_from").text,
				 "there is no section vault to get them from");
	if (tls->roots_from == CONFIG_ROOTS_FROM_FILES && !tls->roots.count &&
	    is_absent(l, tls->marks.roots))
		config_error_add(problems, l->marks.tls, key_path(index, "tls.roots").text,
				 "missing: PEM files of the roots that a peer's certificate must "
				 "come from (or roots_from: vault)");
}

/* The name that is expected in the upstream's certificate, or that clients must ask for. */
static void verify_server_name(const struct config_listener *l, size_t index,
			       struct config_problems *problems)
{
	const char *path = "tls.server_name";
	struct in6_addr address;

	if (l->role == CONFIG_ROLE_EGRESS && !l->tls.server_name &&
	    is_absent(l, l->tls.marks.server_name))
		config_error_add(problems, l->marks.tls, key_path(index, path).text,
				 "missing: an egress must know which name the upstream's "
				 "certificate has to carry, or any certificate of the roots could "
				 "stand in for it");
	if (l->role == CONFIG_ROLE_FRONT && l->tls.server_name &&
	    (inet_pton(AF_INET, l->tls.server_name, &address) == 1 ||
	     inet_pton(AF_INET6, l->tls.server_name, &address) == 1))
		config_error_add(problems, l->tls.marks.server_name, key_path(index, path).text,
				 "clients never ask for an address (SNI has names only): every "
				 "handshake would be refused");
}

static void verify_tls(const struct config *config, size_t index, struct config_problems *problems)
{
	const struct config_listener *l = &config->listeners[index];

	if (!l->marks.tls.line)
		return;
	verify_origin(config, l, index, problems);
	verify_pair_of_files(l, index, problems);
	verify_server_name(l, index, problems);
	for (size_t i = 0; i < l->tls.alpn.count; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(l->tls.alpn.items[i], l->tls.alpn.items[j]) == 0)
				config_error_add(problems, l->tls.alpn.marks[i],
						 key_path(index, "tls.alpn").text,
						 "'%s' is in the list already",
						 l->tls.alpn.items[i]);
}

static void verify_transport(const struct config_listener *l, size_t index,
			     struct config_problems *problems)
{
	if (l->splice == CONFIG_SPLICE_ON && l->ktls == CONFIG_KTLS_OFF)
		config_error_add(
			problems, l->marks.splice, key_path(index, "splice").text,
			"'on' needs TLS records in the kernel, but ktls is off: bytes that "
			"this process seals can not be spliced");
}

static void verify_limits(const struct config_listener *l, size_t index,
			  struct config_problems *problems)
{
	if (l->timeouts.idle_ms && l->timeouts.keepalive_ms > l->timeouts.idle_ms)
		config_warning_add(problems, l->marks.start,
				   key_path(index, "timeouts.keepalive").text,
				   "later than idle: such a probe is never sent");
}

static void verify_proxy_protocol(const struct config_listener *l, size_t index,
				  struct config_problems *problems)
{
	const struct config_proxy_protocol *pp = &l->proxy_protocol;

	if (l->listen_text && l->listen.is_unix && pp->accept_from.count)
		config_error_add(problems, pp->marks.accept_from,
				 key_path(index, "proxy_protocol.accept_from").text,
				 "the listener is a unix socket: nobody there has an address");
}

static bool is_loopback(const struct endpoint *ep)
{
	struct sockaddr_storage address;
	const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
	socklen_t len;

	if (endpoint_sockaddr(ep, &address, &len) < 0)
		return false;
	return (address.ss_family == AF_INET && ntohl(in->sin_addr.s_addr) >> 24 == 127) ||
	       (address.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr));
}

/* What goes to the upstream in clear could be used there by whoever reads it. */
static void warn_of_token_in_clear(const struct config_listener *l, size_t index,
				   struct config_problems *problems)
{
	struct sockaddr_storage address;
	socklen_t len;

	if (!l->upstream_text || l->upstream.is_unix || is_loopback(&l->upstream) ||
	    (endpoint_sockaddr(&l->upstream, &address, &len) < 0 &&
	     strcmp(l->upstream.host, "localhost") == 0))
		return;
	config_warning_add(problems, l->marks.upstream, key_path(index, "upstream").text,
			   "'%s' is not on this host: whoever can read along on the way there can "
			   "use a client's token, and see all that is said",
			   l->upstream_text);
}

static void verify_kafka(const struct config *config, const struct config_listener *l, size_t index,
			 struct config_problems *problems)
{
	struct key_path path = key_path(index, "kafka.identity");
	struct config_mark at = l->kafka.marks.identity;

	if (l->kafka.identity != CONFIG_IDENTITY_OAUTHBEARER)
		return;
	if (l->role != CONFIG_ROLE_FRONT)
		config_error_add(problems, at, path.text,
				 "only a front sees its clients' certificates");
	if (!config->identity.directory)
		config_error_add(problems, at, path.text,
				 "there is no key to sign with: give identity.directory");
	if (l->proxy_protocol.send != CONFIG_PROXY_HEADER_OFF)
		config_error_add(
			problems, l->proxy_protocol.marks.send,
			key_path(index, "proxy_protocol.send").text,
			"a Kafka broker takes no such header: kafka.identity already tells "
			"it who the client is");
	warn_of_token_in_clear(l, index, problems);
}

static void verify_identity(const struct config_identity_keys *identity,
			    struct config_problems *problems)
{
	if (identity->rotate_every_ms && identity->overlap_ms >= identity->rotate_every_ms)
		config_error_add(problems, identity->marks.overlap, "identity.overlap",
				 "not less than identity.rotate_every: a key would be replaced "
				 "before it has signed anything");
}

static void verify_penalties(const struct config_penalties *penalties,
			     struct config_problems *problems)
{
	if (penalties->max_ms && penalties->min_ms > penalties->max_ms)
		config_error_add(problems, penalties->marks.min, "penalties.min",
				 "more than penalties.max: nobody could ever owe that much");
}

/* Whether the "any" address of one takes in the other's; Linux's [::] takes IPv4 too. */
static bool overlaps(const struct endpoint *a, const struct endpoint *b)
{
	struct sockaddr_storage sa, sb;
	socklen_t la, lb;

	if (a->is_unix || b->is_unix || a->port != b->port || endpoint_sockaddr(a, &sa, &la) < 0 ||
	    endpoint_sockaddr(b, &sb, &lb) < 0)
		return false;
	return (is_any_address(a) && (sa.ss_family == AF_INET6 || sb.ss_family == AF_INET)) ||
	       (is_any_address(b) && (sb.ss_family == AF_INET6 || sa.ss_family == AF_INET));
}

/* Listener `b` against an earlier one. */
static void verify_pair(const struct config *config, size_t a, size_t b,
			struct config_problems *problems)
{
	const struct config_listener *la = &config->listeners[a], *lb = &config->listeners[b];

	if (la->name && lb->name && strcmp(la->name, lb->name) == 0)
		config_error_add(problems, lb->marks.name, key_path(b, "name").text,
				 "'%s' is the name of listeners[%zu] (line %u) already", lb->name,
				 a, la->marks.name.line);
	if (!la->listen_text || !lb->listen_text)
		return;
	if (endpoint_equal(&la->listen, &lb->listen))
		config_error_add(problems, lb->marks.listen, key_path(b, "listen").text,
				 "listeners[%zu] (line %u) listens on %s already", a,
				 la->marks.listen.line, la->listen_text);
	else if (overlaps(&la->listen, &lb->listen))
		config_warning_add(problems, lb->marks.listen, key_path(b, "listen").text,
				   "overlaps with listeners[%zu] (line %u) on %s: the kernel gives "
				   "a connection to the more specific address",
				   a, la->marks.listen.line, la->listen_text);
}

void config_audit_verify(const struct config_audit *audit, struct config_problems *problems)
{
	if (audit->file && audit->journald)
		config_error_add(problems, audit->marks.journald, "audit.journald",
				 "there is a file already: records go to one place");
	if (!audit->file && !audit->journald && audit->on_failure == CONFIG_AUDIT_REFUSE)
		config_error_add(problems, audit->marks.on_failure, "audit.on_failure",
				 "nothing is recorded: give audit a file or journald");
}

void config_metrics_verify(const struct config *config, struct config_problems *problems)
{
	const struct config_metrics *metrics = &config->metrics;
	struct sockaddr_storage address;
	const char *path = "metrics.listen";
	socklen_t len;

	if (!metrics->listen_text || !config_metrics_chosen(metrics) ||
	    (!metrics->listen.port && !metrics->listen.is_unix))
		return;
	if (metrics->listen.is_unix || endpoint_sockaddr(&metrics->listen, &address, &len) < 0) {
		config_error_add(problems, metrics->marks.listen, path,
				 "'%s': an address in numbers is expected, such as 127.0.0.1:9464, "
				 "or off",
				 metrics->listen_text);
		return;
	}
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *l = &config->listeners[i];

		if (!l->listen_text || (!endpoint_equal(&l->listen, &metrics->listen) &&
					!overlaps(&l->listen, &metrics->listen)))
			continue;
		config_error_add(problems, metrics->marks.listen, path,
				 "listeners[%zu] (line %u) listens on %s already", i,
				 l->marks.listen.line, l->listen_text);
		return;
	}
	if (!is_loopback(&metrics->listen))
		config_warning_add(problems, metrics->marks.listen, path,
				   "'%s' is reachable from the network, without TLS and for "
				   "everybody: see to it that a firewall guards it",
				   metrics->listen_text);
}

void config_verify(const struct config *config, struct config_problems *problems)
{
	config_audit_verify(&config->audit, problems);
	verify_penalties(&config->penalties, problems);
	config_verify_clients(&config->clients, problems);
	verify_identity(&config->identity, problems);
	config_control_verify(&config->vault, &config->consul, &config->certificates, problems);
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *l = &config->listeners[i];

		verify_listen(l, i, problems);
		verify_upstream(l, i, problems);
		verify_tls(config, i, problems);
		verify_transport(l, i, problems);
		verify_limits(l, i, problems);
		verify_proxy_protocol(l, i, problems);
		config_verify_names(l, i, problems);
		verify_kafka(config, l, i, problems);
		for (size_t j = 0; j < i; j++)
			verify_pair(config, j, i, problems);
	}
	config_metrics_verify(config, problems);
}
