/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Java's regular expressions on PCRE2 (java_regex.h). What PCRE2 would take in another way never
 * reaches it (java_regex_subset.c). A compiled pattern is read-only; a text and its groups belong
 * to the caller's thread.
 *
 * The budget: PCRE2 is told to call back before each item of a pattern, and each call is a step.
 * Its own limits are by attempt, of which an unanchored search makes one for each place of the
 * text. There is no just-in-time compiler: it would need memory that is writable and executable.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "kafka/java_regex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <pcre2.h>

#include "base/utf8.h"
#include "base/util.h"
#include "kafka/java_regex_subset.h"
#include "limits/limits.h"

#define ERROR_BYTES 160

struct java_regex {
	pcre2_code *code;
	uint32_t groups;
	struct java_regex_traits traits;
};

static int refuse_compile(int error, size_t offset, struct err_text *err)
{
	PCRE2_UCHAR text[ERROR_BYTES];

	if (error == PCRE2_ERROR_HEAP_FAILED || error == PCRE2_ERROR_NOMEMORY)
		return -ENOMEM;
	pcre2_get_error_message(error, text, sizeof(text));
	return err_set(err, -EINVAL, "byte %zu of the pattern: %s", offset + 1, (const char *)text);
}

/* Lines end where they do for Java: for `.` and `$`. */
static int compile(struct java_regex *regex, const char *pattern, size_t len, struct err_text *err)
{
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	PCRE2_SIZE offset = 0;
	int error = 0;

	if (!context)
		return -ENOMEM;
	pcre2_set_newline(context, PCRE2_NEWLINE_ANY);
	regex->code = pcre2_compile((PCRE2_SPTR)pattern, len,
				    PCRE2_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C |
					    PCRE2_AUTO_CALLOUT,
				    &error, &offset, context);
	pcre2_compile_context_free(context);
	if (!regex->code)
		return refuse_compile(error, offset, err);
	pcre2_pattern_info(regex->code, PCRE2_INFO_CAPTURECOUNT, &regex->groups);
	return 0;
}

int java_regex_new(const char *pattern, size_t len, struct java_regex **ret, struct err_text *err)
{
	struct java_regex *regex = calloc(1, sizeof(*regex));
	int r;

	if (!regex)
		return -ENOMEM;
	r = java_regex_examine(pattern, len, &regex->traits, err);
	if (!r)
		r = compile(regex, pattern, len, err);
	if (r < 0) {
		java_regex_free(regex);
		return r;
	}
	*ret = regex;
	return 0;
}

void java_regex_free(struct java_regex *regex)
{
	if (!regex)
		return;
	pcre2_code_free(regex->code);
	free(regex);
}

unsigned int java_regex_groups(const struct java_regex *regex)
{
	return regex->groups;
}

unsigned int java_regex_group(const struct java_regex *regex, const char *name)
{
	int number = pcre2_substring_number_from_name(regex->code, (PCRE2_SPTR)name);

	return number > 0 ? (unsigned int)number : 0;
}

bool java_regex_group_is_doubtful(const struct java_regex *regex, unsigned int group)
{
	return regex->traits.doubtful_groups >> group & 1;
}

static int on_step(pcre2_callout_block *block, void *arg)
{
	uint32_t *left = arg;

	(void)block;
	if (!*left)
		return PCRE2_ERROR_CALLOUT;
	--*left;
	return 0;
}

/* KELVIN SIGN is a k and LATIN SMALL LETTER LONG S an s to PCRE2 when case does not count; to Java
 * only ASCII letters have case then. */
static bool folds_to_ascii(const char *sequence)
{
	return !strncmp(sequence, "\u212a", 3) || !strncmp(sequence, "\u017f", 2);
}

int java_text_init(struct java_text *text, const char *bytes, size_t len, uint32_t steps)
{
	pcre2_match_context *context;

	*text = (struct java_text){ .bytes = bytes, .len = len, .is_ascii = true };
	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_sequence((const unsigned char *)bytes + i, len - i);
		if (!n)
			return -EINVAL;
		text->is_ascii = text->is_ascii && n == 1;
		text->has_folding = text->has_folding || (n > 1 && folds_to_ascii(bytes + i));
	}
	context = pcre2_match_context_create(NULL);
	if (!context)
		return -ENOMEM;
	text->steps_left = steps;
	pcre2_set_callout(context, on_step, &text->steps_left);
	pcre2_set_heap_limit(context, PRINCIPAL_MATCH_KIB_MAX);
	text->context = context;
	return 0;
}

void java_text_fini(struct java_text *text)
{
	pcre2_match_context_free(text->context);
	text->context = NULL;
}

static int match(const struct java_regex *regex, struct java_text *text, size_t from,
		 uint32_t options, struct java_groups *groups)
{
	int r;

	if ((regex->traits.needs_ascii && !text->is_ascii) ||
	    (regex->traits.ignores_case && text->has_folding))
		return JAVA_REGEX_DOUBTFUL;
	if (!text->steps_left)
		return JAVA_REGEX_COSTLY;
	text->steps_left--;
	if (!groups->data)
		groups->data = pcre2_match_data_create_from_pattern(regex->code, NULL);
	if (!groups->data)
		return -ENOMEM;
	r = pcre2_match(regex->code, (PCRE2_SPTR)text->bytes, text->len, from,
			options | PCRE2_NO_UTF_CHECK, groups->data, text->context);
	if (r > 0) {
		groups->at = pcre2_get_ovector_pointer(groups->data);
		return JAVA_REGEX_MATCH;
	}
	if (r == PCRE2_ERROR_NOMATCH)
		return JAVA_REGEX_NO_MATCH;
	return r == PCRE2_ERROR_NOMEMORY ? -ENOMEM : JAVA_REGEX_COSTLY;
}

int java_regex_matches(const struct java_regex *regex, struct java_text *text,
		       struct java_groups *groups)
{
	return match(regex, text, 0, PCRE2_ANCHORED | PCRE2_ENDANCHORED, groups);
}

int java_regex_looking_at(const struct java_regex *regex, struct java_text *text,
			  struct java_groups *groups)
{
	return match(regex, text, 0, PCRE2_ANCHORED, groups);
}

int java_regex_find(const struct java_regex *regex, struct java_text *text, size_t from,
		    struct java_groups *groups)
{
	return match(regex, text, from, 0, groups);
}

void java_groups_fini(struct java_groups *groups)
{
	pcre2_match_data_free(groups->data);
	groups->data = NULL;
}
