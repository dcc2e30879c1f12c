/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kafka's mapping rules (principal_rules.h), step by step as its SslPrincipalMapper does it: the
 * first rule whose pattern matches the whole name replaces every match of that pattern in it, then
 * comes upper or lower case. What comes out is looked at as a broker would that gets it in a token.
 *
 * Rules are read-only once made, and shared by all workers; nothing is kept between two names.
 */
#include "kafka/principal_rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "kafka/java_case.h"
#include "kafka/java_regex.h"
#include "kafka/java_replacement.h"
#include "kafka/jwt.h"
#include "kafka/rule_text.h"
#include "limits/limits.h"

struct rule {
	struct java_regex *regex; /* NULL: DEFAULT */
	struct java_replacement *replacement;
	bool to_lower, to_upper;
};

struct principal_rules {
	struct rule items[PRINCIPAL_RULES_MAX];
	size_t count;
	size_t text;	  /* that is being read */
	size_t unreached; /* the first text with a rule after DEFAULT */
	bool has_default;
};

static void rule_fini(struct rule *rule)
{
	java_regex_free(rule->regex);
	java_replacement_free(rule->replacement);
}

static int rule_init(struct rule *rule, const struct rule_text *text, struct err_text *err)
{
	int r;

	*rule = (struct rule){ .to_lower = text->to_lower, .to_upper = text->to_upper };
	if (text->is_default)
		return 0;
	r = java_regex_new(text->pattern, text->pattern_bytes, &rule->regex, err);
	if (!r)
		r = java_replacement_new(text->replacement, text->replacement_bytes, rule->regex,
					 &rule->replacement, err);
	if (r < 0)
		rule_fini(rule);
	return r;
}

static int take_rule(const struct rule_text *text, void *arg, struct err_text *err)
{
	struct principal_rules *rules = arg;
	int r;

	if (rules->count == PRINCIPAL_RULES_MAX)
		return err_set(err, -EINVAL, "more than %d rules", PRINCIPAL_RULES_MAX);
	r = rule_init(&rules->items[rules->count], text, err);
	if (r < 0)
		return r;
	rules->count++;
	if (rules->has_default && rules->text < rules->unreached)
		rules->unreached = rules->text;
	rules->has_default = rules->has_default || text->is_default;
	return 0;
}

static int read_texts(struct principal_rules *rules, const char *const *texts, size_t count,
		      struct err_text *err)
{
	struct rule_reader *reader = NULL;
	int r = rule_reader_new(&reader, err);

	for (; r == 0 && rules->text < count; rules->text++) {
		size_t before = rules->count;

		r = rule_reader_each(reader, texts[rules->text], take_rule, rules, err);
		if (r == 0 && rules->count == before)
			r = err_set(err, -EINVAL,
				    "no rule: DEFAULT or RULE:pattern/replacement/ is expected");
		if (r < 0)
			break;
	}
	rule_reader_free(reader);
	return r;
}

int principal_rules_new(const char *const *texts, size_t count, struct principal_rules **ret,
			size_t *ret_at, struct err_text *err)
{
	static const char *const preset[] = { "DEFAULT" };
	struct principal_rules *rules = calloc(1, sizeof(*rules));
	int r;

	if (!rules)
		return -ENOMEM;
	rules->unreached = count;
	r = read_texts(rules, count ? texts : preset, count ? count : 1, err);
	if (r < 0) {
		*ret_at = rules->text;
		principal_rules_free(rules);
		return r;
	}
	*ret = rules;
	return 0;
}

void principal_rules_free(struct principal_rules *rules)
{
	if (!rules)
		return;
	for (size_t i = 0; i < rules->count; i++)
		rule_fini(&rules->items[i]);
	free(rules);
}

size_t principal_rules_unreached(const struct principal_rules *rules)
{
	return rules->unreached;
}

static int refuse_regex(int result, size_t number, struct err_text *why)
{
	if (result == -ENOMEM)
		return result;
	if (result == JAVA_REGEX_COSTLY)
		return err_set(why, PRINCIPAL_COSTLY,
			       "rule %zu needs more than %d steps for this name", number + 1,
			       PRINCIPAL_STEPS_MAX);
	return err_set(why, PRINCIPAL_UNUSABLE,
		       "rule %zu: what Java would make of the name's letters beyond ASCII is not "
		       "certain",
		       number + 1);
}

/* Java's replaceAll(): each match from left to right; after an empty one it goes on one unit of
 * UTF-16 further. */
static int replace_all(const struct rule *rule, struct java_text *text, struct java_groups *groups,
		       struct java_buffer *ret)
{
	size_t from = 0, copied = 0;
	bool fits = true;
	int r;

