/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemd's journal without its library: is a descriptor its stream (sd-daemon), and entries by its
 * native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL), one datagram each.
 */
#ifndef SALLYPORT_BASE_JOURNAL_H
#define SALLYPORT_BASE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* True if systemd connected `fd` to the journal (JOURNAL_STREAM names its device and inode):
 * lines may then begin with a priority, "<6>". */
bool journal_is_stream(int fd);

/* A socket connected to `path` (JOURNAL_SOCKET but for tests), or -errno. A send waits a second at
 * most. */
int journal_open(const char *path);
/* One entry: MESSAGE is `message` without its newline, which has no other; `priority` as syslog's.
 * 0 or -errno. */
int journal_send(int fd, const char *identifier, int priority, const char *message, size_t len);

#endif
