/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signing keys: what they sign verifies, and a rotation never leaves a moment in which somebody
 * signs with a key that is not published. Time is a number that the tests choose.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/evp.h>

#include "base/util.h"
#include "pki/key_ring.h"

#define NOW	1800000000
#define OVERLAP 100
#define AGE	10000

static char dir[64];
static struct err_text err;
static struct key_ring_news news;
static struct key_ring_params params;

static int set_up(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/sallyport-ring-XXXXXX");
	params = (struct key_ring_params){ .dir = dir,
					   .algorithm = JWT_EDDSA,
					   .jwks_mode = 0644,
					   .rotate_every_s = AGE,
					   .overlap_s = OVERLAP };
	return mkdtemp(dir) ? 0 : -1;
}

static void path_of(const char *name, char ret[128])
{
	snprintf(ret, 128, "%s/%s", dir, name);
}

static int tear_down(void **state)
{
	static const char *const names[] = { "signing-keys.pem", "jwks.json", "rotate" };
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		path_of(names[i], path);
		unlink(path);
	}
	return rmdir(dir); /* nothing else is left */
}

static void read_file(const char *name, char ret[8192])
{
	char path[128];
	FILE *file;
	size_t n;

	path_of(name, path);
	file = fopen(path, "r");
	assert_non_null(file);
	n = fread(ret, 1, 8191, file);
	ret[n] = 0;
	fclose(file);
}

static void order_rotation(void)
{
	char path[128];

	path_of("rotate", path);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

static struct key_ring *open_ring(int64_t now)
{
	struct key_ring *ring = NULL;

	if (key_ring_open(&params, now, &ring, &err) < 0)
		fail_msg("%s", err.text);
	return ring;
}

static void turn(struct key_ring *ring, int64_t now)
{
	char set[8192];

	if (key_ring_turn(ring, now, &news, &err) < 0)
		fail_msg("%s", err.text);
	/* Whoever verifies knows the key that signs. */
	read_file("jwks.json", set);
	assert_non_null(strstr(set, key_ring_current(ring, now)->jwk.kid));
}

static size_t published(void)
{
	char set[8192];
	size_t count = 0;

	read_file("jwks.json", set);
	for (const char *at = set; (at = strstr(at, "\"kid\"")); at++)
		count++;
	return count;
}

/* A token's signature against the public key. */
static void assert_verifies(const struct token_key *key)
{
	static char token[TOKEN_BYTES_MAX];
	static const struct jwt_claims claims = { .issuer = "i", .audience = "a", .subject = "s" };
	size_t len = token_key_sign(key, &claims, token);
	char *dot = strrchr(token, '.');
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	assert_int_equal(len, strlen(token));
	assert_non_null(dot);
	assert_int_equal(strlen(dot + 1), 86); /* 64 bytes */
	for (char *c = dot + 1; *c; c++)
		*c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
	memcpy(token + len, "==", 3);
	{
		uint8_t signature[68];

		assert_int_equal(EVP_DecodeBlock(signature, (const uint8_t *)dot + 1, 88), 66);
		if (key->jwk.algorithm == JWT_EDDSA) {
			assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key->pkey), 1);
			assert_int_equal(EVP_DigestVerify(ctx, signature, 64,
							  (const uint8_t *)token,
							  (size_t)(dot - token)),
					 1);
		}
	}
	EVP_MD_CTX_free(ctx);
}

