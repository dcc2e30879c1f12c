/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process takes from itself once it has opened everything, so that whoever takes it over
 * gets little: identity, capabilities, files, system calls. A plan is made of what the
 * configuration needs; it is applied once, by the first thread before there is any other, because
 * most of it belongs to a thread and is inherited by those that it makes.
 */
#ifndef SALLYPORT_KERN_SANDBOX_H
#define SALLYPORT_KERN_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum sandbox_mode {
	SANDBOX_AUTO,	  /* all that this kernel offers */
	SANDBOX_REQUIRED, /* all parts, and TCP ports too; else -EOPNOTSUPP */
	SANDBOX_OFF,	  /* only the user is changed, if there is one */
};

enum sandbox_access {
	SANDBOX_READ,	    /* the file, or the folder and everything in it */
	SANDBOX_READ_WRITE, /* the same, and it may be written to */
	/* The file is read, also after it has been replaced, by name or by a symbolic link on the
	 * way to it: the folder that it is named in and the one where it really is. */
	SANDBOX_READ_REPLACED,
	/* The file is written and read, and made anew when somebody has moved it away: its folder.
	 */
	SANDBOX_WRITE_REPLACED,
	/* Files in the folder are made, read, replaced and removed. */
	SANDBOX_STORE,
	/* A unix socket of this name is made and removed: its folder. */
	SANDBOX_SOCKET,
};

struct sandbox_path {
	char *path;
	enum sandbox_access access;
};

struct sandbox_port {
	uint16_t port; /* TCP; 0 to bind: any that the kernel chooses */
	bool bind;     /* else connect */
};

/* Zeroed at first. Lists grow by sandbox_allow_…() and are freed by sandbox_plan_fini(). */
struct sandbox_plan {
	enum sandbox_mode mode;
	const char *user;	/* borrowed; to become, if we are root; NULL: stay who we are */
	bool keep_bind_service; /* CAP_NET_BIND_SERVICE, if we have it */
	struct sandbox_path *paths;
	size_t path_count;
	struct sandbox_port *ports;
	size_t port_count;
	bool out_of_memory; /* sandbox_apply() fails with it */
};

/* Absolute paths; what is not there when the plan is applied is left out. NULL: nothing. */
void sandbox_allow_path(struct sandbox_plan *plan, const char *path, enum sandbox_access access);
void sandbox_allow_port(struct sandbox_plan *plan, uint16_t port, bool bind);
void sandbox_plan_fini(struct sandbox_plan *plan);

/* Irreversible, also where it fails. What the program itself needs (its libraries, the resolver's
 * files, /proc) is allowed without being named. The main thread, while it is the only one. 0, or
 * -errno with `err`: a user that can not become ours, a part missing in SANDBOX_REQUIRED, no
 * memory. */
int sandbox_apply(const struct sandbox_plan *plan, struct err_text *err);

enum sandbox_part {
	SANDBOX_PART_USER,
	SANDBOX_PART_CAPABILITIES,
	SANDBOX_PART_NO_NEW_PRIVILEGES,
	SANDBOX_PART_LANDLOCK,
	SANDBOX_PART_SECCOMP,
	SANDBOX_PART_NO_CORE,
	SANDBOX_PART_LOCKED_KEYS,
	SANDBOX_PART_COUNT
};

struct sandbox_fact {
	bool in_force;
	char text[160]; /* how far, or why not and what to do */
};

/* What is in force; any thread, after sandbox_apply(). */
void sandbox_facts(struct sandbox_fact ret[SANDBOX_PART_COUNT]);
/* The Landlock ABI of this kernel (from 1), or -errno with `err`: why there is none. Any thread. */
int sandbox_landlock_abi(struct err_text *err);
/* "user", "capabilities", …: one word with '_'. */
const char *sandbox_part_name(enum sandbox_part part);

#endif
