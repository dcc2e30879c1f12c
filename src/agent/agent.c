/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The running agent (agent.h): one thread turns the control plane, lays files out and looks after
 * hooks; two more answer operators and monitoring. Nothing is given up because a server, a disk or
 * a hook is out of order: whatever failed is tried again. A reload builds all of it anew from the
 * new configuration; certificates are kept, because the disk has them.
 */
#include "agent/agent.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/agent_impl.h"
#include "base/clock.h"
#include "base/notify.h"
#include "base/util.h"

#define TURN_MS_MAX    5000
#define OWN_FDS	       2 /* signals, inotify */
#define WATCHDOG_SHARE 3 /* of its period */

void agent_block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* A file that grows beyond a limit is an error of the write, as a full disk is. */
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
}

/* --- what the control plane tells --- */

static struct agent_certificate *find(struct agent *agent, const char *name)
{
	for (size_t i = 0; i < agent->count; i++)
		if (strcmp(agent->certificates[i].config->certificate.name, name) == 0)
			return &agent->certificates[i];
	return NULL;
}

/* A turn of the control plane tells of it, and would go on to wait: there is work now. */
static void on_issued(void *arg, const char *name, struct pki_credential *credential,
		      enum control_reason reason)
{
	struct agent *agent = arg;
	struct agent_certificate *certificate = find(agent, name);

	if (certificate)
		agent_certificate_issued(certificate, credential, control_reason_name(reason));
	control_wake(agent->control);
}

static void on_trusted(void *arg, struct trust *trust)
{
	struct agent *agent = arg;

	trust_unref(agent->trust);
	agent->trust = trust_ref(trust);
	for (size_t i = 0; i < agent->count; i++)
		agent_certificate_trusted(&agent->certificates[i]);
	control_wake(agent->control);
}

static struct pki_credential *on_kept(void *arg, const char *name,
				      char ret_origin[CONTROL_ORIGIN_BYTES])
{
	struct agent_certificate *certificate = find(arg, name);

	return certificate ? agent_certificate_kept(certificate, ret_origin) : NULL;
}

static int start_control(struct agent *agent, struct err_text *err)
{
	const struct control_options options = {
		.vault = &agent->config->process.vault,
		.consul = &agent->config->process.consul,
		.certificates = agent->configs,
		.certificate_count = agent->count,
	};
	const struct control_events events = {
		.issued = on_issued, .trusted = on_trusted, .kept = on_kept, .arg = agent
	};

	return control_new(&options, &events, &agent->control, err);
}

/* --- life --- */

static int start_certificates(struct agent *agent, struct err_text *err)
{
	struct config_agent *config = agent->config;
	size_t hooks = 0;
	int r = 0;

	agent->certificates = calloc(config->certificate_count, sizeof(*agent->certificates));
	agent->configs = calloc(config->certificate_count, sizeof(*agent->configs));
	if (!agent->certificates || !agent->configs)
		return err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < config->certificate_count && r == 0; i++, agent->count++) {
		hooks += config->certificates[i].hook_count;
		agent->configs[i] = &config->certificates[i].certificate;
		r = agent_certificate_init(&agent->certificates[i], agent, &config->certificates[i],
					   err);
	}
	agent->fds = calloc(OWN_FDS + hooks * HOOK_FDS_MAX, sizeof(*agent->fds));
	if (r == 0 && !agent->fds)
		r = err_set(err, -ENOMEM, "out of memory");
	return r;
}

static int start(struct agent *agent, struct err_text *err)
{
	int r = start_certificates(agent, err);

	log_set_level(agent->config->process.log_level);
	log_set_rate(agent->config->process.log_rate);
	process_files_open(&agent->process);
	if (r == 0)
		r = audit_new(&agent->config->process.audit, &agent->audit, err);
	if (r == 0)
		r = start_control(agent, err);
	agent->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	agent->look_ns = clock_monotonic_ns();
	agent_trim();
	agent_trim_later(agent);
	if (r == 0 && !agent->options->once)
		r = agent_servers_start(agent, err);
	return r;
}

static void stop(struct agent *agent)
{
	agent_servers_stop(agent);
	for (size_t i = 0; i < agent->count; i++)
		agent_certificate_fini(&agent->certificates[i]);
	control_free(agent->control);
	trust_unref(agent->trust);
	audit_free(agent->audit);
	process_files_close(&agent->process);
	free(agent->certificates);
	free(agent->configs);
	free(agent->fds);
	if (agent->watch_fd >= 0)
		close(agent->watch_fd);
}

/* --- turning --- */

