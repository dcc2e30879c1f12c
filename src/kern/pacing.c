/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What pacing (pacing.h) needs of the kernel once the program is attached: the socket option that
 * the program takes, and a question to rtnetlink. Pure system calls.
 */
#include "kern/pacing.h"

#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/pacing.h"
#include "base/util.h"

#define ANSWER_BYTES 32768

bool pacing_set(int fd, uint64_t client, uint64_t rate)
{
	const struct pacing_order order = { .client = client, .rate = rate };

	return setsockopt(fd, PACING_LEVEL, PACING_OPTION, &order, sizeof(order)) == 0;
}

bool pacing_is_inherited(void)
{
	cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && pacing_set(fd, 0, 0);
}

static bool is_fq(const struct nlmsghdr *msg)
{
	const struct tcmsg *qdisc = NLMSG_DATA(msg);
	int left = (int)TCA_PAYLOAD(msg);

	for (const struct rtattr *attr = TCA_RTA(qdisc); RTA_OK(attr, left);
	     attr = RTA_NEXT(attr, left))
		if (attr->rta_type == TCA_KIND && RTA_PAYLOAD(attr) == sizeof("fq"))
			return memcmp(RTA_DATA(attr), "fq", sizeof("fq")) == 0;
	return false;
}

/* A device with several queues has several. */
static void note_device(int index, char *ret, size_t size)
{
	size_t used = strlen(ret), last;
	char name[IF_NAMESIZE];

	if (!if_indextoname((unsigned int)index, name))
		return;
	last = strlen(name);
	if (used >= last && strcmp(ret + used - last, name) == 0 &&
	    (used == last || ret[used - last - 1] == ' '))
		return;
	if (used + strlen(", ") + last < size)
		snprintf(ret + used, size - used, "%s%s", used ? ", " : "", name);
}

/* False: that was the last of the answer. */
static bool read_answer(int fd, char *ret, size_t size)
{
	_Alignas(struct nlmsghdr) char answer[ANSWER_BYTES];
	ssize_t n = recv(fd, answer, sizeof(answer), 0);
	unsigned int left = n > 0 ? (unsigned int)n : 0;

	for (const struct nlmsghdr *msg = (const void *)answer; NLMSG_OK(msg, left);
	     msg = NLMSG_NEXT(msg, left)) {
		if (msg->nlmsg_type == NLMSG_DONE || msg->nlmsg_type == NLMSG_ERROR)
			return false;
		if (msg->nlmsg_type == RTM_NEWQDISC && is_fq(msg))
			note_device(((const struct tcmsg *)NLMSG_DATA(msg))->tcm_ifindex, ret,
				    size);
	}
	return n > 0;
}

void pacing_devices(char *ret, size_t size)
{
	struct {
		struct nlmsghdr header;
		struct tcmsg qdisc;
	} question = {
		.header = { .nlmsg_len = sizeof(question),
			    .nlmsg_type = RTM_GETQDISC,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
	};
	cleanup_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	ret[0] = 0;
	if (fd < 0 || send(fd, &question, sizeof(question), 0) < 0)
		return;
	while (read_answer(fd, ret, size))
		;
}
