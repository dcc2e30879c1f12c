/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The families of metrics (metrics.h). A family's samples are the whole proxy's, or one for each
 * listener, or one for each worker; labels are names of the configuration and words of our own
 * tables, so that no peer can make new ones. Workers count on while their counters are read: two
 * numbers of one scrape may be of slightly different moments.
 */
#include "admin/metrics.h"

#include <inttypes.h>

#include "admin/metrics_control.h"
#include "admin/metrics_impl.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/util.h"
#include "dataplane/conn.h"
#include "pki/inspect.h"

static const char *const transport_names[STATS_TRANSPORT_COUNT] = {
	[STATS_AEAD] = "aead",
	[STATS_KTLS] = "ktls",
};

static void count(const struct scrape *scrape, const struct exposition_label *labels,
		  uint64_t value)
{
	exposition_count(scrape->out, scrape->family->name, labels, value);
}

/* --- of a listener --- */

static void write_number(const struct scrape *scrape, const struct route *route,
			 const struct stats *stats)
{
	const char *at = (const char *)stats + scrape->family->offset;

	count(scrape, LISTENER_LABELS(route), *(const uint64_t *)at);
}

static void write_histogram(const struct scrape *scrape, const struct route *route,
			    const struct stats *stats)
{
	const char *at = (const char *)stats + scrape->family->offset;

	exposition_histogram(scrape->out, scrape->family->name, LISTENER_LABELS(route),
			     (const struct histogram *)at);
}

static void write_listener_info(const struct scrape *scrape, const struct route *route,
				const struct stats *stats)
{
	const struct config_listener *config = route->config;

	count(scrape,
	      LISTENER_LABELS(
		      route, { "role", config->role == CONFIG_ROLE_FRONT ? "front" : "egress" },
		      { "listen", config->listen_text }, { "upstream", config->upstream_text },
		      { "transport", ktls_use_name(route->transport) }),
	      1);
}

static void write_connections(const struct scrape *scrape, const struct route *route,
			      const struct stats *stats)
{
	for (int i = CONN_NEW + 1; i < CONN_CLOSED; i++)
		count(scrape,
		      LISTENER_LABELS(route, { "state", conn_state_name((enum conn_state)i) }),
		      stats->conns[i]);
}

static void write_connections_limit(const struct scrape *scrape, const struct route *route,
				    const struct stats *stats)
{
	count(scrape, LISTENER_LABELS(route), route->config->limits.connections);
}

static void write_handshakes_limit(const struct scrape *scrape, const struct route *route,
				   const struct stats *stats)
{
	count(scrape, LISTENER_LABELS(route), route->config->limits.handshakes);
}

static void write_closes(const struct scrape *scrape, const struct route *route,
			 const struct stats *stats)
{
	for (int i = 0; i < CLOSE_REASON_COUNT; i++)
		count(scrape,
		      LISTENER_LABELS(route, { "reason", close_reason_name((enum close_reason)i) }),
		      stats->closes[i]);
}

static void write_refusals(const struct scrape *scrape, const struct route *route,
			   const struct stats *stats)
{
	for (int i = TLS_REFUSAL_NONE + 1; i < TLS_REFUSAL_COUNT; i++)
		count(scrape,
		      LISTENER_LABELS(route, { "reason", tls_refusal_name((enum tls_refusal)i) }),
		      stats->refusals[i]);
}

static void write_handshakes(const struct scrape *scrape, const struct route *route,
			     const struct stats *stats)
{
	count(scrape, LISTENER_LABELS(route, { "transport", transport_names[STATS_AEAD] }),
	      stats->handshakes_aead);
	count(scrape, LISTENER_LABELS(route, { "transport", transport_names[STATS_KTLS] }),
	      stats->handshakes_ktls);
}

