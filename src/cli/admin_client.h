/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verbs' side of the admin socket: asks the running proxy, or agent, and explains in words when
 * there is no answer.
 */
#ifndef SALLYPORT_CLI_ADMIN_CLIENT_H
#define SALLYPORT_CLI_ADMIN_CLIENT_H

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct cli_verb;

/* An option that is handed on: its name is the key in the query. `n` tells a verb's apart. */
#define ADMIN_QUERY_OPTION(n, name, argument) { name, argument, NULL, 256 + (n) }
/* What each of these verbs has besides, and the end of its table. */
#define ADMIN_OPTIONS_END                                                                          \
	{ "socket", required_argument, NULL, 'S' }, { "json", no_argument, NULL, 'j' },            \
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 }

#define ADMIN_GO_ON (-1) /* no exit code */

struct admin_client {
	const char *command; /* "sallyport conns" */
	const char *socket;  /* NULL: SALLYPORT_ADMIN_SOCKET, else the usual place */
	bool of_agent;	     /* an agent is asked: SALLYPORT_AGENT_SOCKET, and its usual place */
	bool json;	     /* a good answer is printed as it comes */
	long answer_ms;	     /* how long the answer may take; 0: as usual */
	char *path;	     /* and query, owned; NULL: no memory */
	bool has_query;
};

/* Starts a request for `path`, such as "/v1/conns", and takes the options of the command line;
 * optind is then at what is none. ADMIN_GO_ON, or the exit code after help or a mistake. */
int admin_client_init(struct admin_client *client, const char *path, const struct cli_verb *verb,
		      int argc, char **argv, const struct option *options);
/* Gives up a request that has not been asked. */
void admin_client_fini(struct admin_client *client);
/* An argument that has no place here: gives up, tells it and returns CLI_USAGE. */
int admin_client_refuse(struct admin_client *client, const char *argument);
/* Adds key=value to the query; a NULL value adds nothing. */
void admin_client_query(struct admin_client *client, const char *key, const char *value);
/* Whether the query has this key already. */
bool admin_client_has(const struct admin_client *client, const char *key);
/* Asks, and ends the request. CLI_OK and *ret, an object for json_decref(); with `json` it has been
 * printed. Else what is wrong has been told, and the exit code is CLI_NO_PROXY where nobody answers
 * us, or CLI_FAILED. `order`: it is to change something (POST). */
int admin_client_ask(struct admin_client *client, bool order, json_t **ret);

/* Of an object: never NULL; a missing or other value is "" or 0. */
const char *admin_text(const json_t *object, const char *key);
int64_t admin_number(const json_t *object, const char *key);
double admin_real(const json_t *object, const char *key);

#endif
