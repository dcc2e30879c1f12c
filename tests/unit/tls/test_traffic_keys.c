/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key schedule against RFC 8448 section 3, and against libcrypto's own HKDF where the RFC has
 * no vector (SHA-384, KeyUpdate).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base/secret.h"
#include "base/util.h"
#include "bytes.h"
#include "tls/traffic_keys.h"

static void assert_hex(const uint8_t *got, const char *hex)
{
	uint8_t expected[256];
	size_t n = from_hex(hex, expected);

	assert_memory_equal(got, expected, n);
}

static void test_rfc8448_keys(void **state)
{
	static const struct {
		const char *secret, *key, *iv;
	} rows[] = {
		{ "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
		  "9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984" },
		{ "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
		  "17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct traffic_keys t = { 0 };

		from_hex(rows[i].secret, t.secret);
		assert_int_equal(tls13_derive_key(TLS_CIPHER_AES_128_GCM_SHA256, &t), 0);
		assert_hex(t.key, rows[i].key);
		assert_hex(t.iv, rows[i].iv);
		assert_int_equal(t.generation, 0);
	}
}

/* "finished" is one more use of HKDF-Expand-Label with an empty context that the RFC prints. */
static void test_rfc8448_expand_label(void **state)
{
	uint8_t secret[32], out[32];

	from_hex("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38", secret);
	assert_int_equal(tls13_expand_label(TLS_CIPHER_AES_128_GCM_SHA256, secret, "finished", out,
					    sizeof(out)),
			 0);
	assert_hex(out, "008d3b66f816ea559f96b537e885c31fc068bf492c652f01f288a1d8cdc19fc8");
}

static void reference_label(const char *hash, const uint8_t *secret, size_t secret_bytes,
			    const char *label, uint8_t *ret, size_t len)
{
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	uint8_t info[64] = { 0,	  (uint8_t)len, (uint8_t)(6 + strlen(label)), 't', 'l', 's', '1',
			     '3', ' ' };
	OSSL_PARAM params[5];

	memcpy(info + 9, label, strlen(label));
	params[0] = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)hash, 0);
	params[2] =
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, secret_bytes);
	params[3] =
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, 9 + strlen(label) + 1);
	params[4] = OSSL_PARAM_construct_end();
	assert_int_equal(EVP_KDF_derive(ctx, ret, len, params), 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

static void test_against_libcrypto(void **state)
{
	static const char *const hashes[] = { "SHA256", "SHA384", "SHA256" };

	for (int c = 0; c < TLS_CIPHER_COUNT; c++) {
		size_t secret_bytes = tls_cipher_secret_bytes(c),
		       key_bytes = tls_cipher_key_bytes(c);
		struct traffic_keys t = { .generation = 7 };
		uint8_t next[48], key[32], iv[12];

		memset(t.secret, 0xa0 + c, secret_bytes);
		reference_label(hashes[c], t.secret, secret_bytes, "traffic upd", next,
				secret_bytes);
		reference_label(hashes[c], next, secret_bytes, "key", key, key_bytes);
		reference_label(hashes[c], next, secret_bytes, "iv", iv, sizeof(iv));
		assert_int_equal(tls13_update_key(c, &t), 0);
		assert_memory_equal(t.secret, next, secret_bytes);
		assert_memory_equal(t.key, key, key_bytes);
		assert_memory_equal(t.iv, iv, sizeof(iv));
		assert_int_equal(t.generation, 8);
	}
}

static void test_bad_arguments(void **state)
{
	struct traffic_keys t = { 0 };
	struct tls_keys keys = { 0 };
	uint8_t secret[48] = { 0 }, out[64];
	char label[300];

	memset(label, 'a', sizeof(label));
	label[sizeof(label) - 1] = 0;
	assert_int_equal(tls13_expand_label(TLS_CIPHER_COUNT, secret, "key", out, 16), -EINVAL);
	assert_int_equal(tls13_expand_label(0, secret, label, out, 16), -EINVAL);
	assert_int_equal(tls13_expand_label(0, secret, "key", out, 33), -EINVAL);
	assert_int_equal(tls13_derive_key(TLS_CIPHER_COUNT, &t), -EINVAL);
	assert_int_equal(tls13_update_key(TLS_CIPHER_COUNT, &t), -EINVAL);
	assert_int_equal(tls12_derive_keys(&keys, TLS_CIPHER_COUNT, secret, secret, secret, 1),
			 -EINVAL);
}

/* The two sides of one connection must agree, and the ivs of GCM must be salts only. */
static void test_tls12_sides(void **state)
{
	uint8_t master[48], client_random[32], server_random[32];

	memset(master, 1, sizeof(master));
	memset(client_random, 2, sizeof(client_random));
	memset(server_random, 3, sizeof(server_random));
	for (int c = 0; c < TLS_CIPHER_COUNT; c++) {
		static const uint8_t zeros[8];
		struct tls_keys *server = tls_keys_new(), *client = tls_keys_new();

		assert_int_equal(
			tls12_derive_keys(server, c, master, client_random, server_random, 1), 0);
		assert_int_equal(
			tls12_derive_keys(client, c, master, client_random, server_random, 0), 0);
		assert_memory_equal(&server->rx, &client->tx, sizeof(server->rx));
		assert_memory_equal(&server->tx, &client->rx, sizeof(server->tx));
		assert_memory_not_equal(server->tx.key, server->rx.key, 16);
		assert_int_equal(server->rx_sequence, 1);
		assert_int_equal(server->tx_sequence, 1);
		assert_int_equal(server->version, 0x0303);
		assert_int_equal(server->cipher, c);
		if (c != TLS_CIPHER_CHACHA20_POLY1305_SHA256)
			assert_memory_equal(server->tx.iv + 4, zeros, sizeof(zeros));
		tls_keys_free(server);
		tls_keys_free(client);
	}
}

static void test_names(void **state)
{
	assert_string_equal(tls_cipher_name(TLS_CIPHER_AES_128_GCM_SHA256),
			    "TLS_AES_128_GCM_SHA256");
	assert_string_equal(tls_cipher_name(TLS_CIPHER_CHACHA20_POLY1305_SHA256),
			    "TLS_CHACHA20_POLY1305_SHA256");
	tls_keys_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc8448_keys),
		cmocka_unit_test(test_rfc8448_expand_label),
		cmocka_unit_test(test_against_libcrypto),
		cmocka_unit_test(test_bad_arguments),
		cmocka_unit_test(test_tls12_sides),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