static void write_sessions(const struct scrape *scrape, const struct route *route,
			   const struct stats *stats)
{
	static const char *const versions[STATS_VERSION_COUNT] = {
		[STATS_TLS_1_2] = "1.2",
		[STATS_TLS_1_3] = "1.3",
	};

	for (int i = 0; i < STATS_VERSION_COUNT; i++)
		for (int j = 0; j < TLS_CIPHER_COUNT; j++)
			count(scrape,
			      LISTENER_LABELS(route, { "version", versions[i] },
					      { "cipher", tls_cipher_name((enum tls_cipher)j) }),
			      stats->sessions[i][j]);
}

static void write_bytes(const struct scrape *scrape, const struct route *route,
			const struct stats *stats)
{
	static const char *const directions[STATS_DIRECTION_COUNT] = {
		[STATS_IN] = "in",
		[STATS_OUT] = "out",
	};

	for (int i = 0; i < STATS_DIRECTION_COUNT; i++)
		for (int j = 0; j < STATS_TRANSPORT_COUNT; j++)
			count(scrape,
			      LISTENER_LABELS(route, { "direction", directions[i] },
					      { "transport", transport_names[j] }),
			      stats->bytes[i][j]);
}

#define ROLE_COUNT (TLS_CERTIFICATE_ROOT + 1)

/* Of each role the certificate that ends first. */
struct first_certificates {
	struct first_certificate {
		bool found;
		int64_t not_before, not_after;
		char cn[PEER_NAME_BYTES_MAX + 1], issuer_cn[PEER_NAME_BYTES_MAX + 1];
		char serial[PEER_SERIAL_TEXT_BYTES];
	} of[ROLE_COUNT];
};

static void keep_first(enum tls_certificate_role role, const struct peer *names, void *arg)
{
	struct first_certificate *first = &((struct first_certificates *)arg)->of[role];

	if (first->found && first->not_after <= names->not_after)
		return;
	first->found = true;
	first->not_before = names->not_before;
	first->not_after = names->not_after;
	snprintf(first->cn, sizeof(first->cn), "%s", names->cn);
	snprintf(first->issuer_cn, sizeof(first->issuer_cn), "%s", names->issuer_cn);
	snprintf(first->serial, sizeof(first->serial), "%s", names->serial);
}

static void write_certificates(const struct scrape *scrape, const struct route *route,
			       bool not_after)
{
	static const char *const usages[ROLE_COUNT] = {
		[TLS_CERTIFICATE_OWN] = "leaf",
		[TLS_CERTIFICATE_INTERMEDIATE] = "intermediate",
		[TLS_CERTIFICATE_ROOT] = "root",
	};
	struct first_certificates first = { 0 };

	if (!route->tls)
		return;
	/* Without memory some are missing. */
	tls_context_visit_certificates(route->tls, keep_first, &first);
	for (int i = 0; i < ROLE_COUNT; i++) {
		const struct first_certificate *it = &first.of[i];

		if (it->found)
			exposition_number(scrape->out, scrape->family->name,
					  LISTENER_LABELS(route, { "usage", usages[i] },
							  { "subject_CN", it->cn },
							  { "issuer_CN", it->issuer_cn },
							  { "serial_number", it->serial }),
					  not_after ? it->not_after : it->not_before);
	}
}

static void write_not_before(const struct scrape *scrape, const struct route *route,
			     const struct stats *stats)
{
	write_certificates(scrape, route, false);
}

static void write_not_after(const struct scrape *scrape, const struct route *route,
			    const struct stats *stats)
{
	write_certificates(scrape, route, true);
}

/* --- of a worker --- */

struct worker_label {
	char text[16];
};

static struct worker_label worker_label(const struct worker *worker)
{
	struct worker_label label;

	snprintf(label.text, sizeof(label.text), "%u", worker->index);
	return label;
}

static void write_worker_connections(const struct scrape *scrape, const struct worker *worker)
{
	struct worker_label label = worker_label(worker);
	uint64_t sum = 0;

	for (int i = 0; i < CONN_STATE_COUNT; i++)
		sum += counter_read(&worker->stats.conns[i]);
	count(scrape, LABELS({ "worker", label.text }), sum);
}