static void test_first_start(void **state)
{
	struct key_ring *ring = open_ring(NOW);
	char path[128], kid[JWT_KID_BYTES];
	struct stat st;

	assert_int_equal(key_ring_count(ring), 1);
	assert_verifies(key_ring_current(ring, NOW));
	path_of("signing-keys.pem", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	path_of("jwks.json", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	strcpy(kid, key_ring_current(ring, NOW)->jwk.kid);
	key_ring_free(ring);
	/* It is there the next time; a public file that is missing, too. */
	unlink(path);
	ring = open_ring(NOW + 1);
	assert_string_equal(key_ring_current(ring, NOW + 1)->jwk.kid, kid);
	assert_int_equal(published(), 1);
	key_ring_free(ring);
}

/* Published, then used, then the old one goes; a restart at any time changes nothing. */
static void test_rotation_by_age(void **state)
{
	struct key_ring *ring = open_ring(NOW);
	char first[JWT_KID_BYTES];
	int64_t at = NOW + AGE;

	strcpy(first, key_ring_current(ring, NOW)->jwk.kid);
	turn(ring, at - 1);
	assert_false(news.made);
	turn(ring, at);
	assert_true(news.made);
	assert_int_equal(published(), 2);
	assert_string_equal(key_ring_current(ring, at + OVERLAP - 1)->jwk.kid, first);
	key_ring_free(ring);
	ring = open_ring(at + 1);
	assert_int_equal(key_ring_count(ring), 2);
	turn(ring, at + OVERLAP);
	assert_string_not_equal(key_ring_current(ring, at + OVERLAP)->jwk.kid, first);
	assert_int_equal(published(), 2);
	turn(ring, at + 2 * OVERLAP - 1);
	assert_int_equal(published(), 2);
	turn(ring, at + 2 * OVERLAP);
	assert_true(news.removed);
	assert_int_equal(published(), 1);
	assert_verifies(key_ring_current(ring, at + 2 * OVERLAP));
	key_ring_free(ring);
}

static void test_rotation_by_order(void **state)
{
	struct key_ring *ring;
	char path[128];

	params.rotate_every_s = 0;
	ring = open_ring(NOW);
	turn(ring, NOW + 10 * AGE);
	assert_int_equal(key_ring_count(ring), 1);
	order_rotation();
	turn(ring, NOW + 10 * AGE);
	assert_true(news.made);
	assert_int_equal(key_ring_count(ring), 2);
	path_of("rotate", path);
	assert_int_equal(access(path, F_OK), -1);
	/* One that is on its way is enough. */
	order_rotation();
	turn(ring, NOW + 10 * AGE + 1);
	assert_int_equal(key_ring_count(ring), 2);
	assert_int_equal(access(path, F_OK), -1);
	key_ring_free(ring);
}

/* Of two processes with one folder one makes the key, and both sign with it. */
static void test_shared_folder(void **state)
{
	struct key_ring *one = open_ring(NOW), *two = open_ring(NOW);
	int64_t used = NOW + OVERLAP;

	order_rotation();
	turn(one, NOW);
	assert_true(news.made);
	turn(two, NOW);
	assert_false(news.made);
	assert_true(news.reread);
	assert_int_equal(key_ring_count(two), 2);
	assert_string_equal(key_ring_current(one, used)->jwk.kid,
			    key_ring_current(two, used)->jwk.kid);
	turn(two, used + OVERLAP);
	assert_true(news.removed);
	turn(one, used + OVERLAP);
	assert_int_equal(key_ring_count(one), 1);
	key_ring_free(one);
	key_ring_free(two);
}

static void test_other_algorithm(void **state)
{
	struct key_ring *ring = open_ring(NOW);

	key_ring_free(ring);
	for (int algorithm = JWT_ES256; algorithm <= JWT_RS256; algorithm++) {
		int64_t at = NOW + algorithm * 10 * OVERLAP;

		params.algorithm = (enum jwt_algorithm)algorithm;
		ring = open_ring(at);
		turn(ring, at);
		turn(ring, at + OVERLAP);
		assert_int_equal(key_ring_current(ring, at + OVERLAP)->jwk.algorithm, algorithm);
		if (algorithm == JWT_ES256)
			assert_verifies(key_ring_current(ring, at + OVERLAP));
		key_ring_free(ring);
	}
}

/* The clock may jump: somebody signs all the same, with a key that is published. */
static void test_clock_back(void **state)
{
	struct key_ring *ring = open_ring(NOW);

	turn(ring, NOW - 365 * 86400);
	assert_int_equal(key_ring_count(ring), 1);
	assert_verifies(key_ring_current(ring, NOW - 365 * 86400));
	key_ring_free(ring);
}

static void damage(const char *text, mode_t mode)
{
	char path[128];
	FILE *file;

	path_of("signing-keys.pem", path);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(path, mode), 0);
}

/* A file that is wrong is never overwritten, and what is known stays in use. */
static void test_damaged_file(void **state)
{
	struct key_ring *ring = open_ring(NOW), *other;
	char good[8192], now_there[8192];
	static const char *const bad[] = {
		"",
		"key created 1 signs-from 1\n",
		"nonsense",
		"key created 1 signs-from 1\n-----BEGIN PRIVATE KEY-----\nAAAA\n"
		"-----END PRIVATE KEY-----\n",
		"key created x signs-from 1\n-----BEGIN PRIVATE KEY-----\nAAAA\n"
		"-----END PRIVATE KEY-----\n",
	};

	read_file("signing-keys.pem", good);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		damage(bad[i], 0600);
		assert_int_equal(key_ring_open(&params, NOW, &other, &err), -EINVAL);
		assert_non_null(strstr(err.text, "signing-keys.pem"));
		assert_int_equal(key_ring_turn(ring, NOW, &news, &err), -EINVAL);
		assert_verifies(key_ring_current(ring, NOW));
		read_file("signing-keys.pem", now_there);
		assert_string_equal(now_there, bad[i]);
	}
	damage(good, 0640);
	assert_int_equal(key_ring_open(&params, NOW, &other, &err), -EINVAL);
	assert_non_null(strstr(err.text, "chmod 600"));
	damage(good, 0600);
	turn(ring, NOW);
	key_ring_free(ring);
}

int main(void)
{
#define RING_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		RING_TEST(test_first_start),	   RING_TEST(test_rotation_by_age),
		RING_TEST(test_rotation_by_order), RING_TEST(test_shared_folder),
		RING_TEST(test_other_algorithm),   RING_TEST(test_clock_back),
		RING_TEST(test_damaged_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
