/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates (template.h): one pass, no conditions, no loops, no functions, so that what comes out
 * can be told by looking. A value is never looked at for templates again. No state; any thread.
 */
#include "agent/template.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "base/secret.h"
#include "base/util.h"

#define WORD_BYTES_MAX 64

static const char *const variable_names[TEMPLATE_VARIABLE_COUNT + 1] = {
	[TEMPLATE_CERTIFICATE] = "certificate",
	[TEMPLATE_CHAIN] = "chain",
	[TEMPLATE_PRIVATE_KEY] = "private_key",
	[TEMPLATE_ROOTS] = "roots",
	[TEMPLATE_STORE_PASSWORD] = "store_password",
	[TEMPLATE_NAME] = "name",
	[TEMPLATE_COMMON_NAME] = "common_name",
	[TEMPLATE_SERIAL] = "serial",
	[TEMPLATE_ISSUER] = "issuer",
	[TEMPLATE_NOT_BEFORE] = "not_before",
	[TEMPLATE_NOT_AFTER] = "not_after",
	[TEMPLATE_DIRECTORY] = "directory",
};

struct output {
	const struct template_values *values; /* NULL: only looking */
	char *bytes;
	size_t len, size;
	unsigned int uses;
};

static int put(struct output *out, const char *bytes, size_t len)
{
	char *grown;
	size_t size;

	if (!out->values || !len)
		return 0;
	if (out->len + len + 1 > out->size) {
		size = 2 * (out->len + len + 1);
		grown = malloc(size);
		if (!grown)
			return -ENOMEM;
		/* Not realloc(): it would leave pieces of a key behind. */
		if (out->len)
			memcpy(grown, out->bytes, out->len);
		if (out->bytes)
			secret_wipe(out->bytes, out->len);
		free(out->bytes);
		out->bytes = grown;
		out->size = size;
	}
	memcpy(out->bytes + out->len, bytes, len);
	out->len += len;
	return 0;
}

static int fail_at(const char *text, const char *at, struct err_text *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int fail_at(const char *text, const char *at, struct err_text *err, const char *fmt, ...)
{
	unsigned int line = 1, column = 1;
	char what[ERR_TEXT_BYTES - 32];
	va_list ap;

	for (; text < at; text++) {
		column = *text == '\n' ? 1 : column + 1;
		line += *text == '\n';
	}
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return err_set(err, -EINVAL, "%u:%u: %s", line, column, what);
}

static int refuse_word(const char *text, const char *at, const char *word, struct err_text *err)
{
	const char *near = parse_nearest_word(word, variable_names);
	char all[200] = "";
	size_t used = 0;

	if (near)
		return fail_at(text, at, err, "no variable '%s'; did you mean '%s'?", word, near);
	for (size_t i = 0; variable_names[i] && used < sizeof(all); i++)
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", i ? ", " : "",
					 variable_names[i]);
	return fail_at(text, at, err, "no variable '%s'; there are %s", word, all);
}

/* The word between the braces; -1: there is none of that name. */
static int find_variable(const char *word)
{
	for (int i = 0; i < TEMPLATE_VARIABLE_COUNT; i++)
		if (strcmp(variable_names[i], word) == 0)
			return i;
	return -1;
}

/* Puts what stands for the expression between `from` and `to`; `at` is where its braces are. */
static int put_value(struct output *out, const char *text, const char *at, const char *from,
		     const char *to, struct err_text *err)
{
	char word[WORD_BYTES_MAX + 1];
	const char *value;
	int variable;

	while (from < to && isspace((unsigned char)*from))
		from++;
	while (from < to && isspace((unsigned char)to[-1]))
		to--;
	snprintf(word, sizeof(word), "%.*s", (int)MIN(to - from, WORD_BYTES_MAX), from);
	if (!word[0])
		return fail_at(text, at, err, "a variable is expected between the braces");
	for (char *c = word; *c; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
	if (strpbrk(word, " .$\"|("))
		return fail_at(text, at, err,
			       "'%s': there are only variables here, no functions and no blocks",
			       word);
	variable = find_variable(word);
	if (variable < 0)
		return refuse_word(text, at, word, err);
	out->uses |= 1U << variable;
	value = out->values ? out->values->items[variable] : NULL;
	return value ? put(out, value, strlen(value)) : 0;
}

static const char *find(const char *from, const char *end, const char *what)
{
	return from < end ? memmem(from, (size_t)(end - from), what, strlen(what)) : NULL;
}

/* Text from `at` up to `open`; a `{{-` takes its white space away. */
static int put_literal(struct output *out, const char *at, const char *open, bool trim)
{
	while (trim && open > at && isspace((unsigned char)open[-1]))
		open--;
	return put(out, at, (size_t)(open - at));
}

static int walk(const char *text, size_t len, struct output *out, struct err_text *err)
{
	const char *at = text, *end = text + len, *open, *close, *from, *to;
	int r = 0;

	while (r == 0 && (open = find(at, end, "{{"))) {
		close = find(open + 2, end, "}}");
		if (!close)
			return fail_at(text, open, err, "'{{' without '}}'");
		from = open + 2;
		to = close;
		r = put_literal(out, at, open, *from == '-');
		if (*from == '-')
			from++;
		at = close + 2;
		if (to > from && to[-1] == '-') {
			to--;
			while (at < end && isspace((unsigned char)*at))
				at++;
		}
		if (r == 0)
			r = put_value(out, text, open, from, to, err);
	}
	if (r == 0)
		r = put(out, at, (size_t)(end - at));
	return r == -ENOMEM ? err_set(err, r, "no memory") : r;
}

int template_check(const char *text, size_t len, unsigned int *ret_uses, struct err_text *err)
{
	struct output out = { 0 };
	int r = walk(text, len, &out, err);

	if (r == 0)
		*ret_uses = out.uses;
	return r;
}

bool template_is_secret(unsigned int uses)
{
	return uses & (1U << TEMPLATE_PRIVATE_KEY | 1U << TEMPLATE_STORE_PASSWORD);
}

int template_render(const char *text, size_t len, const struct template_values *values,
		    struct pki_bytes *ret, struct err_text *err)
{
	struct output out = { .values = values };
	int r = walk(text, len, &out, err);

	if (r == 0 && !out.bytes)
		out.bytes = calloc(1, 1);
	if (r == 0 && !out.bytes)
		r = err_set(err, -ENOMEM, "no memory");
	if (r == 0)
		out.bytes[out.len] = 0;
	*ret = (struct pki_bytes){ out.bytes, out.len };
	if (r < 0)
		pki_bytes_fini(ret);
	return r;
}
