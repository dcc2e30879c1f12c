/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the service manager how we are: the protocol of sd_notify(3), lines in a datagram to the
 * socket that $NOTIFY_SOCKET names. Without that variable everything here is a no-op.
 */
#ifndef SALLYPORT_BASE_NOTIFY_H
#define SALLYPORT_BASE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* Opens the socket; before any thread and before rights are given up. */
void notify_init(void);
/* Somebody else speaks for the service from now on. */
void notify_end(void);
bool notify_enabled(void);

/* Lines such as "READY=1\nSTATUS=…", printf-like and cut at 2 KiB. Nobody waits for an answer: that
 * it did not arrive is not an error. Main thread. */
void notify_send(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* How often the manager wants WATCHDOG=1 at least, in ns, of this process; 0: not at all. */
uint64_t notify_watchdog_ns(void);

#endif
