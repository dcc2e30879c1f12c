/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of agent/ only: the running agent. The main thread owns everything; threads of the HTTP
 * servers read what is marked so, under the mutex, and what control.h offers to any thread.
 */
#ifndef SALLYPORT_AGENT_AGENT_IMPL_H
#define SALLYPORT_AGENT_AGENT_IMPL_H

#include <pthread.h>

#include "admin/admin_socket.h"
#include "admin/http.h"
#include "admin/process_stats.h"
#include "agent/agent.h"
#include "agent/hook.h"
#include "agent/layout.h"
#include "base/log.h"
#include "control/control.h"
#include "dataplane/audit.h"

struct agent;

/* What others may see of a certificate, under the agent's mutex. */
struct agent_numbers {
	bool laid_out; /* all layouts hold what is in force */
	bool hooks_busy, hooks_failed;
	uint64_t layouts, layout_failures; /* sets of files */
	uint64_t changed_files;		   /* found changed by others */
	uint64_t hook_runs[HOOK_OUTCOME_COUNT];
	char issuer_cn[256];
	int64_t last_layout;	      /* seconds since the epoch; 0: never */
	struct err_text layout_error; /* of the last attempt; "" if it worked */
};

struct agent_certificate {
	struct agent *agent;
	const struct config_agent_certificate *config;
	struct layout *layouts;
	bool *pending; /* one a layout: is to be written */
	struct hook *hooks;
	struct pki_credential *credential; /* NULL: none yet */
	char *roots_pem;		   /* NULL: not known yet */
	char origin[CONTROL_ORIGIN_BYTES]; /* of the credential */
	bool fresh;			   /* the disk has not been looked at yet */
	bool due;			   /* some layout is pending */
	bool written;			   /* hooks have to know */
	const char *reason;		   /* a literal */
	struct backoff backoff;
	struct agent_numbers numbers;
};

struct agent {
	const struct agent_options *options;
	struct config_agent *config;
	struct control *control;
	const struct config_certificate **configs; /* of all certificates, for it */
	struct trust *trust;			   /* in force; NULL: none yet */
	struct agent_certificate *certificates;
	size_t count;
	struct jitter jitter;
	struct audit *audit;
	int signal_fd, watch_fd;
	uint64_t look_ns, touched_ns; /* next look at the files; somebody has touched one (0: no) */
	uint64_t textfile_ns;	      /* when it is written again */
	uint64_t trim_ns;	      /* when memory is given back; 0: nothing to give */
	struct pollfd *fds;
	uint64_t deadline_ns; /* of `once` */
	bool stopping, reloading;
	struct admin_socket socket;
	struct http_server *admin_server, *metrics_server;
	struct process_files process;
	pthread_mutex_t mutex;
};

/* --- agent_certificate.c; all on the main thread --- */

int agent_certificate_init(struct agent_certificate *certificate, struct agent *agent,
			   const struct config_agent_certificate *config, struct err_text *err);
void agent_certificate_fini(struct agent_certificate *certificate);
/* What a layout holds, if it is good: a new reference, or NULL. */
struct pki_credential *agent_certificate_kept(struct agent_certificate *certificate,
					      char ret_origin[CONTROL_ORIGIN_BYTES]);
void agent_certificate_issued(struct agent_certificate *certificate,
			      struct pki_credential *credential, const char *reason);
/* Roots may have changed. */
void agent_certificate_trusted(struct agent_certificate *certificate);
/* Looks whether the files are as they were laid out, and files of roots as they were read; what is
 * not is laid out again. */
void agent_certificate_look(struct agent_certificate *certificate);
/* Does what is due; when to be called again at the latest (CLOCK_MONOTONIC). */
uint64_t agent_certificate_turn(struct agent_certificate *certificate, uint64_t now_ns);
/* Laid out, and every hook has run. */
bool agent_certificate_is_done(const struct agent_certificate *certificate);

/* --- agent_watch.c --- */

/* Watches the directories of its layouts, anew. */
void agent_watch(struct agent *agent, const struct agent_certificate *certificate);
/* There is something to read. */
void agent_watch_readable(struct agent *agent, uint64_t now_ns);
/* Looks, if it is time; when to be called again. */
uint64_t agent_watch_turn(struct agent *agent, uint64_t now_ns);

/* --- agent_trim.c --- */

/* Gives memory back at once. */
void agent_trim(void);
/* There has been work: what it needed is given back when it is quiet again. */
void agent_trim_later(struct agent *agent);
/* The same, if it is time; when to be called again. */
uint64_t agent_trim_turn(struct agent *agent, uint64_t now_ns);

/* --- agent_audit.c --- */

void agent_audit_issued(struct agent *agent, const struct agent_certificate *certificate);
void agent_audit_layout(struct agent *agent, const struct agent_certificate *certificate,
			const struct layout *layout, const struct err_text *failure);
void agent_audit_hook(struct agent *agent, const struct agent_certificate *certificate,
		      const struct hook_options *hook, enum hook_outcome outcome, const char *text);

/* --- agent_servers.c, agent_metrics.c --- */

int agent_servers_start(struct agent *agent, struct err_text *err);
void agent_servers_stop(struct agent *agent);
/* Any thread. */
void agent_metrics_write(struct agent *agent, FILE *out);
void agent_numbers_read(struct agent *agent, size_t index, struct agent_numbers *ret);
/* Writes metrics.textfile, if it is time; when to be called again. */
uint64_t agent_textfile_turn(struct agent *agent, uint64_t now_ns);

#endif
