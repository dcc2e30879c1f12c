/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes built from a configuration (snapshot.h). Built on the main thread; read by all workers;
 * freed by whoever lets go last.
 */
#include "dataplane/snapshot.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"

#define RESOLVE_AT_START_NS (5 * NSEC_PER_SEC)

static enum tls_cipher cipher_of(enum config_cipher cipher)
{
	static const enum tls_cipher map[CONFIG_CIPHER_COUNT] = {
		[CONFIG_AES_128_GCM] = TLS_CIPHER_AES_128_GCM_SHA256,
		[CONFIG_AES_256_GCM] = TLS_CIPHER_AES_256_GCM_SHA384,
		[CONFIG_CHACHA20_POLY1305] = TLS_CIPHER_CHACHA20_POLY1305_SHA256,
	};

	return map[cipher];
}

/* What a listener gets from the control plane; both NULL if it wants nothing of it. */
struct supplied {
	struct pki_credential *credential;
	struct trust *trust;
	char *chain; /* certificate and chain as one text */
	char name[CERTIFICATE_NAME_MAX + 32];
};

/* 1: something has not come yet. */
static int take_supplied(const struct config_tls *tls, struct supply *supply, struct supplied *ret)
{
	if (tls->certificate_from) {
		ret->credential = supply_credential(supply, tls->certificate_from);
		if (!ret->credential)
			return 1;
		snprintf(ret->name, sizeof(ret->name), "certificate %s", tls->certificate_from);
		if (asprintf(&ret->chain, "%s%s", ret->credential->certificate_pem,
			     ret->credential->chain_pem) < 0) {
			ret->chain = NULL;
			return -ENOMEM;
		}
	}
	if (tls->roots_from == CONFIG_ROOTS_FROM_VAULT) {
		ret->trust = supply_trust(supply);
		if (!ret->trust)
			return 1;
	}
	return 0;
}

static void supplied_fini(struct supplied *supplied)
{
	pki_credential_unref(supplied->credential);
	trust_unref(supplied->trust);
	free(supplied->chain);
}

/* 0, a tls_context_fault, or -ENOMEM. */
static int build_tls(struct route *route, const struct supplied *supplied, struct err_text *err)
{
	const struct config_tls *tls = &route->config->tls;
	struct tls_context_params params = {
		.is_server = route->config->role == CONFIG_ROLE_FRONT,
		.certificate_file = tls->certificate,
		.key_file = tls->key,
		.root_files = (const char *const *)tls->roots.items,
		.root_file_count = tls->roots.count,
		.min_version = (uint16_t)tls->min_version,
		.cipher_count = tls->cipher_count,
		.alpn = (const char *const *)tls->alpn.items,
		.alpn_count = tls->alpn.count,
		.server_name = tls->server_name,
	};

	if (supplied->credential) {
		params.certificate_file = params.key_file = supplied->name;
		params.certificate_pem = supplied->chain;
		params.key_pem = supplied->credential->key_pem;
	}
	if (supplied->trust)
		params.roots_pem = supplied->trust->roots_pem;
	for (size_t i = 0; i < tls->cipher_count; i++)
		params.ciphers[i] = cipher_of(tls->ciphers[i]);
	/* What is said if nothing better is: without memory there may be no words. */
	err_set(err, 0, "listener %s: out of memory", route->config->name);
	return tls_context_new(&params, &route->tls, err);
}

/* They have been read once already, when the configuration was checked. */
static int build_principal_rules(struct route *route, struct err_text *err)
{
	const struct config_strings *texts = &route->config->kafka.principal_rules;
	struct err_text why = { "out of memory" };
	size_t at = 0;
	int r;

	if (route->config->kafka.identity == CONFIG_IDENTITY_NONE)
		return 0;
	r = principal_rules_new((const char *const *)texts->items, texts->count,
				&route->principal_rules, &at, &why);
	return r < 0 ? err_set(err, r, "listener %s: kafka.principal_rules[%zu]: %s",
			       route->config->name, at, why.text)
		     : 0;
}

static bool is_of_supplied(enum tls_context_fault fault, const struct supplied *supplied)
{
	switch (fault) {
	case TLS_CONTEXT_FAULT_CERTIFICATE:
	case TLS_CONTEXT_FAULT_KEY:
		return supplied->credential != NULL;
	case TLS_CONTEXT_FAULT_ROOTS:
		return supplied->trust != NULL;
	default:
		return false;
	}
}

/* Without what has not come yet, or is of no use, there is no context, and nobody is let in; but
 * what is in force is not given up for that. */
