/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control records whole, cut at every byte, joined, and wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "tls/post_handshake.h"

#define VERSION_1_2 0x0303
#define VERSION_1_3 0x0304
#define NO_ALERT    255

static const uint8_t update[] = { 24, 0, 0, 1, 0 };
static const uint8_t update_requested[] = { 24, 0, 0, 1, 1 };

struct row {
	uint16_t version;
	bool client;
	uint8_t type;
	const char *data;
	size_t len;
	enum post_handshake_event event;
	uint8_t alert;
};

#define BYTES(s) s, sizeof(s) - 1

static const struct row rows[] = {
	{ VERSION_1_3, false, 21, BYTES("\1\0"), POST_HANDSHAKE_CLOSE_NOTIFY, NO_ALERT },
	{ VERSION_1_3, false, 21, BYTES("\2\0"), POST_HANDSHAKE_CLOSE_NOTIFY, NO_ALERT },
	{ VERSION_1_2, false, 21, BYTES("\1\0"), POST_HANDSHAKE_CLOSE_NOTIFY, NO_ALERT },
	{ VERSION_1_3, false, 21, BYTES("\2\x30"), POST_HANDSHAKE_PEER_ALERT, 48 },
	{ VERSION_1_3, false, 21, BYTES("\1\x30"), POST_HANDSHAKE_PEER_ALERT, 48 },
	{ VERSION_1_2, false, 21, BYTES("\2\x30"), POST_HANDSHAKE_PEER_ALERT, 48 },
	{ VERSION_1_2, false, 21, BYTES("\1\x64"), POST_HANDSHAKE_NOTHING, NO_ALERT },
	{ VERSION_1_2, false, 21, BYTES("\3\x64"), POST_HANDSHAKE_REFUSE, 47 },
	{ VERSION_1_3, false, 21, BYTES("\1\x5a"), POST_HANDSHAKE_NOTHING, NO_ALERT },
	{ VERSION_1_3, false, 21, BYTES("\1"), POST_HANDSHAKE_REFUSE, 50 },
	{ VERSION_1_3, false, 21, BYTES(""), POST_HANDSHAKE_REFUSE, 50 },
	{ VERSION_1_3, false, 21, BYTES("\1\0\1\0"), POST_HANDSHAKE_REFUSE, 50 },
	{ VERSION_1_3, false, 22, BYTES("\x18\0\0\1\0"), POST_HANDSHAKE_KEY_UPDATE, NO_ALERT },
	{ VERSION_1_3, true, 22, BYTES("\x18\0\0\1\1"), POST_HANDSHAKE_KEY_UPDATE_REQUESTED,
	  NO_ALERT },
	{ VERSION_1_3, false, 22, BYTES("\x18\0\0\1\2"), POST_HANDSHAKE_REFUSE, 47 },
	{ VERSION_1_3, false, 22, BYTES("\x18\0\0\2\0\0"), POST_HANDSHAKE_REFUSE, 50 },
	{ VERSION_1_3, false, 22, BYTES("\x18\0\0\0"), POST_HANDSHAKE_REFUSE, 50 },
	{ VERSION_1_3, false, 22, BYTES("\x18\0\0\1\0\x18\0\0\1\0"), POST_HANDSHAKE_REFUSE, 10 },
	{ VERSION_1_3, false, 22, BYTES("\x18\0\0\1\0x"), POST_HANDSHAKE_REFUSE, 10 },
	{ VERSION_1_3, false, 22, BYTES(""), POST_HANDSHAKE_REFUSE, 10 },
	{ VERSION_1_3, false, 22, BYTES("\4\0\0\1x"), POST_HANDSHAKE_REFUSE, 10 }, /* a ticket, to
										      a server */
	{ VERSION_1_3, true, 22, BYTES("\4\0\0\1x"), POST_HANDSHAKE_NOTHING, NO_ALERT },
	{ VERSION_1_3, true, 22, BYTES("\4\0\0\0"), POST_HANDSHAKE_NOTHING, NO_ALERT },
	{ VERSION_1_3, true, 22, BYTES("\4\1\0\1"), POST_HANDSHAKE_REFUSE, 50 }, /* 65537 */
	{ VERSION_1_3, true, 22, BYTES("\4\0\0\1x\4\0\0\2yz\x18\0\0\1\1"),
	  POST_HANDSHAKE_KEY_UPDATE_REQUESTED, NO_ALERT },
	{ VERSION_1_3, true, 22, BYTES("\xd\0\0\1x"), POST_HANDSHAKE_REFUSE, 10 }, /* certificate
										      request */
	{ VERSION_1_3, false, 22, BYTES("\1\0\0\1x"), POST_HANDSHAKE_REFUSE, 10 }, /* ClientHello */
	{ VERSION_1_2, false, 22, BYTES("\1\0\0\1x"), POST_HANDSHAKE_REFUSE, 100 },
	{ VERSION_1_2, true, 22, BYTES("\0\0\0\0"), POST_HANDSHAKE_REFUSE, 100 },
	{ VERSION_1_2, true, 22, BYTES("\x18\0\0\1\0"), POST_HANDSHAKE_REFUSE, 100 },
	{ VERSION_1_3, false, 20, BYTES("\1"), POST_HANDSHAKE_REFUSE, 10 },
	{ VERSION_1_3, false, 24, BYTES("\1"), POST_HANDSHAKE_REFUSE, 10 },
	{ VERSION_1_3, false, 23, BYTES("data"), POST_HANDSHAKE_NOTHING, NO_ALERT },
};

