/* SPDX-License-Identifier: Apache-2.0 */
/* See loading.h. One thread. */
#include "unit/config/loading.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct config_problems problems;

int load(const char *text, size_t len, struct config **ret)
{
	memset(&problems, 0, sizeof(problems));
	return config_load_bytes(text, len, "/etc/sallyport", ret, &problems);
}

void assert_clean(void)
{
	for (size_t i = 0; i < problems.count; i++)
		print_error("%u:%u: %s: %s\n", problems.items[i].line, problems.items[i].column,
			    problems.items[i].path, problems.items[i].text);
	assert_int_equal(problems.count, 0);
}

void assert_row(const struct bad_row *row, enum config_severity severity)
{
	struct config *config = NULL;
	int r = load(row->text, strlen(row->text), &config);

	config_free(config);
	if (problems.count == 1 && problems.items[0].line == row->line &&
	    problems.items[0].column == row->column && problems.items[0].severity == severity &&
	    strcmp(problems.items[0].path, row->path) == 0 &&
	    strstr(problems.items[0].text, row->says) &&
	    r == (severity == CONFIG_ERROR ? -EINVAL : 0))
		return;
	print_error("%s\nexpected %u:%u: %s: …%s…\n", row->text, row->line, row->column, row->path,
		    row->says);
	for (size_t i = 0; i < problems.count; i++)
		print_error("found %u:%u: %s: %s\n", problems.items[i].line,
			    problems.items[i].column, problems.items[i].path,
			    problems.items[i].text);
	fail();
}

void assert_rows(const struct bad_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_row(&rows[i], CONFIG_ERROR);
}