static void write_worker_busy(const struct scrape *scrape, const struct worker *worker)
{
	struct worker_label label = worker_label(worker);

	exposition_seconds(scrape->out, scrape->family->name, LABELS({ "worker", label.text }),
			   counter_read(&loop_stats(worker->loop)->turns.sum_ns));
}

/* --- of the proxy --- */

static void write_build(const struct scrape *scrape)
{
	count(scrape,
	      LABELS({ "version", scrape->source->version }, { "openssl", pki_openssl_version() }),
	      1);
}

static void write_ready(const struct scrape *scrape)
{
	struct err_text why;

	count(scrape, NULL, proxy_ready(scrape->source->proxy, &why));
}

static void write_workers(const struct scrape *scrape)
{
	count(scrape, LABELS({ "loop", scrape->workers->loop }), scrape->workers->workers);
}

static void write_turns(const struct scrape *scrape)
{
	exposition_histogram(scrape->out, scrape->family->name, NULL, &scrape->workers->turns);
}

static void write_overflows(const struct scrape *scrape)
{
	count(scrape, NULL, scrape->workers->cq_overflows);
}

static void write_pipes(const struct scrape *scrape)
{
	count(scrape, LABELS({ "state", "lent" }), scrape->workers->pipes_lent);
	count(scrape, LABELS({ "state", "idle" }), scrape->workers->pipes_idle);
}

static void write_pipe_failures(const struct scrape *scrape)
{
	count(scrape, NULL, scrape->workers->pipes_refused);
}

static void write_held(const struct scrape *scrape)
{
	count(scrape, NULL, scrape->total->held_bytes);
}

static void write_key_updates(const struct scrape *scrape)
{
	count(scrape, LABELS({ "direction", "received" }), scrape->total->key_updates_received);
	count(scrape, LABELS({ "direction", "sent" }), scrape->total->key_updates_sent);
}

static void write_reloads(const struct scrape *scrape)
{
	count(scrape, LABELS({ "result", "success" }), scrape->reload->successes);
	count(scrape, LABELS({ "result", "failure" }), scrape->reload->failures);
}

static void write_reload_successful(const struct scrape *scrape)
{
	count(scrape, NULL, !scrape->reload->failing);
}

static void write_reload_time(const struct scrape *scrape)
{
	exposition_seconds(scrape->out, scrape->family->name, NULL, scrape->reload->success_ns);
}

static void write_log_lines(const struct scrape *scrape)
{
	struct log_stats stats;

	log_stats(&stats);
	count(scrape, LABELS({ "result", "written" }), stats.written);
	count(scrape, LABELS({ "result", "suppressed" }), stats.suppressed);
	count(scrape, LABELS({ "result", "lost" }), stats.lost);
}

static void write_audit_records(const struct scrape *scrape)
{
	count(scrape, NULL, scrape->audit->records);
}

static void write_audit_lost(const struct scrape *scrape)
{
	count(scrape, NULL, scrape->audit->lost);
}

static void write_audit_failing(const struct scrape *scrape)
{
	count(scrape, NULL, scrape->audit->failing);
}

static void write_audit_waiting(const struct scrape *scrape)
{
	count(scrape, NULL, scrape->audit->waiting_bytes);
}

static void write_keys_locked(const struct scrape *scrape)
{
	count(scrape, NULL, secret_locked());
}

/* --- of the process; what is not known is left out --- */

static void write_known(const struct scrape *scrape, int64_t value)
{
	if (value >= 0)
		exposition_number(scrape->out, scrape->family->name, NULL, value);
}

static void write_cpu(const struct scrape *scrape)
{
	exposition_seconds(scrape->out, scrape->family->name, NULL, scrape->process->cpu_ns);
}

static void write_open_fds(const struct scrape *scrape)
{
	write_known(scrape, scrape->process->open_fds);
}

static void write_max_fds(const struct scrape *scrape)
{
	write_known(scrape, scrape->process->max_fds);
}

