/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order to renew, and waiting for what comes of it (renewal.h): the state is asked for before,
 * and again and again afterwards; what counts is told by its counters. Main thread.
 */
#include "cli/renewal.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "cli/cli.h"
#include "cli/table.h"

#define POLL_MS 200
#define WAIT_NS (60 * NSEC_PER_SEC)

/* A question of its own, after the first has taken the options. */
static int ask(const struct renewal *renewal, const struct admin_client *like, json_t **ret)
{
	struct admin_client client = *like;

	client.json = false;
	client.path = strdup(renewal->status_path);
	return admin_client_ask(&client, false, ret);
}

/* Of all certificates, or of the one of this name. A proxy has no directories. */
struct tally {
	int64_t certificates, directories;
	int64_t issued, layouts, failures; /* so far */
};

static struct tally count_up(const json_t *status, const char *name)
{
	struct tally tally = { 0 };
	const json_t *certificate;
	size_t i;

	json_array_foreach(json_object_get(status, "certificates"), i, certificate)
	{
		if (name && strcmp(admin_text(certificate, "name"), name) != 0)
			continue;
		tally.certificates++;
		tally.directories +=
			(int64_t)json_array_size(json_object_get(certificate, "directories"));
		tally.issued += admin_number(certificate, "issued");
		tally.layouts += admin_number(certificate, "layouts");
		tally.failures += admin_number(certificate, "failures") +
				  admin_number(certificate, "layout_failures");
	}
	return tally;
}

/* Issued, and laid out in each directory. */
static bool is_renewed(const struct tally *before, const struct tally *now)
{
	return now->issued >= before->issued + before->certificates &&
	       now->layouts >= before->layouts + before->directories;
}

/* An agent's word, or a proxy's. */
static const char *either(const json_t *object, const char *of_agent, const char *of_proxy)
{
	const char *text = admin_text(object, of_agent);

	return text[0] ? text : admin_text(object, of_proxy);
}

/* A source that is out of order: its words, safe for a terminal; NULL if there is none. */
static char *trouble_of(const json_t *status)
{
	const json_t *source;
	char *text = NULL;
	size_t i;

	json_array_foreach(json_object_get(status, "sources"), i, source)
	{
		const char *name = either(source, "name", "source");
		const char *why = either(source, "error", "detail");
		const char *cause = admin_text(source, "cause");

		if (!text && cause[0] && asprintf(&text, "%s: %s", name, why[0] ? why : cause) < 0)
			text = NULL;
	}
	return text;
}

/* Nothing will come of it soon. */
static int fail_for_now(const struct admin_client *client, const char *trouble)
{
	cleanup_free char *safe = table_safe_text(trouble);

	return cli_fail(client->command, "ordered, and done as soon as it can be; now: %s",
			safe ? safe : "");
}

static int wait_for_it(const struct renewal *renewal, const struct admin_client *client,
		       const char *name, const json_t *status_before)
{
	const struct tally before = count_up(status_before, name);
	uint64_t end_ns = clock_monotonic_ns() + WAIT_NS;
	struct tally now;
	json_t *status;
	char *trouble;
	int code;

	do {
		code = ask(renewal, client, &status);
		if (code != CLI_OK)
			return code;
		now = count_up(status, name);
		if (is_renewed(&before, &now) || now.failures > before.failures) {
			if (!client->json)
				renewal->print(status);
			json_decref(status);
			return cli_finish(is_renewed(&before, &now) ? CLI_OK : CLI_FAILED);
		}
		trouble = trouble_of(status);
		json_decref(status);
		if (trouble) {
			code = fail_for_now(client, trouble);
			free(trouble);
			return code;
		}
		poll(NULL, 0, POLL_MS);
	} while (clock_monotonic_ns() < end_ns);
	return cli_fail(client->command, "ordered, but not done yet: '%s'", renewal->status_verb);
}

int renewal_order(const struct renewal *renewal, struct admin_client *client, const char *name)
{
	json_t *before = NULL, *answer;
	int code;

	admin_client_query(client, "name", name);
	code = ask(renewal, client, &before);
	if (code == CLI_OK) {
		code = admin_client_ask(client, true, &answer);
		if (code == CLI_OK) {
			json_decref(answer);
			code = wait_for_it(renewal, client, name, before);
		}
	} else {
		admin_client_fini(client);
	}
	json_decref(before);
	return code;
}
