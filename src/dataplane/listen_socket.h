/* SPDX-License-Identifier: Apache-2.0 */
/* Opens one listening socket of a listener. */
#ifndef SALLYPORT_DATAPLANE_LISTEN_SOCKET_H
#define SALLYPORT_DATAPLANE_LISTEN_SOCKET_H

#include <stdbool.h>

#include "base/err.h"
#include "config/config.h"

#define LISTEN_BACKLOG 4096

/* Non-blocking listening socket, owned by the caller; or -errno with `err`. Several may be opened
 * on one TCP address (SO_REUSEPORT); `exclusive` fails if there is one already, of whatever
 * program. */
int listen_socket_open(const struct config_listener *config, bool exclusive, struct err_text *err);

#endif
