/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of the table of keys (schema.h) about Kafka: what a broker is told of its clients, and the
 * keys that this is signed with. Constant data; any thread.
 */
#include "config/schema_table.h"
#include "limits/limits.h"

#define CLAIM_BYTES_MAX 255
#define DIR_BYTES_MAX	4000

static const struct schema_word identity_words[] = {
	{ "none", CONFIG_IDENTITY_NONE },
	{ "oauthbearer", CONFIG_IDENTITY_OAUTHBEARER },
	{ NULL, 0 },
};

static const struct schema_word algorithm_words[] = {
	{ "eddsa", CONFIG_EDDSA },
	{ "es256", CONFIG_ES256 },
	{ "rs256", CONFIG_RS256 },
	{ NULL, 0 },
};

static const struct schema_word mode_words[] = {
	{ "0644", 0644 },
	{ "0640", 0640 },
	{ "0600", 0600 },
	{ NULL, 0 },
};

static const struct schema_key kafka_keys[] = {
	{ .name = "identity",
	  .kind = SCHEMA_WORD,
	  AT(struct config_kafka, identity),
	  MARK(struct config_kafka, identity),
	  .words = identity_words,
	  .preset = "none",
	  .help = "oauthbearer: the broker is told whose certificate it was; none: it is not" },
	{ .name = "issuer",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_kafka, issuer),
	  .min = 1,
	  .max = CLAIM_BYTES_MAX,
	  .preset = "sallyport",
	  .help = "iss of tokens: sasl.oauthbearer.expected.issuer of the broker" },
	{ .name = "audience",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_kafka, audience),
	  .min = 1,
	  .max = CLAIM_BYTES_MAX,
	  .preset = "kafka",
	  .help = "aud of tokens: sasl.oauthbearer.expected.audience of the broker" },
	{ .name = "token_lifetime",
	  .kind = SCHEMA_DURATION,
	  .off = true,
	  AT(struct config_kafka, token_lifetime_ms),
	  .min = MINUTE_MS,
	  .max = 3650 * DAY_MS,
	  .preset = "off",
	  .help = "the broker ends a connection after so long; off: when its certificate ends" },
	{ .name = "principal_rules",
	  .kind = SCHEMA_TEXTS,
	  AT(struct config_kafka, principal_rules),
	  .min = 1,
	  .max = PRINCIPAL_RULES_MAX,
	  .preset = "[DEFAULT]",
	  .help = "what Kafka has in ssl.principal.mapping.rules: from subject to principal" },
};

const struct schema_section schema_kafka = { SECTION_OF(kafka_keys) };

static const struct schema_key identity_keys[] = {
	{ .name = "directory",
	  .kind = SCHEMA_PATH,
	  AT(struct config_identity_keys, directory),
	  MARK(struct config_identity_keys, directory),
	  .max = DIR_BYTES_MAX,
	  .help = "where signing-keys.pem is kept, and jwks.json for brokers; made if missing" },
	{ .name = "algorithm",
	  .kind = SCHEMA_WORD,
	  AT(struct config_identity_keys, algorithm),
	  .words = algorithm_words,
	  .preset = "eddsa",
	  .help = "what tokens are signed with; eddsa costs a broker least" },
	{ .name = "rotate_every",
	  .kind = SCHEMA_DURATION,
	  .off = true,
	  AT(struct config_identity_keys, rotate_every_ms),
	  .min = SECOND_MS,
	  .max = 3650 * DAY_MS,
	  .preset = "90d",
	  .help = "age at which a signing key gets a successor; off: on order only" },
	{ .name = "overlap",
	  .kind = SCHEMA_DURATION,
	  AT(struct config_identity_keys, overlap_ms),
	  MARK(struct config_identity_keys, overlap),
	  .min = SECOND_MS,
	  .max = 30 * DAY_MS,
	  .preset = "1h",
	  .help = "a new key is published so long before it signs, an old one so long after" },
	{ .name = "jwks_mode",
	  .kind = SCHEMA_WORD,
	  AT(struct config_identity_keys, jwks_mode),
	  .words = mode_words,
	  .preset = "0644",
	  .help = "who may read jwks.json: the broker must" },
};

const struct schema_section schema_identity = {
	SECTION_OF(identity_keys),
	.empty = "nothing would be signed: give it directory",
};
