/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the log only: the start and the end of a line's text (log_line.c). */
#ifndef SALLYPORT_BASE_LOG_IMPL_H
#define SALLYPORT_BASE_LOG_IMPL_H

#include "base/log.h"

/* `text`, `size` and `json` are set. `level` NULL: a record has none. */
void log_line_open(struct log_line *line, const char *level, const char *event);
/* With the newline. */
void log_line_close(struct log_line *line);

#endif