static void on_signal(struct agent *agent)
{
	struct signalfd_siginfo info;

	while (read(agent->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			agent->reloading = true;
		else
			agent->stopping = true;
	}
}

static size_t gather_fds(struct agent *agent)
{
	size_t count = 0;

	agent->fds[count++] = (struct pollfd){ .fd = agent->signal_fd, .events = POLLIN };
	agent->fds[count++] = (struct pollfd){ .fd = agent->watch_fd, .events = POLLIN };
	for (size_t i = 0; i < agent->count; i++)
		for (size_t j = 0; j < agent->certificates[i].config->hook_count; j++)
			count += hook_fds(&agent->certificates[i].hooks[j], &agent->fds[count]);
	return count;
}

static unsigned int wait_ms(uint64_t now_ns, uint64_t due_ns)
{
	uint64_t watchdog_ns = notify_watchdog_ns() / WATCHDOG_SHARE;
	uint64_t wait_ns = due_ns > now_ns ? due_ns - now_ns : 0;

	if (watchdog_ns)
		wait_ns = MIN(wait_ns, watchdog_ns);
	return (unsigned int)MIN((wait_ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC,
				 (uint64_t)TURN_MS_MAX);
}

/* Everything that is due; when there is more. */
static uint64_t turn(struct agent *agent)
{
	uint64_t now_ns = clock_monotonic_ns(), due_ns = agent_watch_turn(agent, now_ns), part_ns;

	for (size_t i = 0; i < agent->count; i++) {
		part_ns = agent_certificate_turn(&agent->certificates[i], now_ns);
		due_ns = MIN(due_ns, part_ns);
	}
	part_ns = agent_textfile_turn(agent, now_ns);
	due_ns = MIN(due_ns, part_ns);
	part_ns = agent_trim_turn(agent, now_ns);
	return MIN(due_ns, part_ns);
}

static void wait_for_something(struct agent *agent, uint64_t due_ns)
{
	size_t count = gather_fds(agent);

	control_turn(agent->control, agent->fds, count, wait_ms(clock_monotonic_ns(), due_ns));
	if (agent->fds[0].revents)
		on_signal(agent);
	if (agent->fds[1].revents)
		agent_watch_readable(agent, clock_monotonic_ns());
	notify_send("WATCHDOG=1");
}

/* --- once --- */

static enum agent_end end_of_cause(enum cause cause)
{
	switch (cause) {
	case CAUSE_SEALED:
		return AGENT_SEALED;
	case CAUSE_RATE_LIMITED:
		return AGENT_RATE_LIMITED;
	case CAUSE_DENIED:
	case CAUSE_NO_CREDENTIALS:
		return AGENT_DENIED;
	case CAUSE_REJECTED:
	case CAUSE_NOT_FOUND:
	case CAUSE_UNEXPECTED:
	case CAUSE_MALFORMED:
		return AGENT_REFUSED;
	case CAUSE_KEY_MISMATCH:
	case CAUSE_NOT_VALID:
	case CAUSE_UNTRUSTED:
	case CAUSE_NO_ROOTS:
		return AGENT_BAD_CERTIFICATE;
	case CAUSE_LOCAL:
		return AGENT_LAYOUT_FAILED;
	case CAUSE_NONE:
		return AGENT_TOO_LATE;
	default:
		return AGENT_UNREACHABLE;
	}
}

/* Why there is no certificate: what its request met, or what its source is in. */
static enum agent_end why_not_issued(struct agent *agent, size_t index, struct err_text *err)
{
	struct control_certificate_status status;
	struct control_source_status source;
	enum cause cause;

	control_certificate_status(agent->control, index, &status);
	cause = status.cause;
	*err = status.text;
	for (int i = 0; i < CONTROL_SOURCE_COUNT && cause == CAUSE_NONE; i++) {
		control_source_status(agent->control, (enum control_source)i, &source);
		if (!source.used)
			continue;
		cause = source.cause;
		*err = source.text;
	}
	return end_of_cause(cause);
}

/* What the first certificate that is not done waits for. */
static enum agent_end why_not_done(struct agent *agent, struct err_text *err)
{
	for (size_t i = 0; i < agent->count; i++) {
		const struct agent_certificate *certificate = &agent->certificates[i];

		if (agent_certificate_is_done(certificate))
			continue;
		*err = certificate->numbers.layout_error;
		if (!certificate->credential || !certificate->roots_pem)
			return why_not_issued(agent, i, err);
		if (!certificate->numbers.laid_out)
			return err->text[0] ? AGENT_LAYOUT_FAILED : AGENT_TOO_LATE;
		err_set(err, 0, "a hook of %s has not worked",
			certificate->config->certificate.name);
		return AGENT_HOOK_FAILED;
	}
	return AGENT_DONE;
}

/* Nothing more will come of it: each hook has had its attempts. */
static bool hooks_given_up(const struct agent *agent)
{
	bool failed = false;

	for (size_t i = 0; i < agent->count; i++) {
		const struct agent_certificate *certificate = &agent->certificates[i];

		if (!certificate->numbers.hooks_failed && !agent_certificate_is_done(certificate))
			return false;
		failed = failed || certificate->numbers.hooks_failed;
	}
	return failed;
}

/* What is on disk is good, but of what is trusted now nobody has told yet: it may not be all.
 * False: there is no need to wait, or no use. */
static bool trust_may_come(struct agent *agent)
{
	struct control_source_status status;
	bool used = false;

	for (int i = 0; i < CONTROL_SOURCE_COUNT; i++) {
		control_source_status(agent->control, (enum control_source)i, &status);
		used = used || status.used;
		if (!status.used || status.cause == CAUSE_NONE || agent->trust)
			continue;
		log_msg(LOG_WARNING, "once_stale",
			"%s: %s; what is on disk is good, and stays as it is",
			control_source_name((enum control_source)i), status.text.text);
		return false;
	}
	return used && !agent->trust && clock_monotonic_ns() < agent->deadline_ns;
}

static bool once_is_over(struct agent *agent, enum agent_end *ret)
{
	struct err_text err = { "" };

	*ret = why_not_done(agent, &err);
	if (*ret == AGENT_DONE)
		return !trust_may_come(agent);
	if (clock_monotonic_ns() < agent->deadline_ns && !hooks_given_up(agent))
		return false;
	log_msg(LOG_ERROR, "once_failed", "not all is done: %s",
		err.text[0] ? err.text : "no answer yet");
	return true;
}

/* --- run --- */

enum run_end {
	RUN_ENDED,
	RUN_RELOADS, /* there is another configuration */
	RUN_NOT_STARTED,
};

static enum run_end serve(struct agent *agent, struct config_agent **ret_next, enum agent_end *ret)
{
	for (;;) {
		uint64_t due_ns = turn(agent);

		if (agent->stopping)
			return RUN_ENDED;
		if (agent->options->once && once_is_over(agent, ret))
			return RUN_ENDED;
		if (agent->options->once)
			due_ns = MIN(due_ns, agent->deadline_ns);
		wait_for_something(agent, due_ns);
		if (!agent->reloading || agent->options->once)
			continue;
		agent->reloading = false;
		notify_send("RELOADING=1\nMONOTONIC_USEC=%llu",
			    (unsigned long long)(clock_monotonic_ns() / 1000));
		*ret_next = agent->options->load(agent->options->config_file);
		if (*ret_next)
			return RUN_RELOADS;
		notify_send("READY=1");
	}
}

/* One configuration's time; it is borrowed. */
static enum run_end run_one(const struct agent_options *options, int signal_fd,
			    uint64_t deadline_ns, struct config_agent *config,
			    struct config_agent **ret_next, enum agent_end *ret)
{
	struct agent agent = {
		.options = options,
		.config = config,
		.signal_fd = signal_fd,
		.watch_fd = -1,
		.deadline_ns = deadline_ns,
		.socket = { .listen_fd = -1 },
		.mutex = PTHREAD_MUTEX_INITIALIZER,
	};
	enum run_end end = RUN_NOT_STARTED;
	struct err_text err;

	jitter_init(&agent.jitter, 0);
	if (start(&agent, &err) == 0) {
		log_msg(LOG_INFO, "agent_started", "%zu certificates, version %s", agent.count,
			options->version);
		notify_send("READY=1\nSTATUS=%zu certificates", agent.count);
		end = serve(&agent, ret_next, ret);
	} else {
		log_msg(LOG_ERROR, "start_failed", "%s", err.text);
		*ret = AGENT_FAILED;
	}
	stop(&agent);
	return end;
}

/* One configuration after the other. One that is good but can not be started with (a port that is
 * taken) gives way to the one before. Takes `config`. */
static enum agent_end run_all(const struct agent_options *options, int signal_fd,
			      struct config_agent *config)
{
	uint64_t deadline_ns = clock_monotonic_ns() + options->deadline_ms * NSEC_PER_MSEC;
	struct config_agent *before = NULL, *next = NULL;
	enum agent_end end = AGENT_DONE;
	enum run_end how;

	while ((how = run_one(options, signal_fd, deadline_ns, config, &next, &end)) != RUN_ENDED) {
		if (how == RUN_NOT_STARTED && !before)
			break;
		if (how == RUN_NOT_STARTED) {
			log_msg(LOG_ERROR, "reload_failed", "%s: goes on as before",
				options->config_file);
			config_agent_free(config);
			config = TAKE_PTR(before);
			end = AGENT_DONE;
		} else {
			config_agent_free(before);
			before = config;
			config = next;
			log_msg(LOG_INFO, "agent_reloaded", "%s", options->config_file);
		}
	}
	config_agent_free(before);
	config_agent_free(config);
	return end;
}

enum agent_end agent_run(const struct agent_options *options, struct config_agent *config)
{
	enum agent_end end;
	cleanup_close int fd = -1;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0) {
		log_msg(LOG_ERROR, "start_failed", "signalfd: %m");
		config_agent_free(config);
		return AGENT_FAILED;
	}
#ifndef SALLYPORT_SANITIZED
	/* Keys are in memory: no core, and nobody attaches. */
	prctl(PR_SET_DUMPABLE, 0);
#endif
	notify_init();
	end = run_all(options, fd, config);
	notify_send("STOPPING=1");
	log_msg(LOG_INFO, "agent_stopped", "exit code %d", (int)end);
	return end;
}
