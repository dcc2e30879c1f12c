/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of what `sallyport status` prints, for other verbs. */
#ifndef SALLYPORT_CLI_STATUS_H
#define SALLYPORT_CLI_STATUS_H

#include <jansson.h>

/* A table of those of the control plane; nothing if there are none. */
void status_print_certificates(const json_t *certificates);

#endif
