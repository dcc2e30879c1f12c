/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mapping rules: what they make of names, what is refused, and which rules are no rules. That
 * Kafka's own class says the same is seen by tests/kafka/test_principal.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "kafka/principal_rules.h"
#include "limits/limits.h"

static struct principal_rules *rules_of(const char *text)
{
	struct principal_rules *rules = NULL;
	struct err_text err = { "" };
	size_t at = 0;

	if (principal_rules_new(&text, text ? 1 : 0, &rules, &at, &err) < 0)
		fail_msg("'%s': %s", text, err.text);
	return rules;
}

/* `expected` NULL: refused, with `refusal`. */
struct mapping {
	const char *rules, *name, *expected;
	int refusal;
};

static void check(const struct mapping *m)
{
	struct principal_rules *rules = rules_of(m->rules);
	struct err_text why = { "" };
	char *principal = NULL;
	int r = principal_of(rules, m->name, &principal, &why);

	if (r != m->refusal || (m->expected && strcmp(m->expected, principal) != 0))
		fail_msg("'%s' by '%s': %d '%s' (%s), not %d '%s'", m->name, m->rules, r, principal,
			 why.text, m->refusal, m->expected);
	if (r)
		assert_true(why.text[0] && !principal);
	free(principal);
	principal_rules_free(rules);
}