static int supply_tls(struct route *route, const struct route *previous, struct supply *supply,
		      struct err_text *err)
{
	struct supplied supplied = { 0 };
	int r = -EINVAL;

	if (!supply_serves(supply, route->config))
		return err_set(err, r,
			       "listener %s: its certificate or roots are new to this process: "
			       "that needs a restart",
			       route->config->name);
	r = take_supplied(&route->config->tls, supply, &supplied);
	route->awaiting = r > 0;
	if (r < 0)
		err_set(err, r, "out of memory");
	else if (!route->awaiting)
		r = build_tls(route, &supplied, err);
	if (r > 0 && !route->awaiting && is_of_supplied((enum tls_context_fault)r, &supplied) &&
	    (!previous || previous->awaiting)) {
		log_msg(LOG_ERROR, "supply_refused", "listener %s: %s; it waits for another one",
			route->config->name, err->text);
		route->awaiting = true;
	}
	supplied_fini(&supplied);
	return r > 0 && !route->awaiting ? -EINVAL : MIN(r, 0);
}

/* Said at start and when it changes. */
static void log_transport(const struct route *route, const struct route *previous)
{
	const struct config_listener *config = route->config;

	if (previous && !memcmp(previous->ktls_use, route->ktls_use, sizeof(route->ktls_use)))
		return;
	log_msg(LOG_INFO, "transport", "listener %s: %s for TLS 1.3: %s%s", config->name,
		ktls_use_name(route->transport), route->transport_why.text,
		route->transport == KTLS_USE_BOTH && config->ktls_padding == CONFIG_PADDING_NONE &&
				!route->ktls->unpadded
			? "; ktls_padding: none means nothing to this kernel (Linux 6.0 knows it)"
			: "");
}

static unsigned int suites_of(const struct config_listener *config)
{
	unsigned int suites = 0;

	for (size_t i = 0; i < config->tls.cipher_count; i++)
		suites |= 1U << cipher_of(config->tls.ciphers[i]);
	return suites;
}

/* How bulk would go through the kernel (relay.c: wants_splice()). */
static struct ktls_ways ways_of(const struct config_listener *config)
{
	struct ktls_ways ways = KTLS_WAYS_USUAL;

	if (config->splice == CONFIG_SPLICE_OFF)
		ways.sending = KTLS_WAY_COPY;
	if (config->splice == CONFIG_SPLICE_ON)
		ways.receiving = KTLS_WAY_SPLICE;
	else if (config->ktls_padding == CONFIG_PADDING_NONE)
		ways.receiving = KTLS_WAY_UNPADDED;
	return ways;
}

/* With `ktls: auto`: for each suite what is cheapest, if the kernel is fit to be asked. `why`: of
 * the suite that comes first. */
static void choose_cheapest(struct route *route, uint16_t version, struct err_text *why)
{
	const struct config_tls *tls = &route->config->tls;
	unsigned int index = ktls_version_index(version);
	struct ktls_ways ways = ways_of(route->config);

	if (!ktls_is_fit(route->ktls, version, suites_of(route->config), why))
		return;
	for (size_t i = tls->cipher_count; i-- > 0;) {
		enum tls_cipher cipher = cipher_of(tls->ciphers[i]);

		route->ktls_use[index][cipher] = (uint8_t)ktls_choose(
			&route->snapshot->calibration.costs[index][cipher], &ways, why);
	}
}

static void use_kernel(struct route *route, uint16_t version)
{
	if (ktls_has_suites(route->ktls, version, suites_of(route->config)))
		memset(route->ktls_use[ktls_version_index(version)], KTLS_USE_BOTH,
		       TLS_CIPHER_COUNT);
}

/* What suites do otherwise than the one that comes first. */
static void tell_exceptions(struct route *route)
{
	const struct config_tls *tls = &route->config->tls;
	char *text = route->transport_why.text;

	for (size_t i = 1; i < tls->cipher_count; i++) {
		enum tls_cipher cipher = cipher_of(tls->ciphers[i]);
		enum ktls_use use = route->ktls_use[ktls_version_index(CONFIG_TLS_1_3)][cipher];
		size_t used = strlen(text);

		if (use != route->transport)
			snprintf(text + used, ERR_TEXT_BYTES - used, "; %s: %s",
				 tls_cipher_name(cipher), ktls_use_name(use));
	}
}

