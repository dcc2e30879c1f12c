/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections on the admin socket: the list, and orders to end some. Both take the same filter from
 * the query. On the server's thread.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "admin/admin_impl.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/util.h"

#define ANSWER_MS     2000 /* for all workers */
#define LIMIT_DEFAULT 1000

static const struct {
	const char *name;
	enum conn_sort sort;
} sorts[] = {
	{ "age", CONN_SORT_AGE },
	{ "bytes", CONN_SORT_BYTES },
	{ "idle", CONN_SORT_IDLE },
	{ "stall", CONN_SORT_STALL },
};

static const char *const state_names[] = {
#define X(suffix, name, next) [CONN_##suffix] = name,
	CONN_STATES(X)
#undef X
};

/* Copies a value of the query; false (answered) if it is too long for anything. */
static bool take_text(const struct http_request *request, struct http_answer *answer,
		      const char *key, char *ret, size_t size)
{
	const char *value = http_request_query(request, key);

	if (value && strlen(value) >= size) {
		api_fail(answer, 400, "%s: longer than %zu bytes, so nothing can match", key,
			 size - 1);
		return false;
	}
	snprintf(ret, size, "%s", value ? value : "");
	return true;
}

static bool take_states(const struct http_request *request, struct http_answer *answer,
			uint32_t *ret)
{
	const char *value = http_request_query(request, "state");
	size_t len;

	*ret = 0;
	for (; value && *value; value += len + (value[len] == ',')) {
		uint32_t bit = 0;

		len = strcspn(value, ",");
		for (size_t i = 0; i < ARRAY_SIZE(state_names); i++)
			if (strlen(state_names[i]) == len && !memcmp(state_names[i], value, len))
				bit = 1u << i;
		if (!bit) {
			api_fail(answer, 400,
				 "state '%.*s': handshake, connect, relay or linger is expected",
				 (int)MIN(len, (size_t)32), value);
			return false;
		}
		*ret |= bit;
	}
	return true;
}

static bool take_transport(const struct http_request *request, struct http_answer *answer,
			   struct conn_filter *filter)
{
	static const char *const names[] = { "", "plain", "aead", "ktls", "ktls_send" };

	if (!take_text(request, answer, "transport", filter->transport, sizeof(filter->transport)))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(filter->transport, names[i]) == 0)
			return true;
	api_fail(answer, 400, "transport '%s': aead, ktls, ktls_send or plain is expected",
		 filter->transport);
	return false;
}

static bool take_id(const struct http_request *request, struct http_answer *answer,
		    struct conn_filter *filter)
{
	const char *value = http_request_query(request, "conn");

	if (!value)
		return true;
	filter->has_id = true;
	if (parse_u64(value, 0, UINT64_MAX, &filter->id) == 0)
		return true;
	api_fail(answer, 400, "conn '%.32s': the number of a connection is expected", value);
	return false;
}

/* True, or the request has been answered. */
static bool take_filter(const struct http_request *request, struct http_answer *answer,
			struct conn_filter *filter)
{
	return take_id(request, answer, filter) &&
	       take_text(request, answer, "cn", filter->cn, sizeof(filter->cn)) &&
	       take_text(request, answer, "issuer", filter->issuer, sizeof(filter->issuer)) &&
	       take_text(request, answer, "principal", filter->principal,
			 sizeof(filter->principal)) &&
	       take_text(request, answer, "serial", filter->serial, sizeof(filter->serial)) &&
	       take_text(request, answer, "listener", filter->listener, sizeof(filter->listener)) &&
	       take_transport(request, answer, filter) &&
	       take_states(request, answer, &filter->states);
}

static bool take_sort(const struct http_request *request, struct http_answer *answer,
		      struct conn_query *query)
{
	const char *value = http_request_query(request, "sort");

	for (size_t i = 0; i < ARRAY_SIZE(sorts); i++) {
		if (value && strcmp(value, sorts[i].name) != 0)
			continue;
		query->sort = sorts[i].sort;
		return true;
	}
	api_fail(answer, 400, "sort '%.32s': age, bytes, idle or stall is expected", value);
	return false;
}

static bool take_limit(const struct http_request *request, struct http_answer *answer,
		       struct conn_query *query)
{
	const char *value = http_request_query(request, "limit");
	uint64_t limit = LIMIT_DEFAULT;

	if (value && parse_u64(value, 1, CONN_LIST_MAX, &limit) < 0) {
		api_fail(answer, 400, "limit '%.32s': a number from 1 to %d is expected", value,
			 CONN_LIST_MAX);
		return false;
	}
	query->limit = limit;
	return true;
}

/* True, or the request has been answered. */
static bool ask(struct admin *admin, struct http_answer *answer, const struct conn_query *query,
		struct conn_list *ret)
{
	int r = proxy_ask_conns(admin->proxy, query, ret);

