/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checks (health_checks.h). Each looks at one thing and sets what it finds; at the end of a
 * round what was not set again is over. Everything is read through the proxy's "any thread"
 * functions.
 */
#include "admin/health_checks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/util.h"
#include "limits/limits.h"
#include "pki/certificate.h"

/* What has happened within this time is a condition now. */
#define RECENT_NS (60 * NSEC_PER_SEC)
/* A failed attempt to reach the upstream counts for longer: perhaps nobody has tried since. */
#define UPSTREAM_RECENT_NS (600 * NSEC_PER_SEC)
/* A certificate ends soon in its last fifth, but not more than two weeks before. */
#define EXPIRES_SOON_SECONDS ((int64_t)14 * 86400)

#define CHECKED_KINDS                                                                              \
	(HEALTH_BIT(WORKER_SILENT) | HEALTH_BIT(CERTIFICATE_EXPIRED) |                             \
	 HEALTH_BIT(IDENTITY_NOT_TAKEN) | HEALTH_BIT(IDENTITY_KEYS) |                              \
	 HEALTH_BIT(UPSTREAM_UNREACHABLE) | HEALTH_BIT(ACCEPT_FAILED) |                            \
	 HEALTH_BIT(CERTIFICATE_EXPIRES_SOON) | HEALTH_BIT(ROOT_EXPIRED) |                         \
	 HEALTH_BIT(ROOT_EXPIRES_SOON) | HEALTH_BIT(RELOAD_FAILED) | HEALTH_BIT(RESTART_NEEDED) |  \
	 HEALTH_BIT(LIMIT_REACHED) | HEALTH_BIT(DRAINING) | HEALTH_BIT(KEYS_NOT_LOCKED) |          \
	 HEALTH_BIT(AWAITING_CERTIFICATE) | HEALTH_BIT(SOURCE_FAILING) |                           \
	 HEALTH_BIT(CERTIFICATE_NOT_RENEWED) | HEALTH_BIT(TRUST_REFUSED) |                         \
	 HEALTH_BIT(LIMITS_KEY_REFUSED) | HEALTH_BIT(KTLS_NOT_IN_USE) |                            \
	 HEALTH_BIT(IO_URING_NOT_IN_USE))

const char *certificate_role_name(enum tls_certificate_role role)
{
	static const char *const names[] = { "certificate", "intermediate", "root" };

	return names[role];
}

static uint64_t mark_of(const atomic_uint_fast64_t *mark)
{
	return atomic_load_explicit(mark, memory_order_relaxed);
}

static bool is_recent(uint64_t mark_ns, uint64_t now_ns, uint64_t span_ns)
{
	return mark_ns && now_ns - MIN(mark_ns, now_ns) < span_ns;
}

static void check_upstream(struct health *health, const struct route *route, uint64_t now_ns)
{
	const struct listener_marks *marks = &route->state->marks;
	uint64_t failed_ns = mark_of(&marks->upstream_failed_ns);
	int error = atomic_load_explicit(&marks->upstream_error, memory_order_relaxed);
	char why[64] = "its name has no address";

	if (!is_recent(failed_ns, now_ns, UPSTREAM_RECENT_NS) ||
	    mark_of(&marks->upstream_ok_ns) >= failed_ns)
		return;
	if (error)
		snprintf(why, sizeof(why), "%s", strerrordesc_np(error));
	health_set(health, HEALTH_UPSTREAM_UNREACHABLE, route->config->name,
		   "%s: %s (last tried %llu s ago)", route->config->upstream_text, why,
		   (unsigned long long)((now_ns - MIN(failed_ns, now_ns)) / NSEC_PER_SEC));
}

