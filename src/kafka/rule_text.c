/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking rules apart (rule_text.h) with Kafka's own two patterns, in its own two steps, so that
 * what they do with commas, slashes, blanks and rubbish is the same. Read-only once made.
 */
#include "kafka/rule_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "kafka/java_regex.h"
#include "limits/limits.h"

/* Groups: 1 DEFAULT; 2 pattern, 4 replacement, 6 what to do with case; 7 anything else. */
#define RULE	 "(DEFAULT)|RULE:((\\\\.|[^\\\\/])*)/((\\\\.|[^\\\\/])*)/([LU]?).*?|(.*?)"
#define SPLITTER "\\s*(" RULE ")\\s*(,\\s*|$)"

struct rule_reader {
	struct java_regex *splitter, *parser;
};

int rule_reader_new(struct rule_reader **ret, struct err_text *err)
{
	struct rule_reader *reader = calloc(1, sizeof(*reader));
	int r;

	if (!reader)
		return -ENOMEM;
	r = java_regex_new(SPLITTER, sizeof(SPLITTER) - 1, &reader->splitter, err);
	if (!r)
		r = java_regex_new(RULE, sizeof(RULE) - 1, &reader->parser, err);
	if (r < 0)
		rule_reader_free(reader);
	else
		*ret = reader;
	return r;
}

void rule_reader_free(struct rule_reader *reader)
{
	if (!reader)
		return;
	java_regex_free(reader->splitter);
	java_regex_free(reader->parser);
	free(reader);
}

static int refuse_match(int result, struct err_text *err)
{
	if (result == -ENOMEM)
		return result;
	return err_set(err, -EINVAL, "too long to be taken apart");
}

static int refuse_rule(const char *bytes, size_t len, size_t good, struct err_text *err)
{
	if (!good)
		return err_set(err, -EINVAL,
			       "'%.*s' is no rule: DEFAULT or RULE:pattern/replacement/ is "
			       "expected, with L or U behind for lower or upper case (a '/' in it "
			       "is written \\/)",
			       (int)MIN(len, (size_t)100), bytes);
	return err_set(err, -EINVAL,
		       "'%.*s' is too much after the rule (between rules goes a comma; a "
		       "'/' in one is written \\/)",
		       (int)MIN(len - good, (size_t)100), bytes + good);
}

static bool is_set(const struct java_groups *groups, size_t group)
{
	return groups->at[2 * group] != JAVA_REGEX_UNSET;
}

static const char *piece_of(const struct java_text *text, const struct java_groups *groups,
			    size_t group, size_t *ret_len)
{
	*ret_len = groups->at[2 * group + 1] - groups->at[2 * group];
	return text->bytes + groups->at[2 * group];
}

/* What one rule says. 0, 1 (nothing: it is empty) or -errno. */
static int parse(const struct rule_reader *reader, struct java_text *text, struct rule_text *ret,
		 struct err_text *err)
{
	struct java_groups groups = { 0 };
	int r = java_regex_looking_at(reader->parser, text, &groups);
	const char *word;
	size_t len;

	if (r != JAVA_REGEX_MATCH) {
		r = refuse_match(r, err);
	} else if (groups.at[1] != text->len) {
		r = refuse_rule(text->bytes, text->len, groups.at[1], err);
	} else if (is_set(&groups, 1)) {
		*ret = (struct rule_text){ .is_default = true };
		r = 0;
	} else if (is_set(&groups, 2)) {
		*ret = (struct rule_text){ 0 };
		ret->pattern = piece_of(text, &groups, 2, &ret->pattern_bytes);
		ret->replacement = piece_of(text, &groups, 4, &ret->replacement_bytes);
		word = piece_of(text, &groups, 6, &len);
		ret->to_lower = len && *word == 'L';
		ret->to_upper = len && *word == 'U';
		r = 0;
	} else {
		r = 1;
	}
	java_groups_fini(&groups);
	return r;
}

static int take_one(const struct rule_reader *reader, const char *bytes, size_t len,
		    int (*take)(const struct rule_text *rule, void *arg, struct err_text *err),
		    void *arg, struct err_text *err)
{
	struct rule_text rule;
	struct java_text text;
	int r = java_text_init(&text, bytes, len, PRINCIPAL_READ_STEPS_MAX);

	if (!r)
		r = parse(reader, &text, &rule, err);
	java_text_fini(&text);
	if (r == 0)
		return take(&rule, arg, err);
	return r > 0 ? 0 : r;
}

/* As String.trim(). */
static const char *trim(const char *text, size_t *ret_len)
{
	size_t len = strlen(text);

	while (len && (unsigned char)text[len - 1] <= ' ')
		len--;
	while (len && (unsigned char)*text <= ' ') {
		text++;
		len--;
	}
	*ret_len = len;
	return text;
}

int rule_reader_each(const struct rule_reader *reader, const char *text,
		     int (*take)(const struct rule_text *rule, void *arg, struct err_text *err),
		     void *arg, struct err_text *err)
{
	struct java_groups groups = { 0 };
	struct java_text t;
	size_t len, from = 0;
	int r;

	text = trim(text, &len);
	if (len > PRINCIPAL_RULE_BYTES_MAX)
		return err_set(err, -EINVAL, "longer than %d bytes", PRINCIPAL_RULE_BYTES_MAX);
	r = java_text_init(&t, text, len, PRINCIPAL_READ_STEPS_MAX);
	if (r == -EINVAL)
		return err_set(err, r, "not valid UTF-8");
	while (r == 0 && from <= len) {
		r = java_regex_find(reader->splitter, &t, from, &groups);
		if (r == JAVA_REGEX_NO_MATCH) {
			r = 0;
			break;
		}
		if (r != JAVA_REGEX_MATCH) {
			r = refuse_match(r, err);
			break;
		}
		r = take_one(reader, text + groups.at[2], groups.at[3] - groups.at[2], take, arg,
			     err);
		from = groups.at[1] + (groups.at[0] == groups.at[1]);
	}
	java_groups_fini(&groups);
	java_text_fini(&t);
	return r;
}
