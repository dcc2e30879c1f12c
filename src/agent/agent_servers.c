/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators and monitoring ask the agent, over HTTP: orders and states on a unix socket, where
 * the kernel says who asks, and metrics on an address of the configuration. The handlers run on the
 * servers' threads and read what is for any thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>

#include "admin/exposition.h"
#include "agent/agent_impl.h"
#include "base/json.h"
#include "base/util.h"
#include "pki/certificate.h"

#define BACKLOG 16

/* --- states --- */

static void put_text(FILE *out, const char *key, const char *value)
{
	fprintf(out, ",\"%s\":", key);
	json_write_string(out, value && value[0] ? value : NULL);
}

/* Seconds since the epoch; 0 is null. */
static void put_time(FILE *out, const char *key, int64_t seconds)
{
	char text[PKI_TIME_TEXT_BYTES];

	pki_time_text(seconds, text);
	put_text(out, key, seconds ? text : NULL);
}

static void put_bool(FILE *out, const char *key, bool value)
{
	fprintf(out, ",\"%s\":%s", key, value ? "true" : "false");
}

static void put_count(FILE *out, const char *key, uint64_t value)
{
	fprintf(out, ",\"%s\":%" PRIu64, key, value);
}

static void put_certificate(struct agent *agent, size_t index, FILE *out)
{
	const struct config_agent_certificate *config = agent->certificates[index].config;
	struct control_certificate_status status;
	struct agent_numbers own;

	control_certificate_status(agent->control, index, &status);
	agent_numbers_read(agent, index, &own);
	fputs(index ? ",{\"name\":" : "{\"name\":", out);
	json_write_string(out, status.name);
	put_bool(out, "good", status.good);
	put_bool(out, "laid_out", own.laid_out);
	put_text(out, "cn", status.cn);
	put_text(out, "serial", status.serial);
	put_text(out, "issuer_cn", own.issuer_cn);
	put_text(out, "mount", status.issuer);
	put_time(out, "not_before", status.not_before);
	put_time(out, "not_after", status.not_after);
	put_time(out, "renewal", status.renew_at);
	put_time(out, "last_success", status.last_success);
	put_time(out, "last_failure", status.last_failure);
	put_text(out, "cause", status.cause == CAUSE_NONE ? NULL : cause_name(status.cause));
	put_text(out, "error", status.text.text);
	put_count(out, "issued", status.issued);
	put_count(out, "failures", cause_sum(status.failures));
	put_time(out, "last_layout", own.last_layout);
	put_text(out, "layout_error", own.layout_error.text);
	put_count(out, "layouts", own.layouts);
	put_count(out, "layout_failures", own.layout_failures);
	put_count(out, "changed_files", own.changed_files);
	put_bool(out, "hooks_busy", own.hooks_busy);
	put_bool(out, "hooks_failed", own.hooks_failed);
	fputs(",\"directories\":[", out);
	for (size_t i = 0; i < config->layout_count; i++) {
		fputs(i ? "," : "", out);
		json_write_string(out, config->layouts[i].directory);
	}
	fputs("]}", out);
}

static void put_source(struct agent *agent, enum control_source source, FILE *out)
{
	struct control_source_status status;

	control_source_status(agent->control, source, &status);
	fprintf(out, "%s{\"name\":\"%s\"", source ? "," : "", control_source_name(source));
	put_bool(out, "used", status.used);
	put_time(out, "last_success", status.last_success);
	put_time(out, "last_failure", status.last_failure);
	put_text(out, "cause", status.cause == CAUSE_NONE ? NULL : cause_name(status.cause));
	put_text(out, "error", status.text.text);
	put_bool(out, "circuit_open", status.circuit_open);
	fputc('}', out);
}

static bool is_well(struct agent *agent, size_t index)
{
	struct control_certificate_status status;
	struct agent_numbers own;

	control_certificate_status(agent->control, index, &status);
	agent_numbers_read(agent, index, &own);
	return status.good && own.laid_out && !own.hooks_failed;
}

static bool all_well(struct agent *agent)
{
	for (size_t i = 0; i < agent->count; i++)
		if (!is_well(agent, i))
			return false;
	return true;
}

static void on_status(const struct http_request *request, struct http_answer *answer, void *arg)
{
	struct agent *agent = arg;
	struct control_trust_status trust;
	FILE *out = answer->body;

	control_trust_status(agent->control, &trust);
	answer->content_type = "application/json";
	fprintf(out, "{\"well\":%s", all_well(agent) ? "true" : "false");
	put_text(out, "version", agent->options->version);
	put_text(out, "config", agent->options->config_file);
	fputs(",\"certificates\":[", out);
	for (size_t i = 0; i < agent->count; i++)
		put_certificate(agent, i, out);
	fputs("],\"sources\":[", out);
	for (int i = 0; i < CONTROL_SOURCE_COUNT; i++)
		put_source(agent, (enum control_source)i, out);
	fprintf(out, "],\"trust\":{\"good\":%s", trust.good ? "true" : "false");
	put_text(out, "primary", trust.primary);
	put_count(out, "secondaries", trust.secondaries);
	put_count(out, "roots", trust.roots);
	put_time(out, "since", trust.since);
	put_text(out, "error", trust.text.text);
	fputs("}}\n", out);
}

