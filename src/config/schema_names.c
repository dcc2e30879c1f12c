/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of the table of keys (schema.h) about names of peers: what they are taken from, and who may
 * certify them. Constant data; any thread.
 */
#include "base/parse.h"
#include "config/schema_table.h"
#include "limits/limits.h"

#define NAME_PATTERN_BYTES_MAX 512

const struct schema_word schema_name_words[] = {
	{ "cn", CONFIG_NAME_CN },
	{ "uri", CONFIG_NAME_URI },
	{ "dns", CONFIG_NAME_DNS },
	{ NULL, 0 },
};

static const char *refuse_key_digest(const char *text)
{
	uint8_t digest[SHA256_BYTES];

	if (parse_hex(text, digest, sizeof(digest)) < 0)
		return "the SHA-256 of a public key is expected: 64 hexadecimal digits "
		       "(docs/identity.md says how to get it)";
	return NULL;
}

static const struct schema_key issuer_keys[] = {
	{ .name = "name",
	  .kind = SCHEMA_TEXT,
	  .required = true,
	  AT(struct config_issuer, name),
	  .min = 1,
	  .max = NAME_PATTERN_BYTES_MAX,
	  .help = "glob on what the peer is called: its name, and its Kafka principal" },
	{ .name = "root_cn",
	  .kind = SCHEMA_TEXTS,
	  AT(struct config_issuer, root_cns),
	  MARK(struct config_issuer, root_cns),
	  .min = 1,
	  .max = ISSUER_PATTERNS_MAX,
	  .help = "globs on the CN of the root of tls.roots that its chain ends at" },
	{ .name = "key",
	  .kind = SCHEMA_TEXTS,
	  AT(struct config_issuer, keys),
	  MARK(struct config_issuer, keys),
	  .min = 1,
	  .max = ISSUER_PATTERNS_MAX,
	  .refuse = refuse_key_digest,
	  .help = "SHA-256 of public keys, one of which a CA in its chain must have" },
};

const struct schema_section schema_issuer = {
	SECTION_OF(issuer_keys),
	.bytes = sizeof(struct config_issuer),
	.mark_offset = offsetof(struct config_issuer, marks.start),
};
