/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's numbers for monitoring, over HTTP and as a file for node_exporter's textfile
 * collector; docs/agent.md explains each. On a thread of HTTP, or (the file) on the main thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/exposition.h"
#include "agent/agent_impl.h"
#include "base/clock.h"
#include "base/util.h"

#define TEXTFILE_PERIOD_NS (15 * NSEC_PER_SEC)
#define TEXTFILE_MODE	   0644
#define PREFIX		   "sallyport_agent_"

/* All certificates' states, gathered once for an answer. */
struct picture {
	struct agent *agent;
	FILE *out;
	size_t count;
	struct control_certificate_status *control;
	struct agent_numbers *own;
};

void agent_numbers_read(struct agent *agent, size_t index, struct agent_numbers *ret)
{
	pthread_mutex_lock(&agent->mutex);
	*ret = agent->certificates[index].numbers;
	pthread_mutex_unlock(&agent->mutex);
}

/* Calls `write` for each certificate, with its label. */
static void each(struct picture *p, const char *name, enum exposition_type type, const char *help,
		 void (*write)(struct picture *p, size_t index, const char *name,
			       const struct exposition_label *labels))
{
	exposition_family(p->out, name, type, help);
	for (size_t i = 0; i < p->count; i++) {
		const struct exposition_label labels[] = { { "certificate", p->control[i].name },
							   { NULL, NULL } };

		write(p, i, name, labels);
	}
}

#define WRITER(field, kind, value)                                                                 \
	static void write_##field(struct picture *p, size_t i, const char *name,                   \
				  const struct exposition_label *labels)                           \
	{                                                                                          \
		exposition_##kind(p->out, name, labels, value);                                    \
	}

WRITER(good, number, p->control[i].good)
WRITER(not_before, number, p->control[i].not_before)
WRITER(not_after, number, p->control[i].not_after)
WRITER(renew_at, number, p->control[i].renew_at)
WRITER(last_success, number, p->control[i].last_success)
WRITER(last_failure, number, p->control[i].last_failure)
WRITER(issued, count, p->control[i].issued)
WRITER(laid_out, number, p->own[i].laid_out)
WRITER(last_layout, number, p->own[i].last_layout)
WRITER(layouts, count, p->own[i].layouts)
WRITER(layout_failures, count, p->own[i].layout_failures)
WRITER(changed_files, count, p->own[i].changed_files)

static void write_info(struct picture *p, size_t i, const char *name,
		       const struct exposition_label *labels)
{
	const struct control_certificate_status *status = &p->control[i];
	const struct exposition_label all[] = {
		labels[0],
		{ "cn", status->cn },
		{ "serial", status->serial },
		{ "issuer", p->own[i].issuer_cn },
		{ "mount", status->issuer },
		{ NULL, NULL },
	};

	if (status->serial[0])
		exposition_number(p->out, name, all, 1);
}

static void write_failures(struct picture *p, size_t i, const char *name,
			   const struct exposition_label *labels)
{
	for (int cause = CAUSE_NONE + 1; cause < CAUSE_COUNT; cause++) {
		const struct exposition_label all[] = { labels[0],
							{ "cause", cause_name((enum cause)cause) },
							{ NULL, NULL } };

		exposition_count(p->out, name, all, p->control[i].failures[cause]);
	}
}

static void write_hook_runs(struct picture *p, size_t i, const char *name,
			    const struct exposition_label *labels)
{
	for (int outcome = 0; outcome < HOOK_OUTCOME_COUNT; outcome++) {
		const struct exposition_label all[] = {
			labels[0],
			{ "outcome", hook_outcome_name((enum hook_outcome)outcome) },
			{ NULL, NULL }
		};

		exposition_count(p->out, name, all, p->own[i].hook_runs[outcome]);
	}
}

static void write_certificates(struct picture *p)
{
	each(p, PREFIX "certificate_good", EXPOSITION_GAUGE,
	     "Whether there is one within its time.", write_good);
	each(p, PREFIX "certificate_info", EXPOSITION_GAUGE, "Which certificate is in force.",
	     write_info);
	each(p, PREFIX "certificate_not_before_timestamp_seconds", EXPOSITION_GAUGE,
	     "Begin of its time.", write_not_before);
	each(p, PREFIX "certificate_not_after_timestamp_seconds", EXPOSITION_GAUGE,
	     "End of its time.", write_not_after);
	each(p, PREFIX "certificate_renewal_timestamp_seconds", EXPOSITION_GAUGE,
	     "When it will be renewed.", write_renew_at);
	each(p, PREFIX "certificate_last_success_timestamp_seconds", EXPOSITION_GAUGE,
	     "When one was issued last; 0: never by this process.", write_last_success);
	each(p, PREFIX "certificate_last_failure_timestamp_seconds", EXPOSITION_GAUGE,
	     "When issuing failed last; 0: never.", write_last_failure);
	each(p, PREFIX "certificates_issued_total", EXPOSITION_COUNTER, "Certificates issued.",
	     write_issued);
	each(p, PREFIX "certificate_failures_total", EXPOSITION_COUNTER,
	     "Attempts to have one issued that failed, by cause.", write_failures);
	each(p, PREFIX "laid_out", EXPOSITION_GAUGE,
	     "Whether all its layouts hold what is in force.", write_laid_out);
	each(p, PREFIX "last_layout_timestamp_seconds", EXPOSITION_GAUGE,
	     "When files were written last; 0: not by this process.", write_last_layout);
	each(p, PREFIX "layouts_total", EXPOSITION_COUNTER, "Sets of files written.",
	     write_layouts);
	each(p, PREFIX "layout_failures_total", EXPOSITION_COUNTER,
	     "Sets of files that could not be written.", write_layout_failures);
	each(p, PREFIX "changed_files_total", EXPOSITION_COUNTER,
	     "Files that somebody else had changed or removed.", write_changed_files);
	each(p, PREFIX "hook_runs_total", EXPOSITION_COUNTER, "Runs of hooks, by outcome.",
	     write_hook_runs);
}

