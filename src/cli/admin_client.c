/* SPDX-License-Identifier: Apache-2.0 */
/* Client of the admin socket (admin_client.h): libcurl asks, jansson reads. Main thread. */
#include "cli/admin_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "config/agent.h"

#define CONNECT_MS 3000L
/* More than the proxy should need for anything. */
#define ANSWER_MS	 15000L
#define ANSWER_BYTES_MAX ((size_t)256 * 1024 * 1024)

void admin_client_fini(struct admin_client *client)
{
	free(TAKE_PTR(client->path));
}

int admin_client_refuse(struct admin_client *client, const char *argument)
{
	admin_client_fini(client);
	return cli_usage_error(client->command, "unexpected argument '%s'", argument);
}

void admin_client_query(struct admin_client *client, const char *key, const char *value)
{
	char *escaped, *longer = NULL;

	if (!value || !client->path)
		return;
	escaped = curl_easy_escape(NULL, value, 0);
	if (!escaped || asprintf(&longer, "%s%c%s=%s", client->path, client->has_query ? '&' : '?',
				 key, escaped) < 0)
		longer = NULL;
	curl_free(escaped);
	free(client->path);
	client->path = longer;
	client->has_query = true;
}

bool admin_client_has(const struct admin_client *client, const char *key)
{
	const char *at = client->path ? strchr(client->path, '?') : NULL;
	size_t len = strlen(key);

	for (; at; at = strchr(at + 1, '&'))
		if (strncmp(at + 1, key, len) == 0 && at[1 + len] == '=')
			return true;
	return false;
}

static void take_query_option(struct admin_client *client, int value, const struct option *options)
{
	for (; options->name; options++)
		if (options->val == value)
			admin_client_query(client, options->name, optarg ? optarg : "1");
}

int admin_client_init(struct admin_client *client, const char *path, const struct cli_verb *verb,
		      int argc, char **argv, const struct option *options)
{
	int option;

	client->path = strdup(path);
	optind = 0;
	while ((option = cli_option(client->command, argc, argv, "h", options)) != -1) {
		if (option == '?' || option == 'h') {
			admin_client_fini(client);
			if (option == '?')
				return CLI_USAGE;
			fputs(verb->help, stdout);
			return cli_finish(CLI_OK);
		}
		if (option == 'j')
			client->json = true;
		else if (option == 'S')
			client->socket = optarg;
		else
			take_query_option(client, option, options);
	}
	return ADMIN_GO_ON;
}

static const char *variable_of(const struct admin_client *client)
{
	return client->of_agent ? "SALLYPORT_AGENT_SOCKET" : "SALLYPORT_ADMIN_SOCKET";
}

static const char *whom(const struct admin_client *client)
{
	return client->of_agent ? "agent" : "proxy";
}

static const char *socket_of(const struct admin_client *client)
{
	const char *named = getenv(variable_of(client));

	if (client->socket || (named && named[0]))
		return client->socket ? client->socket : named;
	return client->of_agent ? AGENT_SOCKET_DEFAULT : ADMIN_SOCKET_DEFAULT;
}

struct answer {
	FILE *out;
	size_t bytes;
};

static size_t take_bytes(char *bytes, size_t one, size_t count, void *arg)
{
	struct answer *answer = arg;

	answer->bytes += one * count;
	if (answer->bytes > ANSWER_BYTES_MAX)
		return 0;
	return fwrite(bytes, one, count, answer->out);
}

/* The path is shown as the shell gave it, which may be anything. */
static int fail_connect(const struct admin_client *client, long error)
{
	cleanup_free char *path = table_safe_text(socket_of(client));

	if (error == EACCES || error == EPERM)
		cli_fail(client->command,
			 "%s: permission denied: run it as root or as the %s's user, or have "
			 "your uid %u added to admin.allow_uids",
			 path, whom(client), getuid());
	else if (error == ENOENT || error == ECONNREFUSED || error == ENOTDIR || error == ENOTSOCK)
		cli_fail(client->command,
			 "%s: no %s answers there (%s): start one, or name its socket "
			 "(admin.socket of its configuration) with --socket PATH or %s",
			 path, whom(client), strerror((int)error), variable_of(client));
	else
		cli_fail(client->command, "%s: %s", path, strerror((int)error));
	return CLI_NO_PROXY;
}

