/* SPDX-License-Identifier: Apache-2.0 */
/* Causes of failure (cause.h). Constant data; any thread. */
#include "control/cause.h"

enum scope { REQUEST, SOURCE };

static const struct {
	const char *name, *meaning;
	enum scope scope;
} causes[CAUSE_COUNT] = {
#define X(suffix, name, scope, meaning) [CAUSE_##suffix] = { name, meaning, scope },
	CAUSES(X)
#undef X
};

const char *cause_name(enum cause cause)
{
	return causes[cause].name;
}

const char *cause_meaning(enum cause cause)
{
	return causes[cause].meaning;
}

bool cause_is_of_source(enum cause cause)
{
	return causes[cause].scope == SOURCE;
}

uint64_t cause_sum(const uint64_t failures[CAUSE_COUNT])
{
	uint64_t total = 0;

	for (int cause = 0; cause < CAUSE_COUNT; cause++)
		total += failures[cause];
	return total;
}
