/* SPDX-License-Identifier: Apache-2.0 */
/* What the service manager hears, and nothing where there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/notify.h"

/* An abstract name of this process. */
static void manager_address(struct sockaddr_un *ret, socklen_t *ret_len, char name[64])
{
	snprintf(name, 64, "@sallyport-notify-%d", (int)getpid());
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret->sun_path, name, strlen(name));
	ret->sun_path[0] = 0;
	*ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
}

static int manager_open(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un un;
	socklen_t len;
	char name[64];

	manager_address(&un, &len, name);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, len), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	notify_init();
	return fd;
}

static void expect(int fd, const char *text)
{
	char got[4096] = "";

	assert_true(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT) >= 0);
	assert_string_equal(got, text);
}

static void test_text(void **state)
{
	int manager = manager_open();
	char byte;

	(void)state;
	assert_true(notify_enabled());
	notify_send("READY=1\nSTATUS=%d doors", 3);
	expect(manager, "READY=1\nSTATUS=3 doors");
	notify_send("STATUS=%3000s", "long"); /* cut, not lost */
	assert_int_equal(recv(manager, &byte, 1, MSG_DONTWAIT | MSG_TRUNC), 2047);
	notify_end();
	assert_false(notify_enabled());
	notify_send("READY=1");
	assert_int_equal(recv(manager, &byte, 1, MSG_DONTWAIT), -1);
	close(manager);
}

static void test_nobody_listens(void **state)
{
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	notify_init();
	assert_false(notify_enabled());
	setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
	notify_init();
	assert_false(notify_enabled());
	setenv("NOTIFY_SOCKET", "relative", 1);
	notify_init();
	assert_false(notify_enabled());
	notify_send("READY=1"); /* and nothing happens */
}

static void test_watchdog(void **state)
{
	char pid[16];
	int manager;

	(void)state;
	setenv("WATCHDOG_USEC", "3000000", 1);
	assert_int_equal(notify_watchdog_ns(), 0); /* without a manager */
	manager = manager_open();
	assert_int_equal(notify_watchdog_ns(), 3000000000ULL);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(notify_watchdog_ns(), 3000000000ULL);
	setenv("WATCHDOG_PID", "1", 1); /* meant for somebody else */
	assert_int_equal(notify_watchdog_ns(), 0);
	unsetenv("WATCHDOG_PID");
	setenv("WATCHDOG_USEC", "soon", 1);
	assert_int_equal(notify_watchdog_ns(), 0);
	unsetenv("WATCHDOG_USEC");
	assert_int_equal(notify_watchdog_ns(), 0);
	notify_end();
	close(manager);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_watchdog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