static int fail_refused(const struct admin_client *client, const char *path)
{
	cli_fail(client->command,
		 "%s: refused: run it as root or as the %s's user, or have your uid %u added to "
		 "admin.allow_uids",
		 path, whom(client), getuid());
	return CLI_NO_PROXY;
}

/* Whom the proxy does not admit is told so and shut out before a word of the request: libcurl then
 * finds no use for the answer, so it is read here. */
static bool is_refused(const char *path)
{
	static const char words[] = "HTTP/1.1 403 ";
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = 1 };
	char begin[sizeof(words)] = "";

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		return false;
	memcpy(address.sun_path, path, strlen(path) + 1);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
	       recv(fd, begin, sizeof(words) - 1, MSG_WAITALL) == (ssize_t)sizeof(words) - 1 &&
	       memcmp(begin, words, sizeof(words) - 1) == 0;
}

static int fail_transfer(const struct admin_client *client, CURL *curl, CURLcode code)
{
	cleanup_free char *path = table_safe_text(socket_of(client));
	long error = 0;

	curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &error);
	if (code == CURLE_COULDNT_CONNECT && error)
		return fail_connect(client, error);
	if (code != CURLE_OPERATION_TIMEDOUT && is_refused(socket_of(client)))
		return fail_refused(client, path);
	if (code == CURLE_OPERATION_TIMEDOUT)
		cli_fail(client->command,
			 "%s: no answer in time: the %s is very busy, or hangs; its log may tell",
			 path, whom(client));
	else
		cli_fail(client->command, "%s: no answer that can be used: %s", path,
			 curl_easy_strerror(code));
	return CLI_NO_PROXY;
}

/* Answers other than 200. Only a reason in words is an answer to what was asked. */
static int fail_status(const struct admin_client *client, long status, const json_t *answer)
{
	cleanup_free char *path = table_safe_text(socket_of(client));
	cleanup_free char *text = table_safe_text(admin_text(answer, "error"));

	if (text && text[0])
		return cli_fail(client->command, "%s", text);
	if (status == 403)
		return fail_refused(client, path);
	if (status == 404 || status == 405)
		cli_fail(client->command,
			 "%s: the program there does not know this request: it is of another "
			 "version than this one, " SALLYPORT_VERSION ", or no sallyport",
			 path);
	else
		cli_fail(client->command, "%s: answer %ld without a reason", path, status);
	return CLI_NO_PROXY;
}

static CURLcode transfer(struct admin_client *client, CURL *curl, bool order, FILE *out)
{
	struct answer answer = { .out = out };
	cleanup_free char *url = NULL;

	if (asprintf(&url, "http://sallyport%s", client->path) < 0)
		return CURLE_OUT_OF_MEMORY;
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_of(client));
	curl_easy_setopt(curl, CURLOPT_URL, url);
	/* Nothing of the environment has a say in it. */
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
			 client->answer_ms ? client->answer_ms : ANSWER_MS);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
	if (order)
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "POST");
	return curl_easy_perform(curl);
}

/* The body has come; `text` ends with NUL. */
static int judge(struct admin_client *client, CURL *curl, const char *text, size_t len,
		 json_t **ret)
{
	json_t *answer = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	cleanup_free char *path = NULL;
	long status = 0;
	int code;

	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200) {
		code = fail_status(client, status, answer);
		json_decref(answer);
		return code;
	}
	if (!json_is_object(answer)) {
		json_decref(answer);
		path = table_safe_text(socket_of(client));
		cli_fail(client->command, "%s: the answer is not that of a sallyport %s", path,
			 whom(client));
		return CLI_NO_PROXY;
	}
	if (client->json)
		fwrite(text, 1, len, stdout);
	*ret = answer;
	return CLI_OK;
}

int admin_client_ask(struct admin_client *client, bool order, json_t **ret)
{
	CURL *curl = client->path ? curl_easy_init() : NULL;
	cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	CURLcode code = CURLE_OUT_OF_MEMORY;
	int exit_code;

	*ret = NULL;
	if (curl && out)
		code = transfer(client, curl, order, out);
	if (out && fclose(out) != 0)
		code = CURLE_OUT_OF_MEMORY;
	if (code == CURLE_OK)
		exit_code = judge(client, curl, text, len, ret);
	else if (curl)
		exit_code = fail_transfer(client, curl, code);
	else
		exit_code = cli_fail(client->command, "no memory");
	curl_easy_cleanup(curl);
	admin_client_fini(client);
	return exit_code;
}

const char *admin_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

int64_t admin_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

double admin_real(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}