static void check_identity(struct health *health, const struct route *route, uint64_t now_ns)
{
	const struct listener_marks *marks = &route->state->marks;
	uint64_t failed_ns = mark_of(&marks->identity_failed_ns);
	int reason = atomic_load_explicit(&marks->identity_reason, memory_order_relaxed);

	if (!is_recent(failed_ns, now_ns, UPSTREAM_RECENT_NS) ||
	    mark_of(&marks->identity_ok_ns) >= failed_ns)
		return;
	health_set(health, HEALTH_IDENTITY_NOT_TAKEN, route->config->name, "%s: %s (%llu s ago)",
		   route->config->upstream_text, close_reason_name((enum close_reason)reason),
		   (unsigned long long)((now_ns - MIN(failed_ns, now_ns)) / NSEC_PER_SEC));
}

static void check_limits(struct health *health, const struct route *route, uint64_t now_ns)
{
	const struct listener_marks *marks = &route->state->marks;
	const struct config_limits *limits = &route->config->limits;
	char subject[HEALTH_SUBJECT_BYTES];

	if (is_recent(mark_of(&marks->limit_connections_ns), now_ns, RECENT_NS)) {
		snprintf(subject, sizeof(subject), "%s limits.connections", route->config->name);
		health_set(health, HEALTH_LIMIT_REACHED, subject, "%llu connections at most",
			   (unsigned long long)limits->connections);
	}
	if (is_recent(mark_of(&marks->limit_handshakes_ns), now_ns, RECENT_NS)) {
		snprintf(subject, sizeof(subject), "%s limits.handshakes", route->config->name);
		health_set(health, HEALTH_LIMIT_REACHED, subject, "%llu handshakes at most",
			   (unsigned long long)limits->handshakes);
	}
}

/* --- certificates --- */

static void take_certificate(enum tls_certificate_role role, const struct peer *names, void *arg)
{
	struct certificate_ends *ends = arg;
	struct certificate_end end = { .role = role,
				       .not_before = names->not_before,
				       .not_after = names->not_after };

	snprintf(end.cn, sizeof(end.cn), "%s", names->cn);
	snprintf(end.serial, sizeof(end.serial), "%s", names->serial);
	if (role == TLS_CERTIFICATE_OWN)
		ends->own = end;
	if (!ends->first.not_after || end.not_after < ends->first.not_after)
		ends->first = end;
}

void certificate_ends_of(const struct route *route, struct certificate_ends *ret)
{
	*ret = (struct certificate_ends){ 0 };
	if (!route->tls)
		return;
	/* Without memory some are missing: there will be another time. */
	(void)tls_context_visit_certificates(route->tls, take_certificate, ret);
}

struct certificate_check {
	struct health *health;
	const struct route *route;
	int64_t now;
};

static void check_certificate(enum tls_certificate_role role, const struct peer *names, void *arg)
{
	const struct certificate_check *check = arg;
	int64_t left = names->not_after - check->now;
	int64_t life = names->not_after - names->not_before;
	bool expired = left <= 0, root = role == TLS_CERTIFICATE_ROOT;
	char subject[HEALTH_SUBJECT_BYTES], end[PKI_TIME_TEXT_BYTES];
	enum health_kind kind = expired ? (root ? HEALTH_ROOT_EXPIRED : HEALTH_CERTIFICATE_EXPIRED)
				: root	? HEALTH_ROOT_EXPIRES_SOON
					: HEALTH_CERTIFICATE_EXPIRES_SOON;

	if (left > MIN(life / 5, EXPIRES_SOON_SECONDS))
		return;
	/* The serial tells those of one name apart. */
	snprintf(subject, sizeof(subject), "%s %s %.40s", check->route->config->name,
		 certificate_role_name(role), names->serial);
	pki_time_text(names->not_after, end);
	health_set(check->health, kind, subject, "CN %s, until %s",
		   names->cn[0] ? names->cn : "(none)", end);
}

/* --- all of it --- */

struct round {
	struct health *health;
	uint64_t now_ns;
};