static const struct mapping mappings[] = {
	{ NULL, "CN=svc-a,O=Corp", "CN=svc-a,O=Corp" },
	{ "DEFAULT", "CN=svc-a,O=Corp", "CN=svc-a,O=Corp" },
	{ "RULE:^CN=(.*?),OU=Apps.*$/$1/,DEFAULT", "CN=web,OU=Apps,O=C", "web" },
	{ "RULE:^CN=(.*?),OU=Apps.*$/$1/,DEFAULT", "CN=web,OU=Other", "CN=web,OU=Other" },
	{ "RULE:^CN=(.*?),OU=Apps.*$/$1/", "CN=web,OU=Other", NULL, PRINCIPAL_UNMAPPED },
	{ "RULE:^CN=([^,]+),OU=([^,]+),.*$/$1@$2/L", "CN=Web,OU=Apps,O=C", "web@apps" },
	{ "RULE:^.*[Cc][Nn]=([A-Za-z0-9.]*).*$/$1/U", "O=C,CN=db.1,L=x", "DB.1" },
	/* first rule that matches the whole */
	{ "RULE:CN=(.*)/one-$1/,RULE:CN=(a.*)/two-$1/", "CN=ab", "one-ab" },
	{ "RULE:N=(.*)/$1/,RULE:.*N=(.*)/whole-$1/L", "CN=ab", "whole-ab" },
	/* commas and slashes within rules; blanks between them */
	{ " RULE:^CN=(.*?),O=x$/$1,y/ ,  DEFAULT ", "CN=a,O=x", "a,y" },
	{ "RULE:^CN=(.*?)\\/(.*?),.*$/$2\\/$1/", "CN=a/b,O=x", "b/a" },
	/* each match is replaced, not only the whole */
	{ "RULE:.*/x/", "abc", "xx" },
	{ "RULE:((?:a|b)*?)/<$1>/", "ab", "<>a<>b<>" },
	{ "RULE:a+?/x/", "aaa", "xxx" },
	/* groups that are not there, that took no part, that have names */
	{ "RULE:CN=(.*)/$1@$4/", "CN=a", "a@$4" },
	{ "RULE:CN=(.*)/$12/", "CN=a", "a2" },
	{ "RULE:CN=(.*)/$0/", "CN=a", "CN=a" },
	{ "RULE:CN=(.*)/$01/", "CN=a", "a" },
	{ "RULE:CN=(?:(a)|b)/[$1]/", "CN=b", "[]" },
	{ "RULE:CN=(?<who>.*)/${who}!/", "CN=a", "a!" },
	{ "RULE:CN=(.*)/\\$1\\\\/", "CN=a", "$1\\" },
	/* traps */
	{ "RULE:CN=(.*)/ $1/", "CN=a", NULL, PRINCIPAL_RESERVED },
	{ "RULE:CN=(.*)/$1 /", "CN=a", NULL, PRINCIPAL_RESERVED },
	{ "DEFAULT", "CN=a,O=x\\ ", NULL, PRINCIPAL_RESERVED },
	{ "RULE:CN=\\\\ (.*)/ /", "CN=\\ a", NULL, PRINCIPAL_RESERVED },
	{ "RULE:CN=.*//", "CN=a", NULL, PRINCIPAL_EMPTY },
	{ "DEFAULT", "", NULL, PRINCIPAL_EMPTY },
	{ "RULE:CN=(.*)/$1/", "CN=ANONYMOUS", NULL, PRINCIPAL_RESERVED },
	{ "RULE:CN=(.*)/$1/", "CN=Anonymous", "Anonymous" },
	{ "RULE:CN=(.*)/$1/U", "CN=anonYmous", NULL, PRINCIPAL_RESERVED },
	{ "RULE:.*,O=.*/ANONYMOUS/", "CN=a,O=x", NULL, PRINCIPAL_RESERVED },
	{ "RULE:.*/ANONYMOUS/", "CN=a,O=x", "ANONYMOUSANONYMOUS" },
	{ "RULE:^.*$/ANONYMOUS/", "CN=a,O=x", NULL, PRINCIPAL_RESERVED },
	/* case beyond ASCII */
	{ "RULE:CN=(.*)/$1/L", "CN=M\u00dcLLER", "m\u00fcller" },
	{ "RULE:CN=(.*)/$1/U", "CN=m\u00fcller", "M\u00dcLLER" },
	{ "RULE:CN=(.*)/$1/L", "CN=\u0418\u0432\u0430\u043d", "\u0438\u0432\u0430\u043d" },
	{ "RULE:CN=(.*)/$1/L", "CN=svc-\u212a", NULL, PRINCIPAL_UNUSABLE }, /* KELVIN SIGN */
	{ "RULE:CN=(.*)/$1/U", "CN=\u017fvc", NULL, PRINCIPAL_UNUSABLE },   /* long s */
	{ "RULE:CN=(.*)/$1/U", "CN=stra\u00dfe", NULL, PRINCIPAL_UNUSABLE },
	{ "RULE:CN=(.*)/$1/U", "CN=\u0131d", NULL, PRINCIPAL_UNUSABLE },
	{ "RULE:CN=(.*)/$1/L", "CN=\u0130d", NULL, PRINCIPAL_UNUSABLE },
	/* where case does not count only ASCII has it */
	{ "RULE:(?i)cn=([a-z]+)/$1/", "CN=Ab", "Ab" },
	{ "RULE:(?i)cn=([a-z]+)/$1/,DEFAULT", "CN=\u00c4b", "CN=\u00c4b" },
	{ "RULE:(?i)cn=([a-z]+)/$1/,DEFAULT", "CN=\u212a", NULL, PRINCIPAL_UNUSABLE },
	{ "RULE:CN=\\bx(.*)/$1/,DEFAULT", "CN=x\u00e4", NULL, PRINCIPAL_UNUSABLE },
	/* the end of a line is not any character */
	{ "RULE:CN=(.*)/$1/", "CN=a\u2028b", NULL, PRINCIPAL_UNMAPPED },
	{ "RULE:CN=((?s).*)/$1/", "CN=a\u2028b", "a\u2028b" },
	{ "DEFAULT", "CN=\xff", NULL, PRINCIPAL_UNUSABLE },
	/* a pair of UTF-16 */
	{ "RULE:CN=(.)/$1/", "CN=\U0001f600", "\U0001f600" },
	{ "RULE:.*?/-/", "\U0001f600", NULL, PRINCIPAL_UNUSABLE },
};

static void test_mappings(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(mappings); i++)
		check(&mappings[i]);
}

