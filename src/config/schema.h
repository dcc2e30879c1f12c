/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table of what a configuration may say: keys, types, defaults, ranges, words, and where
 * each value goes in the structs of config.h. The loader reads it, and so do `check --schema` and
 * the test of the documentation.
 */
#ifndef SALLYPORT_CONFIG_SCHEMA_H
#define SALLYPORT_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECOND_MS 1000ULL
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS	  (60 * MINUTE_MS)
#define DAY_MS	  (24 * HOUR_MS)

enum schema_kind {
	SCHEMA_WORD,	 /* one of `words` -> int */
	SCHEMA_NUMBER,	 /* min..max, or one of `words` -> unsigned int or uint64_t */
	SCHEMA_DURATION, /* min..max milliseconds, 0 for "off" if `off` -> uint64_t */
	SCHEMA_BYTES,	 /* min..max bytes, 0 for "off" if `off` -> uint64_t */
	SCHEMA_RATE,	 /* min..max bytes a second, 0 for "off" if `off` -> uint64_t */
	SCHEMA_TEXT,	 /* min..max bytes -> char * */
	SCHEMA_PATH,	 /* -> char *, absolute */
	/* -> struct endpoint (zero for "off" if `off`), and the text as written at text_offset */
	SCHEMA_ENDPOINT,
	SCHEMA_WORDS,	 /* list of `words`, none twice -> int[max], count at count_offset */
	SCHEMA_TEXTS,	 /* list of min..max texts -> struct config_strings */
	SCHEMA_PATHS,	 /* list of min..max files -> struct config_strings */
	SCHEMA_CIDRS,	 /* list of min..max networks -> struct cidr_list */
	SCHEMA_SECTION,	 /* mapping of `section` -> at offset */
	SCHEMA_SECTIONS, /* list of min..max mappings -> pointer, count at count_offset */
};

struct schema_word {
	const char *text; /* NULL ends the list */
	unsigned int value;
};

struct schema_section;

struct schema_key {
	const char *name;
	enum schema_kind kind;
	bool required;
	bool off;	   /* a duration, a size, a rate or an endpoint that may be switched off */
	bool may_be_empty; /* a text */
	/* Of the value in the struct of its section; width is the value's size in bytes. */
	size_t offset, width;
	size_t count_offset, text_offset;
	size_t mark_offset; /* a struct config_mark that remembers where it stood; 0: none */
	uint64_t min, max;
	const char *preset; /* default as somebody would write it (WORDS, CIDRS: with commas); NULL:
			       none */
	const struct schema_word *words;
	const struct schema_section *section;
	/* NULL if `text` (of a TEXT or of one of TEXTS) will do, or why not. */
	const char *(*refuse)(const char *text);
	const char *help; /* one line */
};

struct schema_section {
	const struct schema_key *keys;
	size_t key_count;
	size_t bytes;	    /* of the struct of one item of SECTIONS */
	size_t mark_offset; /* where an item of SECTIONS starts; 0: none */
	const char *empty;  /* why an empty mapping is wrong; NULL: it is not */
	/* A section whose keys it has, too; that one's struct comes first in its own. NULL: none.
	 */
	const struct schema_section *base;
};

extern const struct schema_section schema_root;		/* of a proxy: struct config */
extern const struct schema_section schema_agent_root;	/* of an agent: struct config_agent */
extern const struct schema_section schema_clients_root; /* a section clients alone: struct config */

/* Its own keys and, after them, those of its base. */
size_t schema_key_count(const struct schema_section *section);
const struct schema_key *schema_key(const struct schema_section *section, size_t index);

#define SCHEMA_TYPE_TEXT_BYTES 160

/* The type for people: "auto | 1..256", "duration 100ms..10m", "list of auto | on | off". */
void schema_type_text(const struct schema_key *key, char ret[SCHEMA_TYPE_TEXT_BYTES]);
/* "250ms", "10s", "1d": the largest unit that fits whole. */
void schema_duration_text(uint64_t ms, char *ret, size_t size);
/* "512", "64KiB", "1GiB": the largest unit that fits whole. */
void schema_bytes_text(uint64_t bytes, char *ret, size_t size);
/* "10kB/s", "1500kB/s", "1GB/s": likewise. */
void schema_rate_text(uint64_t per_second, char *ret, size_t size);
/* Every key of a root, depth first, with its whole path: "listeners[].tls.key". */
void schema_visit(const struct schema_section *root,
		  void (*visit)(const char *path, const struct schema_key *key, void *arg),
		  void *arg);

#endif