static void write_source_failures(struct picture *p, const struct control_source_status *statuses)
{
	exposition_family(p->out, PREFIX "source_failures_total", EXPOSITION_COUNTER,
			  "Requests that failed, by cause.");
	for (int i = 0; i < CONTROL_SOURCE_COUNT; i++)
		for (int cause = CAUSE_NONE + 1; statuses[i].used && cause < CAUSE_COUNT; cause++) {
			const struct exposition_label labels[] = {
				{ "source", control_source_name((enum control_source)i) },
				{ "cause", cause_name((enum cause)cause) },
				{ NULL, NULL },
			};

			exposition_count(p->out, PREFIX "source_failures_total", labels,
					 statuses[i].failures[cause]);
		}
}

static void write_sources(struct picture *p)
{
	struct control_source_status statuses[CONTROL_SOURCE_COUNT];
	static const char *const names[] = { PREFIX "source_requests_total",
					     PREFIX "source_last_success_timestamp_seconds" };
	static const char *const helps[] = { "Requests made.",
					     "When a request succeeded last; 0: never." };

	for (int i = 0; i < CONTROL_SOURCE_COUNT; i++)
		control_source_status(p->agent->control, (enum control_source)i, &statuses[i]);
	for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
		exposition_family(p->out, names[n], n ? EXPOSITION_GAUGE : EXPOSITION_COUNTER,
				  helps[n]);
		for (int i = 0; i < CONTROL_SOURCE_COUNT; i++) {
			const struct exposition_label labels[] = {
				{ "source", control_source_name((enum control_source)i) },
				{ NULL, NULL },
			};

			if (statuses[i].used)
				exposition_count(p->out, names[n], labels,
						 n ? (uint64_t)statuses[i].last_success
						   : statuses[i].requests);
		}
	}
	write_source_failures(p, statuses);
}

static void write_process(struct picture *p)
{
	const struct exposition_label labels[] = { { "version", p->agent->options->version },
						   { NULL, NULL } };
	struct control_trust_status trust;
	struct process_stats stats;

	control_trust_status(p->agent->control, &trust);
	exposition_family(p->out, PREFIX "trusted_roots", EXPOSITION_GAUGE,
			  "Roots that Consul, or vault.issuer, says are in force.");
	exposition_count(p->out, PREFIX "trusted_roots", NULL, trust.roots);
	exposition_family(p->out, PREFIX "build_info", EXPOSITION_GAUGE, "Its version.");
	exposition_number(p->out, PREFIX "build_info", labels, 1);
	/* The main thread writes a file of it, too. */
	pthread_mutex_lock(&p->agent->mutex);
	process_stats_read(&p->agent->process, &stats);
	pthread_mutex_unlock(&p->agent->mutex);
	exposition_family(p->out, "process_resident_memory_bytes", EXPOSITION_GAUGE,
			  "Resident memory.");
	exposition_number(p->out, "process_resident_memory_bytes", NULL, stats.resident_bytes);
	exposition_family(p->out, "process_cpu_seconds_total", EXPOSITION_COUNTER,
			  "Processor time.");
	exposition_seconds(p->out, "process_cpu_seconds_total", NULL, stats.cpu_ns);
	exposition_family(p->out, "process_open_fds", EXPOSITION_GAUGE, "Open descriptors.");
	exposition_number(p->out, "process_open_fds", NULL, stats.open_fds);
}

void agent_metrics_write(struct agent *agent, FILE *out)
{
	cleanup_free struct control_certificate_status *control =
		calloc(agent->count, sizeof(*control));
	cleanup_free struct agent_numbers *own = calloc(agent->count, sizeof(*own));
	struct picture p = { agent, out, agent->count, control, own };

	if (!control || !own)
		return;
	for (size_t i = 0; i < agent->count; i++) {
		control_certificate_status(agent->control, i, &control[i]);
		agent_numbers_read(agent, i, &own[i]);
	}
	write_certificates(&p);
	write_sources(&p);
	write_process(&p);
}

/* --- textfile --- */

static int write_file(struct agent *agent, const char *path)
{
	char new_path[PATH_MAX];
	int fd, r = 0;
	FILE *out;

	/* The collector reads *.prom only. */
	if (snprintf(new_path, sizeof(new_path), "%s.new", path) >= (int)sizeof(new_path))
		return -ENAMETOOLONG;
	fd = open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, TEXTFILE_MODE);
	if (fd < 0)
		return -errno;
	fchmod(fd, TEXTFILE_MODE);
	out = fdopen(fd, "w");
	if (!out) {
		close(fd);
		return -ENOMEM;
	}
	agent_metrics_write(agent, out);
	if (ferror(out))
		r = -EIO;
	if (fclose(out) != 0)
		r = -errno;
	if (r == 0 && rename(new_path, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(new_path);
	return r;
}

uint64_t agent_textfile_turn(struct agent *agent, uint64_t now_ns)
{
	const char *path = agent->config->textfile;
	int r;

	if (!path)
		return UINT64_MAX;
	if (now_ns < agent->textfile_ns)
		return agent->textfile_ns;
	agent->textfile_ns = now_ns + TEXTFILE_PERIOD_NS;
	r = write_file(agent, path);
	if (r < 0)
		log_msg(LOG_WARNING, "textfile_failed", "%s: %s", path, strerror(-r));
	return agent->textfile_ns;
}
