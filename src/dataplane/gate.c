/* SPDX-License-Identifier: Apache-2.0 */
/* The gate (gate.h). Nothing in it belongs to a worker: what is written is atomic, or behind the
 * mutexes of limits/. */
#include "dataplane/gate.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cidr.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "dataplane/conn_log.h"
#include "dataplane/snapshot.h"

#define LOG_PERIOD_NS NSEC_PER_SEC

/* Lines of one kind: when the next may be, and how many were not written. */
struct hushed {
	atomic_uint_fast64_t next_ns, count;
};

struct gate {
	struct penalties *penalties;
	struct sources *sources;
	struct clients *clients;
	atomic_int_fast64_t held;
	atomic_uint_fast64_t memory_max; /* 0: no limit */
	struct hushed refused[CLOSE_REASON_COUNT], punished;
};

static struct penalty_params penalty_params(const struct config_penalties *config)
{
	return (struct penalty_params){
		.cost_ms = { [PENALTY_NOT_TLS] = config->not_tls_ms,
			     [PENALTY_CERTIFICATE] = config->certificate_ms,
			     [PENALTY_HANDSHAKE] = config->handshake_ms,
			     [PENALTY_DENIED] = config->denied_ms,
			     [PENALTY_TIMEOUT] = config->timeout_ms,
			     [PENALTY_LEFT] = config->left_ms },
		.min_ms = config->min_ms,
		.max_ms = config->max_ms,
		.sources = config->sources,
		.overflow = config->overflow == CONFIG_OVERFLOW_DENY ? PENALTY_OVERFLOW_DENY
								     : PENALTY_OVERFLOW_PERMISSIVE,
		.masks = { config->ipv4_mask, config->ipv6_mask },
		.exempt = &config->exempt,
	};
}

int gate_policy_new(const struct config_clients *config, struct client_policy **ret)
{
	struct client_policy *policy;
	int r = client_policy_new(config->unnamed == CONFIG_UNNAMED_REFUSE, &policy);

	if (r < 0)
		return r;
	for (size_t i = 0; i < config->group_count && r == 0; i++)
		r = client_policy_add_group(policy, config->groups[i].name,
					    &config->groups[i].limits);
	for (size_t i = 0; i < config->limit_count && r == 0; i++)
		r = client_policy_add(policy, config->limits[i].name, config->limits[i].group,
				      &config->limits[i].limits);
	if (r < 0) {
		client_policy_free(policy);
		return r;
	}
	*ret = policy;
	return 0;
}

struct clients *gate_clients(const struct gate *gate)
{
	return gate->clients;
}

void gate_configure(struct gate *gate, const struct config *config, struct client_policy *policy)
{
	struct penalty_params params = penalty_params(&config->penalties);

	atomic_store_explicit(&gate->memory_max, config->memory, memory_order_relaxed);
	penalties_configure(gate->penalties, &params);
	sources_configure(gate->sources, &params.masks);
	clients_adopt(gate->clients, policy, clock_monotonic_ns());
}

int gate_new(const struct config *config, struct gate **ret, struct err_text *err)
{
	struct penalty_params params = penalty_params(&config->penalties);
	struct gate *gate = calloc(1, sizeof(*gate));
	int r;

	if (!gate)
		return err_set(err, -ENOMEM, "out of memory");
	r = penalties_new(&params, &gate->penalties);
	if (r == 0)
		r = sources_new(&params.masks, &gate->sources);
	if (r == 0)
		r = clients_new(&gate->clients);
	if (r < 0) {
		gate_free(gate);
		return err_set(err, r, "no tables of sources and clients: %s", strerror(-r));
	}
	atomic_init(&gate->memory_max, config->memory);
	*ret = gate;
	return 0;
}

void gate_free(struct gate *gate)
{
	if (!gate)
		return;
	penalties_free(gate->penalties);
	sources_free(gate->sources);
	clients_free(gate->clients);
	free(gate);
}

