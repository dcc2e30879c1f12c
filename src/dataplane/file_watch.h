/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notices when the configuration, or a file that it names, is not any more what it was when it was
 * last read: written anew, renamed over, or changed by a symbolic link on its way (the "..data" of
 * Kubernetes' volumes). Main thread.
 */
#ifndef SALLYPORT_DATAPLANE_FILE_WATCH_H
#define SALLYPORT_DATAPLANE_FILE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"

struct file_watch;

/* NULL: out of memory. Where inotify can not be had, it says so in the log, and looks from time to
 * time only. */
struct file_watch *file_watch_new(const char *config_file);
void file_watch_free(struct file_watch *watch);

/* The files are about to be read: they are known as they are now. */
void file_watch_reading(struct file_watch *watch);
/* These are the files that are read next. -ENOMEM: it watches those of before. */
int file_watch_follow(struct file_watch *watch, const struct config *config);

/* Readable when something has happened; -1: there is none. May differ after each call. */
int file_watch_fd(const struct file_watch *watch);
void file_watch_on_readable(struct file_watch *watch, uint64_t now_ns);
/* When file_watch_changed() wants to be called next, CLOCK_MONOTONIC. */
uint64_t file_watch_due_ns(const struct file_watch *watch);
/* Whether any file differs from what was last read. Each difference is told once. */
bool file_watch_changed(struct file_watch *watch, uint64_t now_ns);

#endif
