/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the data plane's unit tests share: a worker without a thread on the real epoll loop, whose
 * turns the test takes one by one, and connections put together by hand that begin in the relay.
 */
#ifndef SALLYPORT_TESTS_DATAPLANE_RIG_H
#define SALLYPORT_TESTS_DATAPLANE_RIG_H

/* cmocka wants these before its own header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/util.h"
#include "config/config.h"
#include "dataplane/conn.h"
#include "dataplane/transport.h"
#include "dataplane/worker.h"
#include "lib/open_fds.h"
#include "loop/loop_backend.h"

#define VERSION_1_2 0x0303
#define VERSION_1_3 0x0304

struct rig {
	struct worker worker;
	struct config process;
	struct config_listener config;
	struct listener_state state;
	struct snapshot snapshot;
	struct route route;
	struct stats share; /* of the route's counters */
	struct loop_task turner;
	unsigned int turns_left;
	struct clock_fake clock; /* stands still unless the test turns it */
};

/* For cmocka: *state is a struct rig. The teardown ends what is left and checks that nothing is
 * lent any more. */
int rig_setup(void **state);
int rig_teardown(void **state);
void rig_init(struct rig *rig);
void rig_fini(struct rig *rig);

/* Takes `turns` turns of the loop, never waiting. */
void rig_turns(struct rig *rig, unsigned int turns);
/* Time passes; what it makes due is done. */
void rig_pass_ms(struct rig *rig, uint64_t ms);
/* For loops that wait for the kernel: counts the tries, sleeps a little now and then, and says no
 * after half a minute. */
bool rig_patience(unsigned int *tries);
/* Takes turns until `done`; fails the test if patience ends. */
void rig_until(struct rig *rig, bool (*done)(void *arg), void *arg);
bool rig_is_empty(void *rig); /* for rig_until: no connection is left */

/* A connection with both sockets, plain, ready for conn_relay_start(). Takes both. */
struct conn *rig_conn(struct rig *rig, int accepted_fd, int dialed_fd);
/* All closes so far have this reason, and there are `count`. */
void rig_assert_closed(struct rig *rig, enum close_reason reason, uint64_t count);

void rig_socketpair(int ret[2]);
void rig_tcp_pair(int ret[2]);
void rig_small_buffers(int fd);
/* Writes all of it while the loop turns; reads exactly `len` while it turns. */
void rig_write(struct rig *rig, int fd, const void *bytes, size_t len);
void rig_read(struct rig *rig, int fd, void *ret, size_t len);
/* The end of the stream comes next: orderly; or the error comes next. */
void rig_expect_end(struct rig *rig, int fd);
void rig_expect_error(struct rig *rig, int fd, int err);
/* Bytes that repeat only after a long while and start anew with `seed`. */
void rig_pattern(uint8_t *bytes, size_t len, uint32_t seed);

/* Keys of a connection as its two ends see them; `ret[1]` is the other end's. */
void rig_keys(uint16_t version, enum tls_cipher cipher, struct tls_keys *ret[2]);

#define RIG_TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

/* A port that nobody has, on any address; below those of outgoing connections, one of which may sit
 * on any of theirs. No other test gets it until the descriptor that is returned is closed. */
int rig_claim_port(uint16_t *ret_port);

#endif