enum close_reason gate_check_load(struct gate *gate, struct route *route, uint64_t now_ns)
{
	uint64_t per_second = route->config->limits.accepts_per_second;
	uint64_t memory_max = atomic_load_explicit(&gate->memory_max, memory_order_relaxed);

	if (route->awaiting)
		return CLOSE_AWAITING_CERTIFICATE;
	if (per_second && !rate_take(&route->state->accept_rate, per_second, now_ns))
		return CLOSE_LIMIT_ACCEPT_RATE;
	if (memory_max && gate_held(gate) >= memory_max)
		return CLOSE_LIMIT_MEMORY;
	return GATE_OPEN;
}

enum close_reason gate_check_source(struct gate *gate, struct route *route,
				    const struct in6_addr *address, uint64_t now_ns,
				    struct source **ret)
{
	uint64_t max = route->config->limits.connections_per_source;
	int r = 0;

	*ret = NULL;
	if (penalties_refuse(gate->penalties, address, now_ns))
		return CLOSE_PENALTY;
	if (max)
		r = sources_enter(gate->sources, (uintptr_t)route->state, address, max, ret);
	return r == 0 ? GATE_OPEN : r == -EDQUOT ? CLOSE_LIMIT_SOURCE : CLOSE_NO_MEMORY;
}

void gate_leave(struct gate *gate, struct source *source)
{
	sources_leave(gate->sources, source);
}

/* How many the line speaks of; 0: it is not to be written now. */
static uint64_t count_of_line(struct hushed *hushed, uint64_t now_ns)
{
	uint_fast64_t next_ns = atomic_load_explicit(&hushed->next_ns, memory_order_relaxed);

	atomic_fetch_add_explicit(&hushed->count, 1, memory_order_relaxed);
	if (now_ns < next_ns || !atomic_compare_exchange_strong_explicit(
					&hushed->next_ns, &next_ns, now_ns + LOG_PERIOD_NS,
					memory_order_relaxed, memory_order_relaxed))
		return 0;
	return atomic_exchange_explicit(&hushed->count, 0, memory_order_relaxed);
}

void gate_punish(struct gate *gate, const struct route *route, const struct in6_addr *address,
		 uint16_t port, enum penalty_kind kind, uint64_t now_ns)
{
	uint64_t closed_ms, count;
	struct log_line line;

	closed_ms = penalties_add(gate->penalties, address, kind, now_ns);
	count = closed_ms ? count_of_line(&gate->punished, now_ns) : 0;
	if (!count)
		return;
	log_begin(&line, LOG_WARNING, "penalty");
	log_str(&line, "listener", route->config->name);
	conn_log_client(&line, route, address, port);
	log_seconds(&line, "seconds", closed_ms * NSEC_PER_MSEC);
	log_u64(&line, "count", count);
	log_str(&line, "detail",
		"too many failures: new connections of this source are refused for so long; if it "
		"is a balancer, see proxy_protocol and penalties.exempt");
	log_end(&line);
}

void gate_log_refused(struct gate *gate, const struct route *route, const struct in6_addr *address,
		      uint16_t port, enum close_reason reason)
{
	static const char *const texts[CLOSE_REASON_COUNT] = {
#define X(suffix, name, text) [CLOSE_##suffix] = text,
		CLOSE_REASONS(X)
#undef X
	};
	uint64_t count = count_of_line(&gate->refused[reason], clock_monotonic_ns());
	struct log_line line;

	if (!count)
		return;
	log_begin(&line, LOG_WARNING, "refused");
	log_str(&line, "listener", route->config->name);
	conn_log_client(&line, route, address, port);
	log_str(&line, "reason", close_reason_name(reason));
	log_u64(&line, "count", count);
	log_str(&line, "detail", texts[reason]);
	log_end(&line);
}

void gate_hold(struct gate *gate, int64_t bytes)
{
	atomic_fetch_add_explicit(&gate->held, bytes, memory_order_relaxed);
}

uint64_t gate_held(const struct gate *gate)
{
	return (uint64_t)MAX(atomic_load_explicit(&gate->held, memory_order_relaxed), (int64_t)0);
}
