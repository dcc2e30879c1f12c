/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests over libcurl's multi interface (http_client.h). A transfer owns all that its request is
 * made of; texts that may hold a token are wiped when it ends. Callbacks run after the network has
 * had its turn, so that they may start and cancel what they like. One thread, but for the wake.
 */
#include "control/http_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/secret.h"
#include "base/util.h"

#define CONNECT_MS_MAX	     5000
#define CONNECTIONS_MAX_IDLE 4L
#define RETRY_AFTER_MS_MAX   (86400ULL * 1000)
#define FDS_MAX		     8

struct http_client {
	CURLM *multi;
};

struct http_transfer {
	struct http_client *client;
	CURL *curl;
	struct curl_slist *headers;
	char *body;
	char reason[CURL_ERROR_SIZE];
	char *answer; /* NUL behind what has come */
	size_t bytes, room, bytes_max;
	bool too_large;
	void (*done)(const struct http_reply *reply, void *arg);
	void *arg;
};

int http_client_new(struct http_client **ret)
{
	struct http_client *client = calloc(1, sizeof(*client));

	/* Counted by libcurl; never undone, because others of the process may use it. */
	if (!client || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(client);
		return -ENOMEM;
	}
	client->multi = curl_multi_init();
	if (!client->multi) {
		free(client);
		return -ENOMEM;
	}
	curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_MAX_IDLE);
	*ret = client;
	return 0;
}

void http_client_free(struct http_client *client)
{
	if (!client)
		return;
	curl_multi_cleanup(client->multi);
	free(client);
}

static void wipe_text(char *text)
{
	if (text)
		secret_wipe(text, strlen(text));
}

static void transfer_free(struct http_transfer *transfer)
{
	for (struct curl_slist *it = transfer->headers; it; it = it->next)
		wipe_text(it->data);
	curl_slist_free_all(transfer->headers);
	curl_easy_cleanup(transfer->curl);
	wipe_text(transfer->body);
	free(transfer->body);
	if (transfer->answer)
		secret_wipe(transfer->answer, transfer->room);
	free(transfer->answer);
	free(transfer);
}

void http_client_cancel(struct http_transfer *transfer)
{
	if (!transfer)
		return;
	curl_multi_remove_handle(transfer->client->multi, transfer->curl);
	transfer_free(transfer);
}

/* --- the answer's body --- */

/* What was there is wiped, which realloc() would not do. */
static bool grow(struct http_transfer *transfer, size_t need)
{
	size_t room = MAX(transfer->room * 2, MAX(need, (size_t)4096));
	char *larger = malloc(room);

	if (!larger)
		return false;
	if (transfer->bytes)
		memcpy(larger, transfer->answer, transfer->bytes);
	if (transfer->answer)
		secret_wipe(transfer->answer, transfer->room);
	free(transfer->answer);
	transfer->answer = larger;
	transfer->room = room;
	return true;
}

static size_t take_bytes(char *bytes, size_t one, size_t count, void *arg)
{
	struct http_transfer *transfer = arg;
	size_t len = one * count;

	if (len > transfer->bytes_max - transfer->bytes) {
		transfer->too_large = true;
		return 0;
	}
	if (transfer->bytes + len + 1 > transfer->room &&
	    !grow(transfer, transfer->bytes + len + 1))
		return 0;
	memcpy(transfer->answer + transfer->bytes, bytes, len);
	transfer->bytes += len;
	transfer->answer[transfer->bytes] = 0;
	return len;
}

/* --- the request --- */

static bool is_plain(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

static bool add_header(struct http_transfer *transfer, const char *name, const char *value)
{
	struct curl_slist *longer;
	char *line = NULL;

	if (!is_plain(value) || asprintf(&line, "%s: %s", name, value) < 0)
		return false;
	longer = curl_slist_append(transfer->headers, line);
	wipe_text(line);
	free(line);
	if (!longer)
		return false;
	transfer->headers = longer;
	return true;
}

static bool add_headers(struct http_transfer *transfer, const struct http_call *call)
{
	bool ok = !call->body || add_header(transfer, "Content-Type", "application/json");

	for (size_t i = 0; ok && i < HTTP_CLIENT_HEADERS_MAX && call->headers[i].name; i++)
		if (call->headers[i].value)
			ok = add_header(transfer, call->headers[i].name, call->headers[i].value);
	return ok;
}

static void set_tls(CURL *curl, const struct http_call *call)
{
	const struct config_server_tls *tls = call->tls;

	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	/* The CA is the caller's and no other: never the system's. */
	curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	if (!tls || !tls->ca)
		return;
	curl_easy_setopt(curl, CURLOPT_CAINFO, tls->ca);
	if (tls->client_certificate) {
		curl_easy_setopt(curl, CURLOPT_SSLCERT, tls->client_certificate);
		curl_easy_setopt(curl, CURLOPT_SSLKEY, tls->client_key);
	}
}

static bool set_request(struct http_transfer *transfer, const struct http_call *call)
{
	cleanup_free char *url = NULL;
	CURL *curl = transfer->curl;

	if (asprintf(&url, "%s%s", call->base, call->path) < 0)
		return false;
	/* Without a CA there is no https at all. */
	if (curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR,
			     call->tls && call->tls->ca ? "https" : "http") != CURLE_OK ||
	    curl_easy_setopt(curl, CURLOPT_URL, url) != CURLE_OK)
		return false;
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, transfer->headers);
	if (transfer->body)
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, transfer->body);
	/* Nothing of the environment has a say in it, and nobody else is gone to. */
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)MIN(call->timeout_ms, (uint64_t)CONNECT_MS_MAX));
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
	curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, call->fresh ? 1L : 0L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->reason);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(curl, CURLOPT_PRIVATE, transfer);
	set_tls(curl, call);
	return true;
}

