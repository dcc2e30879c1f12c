/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of the control plane (metrics_control.h). Labels are names of the configuration and words
 * of our own tables. A certificate's failures have a sample for each cause that there was; a
 * source's for each that there is.
 */
#include "admin/metrics_control.h"

#include "admin/exposition.h"
#include "base/util.h"

struct sample {
	FILE *out;
	const char *name;
};

struct family {
	const char *name;
	enum exposition_type type;
	const char *help;
	/* One of these is set. */
	void (*of_source)(const struct sample *sample, const char *source,
			  const struct control_source_status *status);
	void (*of_certificate)(const struct sample *sample,
			       const struct control_certificate_status *status);
	void (*of_trust)(const struct sample *sample, const struct control_trust_status *status);
};

/* Lists of labels. */
#define LABELS(...)                                                                                \
	(const struct exposition_label[])                                                          \
	{                                                                                          \
		__VA_ARGS__,                                                                       \
		{                                                                                  \
			NULL, NULL                                                                 \
		}                                                                                  \
	}

static void source_requests(const struct sample *sample, const char *source,
			    const struct control_source_status *status)
{
	exposition_count(sample->out, sample->name, LABELS({ "source", source }), status->requests);
}

static void source_failures(const struct sample *sample, const char *source,
			    const struct control_source_status *status)
{
	for (int i = CAUSE_NONE + 1; i < CAUSE_COUNT; i++)
		exposition_count(
			sample->out, sample->name,
			LABELS({ "source", source }, { "cause", cause_name((enum cause)i) }),
			status->failures[i]);
}

static void source_success(const struct sample *sample, const char *source,
			   const struct control_source_status *status)
{
	exposition_number(sample->out, sample->name, LABELS({ "source", source }),
			  status->last_success);
}

static void source_circuit(const struct sample *sample, const char *source,
			   const struct control_source_status *status)
{
	exposition_number(sample->out, sample->name, LABELS({ "source", source }),
			  status->circuit_open);
}

static void certificate_issues(const struct sample *sample,
			       const struct control_certificate_status *status)
{
	exposition_count(sample->out, sample->name, LABELS({ "certificate", status->name }),
			 status->issued);
}

static void certificate_failures(const struct sample *sample,
				 const struct control_certificate_status *status)
{
	for (int i = CAUSE_NONE + 1; i < CAUSE_COUNT; i++)
		if (status->failures[i])
			exposition_count(sample->out, sample->name,
					 LABELS({ "certificate", status->name },
						{ "cause", cause_name((enum cause)i) }),
					 status->failures[i]);
}

static void certificate_success(const struct sample *sample,
				const struct control_certificate_status *status)
{
	exposition_number(sample->out, sample->name, LABELS({ "certificate", status->name }),
			  status->last_success);
}

static void certificate_renewal(const struct sample *sample,
				const struct control_certificate_status *status)
{
	exposition_number(sample->out, sample->name, LABELS({ "certificate", status->name }),
			  status->renew_at);
}

static void trust_roots(const struct sample *sample, const struct control_trust_status *status)
{
	exposition_number(sample->out, sample->name, NULL, (int64_t)status->roots);
}

static void trust_followed(const struct sample *sample, const struct control_trust_status *status)
{
	exposition_number(sample->out, sample->name, NULL,
			  status->good && status->cause == CAUSE_NONE);
}

static const struct family families[] = {
	{ "sallyport_source_requests_total", EXPOSITION_COUNTER,
	  "Requests to Vault and Consul that have ended, well or not.",
	  .of_source = source_requests },
	{ "sallyport_source_failures_total", EXPOSITION_COUNTER,
	  "Requests to Vault and Consul that failed, by cause.", .of_source = source_failures },
	{ "sallyport_source_last_success_timestamp_seconds", EXPOSITION_GAUGE,
	  "When a source last answered as it should, seconds since the epoch; 0: never.",
	  .of_source = source_success },
	{ "sallyport_source_circuit_open", EXPOSITION_GAUGE,
	  "1 while a source that fails again and again is left alone for a while.",
	  .of_source = source_circuit },
	{ "sallyport_certificate_issues_total", EXPOSITION_COUNTER,
	  "Certificates that were issued, or read anew from files, since the start.",
	  .of_certificate = certificate_issues },
	{ "sallyport_certificate_failures_total", EXPOSITION_COUNTER,
	  "Attempts to have a certificate issued that failed, by cause.",
	  .of_certificate = certificate_failures },
	{ "sallyport_certificate_last_success_timestamp_seconds", EXPOSITION_GAUGE,
	  "When it was last issued, seconds since the epoch; 0: not since the start.",
	  .of_certificate = certificate_success },
	{ "sallyport_certificate_renewal_timestamp_seconds", EXPOSITION_GAUGE,
	  "When it will be renewed, seconds since the epoch; 0: there is none yet.",
	  .of_certificate = certificate_renewal },
	{ "sallyport_trust_roots", EXPOSITION_GAUGE,
	  "Roots of the issuers in force; those of files are not among them.",
	  .of_trust = trust_roots },
	{ "sallyport_trust_followed", EXPOSITION_GAUGE,
	  "1 if the issuers that Consul or the configuration names are those in force.",
	  .of_trust = trust_followed },
};

static void write_sources(const struct sample *sample, const struct family *family,
			  struct control *control)
{
	struct control_source_status status;

	for (int i = 0; i < CONTROL_SOURCE_COUNT; i++) {
		control_source_status(control, (enum control_source)i, &status);
		if (status.used)
			family->of_source(sample, control_source_name((enum control_source)i),
					  &status);
	}
}

static void write_certificates(const struct sample *sample, const struct family *family,
			       struct control *control)
{
	struct control_certificate_status status;

	for (size_t i = 0; i < control_certificate_count(control); i++) {
		control_certificate_status(control, i, &status);
		family->of_certificate(sample, &status);
	}
}

static void write_trust(const struct sample *sample, const struct family *family,
			struct control *control)
{
	struct control_source_status vault;
	struct control_trust_status status;

	control_source_status(control, CONTROL_VAULT, &vault);
	control_trust_status(control, &status);
	if (vault.used)
		family->of_trust(sample, &status);
}

void metrics_control_write(FILE *out, struct control *control)
{
	for (size_t i = 0; control && i < ARRAY_SIZE(families); i++) {
		const struct family *family = &families[i];
		const struct sample sample = { out, family->name };

		exposition_family(out, family->name, family->type, family->help);
		if (family->of_source)
			write_sources(&sample, family, control);
		else if (family->of_certificate)
			write_certificates(&sample, family, control);
		else
			write_trust(&sample, family, control);
	}
}
