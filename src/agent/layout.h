/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layout: one directory with one certificate in it, in the forms that applications want. Made of
 * a credential and the roots in force, compared with what is there, and read back.
 */
#ifndef SALLYPORT_AGENT_LAYOUT_H
#define SALLYPORT_AGENT_LAYOUT_H

#include "agent/generation.h"
#include "config/agent.h"
#include "control/control.h"
#include "pki/credential.h"
#include "pki/file_digest.h"

struct layout {
	const struct config_agent_certificate *certificate; /* borrowed, as what follows */
	const struct config_layout *config;
	uid_t uid; /* -1: ours */
	gid_t gid;
	/* As it was laid out: whoever changes a file is found out. */
	bool known;
	size_t count;
	struct {
		char name[GENERATION_NAME_MAX + 1];
		uint8_t digest[FILE_DIGEST_BYTES];
	} files[GENERATION_FILES_MAX];
};

/* What is laid out; all borrowed. */
struct layout_content {
	const struct pki_credential *credential;
	const char *roots_pem;
	const char *origin; /* control_origin() */
};

/* 0, or -EINVAL with `err`: no such user or group. */
int layout_init(struct layout *layout, const struct config_agent_certificate *certificate,
		const struct config_layout *config, struct err_text *err);
/* Writes all files and puts them into force. 0, or -errno with `err`: what was there stays. */
int layout_write(struct layout *layout, const struct layout_content *content, struct err_text *err);
/* Whether that is what is there already; takes it for known then. */
bool layout_holds(struct layout *layout, const struct layout_content *content);
/* Whether all files still are as they were laid out; *ret_name: the first that is not. */
bool layout_stands(const struct layout *layout, const char **ret_name);
/* Reads certificate, key, roots and origin back; the caller frees *ret_roots. 0, or -errno with
 * `err`: -ENOTSUP: of templates alone nothing can be read back. */
int layout_read(const struct layout *layout, struct pki_credential **ret, char **ret_roots,
		char ret_origin[CONTROL_ORIGIN_BYTES], struct err_text *err);

/* The first line of a file. 0, or -errno with `err`. */
int layout_password(const char *file, struct pki_bytes *ret, struct err_text *err);

#endif