struct http_transfer *http_client_start(struct http_client *client, const struct http_call *call,
					void (*done)(const struct http_reply *reply, void *arg),
					void *arg)
{
	struct http_transfer *transfer = calloc(1, sizeof(*transfer));

	if (!transfer)
		return NULL;
	transfer->client = client;
	transfer->done = done;
	transfer->arg = arg;
	transfer->bytes_max = call->answer_bytes_max;
	transfer->curl = curl_easy_init();
	if (call->body)
		transfer->body = strdup(call->body);
	if (!transfer->curl || (call->body && !transfer->body) || !add_headers(transfer, call) ||
	    !set_request(transfer, call) ||
	    curl_multi_add_handle(client->multi, transfer->curl) != CURLM_OK) {
		transfer_free(transfer);
		return NULL;
	}
	return transfer;
}

/* --- the answer --- */

static enum cause cause_of(CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return CAUSE_UNRESOLVED;
	case CURLE_COULDNT_CONNECT:
		return CAUSE_REFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return CAUSE_TIMEOUT;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return CAUSE_TLS;
	case CURLE_OUT_OF_MEMORY:
		return CAUSE_LOCAL;
	default:
		return CAUSE_BROKEN;
	}
}

static void judge(const struct http_transfer *transfer, CURLcode code, struct http_reply *ret)
{
	if (code == CURLE_OK)
		return;
	if (transfer->too_large) {
		ret->cause = CAUSE_TOO_LARGE;
		err_set(&ret->why, 0, "the answer has more than %zu bytes", transfer->bytes_max);
		return;
	}
	ret->cause = cause_of(code);
	err_set(&ret->why, 0, "%s",
		transfer->reason[0] ? transfer->reason : curl_easy_strerror(code));
}

uint64_t http_retry_after_ms(const char *value, int64_t now)
{
	uint64_t seconds;
	time_t date;

	if (parse_u64(value, 0, UINT64_MAX, &seconds) == 0)
		return MIN(seconds, RETRY_AFTER_MS_MAX / 1000) * 1000;
	date = curl_getdate(value, NULL);
	if (date < 0 || date <= now)
		return 0;
	return MIN((uint64_t)(date - now), RETRY_AFTER_MS_MAX / 1000) * 1000;
}

static const char *header_of(CURL *curl, const char *name)
{
	struct curl_header *header;

	return curl_easy_header(curl, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK
		       ? header->value
		       : NULL;
}

static void read_headers(CURL *curl, struct http_reply *ret)
{
	const char *retry_after = header_of(curl, "Retry-After");
	const char *index = header_of(curl, "X-Consul-Index");

	if (retry_after)
		ret->retry_after_ms = http_retry_after_ms(
			retry_after, (int64_t)(clock_realtime_ns() / NSEC_PER_SEC));
	ret->has_index = index && parse_u64(index, 0, UINT64_MAX, &ret->index) == 0;
}

static void finish(struct http_transfer *transfer, CURLcode code)
{
	struct http_reply reply = { .body = "" };

	curl_multi_remove_handle(transfer->client->multi, transfer->curl);
	curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &reply.status);
	read_headers(transfer->curl, &reply);
	judge(transfer, code, &reply);
	if (reply.cause == CAUSE_NONE && transfer->answer) {
		reply.body = transfer->answer;
		reply.bytes = transfer->bytes;
	}
	transfer->done(&reply, transfer->arg);
	transfer_free(transfer);
}

/* Moves what can move, and calls back what is done by that. Whether there was any. */
static bool perform(struct http_client *client)
{
	CURLMsg *message;
	int running, left;
	bool any = false;

	curl_multi_perform(client->multi, &running);
	while ((message = curl_multi_info_read(client->multi, &left))) {
		struct http_transfer *transfer = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
		finish(transfer, message->data.result);
		any = true;
	}
	return any;
}

void http_client_turn(struct http_client *client, struct pollfd *fds, size_t fd_count,
		      unsigned int wait_ms)
{
	struct curl_waitfd extra[FDS_MAX];

	fd_count = MIN(fd_count, (size_t)FDS_MAX);
	for (size_t i = 0; i < fd_count; i++)
		extra[i] = (struct curl_waitfd){ .fd = fds[i].fd, .events = CURL_WAIT_POLLIN };
	/* What is done already may be what others wait for. */
	if (perform(client))
		wait_ms = 0;
	curl_multi_poll(client->multi, extra, (unsigned int)fd_count, (int)wait_ms, NULL);
	for (size_t i = 0; i < fd_count; i++)
		fds[i].revents = extra[i].revents & CURL_WAIT_POLLIN ? POLLIN : 0;
	perform(client);
}

void http_client_wake(struct http_client *client)
{
	curl_multi_wakeup(client->multi);
}