static void test_bad_rules(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", "no rule" },
		{ " , ,", "no rule" },
		{ "default", "is no rule" },
		{ "RULE:a/b", "is no rule" },
		{ "RULE:a/b/,x", "'x' is no rule" },
		{ "RULE:a/b/LU", "'U' is too much" },
		{ "RULE:a/b/X,DEFAULT", "'X' is too much" },
		{ "DEFAULT/L", "'/L' is too much" },
		{ "RULE:a(b/c/", "byte 4 of the pattern: missing closing parenthesis" },
		{ "RULE:a/$1/", "has only 0 groups" },
		{ "RULE:(a)/$/", "without the number" },
		{ "RULE:(a)/$2$3/", "has only 1 groups" }, /* Kafka escapes the first of them */
		{ "RULE:(a)/${b}/", "no group 'b'" },
		{ "RULE:(a)/${b/", "not followed" },
		{ "RULE:(a)/$99999999999/", "too large" },
		{ "RULE:[a[b]]/x/", "class within the class" },
		{ "RULE:[a&&b]/x/", "intersection" },
		{ "RULE:[]a]/x/", "empty class" },
		{ "RULE:[\\d-z]/x/", "no range" },
		{ "RULE:[a-\\d]/x/", "range can not end" },
		{ "RULE:[a/x/", "without its ']'" },
		{ "RULE:a{/x/", "no quantifier" },
		{ "RULE:a{2}{3}/x/", "quantifier of a quantifier" },
		{ "RULE:a**/x/", "quantifier of a quantifier" },
		{ "RULE:(a|b)*/$1/", "group 1 is repeated" },
		{ "RULE:((a)b)+/$2/", "group 2 is repeated" },
		{ "RULE:(?!(a)).*/$1/", "group 1 is repeated" },
		{ "RULE:(?<n>a)?+/${n}/", "group 1 is repeated" },
		{ "RULE:(a)(b)*\\1/x/", "a reference to a group" },
		{ "RULE:(a\\1)/x/", "'\\1'" },
		{ "RULE:(a)(?=\\1)/x/", "'\\1'" },
		{ "RULE:(?<n>a)(?<=\\k<n>)/x/", "'\\k'" },
		{ "RULE:(a*)+/x/", "match nothing" },
		{ "RULE:(?:a|b?|)*/x/", "match nothing" },
		{ "RULE:^*a/x/", "match nothing" },
		{ "RULE:a|*/x/", "nothing before it" },
		{ "RULE:a)/x/", "without its '('" },
		{ "RULE:(*UTF)a/x/", "nothing is there to repeat" },
		{ "RULE:(?x)a/x/", "modifiers" },
		{ "RULE:(?P<n>a)/x/", "modifiers" },
		{ "RULE:(?<n_1>a)/x/", "letters and digits" },
		{ "RULE:\\012/x/", "'\\0'" },
		{ "RULE:(a)\\11/x/", "'\\1'" },
		{ "RULE:\\K/x/", "'\\K'" },
		{ "RULE:\\p{Alpha}/x/", "general categories" },
		{ "RULE:\\u0041/x/", "'\\u'" },
		{ "RULE:\\x4/x/", "'\\x'" },
		{ "RULE:(?i)\u00e4/x/", "only ASCII" },
		{ "RULE:(?i)\\x{e4}/x/", "only ASCII" },
		{ "RULE:(?i)(a)\\1/x/", "only ASCII" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *const texts[] = { "DEFAULT", rows[i].text };
		struct principal_rules *rules = NULL;
		struct err_text err = { "" };
		size_t at = 0;

		if (principal_rules_new(texts, 2, &rules, &at, &err) == 0)
			fail_msg("'%s' was taken", rows[i].text);
		if (!strstr(err.text, rows[i].why))
			fail_msg("'%s': '%s', not '%s'", rows[i].text, err.text, rows[i].why);
		assert_int_equal(at, 1);
	}
}