static void test_rows(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];
		struct post_handshake ph = { 0 };
		uint8_t alert = NO_ALERT;

		assert_int_equal(post_handshake_record(&ph, r->version, r->client, r->type,
						       (const uint8_t *)r->data, r->len, &alert),
				 r->event);
		assert_int_equal(alert, r->alert);
	}
}

/* The same messages give the same event however they are cut into records. */
static void test_cut_everywhere(void **state)
{
	static const uint8_t stream[] = "\4\0\0\3abc\4\0\0\0\4\0\0\1x\x18\0\0\1\1";
	size_t len = sizeof(stream) - 1;

	for (size_t first = 1; first < len; first++)
		for (size_t second = first; second < len; second++) {
			struct post_handshake ph = { 0 };
			size_t cuts[] = { 0, first, second, len };
			uint8_t alert;

			for (size_t i = 0; i < 3; i++) {
				bool last = cuts[i + 1] == len;

				if (cuts[i] == cuts[i + 1])
					continue;
				assert_int_equal(
					post_handshake_record(&ph, VERSION_1_3, true, TLS_HANDSHAKE,
							      stream + cuts[i],
							      cuts[i + 1] - cuts[i], &alert),
					last ? POST_HANDSHAKE_KEY_UPDATE_REQUESTED
					     : POST_HANDSHAKE_NOTHING);
			}
			assert_false(post_handshake_pending(&ph));
		}
}

static void test_nothing_in_between(void **state)
{
	static const uint8_t types[] = { TLS_APPLICATION_DATA, TLS_ALERT, TLS_CHANGE_CIPHER_SPEC };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		for (size_t cut = 1; cut < sizeof(update); cut++) {
			struct post_handshake ph = { 0 };
			uint8_t alert = 0;

			assert_int_equal(post_handshake_record(&ph, VERSION_1_3, false,
							       TLS_HANDSHAKE, update, cut, &alert),
					 POST_HANDSHAKE_NOTHING);
			assert_true(post_handshake_pending(&ph));
			assert_int_equal(post_handshake_record(&ph, VERSION_1_3, false, types[i],
							       (const uint8_t *)"\1\0", 2, &alert),
					 POST_HANDSHAKE_REFUSE);
			assert_int_equal(alert, TLS_ALERT_UNEXPECTED_MESSAGE);
		}
}

static void test_large_ticket(void **state)
{
	static const uint8_t head[] = { 4, 1, 0, 0 };
	struct post_handshake ph = { 0 };
	uint8_t *body = calloc(1, POST_HANDSHAKE_SKIP_MAX), alert;

	assert_int_equal(post_handshake_record(&ph, VERSION_1_3, true, TLS_HANDSHAKE, head,
					       sizeof(head), &alert),
			 POST_HANDSHAKE_NOTHING);
	for (size_t i = 0; i < 4; i++) {
		assert_true(post_handshake_pending(&ph));
		assert_int_equal(post_handshake_record(&ph, VERSION_1_3, true, TLS_HANDSHAKE, body,
						       16384, &alert),
				 POST_HANDSHAKE_NOTHING);
	}
	assert_false(post_handshake_pending(&ph));
	free(body);
}

static void test_message(void **state)
{
	uint8_t message[KEY_UPDATE_MESSAGE_BYTES];

	key_update_message(message, false);
	assert_memory_equal(message, update, sizeof(update));
	key_update_message(message, true);
	assert_memory_equal(message, update_requested, sizeof(update_requested));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_cut_everywhere),
		cmocka_unit_test(test_nothing_in_between),
		cmocka_unit_test(test_large_ticket),
		cmocka_unit_test(test_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
