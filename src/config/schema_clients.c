/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keys (schema.h), section `clients`: limits by name. Constant data; any thread. */
#include "config/schema_table.h"
#include "limits/limits.h"
#include "limits/pattern.h"

static const struct schema_word unnamed_words[] = {
	{ "allow", CONFIG_UNNAMED_ALLOW },
	{ "refuse", CONFIG_UNNAMED_REFUSE },
	{ NULL, 0 },
};

static const struct schema_word pacing_words[] = {
	{ "off", CONFIG_PACING_OFF },
	{ "socket", CONFIG_PACING_SOCKET },
	{ "bpf", CONFIG_PACING_BPF },
	{ NULL, 0 },
};

static const struct schema_word auto_words[] = { { "auto", 0 }, { NULL, 0 } };

static const struct schema_word off_words[] = { { "off", 0 }, { NULL, 0 } };

#define RATE(key, index, text)                                                                     \
	{ .name = key,                                                                             \
	  .kind = SCHEMA_RATE,                                                                     \
	  .off = true,                                                                             \
	  AT(struct config_client, limits.rate[index]),                                            \
	  MARK(struct config_client, rate[index]),                                                 \
	  .min = CLIENT_RATE_MIN,                                                                  \
	  .max = CLIENT_RATE_MAX,                                                                  \
	  .preset = "off",                                                                         \
	  .help = text }

#define BURST(key, index, text)                                                                    \
	{ .name = key,                                                                             \
	  .kind = SCHEMA_BYTES,                                                                    \
	  AT(struct config_client, limits.burst[index]),                                           \
	  MARK(struct config_client, burst[index]),                                                \
	  .min = CLIENT_BURST_MIN,                                                                 \
	  .max = CLIENT_BURST_MAX,                                                                 \
	  .words = auto_words,                                                                     \
	  .preset = "auto",                                                                        \
	  .help = text }

#define NUMBER(key, most, text)                                                                    \
	{ .name = #key,                                                                            \
	  .kind = SCHEMA_NUMBER,                                                                   \
	  AT(struct config_client, limits.key),                                                    \
	  MARK(struct config_client, key),                                                         \
	  .min = 1,                                                                                \
	  .max = most,                                                                             \
	  .words = off_words,                                                                      \
	  .preset = "off",                                                                         \
	  .help = text }

/* What can be limited: of one client, and of a group. */
#define LIMITS                                                                                     \
	RATE("produce", CLIENT_PRODUCE, "bytes a second to the upstream"),                         \
		BURST("produce_burst", CLIENT_PRODUCE,                                             \
		      "bytes at once after a pause; auto: 100 ms of produce"),                     \
		RATE("consume", CLIENT_CONSUME, "bytes a second from the upstream"),               \
		BURST("consume_burst", CLIENT_CONSUME,                                             \
		      "bytes at once after a pause; auto: 100 ms of consume"),                     \
		NUMBER(connections, CONNECTIONS_MAX, "live connections"),                          \
		NUMBER(connections_per_second, ACCEPTS_PER_SECOND_MAX,                             \
		       "connections that are let in a second; a second's worth at once"),          \
		NUMBER(handshakes_per_second, ACCEPTS_PER_SECOND_MAX,                              \
		       "handshakes a second that end well, let in or not")

static const struct schema_key limit_keys[] = {
	{ .name = "cn",
	  .kind = SCHEMA_TEXT,
	  .required = true,
	  .may_be_empty = true,
	  AT(struct config_client, name),
	  MARK(struct config_client, name),
	  .max = PATTERN_BYTES_MAX,
	  .help = "a name or a glob; \"*\": all others; \"\": certificates without a name" },
	{ .name = "group",
	  .kind = SCHEMA_TEXT,
	  AT(struct config_client, group),
	  MARK(struct config_client, group),
	  .max = LISTENER_NAME_MAX,
	  .help = "name of the group whose allowance they share besides" },
	LIMITS,
};

static const struct schema_section limit_section = {
	SECTION_OF(limit_keys),
	.bytes = sizeof(struct config_client),
	.mark_offset = offsetof(struct config_client, marks.start),
};

static const struct schema_key group_keys[] = {
	{ .name = "name",
	  .kind = SCHEMA_TEXT,
	  .required = true,
	  AT(struct config_client, name),
	  MARK(struct config_client, name),
	  .max = LISTENER_NAME_MAX,
	  .help = "what entries and logs call it" },
	LIMITS,
};

static const struct schema_section group_section = {
	SECTION_OF(group_keys),
	.bytes = sizeof(struct config_client),
	.mark_offset = offsetof(struct config_client, marks.start),
};

static const struct schema_key clients_keys[] = {
	{ .name = "unnamed",
	  .kind = SCHEMA_WORD,
	  AT(struct config_clients, unnamed),
	  .words = unnamed_words,
	  .preset = "allow",
	  .help = "certificates without a name; allow: all of them are one client" },
	{ .name = "pacing",
	  .kind = SCHEMA_WORD,
	  AT(struct config_clients, pacing),
	  MARK(struct config_clients, pacing),
	  .words = pacing_words,
	  .preset = "socket",
	  .help = "who spreads on the wire what passes: each socket, or a client's together" },
	{ .name = "limits",
	  .kind = SCHEMA_SECTIONS,
	  AT(struct config_clients, limits),
	  .count_offset = offsetof(struct config_clients, limit_count),
	  .max = CLIENT_LIMITS_MAX,
	  .section = &limit_section,
	  .help = "what each client may; of the entries that match, the most specific alone" },
	{ .name = "groups",
	  .kind = SCHEMA_SECTIONS,
	  AT(struct config_clients, groups),
	  .count_offset = offsetof(struct config_clients, group_count),
	  .max = CLIENT_GROUPS_MAX,
	  .section = &group_section,
	  .help = "what the clients of a group may together" },
};

const struct schema_section schema_clients = { SECTION_OF(clients_keys) };

static const struct schema_key root_keys[] = {
	{ .name = "clients",
	  .kind = SCHEMA_SECTION,
	  AT(struct config, clients),
	  .section = &schema_clients,
	  .help = "limits by name" },
};

const struct schema_section schema_clients_root = {
	SECTION_OF(root_keys),
	.bytes = sizeof(struct config),
};
