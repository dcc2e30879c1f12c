/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small files with one secret in them: a token, an id. Read anew for each use, because somebody may
 * have replaced them.
 */
#ifndef SALLYPORT_CONTROL_SECRET_FILE_H
#define SALLYPORT_CONTROL_SECRET_FILE_H

#include "base/err.h"

/* The file's text without white space around it. 0, or -errno with `err`: it can not be read, is
 * empty, too large, or has a control character in its middle. For secret_file_free(). */
int secret_file_read(const char *file, char **ret, struct err_text *err);
void secret_file_free(char *secret); /* wipes; NULL is fine */

#endif