/* --- orders --- */

static void on_renew(const struct http_request *request, struct http_answer *answer, void *arg)
{
	const char *name = http_request_query(request, "name");
	struct agent *agent = arg;
	struct ucred who = { 0 };
	socklen_t len = sizeof(who);
	struct log_line line;

	answer->content_type = "application/json";
	getsockopt(http_request_fd(request), SOL_SOCKET, SO_PEERCRED, &who, &len);
	log_begin(&line, LOG_INFO, "order");
	log_str(&line, "order", "renew");
	log_u64(&line, "by_uid", who.uid);
	log_u64(&line, "by_pid", (uint64_t)who.pid);
	log_str(&line, "certificate", name);
	log_end(&line);
	if (control_renew(agent->control, name) == 0) {
		fputs("{\"ordered\":true}\n", answer->body);
		return;
	}
	answer->status = 404;
	fputs("{\"error\":\"there is no such certificate; 'sallyport agent status' has their "
	      "names\"}\n",
	      answer->body);
}

static void on_metrics(const struct http_request *request, struct http_answer *answer, void *arg)
{
	answer->content_type = EXPOSITION_CONTENT_TYPE;
	agent_metrics_write(arg, answer->body);
}

static void on_livez(const struct http_request *request, struct http_answer *answer, void *arg)
{
	fputs("ok\n", answer->body);
}

static void on_readyz(const struct http_request *request, struct http_answer *answer, void *arg)
{
	struct agent *agent = arg;

	for (size_t i = 0; i < agent->count; i++) {
		if (is_well(agent, i))
			continue;
		answer->status = 503;
		fprintf(answer->body, "%s: no good certificate, not laid out, or a hook failed\n",
			agent->certificates[i].config->certificate.name);
	}
	if (answer->status == 200)
		fputs("ok\n", answer->body);
}

static const struct http_route admin_routes[] = {
	{ "GET", "/v1/agent/status", on_status },
	{ "POST", "/v1/agent/renew", on_renew },
};

static const struct http_route metrics_routes[] = {
	{ "GET", "/metrics", on_metrics },
	{ "GET", "/livez", on_livez },
	{ "GET", "/readyz", on_readyz },
};

/* --- life --- */

static bool admit(int fd, void *arg)
{
	const struct agent *agent = arg;

	return admin_socket_admits(&agent->socket, fd);
}

static int start_admin(struct agent *agent, struct err_text *err)
{
	const struct admin_socket_options socket = {
		.config = &agent->config->process.admin,
		.usual = AGENT_SOCKET_DEFAULT,
		.whose = "agent",
	};
	struct http_options options = {
		.name = "admin",
		.routes = admin_routes,
		.route_count = ARRAY_SIZE(admin_routes),
		.admit = admit,
		.arg = agent,
	};
	int r = admin_socket_open(&agent->socket, &socket, err);

	if (r < 0 || agent->socket.listen_fd < 0)
		return r;
	options.listen_fd = TAKE_FD(agent->socket.listen_fd);
	r = http_start(&options, &agent->admin_server, err);
	if (r == 0)
		log_msg(LOG_INFO, "admin_socket", "listening on %s", agent->socket.path);
	return r;
}

static int start_metrics(struct agent *agent, struct err_text *err)
{
	const struct config_metrics *metrics = &agent->config->process.metrics;
	struct http_options options = {
		.name = "metrics",
		.routes = metrics_routes,
		.route_count = ARRAY_SIZE(metrics_routes),
		.arg = agent,
	};
	struct sockaddr_storage address;
	cleanup_close int fd = -1;
	socklen_t len;
	int one = 1;

	if (!metrics->listen.port)
		return 0;
	if (endpoint_sockaddr(&metrics->listen, &address, &len) == 0)
		fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, len) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return err_set(err, -errno, "metrics.listen: can not listen on %s: %s",
			       metrics->listen_text, strerror(errno));
	options.listen_fd = TAKE_FD(fd);
	return http_start(&options, &agent->metrics_server, err);
}

int agent_servers_start(struct agent *agent, struct err_text *err)
{
	int r = start_admin(agent, err);

	if (r == 0)
		r = start_metrics(agent, err);
	return r;
}

void agent_servers_stop(struct agent *agent)
{
	http_stop(agent->metrics_server);
	http_stop(agent->admin_server);
	admin_socket_close(&agent->socket);
}
