/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Problems of a configuration as compilers show theirs.
 */
#ifndef SALLYPORT_CLI_REPORT_H
#define SALLYPORT_CLI_REPORT_H

#include <stdio.h>

#include "config/load.h"

/* "FILE:LINE:COL: error: KEY: TEXT", a line each; on a terminal with the line and a caret. Then,
 * if there was any, "2 errors, 1 warning". */
void report_problems(FILE *out, const char *file, const struct config_problems *problems);
/* The list as a JSON array of objects. */
void report_problems_json(FILE *out, const struct config_problems *problems);

#endif