static void write_resident(const struct scrape *scrape)
{
	write_known(scrape, scrape->process->resident_bytes);
}

static void write_virtual(const struct scrape *scrape)
{
	write_known(scrape, scrape->process->virtual_bytes);
}

static void write_start_time(const struct scrape *scrape)
{
	exposition_seconds(scrape->out, scrape->family->name, NULL,
			   scrape->source->process.started_ms * NSEC_PER_MSEC);
}

#define COUNTER		 .type = EXPOSITION_COUNTER
#define GAUGE		 .type = EXPOSITION_GAUGE
#define HISTOGRAM	 .type = EXPOSITION_HISTOGRAM
#define NUMBER(field)	 .of_listener = write_number, .offset = offsetof(struct stats, field)
#define DURATIONS(field) .of_listener = write_histogram, .offset = offsetof(struct stats, field)

static const struct family families[] = {
	{ "sallyport_build_info", GAUGE, "Versions of the program and of its OpenSSL; always 1.",
	  .of_proxy = write_build },
	{ "sallyport_ready", GAUGE, "1 while new connections are taken, 0 while draining.",
	  .of_proxy = write_ready },
	{ "sallyport_workers", GAUGE, "Worker threads, by the kernel interface of their loops.",
	  .of_proxy = write_workers },
	{ "sallyport_keys_locked", GAUGE,
	  "1 if all memory that holds keys is locked against being swapped out.",
	  .of_proxy = write_keys_locked },

	{ "sallyport_listener_info", GAUGE,
	  "What a listener is, and the transport of its TLS 1.3 connections; always 1.",
	  .of_listener = write_listener_info },
	{ "sallyport_connections", GAUGE, "Live connections by state.",
	  .of_listener = write_connections },
	{ "sallyport_connections_limit", GAUGE, "limits.connections of the listener.",
	  .of_listener = write_connections_limit },
	{ "sallyport_handshakes_limit", GAUGE, "limits.handshakes of the listener.",
	  .of_listener = write_handshakes_limit },
	{ "sallyport_connections_accepted_total", COUNTER,
	  "Connections taken from the backlog, those over a limit too.", NUMBER(accepted) },
	{ "sallyport_connections_closed_total", COUNTER, "Ends of connections by reason.",
	  .of_listener = write_closes },
	{ "sallyport_accept_pauses_total", COUNTER,
	  "Times that a worker stopped accepting for a moment: no descriptors, or no memory.",
	  NUMBER(accept_backoffs) },

	{ "sallyport_handshakes_total", COUNTER,
	  "Finished TLS handshakes, by who has the keys: the kernel (ktls) or this process (aead).",
	  .of_listener = write_handshakes },
	{ "sallyport_tls_sessions_total", COUNTER,
	  "Finished TLS handshakes by what was agreed upon.", .of_listener = write_sessions },
	{ "sallyport_handshake_failures_total", COUNTER,
	  "Peers refused in the TLS handshake, by reason.", .of_listener = write_refusals },
	{ "sallyport_handshake_duration_seconds", HISTOGRAM,
	  "From accept (egress: from the connected upstream) to the end of a finished handshake.",
	  DURATIONS(handshake_time) },
	{ "sallyport_upstream_connect_duration_seconds", HISTOGRAM,
	  "How long it took to connect the upstream, if it was.", DURATIONS(connect_time) },
	{ "sallyport_upstream_connect_failures_total", COUNTER,
	  "Connections for which no upstream address accepted in time.",
	  NUMBER(upstream_connect_failures) },
	{ "sallyport_identities_total", COUNTER,
	  "Clients whose identity the broker was told and has taken.", NUMBER(identities) },
	{ "sallyport_identity_waits_total", COUNTER,
	  "Of the clients whose identity was told, those whose bytes had to wait for the answer.",
	  NUMBER(identity_waits) },

	{ "sallyport_relayed_bytes_total", COUNTER,
	  "Plaintext bytes, in: to the upstream, out: to the client; by transport of the TLS side.",
	  .of_listener = write_bytes },
	{ "sallyport_spliced_bytes_total", COUNTER,
	  "Of the relayed bytes those that this process never saw.", NUMBER(bytes_spliced) },
	{ "sallyport_key_updates_total", COUNTER, "KeyUpdate messages.",
	  .of_proxy = write_key_updates },
	{ "sallyport_held_bytes", GAUGE,
	  "Buffers that connections keep because a reader is slow or a record incomplete.",
	  .of_proxy = write_held },
	{ "sallyport_pipes", GAUGE, "Pipes for splicing, lent to a connection or idle.",
	  .of_proxy = write_pipes },
	{ "sallyport_pipe_failures_total", COUNTER,
	  "Times that no pipe of a useful size could be had; bytes were copied instead.",
	  .of_proxy = write_pipe_failures },

	{ "sallyport_clients", GAUGE, "Clients that are known by name: live, or remembered.",
	  .of_proxy = metrics_clients_known },
	{ "sallyport_client_connections", GAUGE, "Live connections of a client.",
	  .of_proxy = metrics_client_connections },
	{ "sallyport_client_bytes_total", COUNTER,
	  "Bytes of a client, produce: to the upstream, consume: from it.",
	  .of_proxy = metrics_client_bytes },
	{ "sallyport_client_limited_seconds_total", COUNTER,
	  "For how long connections of a client have waited for its limits, all together.",
	  .of_proxy = metrics_client_limited },
	{ "sallyport_client_at_limit", GAUGE,
	  "1 while a client is held back by its limits; of 'other': how many clients are.",
	  .of_proxy = metrics_client_at_limit },
	{ "sallyport_client_refused_total", COUNTER,
	  "Connections of a client that its limits did not let in.",
	  .of_proxy = metrics_client_refused },
	{ "sallyport_client_group_connections", GAUGE, "Live connections of a group's clients.",
	  .of_proxy = metrics_group_connections },
	{ "sallyport_client_group_bytes_total", COUNTER, "Bytes of a group's clients.",
	  .of_proxy = metrics_group_bytes },
	{ "sallyport_client_group_limited_seconds_total", COUNTER,
	  "For how long connections have waited for the limits of their group, all together.",
	  .of_proxy = metrics_group_limited },

	{ "sallyport_worker_connections", GAUGE, "Live connections by worker.",
	  .of_worker = write_worker_connections },
	{ "sallyport_worker_busy_seconds_total", COUNTER,
	  "Time that a worker did not spend waiting for events.", .of_worker = write_worker_busy },
	{ "sallyport_worker_turn_duration_seconds", HISTOGRAM,
	  "Turns of the workers' loops: what becomes ready may have to wait that long.",
	  .of_proxy = write_turns },
	{ "sallyport_loop_overflows_total", COUNTER,
	  "Times that io_uring's completion queue overflowed and was read again from the kernel.",
	  .of_proxy = write_overflows },

	{ "sallyport_config_reloads_total", COUNTER,
	  "Changes of the configuration or of its files while running, by how they ended.",
	  .of_proxy = write_reloads },
	{ "sallyport_config_last_reload_successful", GAUGE,
	  "0 if files and process differ because the last reload failed.",
	  .of_proxy = write_reload_successful },
	{ "sallyport_config_last_reload_success_timestamp_seconds", GAUGE,
	  "When what is in force came into force, seconds since the epoch.",
	  .of_proxy = write_reload_time },
	{ "sallyport_log_lines_total", COUNTER,
	  "Lines of the log: written, suppressed by log.rate, or lost to a stalled reader.",
	  .of_proxy = write_log_lines },
	{ "sallyport_audit_records_total", COUNTER,
	  "Records of the audit so far, those that are lost too; 0 without an audit.",
	  .of_proxy = write_audit_records },
	{ "sallyport_audit_records_lost_total", COUNTER,
	  "Records of the audit that could not be written; the stream has a gap record for them.",
	  .of_proxy = write_audit_lost },
	{ "sallyport_audit_failing", GAUGE, "1 while the audit can not be written.",
	  .of_proxy = write_audit_failing },
	{ "sallyport_audit_waiting_bytes", GAUGE, "Records of the audit that wait to be written.",
	  .of_proxy = write_audit_waiting },

	{ "x509_cert_not_before", GAUGE,
	  "Start of validity of the certificates in use, seconds since the epoch.",
	  .of_listener = write_not_before },
	{ "x509_cert_not_after", GAUGE,
	  "End of validity of the certificates in use, seconds since the epoch; of intermediates "
	  "and roots the first to end.",
	  .of_listener = write_not_after },

	{ "process_cpu_seconds_total", COUNTER, "User and system CPU time.",
	  .of_proxy = write_cpu },
	{ "process_open_fds", GAUGE, "Open file descriptors.", .of_proxy = write_open_fds },
	{ "process_max_fds", GAUGE, "Most file descriptors that may be open.",
	  .of_proxy = write_max_fds },
	{ "process_resident_memory_bytes", GAUGE, "Resident memory.", .of_proxy = write_resident },
	{ "process_virtual_memory_bytes", GAUGE, "Virtual memory.", .of_proxy = write_virtual },
	{ "process_start_time_seconds", GAUGE, "Start of the process, seconds since the epoch.",
	  .of_proxy = write_start_time },
};

