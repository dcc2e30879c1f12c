/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The families of metrics that are the control plane's: servers, certificates, roots.
 */
#ifndef SALLYPORT_ADMIN_METRICS_CONTROL_H
#define SALLYPORT_ADMIN_METRICS_CONTROL_H

#include <stdio.h>

#include "control/control.h"

/* `control` NULL: nothing. Any thread. */
void metrics_control_write(FILE *out, struct control *control);

#endif