	while (fits && from <= text->len) {
		size_t start, end;

		r = java_regex_find(rule->regex, text, from, groups);
		if (r == JAVA_REGEX_NO_MATCH)
			break;
		if (r != JAVA_REGEX_MATCH)
			return r;
		start = groups->at[0];
		end = groups->at[1];
		fits = java_buffer_add(ret, text->bytes + copied, start - copied) &&
		       java_replacement_expand(rule->replacement, text, groups, ret);
		copied = from = end;
		if (start < end)
			continue;
		/* Java would look within the pair that stands for this character. */
		if ((unsigned char)text->bytes[from] >= 0xf0)
			return JAVA_REGEX_DOUBTFUL;
		for (from++; from < text->len && (text->bytes[from] & 0xc0) == 0x80;)
			from++;
	}
	fits = fits && java_buffer_add(ret, text->bytes + copied, text->len - copied);
	return fits ? JAVA_REGEX_MATCH : -EMSGSIZE;
}

/* 0 with the replaced name, JAVA_REGEX_NO_MATCH, or why not. */
static int apply_regex(const struct rule *rule, size_t number, struct java_text *text,
		       struct java_buffer *ret, struct err_text *why)
{
	struct java_groups groups = { 0 };
	int r = java_regex_matches(rule->regex, text, &groups);

	if (r == JAVA_REGEX_MATCH)
		r = replace_all(rule, text, &groups, ret);
	java_groups_fini(&groups);
	if (r == JAVA_REGEX_MATCH)
		return 0;
	if (r == JAVA_REGEX_NO_MATCH)
		return PRINCIPAL_UNMAPPED;
	if (r == -EMSGSIZE)
		return err_set(why, PRINCIPAL_UNUSABLE,
			       "rule %zu makes more than %d bytes of this name", number + 1,
			       PRINCIPAL_BYTES_MAX);
	return refuse_regex(r, number, why);
}

static int apply_case(const struct rule *rule, size_t number, char **name, struct err_text *why)
{
	char *mapped = NULL;
	int r = 0;

	if ((!rule->to_lower && !rule->to_upper) || !**name)
		return 0;
	r = java_case_map(*name, strlen(*name), rule->to_upper, &mapped);
	if (r == JAVA_CASE_OK) {
		free(*name);
		*name = mapped;
	}
	if (r <= 0)
		return r;
	return err_set(why, PRINCIPAL_UNUSABLE, "rule %zu, %c: %s", number + 1,
		       rule->to_upper ? 'U' : 'L',
		       r == JAVA_CASE_BECOMES_ASCII
			       ? "a letter beyond ASCII would become an ASCII one, and this name "
				 "that of somebody else"
			       : "what Java would make of this name is not certain");
}

/* The first rule that matches. */
static int map(const struct principal_rules *rules, struct java_text *text, char **ret,
	       struct err_text *why)
{
	struct java_buffer buffer = { .max = PRINCIPAL_BYTES_MAX };
	int r = PRINCIPAL_UNMAPPED;
	size_t i = 0;

	if (text->len > PRINCIPAL_BYTES_MAX)
		return err_set(why, PRINCIPAL_UNUSABLE, "the name is longer than %d bytes",
			       PRINCIPAL_BYTES_MAX);
	buffer.bytes = malloc(buffer.max + 1);
	if (!buffer.bytes)
		return -ENOMEM;
	buffer.bytes[0] = 0;
	for (; i < rules->count && r == PRINCIPAL_UNMAPPED; i++) {
		const struct rule *rule = &rules->items[i];

		r = rule->regex ? apply_regex(rule, i, text, &buffer, why) : 0;
		if (!rule->regex)
			java_buffer_add(&buffer, text->bytes, text->len);
		if (r == 0)
			r = apply_case(rule, i, &buffer.bytes, why);
	}
	if (r == PRINCIPAL_UNMAPPED)
		err_set(why, r, "no rule matches '%.200s'", text->bytes);
	/* As long as it is: it is kept with a connection. */
	*ret = r == 0 ? strdup(buffer.bytes) : NULL;
	free(buffer.bytes);
	return r == 0 && !*ret ? -ENOMEM : r;
}

/* As a broker would take it that gets it in a token. */
static int judge(const char *principal, struct err_text *why)
{
	const char *fault = jwt_subject_fault(principal);

	if (!principal[0])
		return err_set(why, PRINCIPAL_EMPTY, "the principal would be empty");
	if (!fault)
		return 0;
	return err_set(why, PRINCIPAL_RESERVED, "the principal '%.200s' can not be: %s", principal,
		       fault);
}

int principal_of(const struct principal_rules *rules, const char *name, char **ret,
		 struct err_text *why)
{
	char *principal = NULL;
	struct java_text text;
	int r = java_text_init(&text, name, strlen(name), PRINCIPAL_STEPS_MAX);

	if (r == -EINVAL)
		return err_set(why, PRINCIPAL_UNUSABLE, "the name is not valid UTF-8");
	if (r == 0)
		r = map(rules, &text, &principal, why);
	java_text_fini(&text);
	if (r == 0)
		r = judge(principal, why);
	if (r == 0)
		*ret = principal;
	else
		free(principal);
	return r;
}