/* Which transport a listener will use. */
static int choose_transport(struct route *route, const struct route *previous, struct err_text *err)
{
	const struct config_listener *config = route->config;
	struct err_text unsaid;

	err_set(&route->transport_why, 0, "ktls: off");
	if (config->ktls == CONFIG_KTLS_REQUIRED) {
		if (!ktls_has_suites(route->ktls, CONFIG_TLS_1_3, suites_of(config)))
			return err_set(
				err, -EOPNOTSUPP,
				"listener %s: ktls: required, but this kernel has it not: %s",
				config->name, route->ktls->why);
		use_kernel(route, CONFIG_TLS_1_3);
		use_kernel(route, CONFIG_TLS_1_2);
		err_set(&route->transport_why, 0, "ktls: required");
	} else if (config->ktls == CONFIG_KTLS_AUTO) {
		choose_cheapest(route, CONFIG_TLS_1_3, &route->transport_why);
		choose_cheapest(route, CONFIG_TLS_1_2, &unsaid);
	}
	route->transport = route->ktls_use[ktls_version_index(CONFIG_TLS_1_3)]
					  [cipher_of(config->tls.ciphers[0])];
	tell_exceptions(route);
	log_transport(route, previous);
	return 0;
}

static struct listener_state *state_new(void)
{
	struct listener_state *state = calloc(1, sizeof(*state));

	if (state)
		atomic_init(&state->refs, 1);
	return state;
}

static struct listener_state *state_ref(struct listener_state *state)
{
	atomic_fetch_add(&state->refs, 1);
	return state;
}

static void state_unref(struct listener_state *state)
{
	if (!state || atomic_fetch_sub(&state->refs, 1) != 1)
		return;
	listener_stats_fini(&state->stats);
	free(state);
}

static bool same_upstream(const struct route *route, const struct route *previous)
{
	return previous && !strcmp(previous->config->upstream_text, route->config->upstream_text);
}

/* An upstream that stays keeps the addresses that are known, which are renewed from time to time
 * anyhow: a look-up may take long, and may fail. */
static void inherit_addresses(struct route *route, struct route *previous)
{
	if (same_upstream(route, previous))
		route->address_count = route_addresses(previous, route->addresses);
}

/* route->config, ->snapshot and ->ktls are set. */
static int route_init(struct route *route, struct route *previous, struct supply *supply,
		      struct err_text *err)
{
	int r;

	pthread_mutex_init(&route->addresses_mutex, NULL);
	pthread_mutex_init(&route->proof.mutex, NULL);
	upstream_probe_init(&route->probe, route->config);
	route->state = previous ? state_ref(previous->state) : state_new();
	if (!route->state)
		return err_set(err, -ENOMEM, "out of memory");
	r = supply_tls(route, previous, supply, err);
	if (r < 0)
		return r;
	r = build_principal_rules(route, err);
	if (r < 0)
		return r;
	r = choose_transport(route, previous, err);
	if (r < 0)
		return r;
	inherit_addresses(route, previous);
	/* Who has been asked is not asked again. */
	if (same_upstream(route, previous) && previous->probe.asked) {
		route->probe.state = UPSTREAM_PROBE_DONE;
		route->probe.asked = true;
	}
	return 0;
}

static void route_fini(struct route *route)
{
	lookup_drop(route->lookup);
	upstream_probe_fini(&route->probe);
	tls_context_unref(route->tls);
	principal_rules_free(route->principal_rules);
	state_unref(route->state);
	pthread_mutex_destroy(&route->proof.mutex);
	pthread_mutex_destroy(&route->addresses_mutex);
}

static bool any_wants_ktls(const struct config *config)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (config->listeners[i].ktls != CONFIG_KTLS_OFF)
			return true;
	return false;
}

/* What somebody may be served by and nobody has measured yet. */
static struct ktls_suites suites_to_measure(const struct ktls_support *support,
					    const struct config *config)
{
	struct ktls_suites wanted = { { 0 } };
	struct err_text unsaid;

	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];
		unsigned int suites = suites_of(listener);

		if (listener->ktls != CONFIG_KTLS_AUTO)
			continue;
		for (int v = (int)listener->tls.min_version; v <= CONFIG_TLS_1_3; v++)
			if (ktls_is_fit(support, (uint16_t)v, suites, &unsaid))
				wanted.of[ktls_version_index((uint16_t)v)] |= suites;
	}
	return wanted;
}

/* The kernel is asked once, and measured once. */
static void find_ktls(struct snapshot *snapshot, const struct config *config,
		      const struct snapshot *previous)
{
	struct ktls_suites wanted;

	if (previous) {
		snapshot->ktls = previous->ktls;
		snapshot->ktls_probed = previous->ktls_probed;
		snapshot->calibration = previous->calibration;
	}
	if (!any_wants_ktls(config))
		return;
	if (!snapshot->ktls_probed)
		ktls_probe(&snapshot->ktls);
	snapshot->ktls_probed = true;
	wanted = suites_to_measure(&snapshot->ktls, config);
	ktls_calibrate(&snapshot->calibration, &snapshot->ktls, &wanted, KTLS_CALIBRATION_MS_MAX);
}

