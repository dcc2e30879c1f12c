/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identity and capabilities of the sandbox (sandbox.h). Capabilities go by system calls of our own:
 * it is one call, and a library for it would be one more that runs as root. Main thread.
 */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "kern/sandbox_impl.h"

#define CAP_BIT(cap) (1ULL << (cap))

static int capabilities_get(uint64_t *ret_permitted)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	*ret_permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return 0;
}

static int capabilities_set(uint64_t keep)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	for (size_t i = 0; i < ARRAY_SIZE(data); i++) {
		uint32_t half = (uint32_t)(keep >> (32 * i));

		data[i] = (struct __user_cap_data_struct){ half, half, half };
	}
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static uint64_t capabilities_kept(const struct sandbox_plan *plan, uint64_t permitted)
{
	return plan->keep_bind_service ? permitted & CAP_BIT(CAP_NET_BIND_SERVICE) : 0;
}

int sandbox_become_user(const struct sandbox_plan *plan, struct err_text *err)
{
	const struct passwd *entry;
	uid_t uid;
	gid_t gid;

	if (!plan->user || geteuid() != 0)
		return 0;
	errno = 0;
	entry = getpwnam(plan->user);
	if (!entry)
		return err_set(err, errno ? -errno : -ENOENT,
			       "user: there is no '%s' on this host%s%s", plan->user,
			       errno ? ": " : "; `useradd --system` makes one",
			       errno ? strerror(errno) : "");
	uid = entry->pw_uid;
	gid = entry->pw_gid;
	/* What is kept must survive the change; the rest goes in the next step. */
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || initgroups(plan->user, gid) < 0 ||
	    setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_set(err, -errno, "can not become user '%s': %s", plan->user,
			       strerror(errno));
	return 0;
}

/* What even a program with file capabilities could not get back. Takes CAP_SETPCAP; who has it not
 * is held by no-new-privileges alone. */
static void drop_bounding_set(uint64_t keep)
{
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!(keep & CAP_BIT(cap)))
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

int sandbox_drop_capabilities(const struct sandbox_plan *plan, struct sandbox_fact *fact)
{
	uint64_t permitted = 0, keep;
	int r = capabilities_get(&permitted);

	keep = capabilities_kept(plan, permitted);
	/* A change of identity has taken them from the effective set. */
	if (r == 0)
		r = capabilities_set(permitted);
	if (r == 0) {
		drop_bounding_set(keep);
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
		r = capabilities_set(keep);
	}
	if (r < 0) {
		sandbox_fact_set(fact, false, "%s", strerror(-r));
		return r;
	}
	/* So that the program that takes over in an upgrade has it too. */
	if (keep)
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0);
	sandbox_fact_set(fact, true, "%s", keep ? "net_bind_service" : "none");
	return 0;
}
