/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's records in the audit: what was issued, laid out and run, and how it went. No secrets.
 * Main thread.
 */
#include "agent/agent_impl.h"
#include "limits/limits.h"
#include "pki/certificate.h"

static void add_certificate(struct log_line *line, const struct agent_certificate *certificate)
{
	const struct pki_credential *credential = certificate->credential;
	char text[PKI_TIME_TEXT_BYTES];

	log_str(line, "certificate", certificate->config->certificate.name);
	log_str(line, "reason", certificate->reason);
	log_str(line, "cn", credential->cn);
	log_str(line, "serial", credential->serial);
	log_str(line, "issuer_cn", credential->issuer_cn);
	pki_time_text(credential->not_before, text);
	log_str(line, "not_before", text);
	pki_time_text(credential->not_after, text);
	log_str(line, "not_after", text);
}

void agent_audit_issued(struct agent *agent, const struct agent_certificate *certificate)
{
	char text[AUDIT_RECORD_BYTES_MAX];
	struct log_line line;

	log_record(&line, text, sizeof(text), "issued");
	add_certificate(&line, certificate);
	audit_put(agent->audit, text, log_record_end(&line));
}

void agent_audit_layout(struct agent *agent, const struct agent_certificate *certificate,
			const struct layout *layout, const struct err_text *failure)
{
	char text[AUDIT_RECORD_BYTES_MAX];
	struct log_line line;

	log_record(&line, text, sizeof(text), "layout");
	add_certificate(&line, certificate);
	log_str(&line, "directory", layout->config->directory);
	log_str(&line, "outcome", failure ? "failed" : "done");
	log_str(&line, "error", failure ? failure->text : NULL);
	audit_put(agent->audit, text, log_record_end(&line));
}

void agent_audit_hook(struct agent *agent, const struct agent_certificate *certificate,
		      const struct hook_options *hook, enum hook_outcome outcome, const char *why)
{
	char text[AUDIT_RECORD_BYTES_MAX];
	struct log_line line;

	log_record(&line, text, sizeof(text), "hook");
	add_certificate(&line, certificate);
	log_strs(&line, "command", hook->command);
	log_str(&line, "outcome", hook_outcome_name(outcome));
	log_str(&line, "error", outcome == HOOK_DONE ? NULL : why);
	audit_put(agent->audit, text, log_record_end(&line));
}
