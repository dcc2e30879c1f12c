/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules for principals and names, both hostile: [rules] NUL [name]. Whatever they are, it ends
 * soon; a principal is text that a broker takes as it is, and the same each time.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kafka/jwt.h"
#include "kafka/principal_rules.h"
#include "limits/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool truth)
{
	if (!truth)
		abort();
}

static void check(const struct principal_rules *rules, const char *name)
{
	struct err_text why = { "" };
	char *once = NULL, *again = NULL;
	int r = principal_of(rules, name, &once, &why);

	must(r == principal_of(rules, name, &again, &why));
	must(r >= 0 && r <= PRINCIPAL_UNUSABLE);
	must(!r == !!once && !r == !!again);
	if (r)
		must(why.text[0]);
	else
		must(strcmp(once, again) == 0 && !jwt_subject_fault(once));
	free(once);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct principal_rules *rules = NULL;
	struct err_text err = { "" };
	const char *texts[1] = { text };
	size_t at = 1, len;
	int r;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	len = strlen(text);
	r = principal_rules_new(texts, 1, &rules, &at, &err);
	must(r == 0 || (r == -EINVAL && at == 0 && err.text[0]));
	if (r == 0)
		check(rules, len < size ? text + len + 1 : "CN=svc-a,O=Corp");
	principal_rules_free(rules);
	free(text);
	return 0;
}