	if (r == 0)
		return true;
	if (r == -EBUSY)
		api_fail(answer, 503, "a worker does not answer, and too many wait for it already");
	else
		api_fail(answer, 503, "the workers can not be asked: %s", strerror(-r));
	return false;
}

static void put_seconds(FILE *out, const char *key, uint64_t ns)
{
	fprintf(out, ",\"%s\":%llu.%03llu", key, ns / NSEC_PER_SEC, ns / NSEC_PER_MSEC % 1000);
}

static const char *text_or_null(const char *text)
{
	return text[0] ? text : NULL;
}

/* The names are those of the log lines. */
static void put_conn(FILE *out, const struct conn_info *c)
{
	bool stalled = c->wait == CONN_WAIT_CLIENT_READS || c->wait == CONN_WAIT_UPSTREAM_READS ||
		       c->wait == CONN_WAIT_BOTH_READ;

	fprintf(out, "{\"conn\":%" PRIu64, c->id);
	api_string(out, "listener", c->listener, false);
	api_string(out, "client", c->client, false);
	api_string(out, "cn", text_or_null(c->cn), false);
	api_string(out, "uri", text_or_null(c->uri), false);
	api_string(out, "serial", text_or_null(c->serial), false);
	api_string(out, "issuer", text_or_null(c->issuer), false);
	api_string(out, "principal", text_or_null(c->principal), false);
	api_string(out, "state", state_names[c->state], false);
	api_string(out, "waits_for", conn_wait_name(c->wait), false);
	api_string(out, "tls",
		   !c->tls_version		       ? NULL
		   : c->tls_version == TLS_VERSION_1_3 ? "1.3"
						       : "1.2",
		   false);
	api_string(out, "cipher", c->tls_version ? tls_cipher_name(c->cipher) : NULL, false);
	api_string(out, "client_transport", c->client_transport, false);
	api_string(out, "upstream_transport", c->upstream_transport, false);
	fprintf(out, ",\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64, c->bytes_in, c->bytes_out);
	put_seconds(out, "age_seconds", c->age_ns);
	put_seconds(out, "idle_seconds", c->idle_ns);
	if (stalled)
		put_seconds(out, "stall_seconds", c->stall_ns);
	else
		fputs(",\"stall_seconds\":null", out);
	fputc('}', out);
}

void api_conns(const struct http_request *request, struct http_answer *answer, void *arg)
{
	struct conn_query query = { .deadline_ms = ANSWER_MS };
	struct conn_list list;

	if (!take_filter(request, answer, &query.filter) || !take_sort(request, answer, &query) ||
	    !take_limit(request, answer, &query) || !ask(arg, answer, &query, &list))
		return;
	answer->content_type = "application/json";
	fprintf(answer->body,
		"{\"live\":%" PRIu64 ",\"matched\":%" PRIu64
		",\"shown\":%zu,\"silent_workers\":%u,\"out_of_memory\":%s,\"conns\":[",
		list.live, list.matched, list.count, list.silent_workers,
		list.no_memory ? "true" : "false");
	for (size_t i = 0; i < list.count; i++) {
		fputs(i ? ",\n" : "\n", answer->body);
		put_conn(answer->body, list.items[i]);
	}
	fputs("]}\n", answer->body);
	conn_list_fini(&list);
}

void api_kill(const struct http_request *request, struct http_answer *answer, void *arg)
{
	struct conn_query query = { .deadline_ms = ANSWER_MS, .kill = true };
	const struct conn_filter *filter = &query.filter;
	struct conn_list list;
	struct log_line line;

	if (!take_filter(request, answer, &query.filter))
		return;
	/* An empty value is a script's mistake, and would mean everybody. */
	if (!filter->has_id && !filter->cn[0] && !filter->issuer[0] && !filter->serial[0] &&
	    !filter->principal[0]) {
		api_fail(answer, 400, "whom? conn, cn, issuer, serial or principal is needed");
		return;
	}
	if (!ask(arg, answer, &query, &list))
		return;
	api_log_order(&line, request, "kill");
	if (filter->has_id)
		log_u64(&line, "conn", filter->id);
	log_str(&line, "cn", text_or_null(filter->cn));
	log_str(&line, "issuer", text_or_null(filter->issuer));
	log_str(&line, "serial", text_or_null(filter->serial));
	log_str(&line, "principal", text_or_null(filter->principal));
	log_str(&line, "listener", text_or_null(filter->listener));
	log_u64(&line, "killed", list.matched);
	log_end(&line);
	answer->content_type = "application/json";
	fprintf(answer->body, "{\"killed\":%" PRIu64 ",\"silent_workers\":%u}\n", list.matched,
		list.silent_workers);
	conn_list_fini(&list);
}