static void log_unresolved(const struct route *route, const char *why)
{
	log_msg(LOG_WARNING, "unresolved",
		"listener %s: %s; clients get a clean end until it resolves", route->config->name,
		why);
}

static void route_publish(struct route *route, const struct upstream_address *addresses,
			  size_t count)
{
	pthread_mutex_lock(&route->addresses_mutex);
	memcpy(route->addresses, addresses, count * sizeof(*addresses));
	route->address_count = count;
	pthread_mutex_unlock(&route->addresses_mutex);
}

/* Publishes what a look-up gave; takes the list. */
static int route_take_list(struct route *route, int result, struct addrinfo *list,
			   struct err_text *err)
{
	struct upstream_address addresses[UPSTREAM_ADDRESSES_MAX];
	size_t count = 0;

	if (result != 0)
		return err_set(err, -ENOENT, "upstream %s does not resolve: %s",
			       route->config->upstream_text, gai_strerror(result));
	for (struct addrinfo *it = list; it && count < UPSTREAM_ADDRESSES_MAX;
	     it = it->ai_next, count++) {
		memcpy(&addresses[count].addr, it->ai_addr, it->ai_addrlen);
		addresses[count].len = it->ai_addrlen;
	}
	freeaddrinfo(list);
	route_publish(route, addresses, count);
	return 0;
}

int route_renew(struct route *route, bool start, struct err_text *err)
{
	const struct endpoint *upstream = &route->config->upstream;
	struct addrinfo *list = NULL;
	struct upstream_address address;
	int r = 0;

	if (!route->lookup && endpoint_sockaddr(upstream, &address.addr, &address.len) == 0) {
		if (start)
			route_publish(route, &address, 1);
		return 0;
	}
	if (!route->lookup) {
		if (!start)
			return 0;
		r = lookup_start(upstream->host, upstream->port, &route->lookup);
	}
	if (r == 0)
		r = lookup_take(&route->lookup, &list);
	return r == EAI_INPROGRESS ? 0 : route_take_list(route, r, list, err);
}

/* Those that are not known, all at once, and no longer than a start may take because of them. */
static void resolve_all(struct snapshot *snapshot)
{
	uint64_t until_ns = clock_monotonic_ns() + RESOLVE_AT_START_NS;
	struct err_text why;

	for (size_t i = 0; i < snapshot->route_count; i++)
		if (!snapshot->routes[i].address_count &&
		    route_renew(&snapshot->routes[i], true, &why) < 0)
			log_unresolved(&snapshot->routes[i], why.text);
	for (size_t i = 0; i < snapshot->route_count; i++) {
		struct route *route = &snapshot->routes[i];

		if (!route->lookup)
			continue;
		lookup_wait(route->lookup, until_ns);
		if (route_renew(route, false, &why) < 0)
			log_unresolved(route, why.text);
		else if (route->lookup)
			log_unresolved(route, "the resolver has not answered yet");
	}
}

int snapshot_new(struct config *config, struct snapshot *previous, struct supply *supply,
		 struct snapshot **ret, struct err_text *err)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

	if (!snapshot)
		return err_set(err, -ENOMEM, "out of memory");
	atomic_init(&snapshot->refs, 1);
	snapshot->generation = previous ? previous->generation + 1 : 1;
	snapshot->routes = calloc(config->listener_count, sizeof(*snapshot->routes));
	if (!snapshot->routes) {
		free(snapshot);
		return err_set(err, -ENOMEM, "out of memory");
	}
	find_ktls(snapshot, config, previous);
	for (size_t i = 0; i < config->listener_count; i++) {
		struct route *route = &snapshot->routes[i];
		int r;

		route->snapshot = snapshot;
		route->config = &config->listeners[i];
		route->ktls = &snapshot->ktls;
		snapshot->route_count++;
		r = route_init(route,
			       previous ? snapshot_route(previous, route->config->name) : NULL,
			       supply, err);
		if (r < 0) {
			snapshot_unref(snapshot);
			return r;
		}
	}
	snapshot->config = config;
	resolve_all(snapshot);
	*ret = snapshot;
	return 0;
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
	atomic_fetch_add(&snapshot->refs, 1);
	return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
	if (!snapshot || atomic_fetch_sub(&snapshot->refs, 1) != 1)
		return;
	for (size_t i = 0; i < snapshot->route_count; i++)
		route_fini(&snapshot->routes[i]);
	free(snapshot->routes);
	config_free(snapshot->config);
	free(snapshot);
}