static void test_good_patterns(void **state)
{
	static const char *const texts[] = {
		"RULE:^CN=([^,\\\\]*(?:\\\\.[^,\\\\]*)*).*$/$1/",
		"RULE:[a-z-][\\d_.-][^\\]\\[&-]{1,3}+/x/",
		"RULE:(?<a>x)\\k<a>(?s:b)(?-s)c/x/",
		"RULE:(?i:b)(?-i)c/x/",
		"RULE:\\Q[a{\\E.*?\\x2c\\x{1F600}\\p{Lu}\\pL/x/",
		"RULE:(?=a)(?!b)(?<=c)(?<!d)(?>e)\\A\\z/x/",
		"RULE:(a)\\1b|c}/x/",
		"RULE:CN=((?:[^,\\\\]|\\\\.)+)(,.*)?/$1$2/",
		"RULE:/x/",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		principal_rules_free(rules_of(texts[i]));
}

static void test_unreached(void **state)
{
	const char *const texts[] = { "RULE:a/b/", "DEFAULT", "RULE:c/d/" };
	const char *within = "DEFAULT,RULE:c/d/";
	struct principal_rules *rules = NULL;
	struct err_text err;
	size_t at;

	assert_int_equal(principal_rules_new(texts, 3, &rules, &at, &err), 0);
	assert_int_equal(principal_rules_unreached(rules), 2);
	principal_rules_free(rules);
	assert_int_equal(principal_rules_new(texts, 2, &rules, &at, &err), 0);
	assert_int_equal(principal_rules_unreached(rules), 2);
	principal_rules_free(rules);
	assert_int_equal(principal_rules_new(&within, 1, &rules, &at, &err), 0);
	assert_int_equal(principal_rules_unreached(rules), 0);
	principal_rules_free(rules);
	principal_rules_free(NULL);
}

/* A name can not make us work without end, nor produce one without end. */
static void test_limits(void **state)
{
	static char name[PRINCIPAL_BYTES_MAX + 2];
	static const struct mapping costly[] = {
		{ "RULE:(a+)+b/x/", name, NULL, PRINCIPAL_COSTLY },
		{ "RULE:(.*)(.*)(.*)(.*)b/x/", name, NULL, PRINCIPAL_COSTLY },
		{ "RULE:(?:a|aa)*b|a*/x/", name, NULL, PRINCIPAL_COSTLY },
		{ "RULE:(.)(.*)/$0$0/", name, NULL, PRINCIPAL_UNUSABLE },
		{ "RULE:^(a*)$/$1/", name, name },
		{ "DEFAULT", name, name },
	};

	memset(name, 'a', PRINCIPAL_BYTES_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(costly); i++)
		check(&costly[i]);
	name[PRINCIPAL_BYTES_MAX] = 'a';
	check(&(struct mapping){ "DEFAULT", name, NULL, PRINCIPAL_UNUSABLE });
}

static void test_too_much(void **state)
{
	static char text[PRINCIPAL_RULE_BYTES_MAX + 1024];
	const char *long_text = text;
	const char *texts[PRINCIPAL_RULES_MAX + 1];
	struct principal_rules *rules = NULL;
	struct err_text err = { "" };
	size_t at;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		texts[i] = "RULE:a/b/";
	assert_int_equal(principal_rules_new(texts, PRINCIPAL_RULES_MAX, &rules, &at, &err), 0);
	principal_rules_free(rules);
	assert_true(principal_rules_new(texts, PRINCIPAL_RULES_MAX + 1, &rules, &at, &err) < 0);
	assert_int_equal(at, PRINCIPAL_RULES_MAX);
	/* As long as may be: it is taken apart within the steps there are for it. */
	snprintf(text, sizeof(text), "RULE:%0*d/x/", PRINCIPAL_RULE_BYTES_MAX - 8, 0);
	assert_int_equal(principal_rules_new(&long_text, 1, &rules, &at, &err), 0);
	principal_rules_free(rules);
	snprintf(text, sizeof(text), "RULE:%0*d/x/", PRINCIPAL_RULE_BYTES_MAX - 7, 0);
	assert_true(principal_rules_new(&long_text, 1, &rules, &at, &err) < 0);
	assert_non_null(strstr(err.text, "longer than"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mappings),      cmocka_unit_test(test_bad_rules),
		cmocka_unit_test(test_good_patterns), cmocka_unit_test(test_unreached),
		cmocka_unit_test(test_limits),	      cmocka_unit_test(test_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
