/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keys (schema.h), section `penalties`. Constant data; any thread. */
#include "config/schema_table.h"
#include "limits/limits.h"

static const struct schema_word overflow_words[] = {
	{ "permissive", CONFIG_OVERFLOW_PERMISSIVE },
	{ "deny", CONFIG_OVERFLOW_DENY },
	{ NULL, 0 },
};

#define COST(key, default_cost, text)                                                              \
	{ .name = #key,                                                                            \
	  .kind = SCHEMA_DURATION,                                                                 \
	  .off = true,                                                                             \
	  AT(struct config_penalties, key##_ms),                                                   \
	  .min = 100,                                                                              \
	  .max = HOUR_MS,                                                                          \
	  .preset = default_cost,                                                                  \
	  .help = text }

static const struct schema_key penalty_keys[] = {
	{ .name = "max",
	  .kind = SCHEMA_DURATION,
	  .off = true,
	  AT(struct config_penalties, max_ms),
	  .min = SECOND_MS,
	  .max = DAY_MS,
	  .preset = "10m",
	  .help = "longest time for which a source is shut out; off: no penalties" },
	{ .name = "min",
	  .kind = SCHEMA_DURATION,
	  AT(struct config_penalties, min_ms),
	  MARK(struct config_penalties, min),
	  .min = 100,
	  .max = DAY_MS,
	  .preset = "15s",
	  .help = "penalties that add up to less shut nobody out" },
	COST(not_tls, "2s", "for bytes that are no TLS"),
	COST(certificate, "5s", "for no certificate, or one that is not accepted"),
	COST(handshake, "2s", "for any other handshake that fails"),
	COST(denied, "5s", "for a certificate that the rules do not let in"),
	COST(timeout, "10s", "for a handshake that is not finished in time"),
	COST(left, "1s", "for a handshake that is begun and left"),
	{ .name = "exempt",
	  .kind = SCHEMA_CIDRS,
	  AT(struct config_penalties, exempt),
	  .max = NETWORKS_MAX,
	  .preset = "127.0.0.0/8, ::1",
	  .help = "networks that pay nothing" },
	{ .name = "ipv4_mask",
	  .kind = SCHEMA_NUMBER,
	  AT(struct config_penalties, ipv4_mask),
	  .min = 8,
	  .max = 32,
	  .preset = "32",
	  .help = "bits of an IPv4 address that tell one source from another" },
	{ .name = "ipv6_mask",
	  .kind = SCHEMA_NUMBER,
	  AT(struct config_penalties, ipv6_mask),
	  .min = 8,
	  .max = 128,
	  .preset = "64",
	  .help = "bits of an IPv6 address that tell one source from another" },
	{ .name = "sources",
	  .kind = SCHEMA_NUMBER,
	  AT(struct config_penalties, sources),
	  .min = 8,
	  .max = PENALTY_SOURCES_MAX,
	  .preset = "65536",
	  .help = "sources of each family that are remembered" },
	{ .name = "overflow",
	  .kind = SCHEMA_WORD,
	  AT(struct config_penalties, overflow),
	  .words = overflow_words,
	  .preset = "permissive",
	  .help = "no room: forget who is free soonest, or refuse who is not known" },
};

const struct schema_section schema_penalties = { SECTION_OF(penalty_keys) };