struct route *snapshot_route(struct snapshot *snapshot, const char *name)
{
	for (size_t i = 0; i < snapshot->route_count; i++)
		if (!strcmp(snapshot->routes[i].config->name, name))
			return &snapshot->routes[i];
	return NULL;
}

struct route *route_ref(struct route *route)
{
	snapshot_ref(route->snapshot);
	return route;
}

void route_unref(struct route *route)
{
	snapshot_unref(route->snapshot);
}

size_t route_addresses(struct route *route, struct upstream_address ret[UPSTREAM_ADDRESSES_MAX])
{
	size_t count;

	pthread_mutex_lock(&route->addresses_mutex);
	count = route->address_count;
	memcpy(ret, route->addresses, count * sizeof(*ret));
	pthread_mutex_unlock(&route->addresses_mutex);
	return count;
}

bool route_enter_handshake(struct route *route)
{
	if (atomic_fetch_add(&route->state->handshakes, 1) < route->config->limits.handshakes)
		return true;
	route_leave_handshake(route);
	return false;
}

void route_leave_handshake(struct route *route)
{
	atomic_fetch_sub(&route->state->handshakes, 1);
}

bool route_trusts_header_from(const struct route *route, const struct in6_addr *address)
{
	return cidr_list_contains(&route->config->proxy_protocol.accept_from, address);
}

void route_mark_limit(struct route *route, enum close_reason reason, uint64_t now_ns)
{
	struct listener_marks *marks = &route->state->marks;

	if (reason == CLOSE_LIMIT_CONNECTIONS)
		atomic_store_explicit(&marks->limit_connections_ns, now_ns, memory_order_relaxed);
	else if (reason == CLOSE_LIMIT_HANDSHAKES)
		atomic_store_explicit(&marks->limit_handshakes_ns, now_ns, memory_order_relaxed);
}

void route_mark_upstream_failed(struct route *route, uint64_t now_ns, int error)
{
	atomic_store_explicit(&route->state->marks.upstream_error, error, memory_order_relaxed);
	atomic_store_explicit(&route->state->marks.upstream_failed_ns, now_ns,
			      memory_order_relaxed);
}

static bool same_address(const struct upstream_address *a, const struct upstream_address *b)
{
	return a->len == b->len && memcmp(&a->addr, &b->addr, a->len) == 0;
}

/* One address at a time can be vouched for: where a name has several, the others have to wait. */
bool route_vouch(struct route *route, const struct upstream_address *address)
{
	struct route_proof *proof = &route->proof;
	bool counts;

	pthread_mutex_lock(&proof->mutex);
	if (!proof->live)
		proof->address = *address;
	counts = same_address(&proof->address, address);
	proof->live += counts;
	pthread_mutex_unlock(&proof->mutex);
	return counts;
}

void route_withdraw(struct route *route)
{
	pthread_mutex_lock(&route->proof.mutex);
	route->proof.live--;
	pthread_mutex_unlock(&route->proof.mutex);
}

bool route_is_proven(struct route *route, const struct upstream_address *address)
{
	struct route_proof *proof = &route->proof;
	bool proven;

	pthread_mutex_lock(&proof->mutex);
	proven = proof->live && same_address(&proof->address, address);
	pthread_mutex_unlock(&proof->mutex);
	return proven;
}

void route_mark_identity(struct route *route, uint64_t now_ns, int reason)
{
	struct listener_marks *marks = &route->state->marks;

	if (!reason) {
		atomic_store_explicit(&marks->identity_ok_ns, now_ns, memory_order_relaxed);
		return;
	}
	atomic_store_explicit(&marks->identity_reason, reason, memory_order_relaxed);
	atomic_store_explicit(&marks->identity_failed_ns, now_ns, memory_order_relaxed);
}

static bool any_rule_matches(const struct config_rules *rules, const struct peer *peer)
{
	for (size_t i = 0; i < rules->count; i++) {
		const struct config_rule *rule = &rules->items[i];
		struct peer_pattern pattern = { .cn = rule->cn,
						.dns = rule->dns,
						.uri = rule->uri,
						.issuer_cn = rule->issuer_cn };

		if (peer_matches(peer, &pattern))
			return true;
	}
	return false;
}

bool route_admits(const struct route *route, const struct peer *peer, const char **ret_why)
{
	if (any_rule_matches(&route->config->deny, peer)) {
		*ret_why = "a deny rule matches";
		return false;
	}
	if (route->config->allow.count && !any_rule_matches(&route->config->allow, peer)) {
		*ret_why = "no allow rule matches";
		return false;
	}
	return true;
}
