/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for keys: pages that are locked (mlock), left out of cores (MADV_DONTDUMP) and not
 * inherited by children (MADV_WIPEONFORK), cut into slots of fixed sizes. Freed slots are wiped at
 * once. Where RLIMIT_MEMLOCK does not allow the lock, memory is still given, and secret_locked()
 * says false once for all.
 */
#ifndef SALLYPORT_BASE_SECRET_H
#define SALLYPORT_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#define SECRET_BYTES_MAX 1024

/* Zeroed memory of `size` bytes (1..SECRET_BYTES_MAX), or NULL. Any thread. */
void *secret_alloc(size_t size);
/* Wipes and gives back; `p` may be NULL; `size` is what was asked for. Any thread. */
void secret_free(void *p, size_t size);
/* Wipes `p`; never optimised away. */
void secret_wipe(void *p, size_t size);
/* False once any page could not be locked. */
bool secret_locked(void);

#endif
