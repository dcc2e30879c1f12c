/* SPDX-License-Identifier: Apache-2.0 */
/* Orders on the admin socket that are about the process as a whole. On the server's thread. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "admin/admin_impl.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/util.h"
#include "control/control.h"

#define LEVEL_FOR_MS_MAX ((uint64_t)7 * 86400 * 1000)

void api_reload(const struct http_request *request, struct http_answer *answer, void *arg)
{
	struct admin *admin = arg;
	struct log_line line;
	struct err_text err = { "" };
	int r;

	api_log_order(&line, request, "reload");
	log_end(&line);
	r = proxy_reload(admin->proxy, &err);
	if (r < 0) {
		api_fail(answer, 409, "%s", err.text);
		return;
	}
	answer->content_type = "application/json";
	fputs("{\"reloaded\":true}\n", answer->body);
}

void api_renew(const struct http_request *request, struct http_answer *answer, void *arg)
{
	const char *name = http_request_query(request, "name");
	struct admin *admin = arg;
	struct control *control = proxy_control(admin->proxy);
	struct log_line line;

	api_log_order(&line, request, "renew");
	log_str(&line, "certificate", name);
	log_end(&line);
	if (!control || !control_certificate_count(control)) {
		api_fail(answer, 409,
			 "no listener shows a certificate of the control plane "
			 "(tls.certificate_from): those of files are renewed by putting new "
			 "files in their place");
		return;
	}
	if (control_renew(control, name) < 0) {
		api_fail(answer, 404,
			 "no listener shows a certificate '%.64s'; 'sallyport "
			 "status' has their names",
			 name);
		return;
	}
	answer->content_type = "application/json";
	fputs("{\"ordered\":true}\n", answer->body);
}

void api_upgrade(const struct http_request *request, struct http_answer *answer, void *arg)
{
	struct admin *admin = arg;
	struct log_line line;
	struct err_text err = { "" };

	api_log_order(&line, request, "upgrade");
	log_end(&line);
	if (proxy_upgrade(admin->proxy, &err) < 0) {
		api_fail(answer, 409, "%s", err.text);
		return;
	}
	answer->content_type = "application/json";
	fputs("{\"upgraded\":true}\n", answer->body);
}

void api_drain(const struct http_request *request, struct http_answer *answer, void *arg)
{
	struct admin *admin = arg;
	bool at_once = http_request_query(request, "at-once") != NULL;
	struct log_line line;

	api_log_order(&line, request, "drain");
	log_bool(&line, "at_once", at_once);
	log_end(&line);
	proxy_drain(admin->proxy, at_once);
	answer->content_type = "application/json";
	fprintf(answer->body, "{\"draining\":true,\"at_once\":%s}\n", at_once ? "true" : "false");
}

/* --- log level --- */

static void answer_log_level(struct admin *admin, struct http_answer *answer)
{
	uint64_t left_ns = 0;
	const char *then = NULL;

	pthread_mutex_lock(&admin->mutex);
	if (admin->revert_ns) {
		uint64_t now_ns = clock_monotonic_ns();

		left_ns = admin->revert_ns - MIN(now_ns, admin->revert_ns);
		then = log_level_name(admin->revert_to);
	}
	pthread_mutex_unlock(&admin->mutex);
	answer->content_type = "application/json";
	fputc('{', answer->body);
	api_string(answer->body, "level", log_level_name(log_level()), true);
	api_string(answer->body, "then", then, false);
	if (then)
		fprintf(answer->body, ",\"then_in_seconds\":%" PRIu64 "}\n",
			(uint64_t)((left_ns + NSEC_PER_SEC - 1) / NSEC_PER_SEC));
	else
		fputs(",\"then_in_seconds\":null}\n", answer->body);
}

void api_log_level(const struct http_request *request, struct http_answer *answer, void *arg)
{
	(void)request;
	answer_log_level(arg, answer);
}

/* True, or the request has been answered. */
static bool take_level(const struct http_request *request, struct http_answer *answer,
		       enum log_level *ret)
{
	const char *value = http_request_query(request, "level");

	for (int i = 0; value && i < LOG_LEVEL_COUNT; i++) {
		if (strcmp(value, log_level_name((enum log_level)i)) != 0)
			continue;
		*ret = (enum log_level)i;
		return true;
	}
	api_fail(answer, 400, "level '%.32s': error, warning, info or debug is expected",
		 value ? value : "");
	return false;
}

static bool take_for(const struct http_request *request, struct http_answer *answer,
		     uint64_t *ret_ms)
{
	const char *value = http_request_query(request, "for");

	*ret_ms = 0;
	if (!value ||
	    (parse_duration_ms(value, ret_ms) == 0 && *ret_ms && *ret_ms <= LEVEL_FOR_MS_MAX))
		return true;
	api_fail(answer, 400, "for '%.32s': a time such as 30s, 10m or 2h is expected, 7d at most",
		 value);
	return false;
}

void api_set_log_level(const struct http_request *request, struct http_answer *answer, void *arg)
{
	struct admin *admin = arg;
	enum log_level level;
	struct log_line line;
	uint64_t for_ms;

	if (!take_level(request, answer, &level) || !take_for(request, answer, &for_ms))
		return;
	api_log_order(&line, request, "log_level");
	log_str(&line, "to", log_level_name(level));
	if (for_ms)
		log_seconds(&line, "for_seconds", for_ms * NSEC_PER_MSEC);
	log_end(&line);
	pthread_mutex_lock(&admin->mutex);
	/* A level that is borrowed already goes back to what it was before that. */
	if (for_ms && !admin->revert_ns)
		admin->revert_to = log_level();
	admin->revert_ns = for_ms ? clock_monotonic_ns() + for_ms * NSEC_PER_MSEC : 0;
	log_set_level(level);
	pthread_cond_signal(&admin->changed);
	pthread_mutex_unlock(&admin->mutex);
	answer_log_level(admin, answer);
}
