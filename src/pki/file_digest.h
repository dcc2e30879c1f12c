/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells whether a file is still what it was, without keeping what is in it.
 */
#ifndef SALLYPORT_PKI_FILE_DIGEST_H
#define SALLYPORT_PKI_FILE_DIGEST_H

#include <stdint.h>

#define FILE_DIGEST_BYTES 32

/* SHA-256 over content, mode and owner; over the reason where the file can not be read, which is a
 * state as any other. -errno (EMFILE, ENFILE, ENOMEM) if we are at fault and nothing is known.
 * Symbolic links are followed. */
int file_digest(const char *path, uint8_t ret[FILE_DIGEST_BYTES]);

#endif
