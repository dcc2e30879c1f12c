/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the proxy tells the program of pacing, and what rtnetlink tells of fq: with stand-ins for
 * the kernel on both sides. That the program does its work is seen in VMs (vm_pacing.py).
 */
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "abi/pacing.h"
#include "base/util.h"
#include "kern/pacing.h"

static struct {
	bool there; /* the program */
	int level, option;
	struct pacing_order order;
} told;

int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	assert_int_equal(len, sizeof(told.order));
	told.level = level;
	told.option = option;
	memcpy(&told.order, value, sizeof(told.order));
	return told.there ? 0 : -1;
}

static struct {
	char bytes[4096];
	size_t len;
} answer;

ssize_t __wrap_recv(int fd, void *buffer, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *buffer, size_t size, int flags)
{
	size_t len = MIN(answer.len, size);

	memcpy(buffer, answer.bytes, len);
	answer.len = 0;
	return (ssize_t)len;
}

char *__wrap_if_indextoname(unsigned int index, char *name);
char *__wrap_if_indextoname(unsigned int index, char *name)
{
	if (index > 20)
		return NULL;
	snprintf(name, IF_NAMESIZE, "eth%u", index);
	return name;
}

static void add_message(uint16_t type, int index, const char *kind)
{
	struct nlmsghdr *msg = (void *)(answer.bytes + answer.len);
	struct rtattr *attr;

	memset(msg, 0, NLMSG_SPACE(sizeof(struct tcmsg)));
	msg->nlmsg_type = type;
	msg->nlmsg_len = NLMSG_LENGTH(sizeof(struct tcmsg));
	((struct tcmsg *)NLMSG_DATA(msg))->tcm_ifindex = index;
	attr = TCA_RTA(NLMSG_DATA(msg));
	attr->rta_type = TCA_KIND;
	attr->rta_len = (unsigned short)RTA_LENGTH(strlen(kind) + 1);
	memcpy(RTA_DATA(attr), kind, strlen(kind) + 1);
	msg->nlmsg_len += RTA_ALIGN(attr->rta_len);
	answer.len += NLMSG_ALIGN(msg->nlmsg_len);
}

static void test_order(void **state)
{
	assert_false(pacing_set(7, 12, 34));
	told.there = true;
	assert_true(pacing_set(7, 12, 34));
	assert_int_equal(told.level, PACING_LEVEL);
	assert_int_equal(told.option, PACING_OPTION);
	assert_int_equal(told.order.client, 12);
	assert_int_equal(told.order.rate, 34);
}

static void assert_devices(size_t room, const char *expected)
{
	char text[256];

	pacing_devices(text, room);
	assert_string_equal(text, expected);
}

static void test_devices(void **state)
{
	answer.len = 0;
	assert_devices(256, "");
	add_message(RTM_NEWQDISC, 1, "pfifo_fast");
	add_message(RTM_NEWQDISC, 2, "fq_codel");
	add_message(NLMSG_DONE, 0, "");
	assert_devices(256, "");
	add_message(RTM_NEWQDISC, 12, "mq");
	add_message(RTM_NEWQDISC, 12, "fq");
	add_message(RTM_NEWQDISC, 12, "fq"); /* of another queue */
	add_message(RTM_NEWQDISC, 2, "fq");
	add_message(RTM_NEWQDISC, 21, "fq"); /* has just gone */
	assert_devices(256, "eth12, eth2");
	add_message(RTM_NEWQDISC, 1, "fq");
	add_message(RTM_NEWQDISC, 2, "fq");
	assert_devices(8, "eth1");
	add_message(NLMSG_ERROR, 3, "fq");
	assert_devices(256, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