static void add_worker(const struct worker *worker, void *arg)
{
	const struct loop_stats *loop = loop_stats(worker->loop);
	struct worker_sums *sums = arg;

	sums->workers++;
	sums->loop = loop_kind_name(loop_kind(worker->loop));
	sums->pipes_lent += counter_read(&worker->pipes.lent_count);
	sums->pipes_idle += counter_read(&worker->pipes.idle_count);
	sums->pipes_refused += counter_read(&worker->pipes.refused);
	sums->cq_overflows += counter_read(&loop->cq_overflows);
	histogram_sum(&sums->turns, &loop->turns);
}

static void visit_routes(const struct scrape *scrape)
{
	const struct snapshot *snapshot = scrape->snapshot;

	for (size_t i = 0; i < snapshot->route_count; i++) {
		const struct route *route = &snapshot->routes[i];
		struct stats stats = { 0 };

		listener_stats_sum(&stats, &route->state->stats);
		scrape->family->of_listener(scrape, route, &stats);
	}
}

static void visit_worker(const struct worker *worker, void *arg)
{
	const struct scrape *scrape = arg;

	scrape->family->of_worker(scrape, worker);
}

void metrics_write(FILE *out, const struct metrics_source *source)
{
	struct snapshot *snapshot = proxy_snapshot(source->proxy);
	struct worker_sums workers = { 0 };
	struct process_stats process;
	struct reload_state reload;
	struct audit_stats audit;
	struct stats total;
	struct scrape scrape = { .out = out,
				 .source = source,
				 .snapshot = snapshot,
				 .total = &total,
				 .workers = &workers,
				 .audit = &audit,
				 .reload = &reload,
				 .process = &process,
				 .clients = source->clients };

	proxy_stats(source->proxy, &total);
	proxy_visit_workers(source->proxy, add_worker, &workers);
	proxy_audit_stats(source->proxy, &audit);
	proxy_reload_state(source->proxy, &reload);
	process_stats_read(&source->process, &process);
	client_series_update(source->clients, proxy_clients(source->proxy),
			     snapshot->config->metrics.clients, clock_monotonic_ns());
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		const struct family *family = &families[i];

		scrape.family = family;
		exposition_family(out, family->name, family->type, family->help);
		if (family->of_proxy)
			family->of_proxy(&scrape);
		else if (family->of_listener)
			visit_routes(&scrape);
		else
			proxy_visit_workers(source->proxy, visit_worker, &scrape);
	}
	metrics_control_write(out, proxy_control(source->proxy));
	snapshot_unref(snapshot);
}