static void check_route(const struct route *route, void *arg)
{
	const struct round *round = arg;
	struct certificate_check certificates = {
		.health = round->health,
		.route = route,
		.now = (int64_t)(clock_realtime_ns() / NSEC_PER_SEC),
	};

	if (route->awaiting)
		health_set(round->health, HEALTH_AWAITING_CERTIFICATE, route->config->name, "%s",
			   "");
	check_upstream(round->health, route, round->now_ns);
	check_identity(round->health, route, round->now_ns);
	check_limits(round->health, route, round->now_ns);
	if (is_recent(mark_of(&route->state->marks.accept_failed_ns), round->now_ns, RECENT_NS))
		health_set(round->health, HEALTH_ACCEPT_FAILED, route->config->name, "on %s",
			   route->config->listen_text);
	if (route->config->ktls == CONFIG_KTLS_AUTO && route->transport == KTLS_USE_NONE)
		health_set(round->health, HEALTH_KTLS_NOT_IN_USE, route->config->name, "%s",
			   route->transport_why.text);
	if (route->tls)
		(void)tls_context_visit_certificates(route->tls, check_certificate, &certificates);
}

static void check_reload(struct health *health, struct proxy *proxy)
{
	struct reload_state state;

	proxy_reload_state(proxy, &state);
	if (state.failing)
		health_set(health, HEALTH_RELOAD_FAILED, "", "%s", state.failure.text);
	if (state.restart_keys[0])
		health_set(health, HEALTH_RESTART_NEEDED, "", "%s", state.restart_keys);
}

/* --- the control plane --- */

static const char *ago(int64_t then, char *ret, size_t size)
{
	if (then)
		snprintf(ret, size, "%lld s ago",
			 (long long)((int64_t)(clock_realtime_ns() / NSEC_PER_SEC) - then));
	else
		snprintf(ret, size, "never");
	return ret;
}

static void check_sources(struct health *health, struct control *control)
{
	struct control_source_status status;
	char when[40];

	for (int i = 0; i < CONTROL_SOURCE_COUNT; i++) {
		control_source_status(control, (enum control_source)i, &status);
		if (!status.used || status.cause == CAUSE_NONE)
			continue;
		health_set(health, HEALTH_SOURCE_FAILING,
			   control_source_name((enum control_source)i), "%s: %s (last well: %s)",
			   cause_name(status.cause), status.text.text,
			   ago(status.last_success, when, sizeof(when)));
	}
}

static void check_control(struct health *health, struct control *control)
{
	struct control_certificate_status certificate;
	struct control_trust_status trust;

	if (!control)
		return;
	check_sources(health, control);
	for (size_t i = 0; i < control_certificate_count(control); i++) {
		control_certificate_status(control, i, &certificate);
		if (certificate.cause != CAUSE_NONE)
			health_set(health, HEALTH_CERTIFICATE_NOT_RENEWED, certificate.name,
				   "%s: %s", cause_name(certificate.cause), certificate.text.text);
	}
	control_trust_status(control, &trust);
	if (trust.cause != CAUSE_NONE)
		health_set(health, HEALTH_TRUST_REFUSED, "", "%s: %s", cause_name(trust.cause),
			   trust.text.text);
}

void health_check(struct health *health, struct proxy *proxy)
{
	struct round round = { .health = health, .now_ns = clock_monotonic_ns() };
	struct proxy_facts facts;
	struct err_text why;

	proxy_facts(proxy, &facts);
	if (facts.draining)
		health_set(health, HEALTH_DRAINING, "", "%s", "");
	if (facts.loop_why.text[0])
		health_set(health, HEALTH_IO_URING_NOT_IN_USE, "", "%s", facts.loop_why.text);
	if (!secret_locked())
		health_set(health, HEALTH_KEYS_NOT_LOCKED, "", "%s", "");
	if (!proxy_alive(proxy, HEALTH_WORKER_MS, &why))
		health_set(health, HEALTH_WORKER_SILENT, "", "%s", why.text);
	if (proxy_limits_refused(proxy, &why))
		health_set(health, HEALTH_LIMITS_KEY_REFUSED, "", "%s", why.text);
	if (proxy_identity_failing(proxy, &why))
		health_set(health, HEALTH_IDENTITY_KEYS, "", "%s", why.text);
	check_reload(health, proxy);
	check_control(health, proxy_control(proxy));
	proxy_visit_routes(proxy, check_route, &round);
	health_sweep(health, CHECKED_KINDS);
}
