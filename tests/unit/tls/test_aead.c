/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record layer by itself: byte for byte against RFC 8448 section 3, then what a hostile peer
 * may send, then the loan of cipher contexts.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "bytes.h"
#include "tls/aead.h"

#define ROOM (AEAD_PREFIX_BYTES_MAX + TLS_PLAINTEXT_BYTES_MAX + 1024)

static const char server_secret[] =
	"a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
static const char client_secret[] =
	"9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";

/* RFC 8448 section 3, in the order of the wire: all under the application traffic keys. */
static const struct vector {
	const char *secret;
	uint64_t sequence;
	uint8_t type;
	const char *plain, *record;
} vectors[] = {
	{ server_secret, 0, TLS_HANDSHAKE,
	  "040000c90000001efad6aac502000000b22c035d829359ee5ff7af4ec900000000262a6494dc486d2c8a34cb"
	  "33fa90bf1b0070ad3c498883c9367c09a2be785abc55cd226097a3a982117283f82a03a143efd3ff5dd36d64"
	  "e861be7fd61d2827db279cce145077d454a3664d4e6da4d29ee03725a6a4dafcd0fc67d2aea70529513e3da2"
	  "677fa5906c5b3f7d8f92f228bda40dda721470f9fbf297b5aea617646fac5c03272e970727c621a79141ef5f"
	  "7de6505e5bfbc388e93343694093934ae4d3570008002a000400000400",
	  "17030300de3a6b8f90414a97d6959c3487680de5134a2b240e6cffac116e95d41d6af8f6b580dcf3d11d63c7"
	  "58db289a015940252f55713e061dc13e078891a38efbcf5753ad8ef170ad3c7353d16d9da773b9ca7f2b9fa1"
	  "b6c0d4a3d03f75e09c30ba1e62972ac46f75f7b981be63439b2999ce13064615139891d5e4c5b406f16e3fc1"
	  "81a77ca475840025db2f0a77f81b5ab05b94c01346755f69232c86519d86cbeeac87aac347d143f9605d64f6"
	  "50db4d023e70e952ca49fe5137121c74bc2697687e248746d6df353005f3bce18696129c8153556b3b6c6779"
	  "b37bf15985684f" },
	{ client_secret, 0, TLS_APPLICATION_DATA,
	  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b"
	  "2c2d2e2f3031",
	  "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a"
	  "20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4" },
	{ server_secret, 1, TLS_APPLICATION_DATA,
	  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b"
	  "2c2d2e2f3031",
	  "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb"
	  "501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d" },
	{ client_secret, 1, TLS_ALERT, "0100", "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3" },
	{ server_secret, 2, TLS_ALERT, "0100", "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9" },
};

struct side {
	struct tls_keys *keys;
	struct aead tx, rx;
};

/* Sealing and opening under one key, so that a side can read what it wrote. */
static void side_init(struct side *side, uint16_t version, enum tls_cipher cipher, uint8_t seed)
{
	side->keys = tls_keys_new();
	side->keys->version = version;
	side->keys->cipher = (uint8_t)cipher;
	memset(side->keys->tx.secret, seed, sizeof(side->keys->tx.secret));
	assert_int_equal(tls13_derive_key(cipher, &side->keys->tx), 0);
	if (version == 0x0303 && cipher != TLS_CIPHER_CHACHA20_POLY1305_SHA256)
		memset(side->keys->tx.iv + 4, 0, 8);
	side->keys->rx = side->keys->tx;
	aead_init(&side->tx, side->keys, true);
	aead_init(&side->rx, side->keys, false);
}

static void side_fini(struct side *side, struct aead_cache *cache)
{
	aead_release(cache, &side->tx);
	aead_release(cache, &side->rx);
	tls_keys_free(side->keys);
}

static void test_rfc8448(void **state)
{
	struct aead_cache *cache;

	assert_int_equal(aead_cache_new(2, &cache), 0);
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		const struct vector *v = &vectors[i];
		uint8_t plain[512], record[512], got[512], type = 0, *payload = NULL;
		size_t plain_bytes = from_hex(v->plain, plain);
		size_t record_bytes = from_hex(v->record, record), got_bytes = 0;
		struct side side;

		side_init(&side, 0x0304, TLS_CIPHER_AES_128_GCM_SHA256, 0);
		from_hex(v->secret, side.keys->tx.secret);
		assert_int_equal(tls13_derive_key(0, &side.keys->tx), 0);
		side.keys->rx = side.keys->tx;
		side.keys->tx_sequence = side.keys->rx_sequence = v->sequence;

		memcpy(got + aead_prefix_bytes(&side.tx), plain, plain_bytes);
		assert_int_equal(aead_seal(cache, &side.tx, v->type, got, plain_bytes), 0);
		assert_int_equal(aead_prefix_bytes(&side.tx) + plain_bytes +
					 aead_suffix_bytes(&side.tx),
				 record_bytes);
		assert_memory_equal(got, record, record_bytes);
		assert_int_equal(side.keys->tx_sequence, v->sequence + 1);

		assert_int_equal(aead_open(cache, &side.rx, record, record_bytes, &type, &payload,
					   &got_bytes),
				 AEAD_OK);
		assert_int_equal(type, v->type);
		assert_int_equal(got_bytes, plain_bytes);
		assert_memory_equal(payload, plain, plain_bytes);
		assert_int_equal(side.keys->rx_sequence, v->sequence + 1);
		side_fini(&side, cache);
	}
	aead_cache_free(cache);
}

/* Every version and cipher, sizes around each boundary, many records under one key. */
static void test_round_trips(void **state)
{
	static const size_t sizes[] = { 0,   1,	  15,	16,   17,    200,
					255, 256, 1400, 4096, 16383, TLS_PLAINTEXT_BYTES_MAX };
	uint8_t *record = malloc(ROOM), *plain = malloc(ROOM);
	struct aead_cache *cache;

	for (size_t i = 0; i < ROOM; i++)
		plain[i] = (uint8_t)(i * 31 + 7);
	assert_int_equal(aead_cache_new(4, &cache), 0);
	for (int c = 0; c < 2 * TLS_CIPHER_COUNT; c++) {
		struct side side;

		side_init(&side, c & 1 ? 0x0303 : 0x0304, c / 2, 0x33);
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			size_t prefix = aead_prefix_bytes(&side.tx), len = sizes[i], got = 0;
			uint8_t type = 0, *payload = NULL;

			memcpy(record + prefix, plain, len);
			assert_int_equal(
				aead_seal(cache, &side.tx, TLS_APPLICATION_DATA, record, len), 0);
			if (len >= 16)
				assert_memory_not_equal(record + prefix, plain, len);
			assert_int_equal(aead_open(cache, &side.rx, record,
						   prefix + len + aead_suffix_bytes(&side.tx),
						   &type, &payload, &got),
					 AEAD_OK);
			assert_int_equal(type, TLS_APPLICATION_DATA);
			assert_int_equal(got, len);
			assert_ptr_equal(payload, record + prefix);
			assert_memory_equal(payload, plain, len);
		}
		side_fini(&side, cache);
	}
	aead_cache_free(cache);
	free(record);
	free(plain);
}

/* Seals raw TLSInnerPlaintext: with our own seal, the last byte of `inner` being its type. */
static size_t seal_inner(struct aead_cache *cache, struct side *side, const uint8_t *inner,
			 size_t len, uint8_t *record)
{
	memcpy(record + TLS_RECORD_HEADER_BYTES, inner, len);
	assert_int_equal(aead_seal(cache, &side->tx, inner[len - 1], record, len - 1), 0);
	return TLS_RECORD_HEADER_BYTES + len + AEAD_TAG_BYTES;
}

static int open_inner(const uint8_t *inner, size_t len, uint8_t *ret_type, size_t *ret_len)
{
	uint8_t *record = malloc(ROOM), *payload;
	struct aead_cache *cache;
	struct side side;
	size_t n;
	int r;

	assert_int_equal(aead_cache_new(2, &cache), 0);
	side_init(&side, 0x0304, TLS_CIPHER_AES_256_GCM_SHA384, 9);
	n = seal_inner(cache, &side, inner, len, record);
	r = aead_open(cache, &side.rx, record, n, ret_type, &payload, ret_len);
	assert_int_equal(side.keys->rx_sequence, r == AEAD_OK);
	side_fini(&side, cache);
	aead_cache_free(cache);
	free(record);
	return r;
}

static void test_padding(void **state)
{
	uint8_t inner[TLS_PLAINTEXT_BYTES_MAX + 1] = { 0 };
	uint8_t type = 0;
	size_t len = 0;

	for (size_t zeros = 0; zeros < 40; zeros++) {
		memset(inner, 0, sizeof(inner));
		memcpy(inner, "data\0\0", 6); /* zeros of the payload are not padding */
		inner[6] = TLS_APPLICATION_DATA;
		assert_int_equal(open_inner(inner, 7 + zeros, &type, &len), AEAD_OK);
		assert_int_equal(type, TLS_APPLICATION_DATA);
		assert_int_equal(len, 6);
	}
	memset(inner, 0, sizeof(inner));
	inner[0] = TLS_APPLICATION_DATA; /* no payload, all the rest padding */
	assert_int_equal(open_inner(inner, sizeof(inner), &type, &len), AEAD_OK);
	assert_int_equal(len, 0);
	for (size_t n = 1; n < 40; n++) {
		memset(inner, 0, n);
		assert_int_equal(open_inner(inner, n, &type, &len), AEAD_UNEXPECTED);
	}
	memset(inner, 0, sizeof(inner));
	assert_int_equal(open_inner(inner, sizeof(inner), &type, &len), AEAD_UNEXPECTED);
}

static void test_inner_types(void **state)
{
	uint8_t inner[3] = { 'x', 'y', 0 }, type = 0;
	size_t len;

	for (int t = 1; t < 256; t++) {
		bool good = t == TLS_ALERT || t == TLS_HANDSHAKE || t == TLS_APPLICATION_DATA;

		inner[2] = (uint8_t)t;
		assert_int_equal(open_inner(inner, 3, &type, &len),
				 good ? AEAD_OK : AEAD_UNEXPECTED);
		if (good)
			assert_int_equal(type, t);
	}
}

static void test_bad_records(void **state)
{
	uint8_t good[64], record[64], type, *payload;
	struct aead_cache *cache;
	struct side side;
	size_t len, n;

	assert_int_equal(aead_cache_new(2, &cache), 0);
	for (int c = 0; c < 2 * TLS_CIPHER_COUNT; c++) {
		uint16_t version = c & 1 ? 0x0303 : 0x0304;

		side_init(&side, version, c / 2, 5);
		memcpy(good + aead_prefix_bytes(&side.tx), "payload", 7);
		assert_int_equal(aead_seal(cache, &side.tx, TLS_APPLICATION_DATA, good, 7), 0);
		n = aead_prefix_bytes(&side.tx) + 7 + aead_suffix_bytes(&side.tx);
		for (size_t bit = 0; bit < 8 * n; bit++) { /* any bit flipped */
			memcpy(record, good, n);
			record[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_not_equal(
				aead_open(cache, &side.rx, record, n, &type, &payload, &len),
				AEAD_OK);
			assert_int_equal(side.keys->rx_sequence, 0);
		}
		for (size_t cut = 0; cut < n; cut++) { /* any length, header made to fit */
			memcpy(record, good, n);
			if (cut >= TLS_RECORD_HEADER_BYTES)
				record[4] = (uint8_t)(cut - TLS_RECORD_HEADER_BYTES);
			assert_int_equal(
				aead_open(cache, &side.rx, record, cut, &type, &payload, &len),
				cut < TLS_RECORD_HEADER_BYTES ? AEAD_UNEXPECTED
							      : AEAD_BAD_RECORD_MAC);
		}
		memcpy(record, good, n);
		record[0] = TLS_CHANGE_CIPHER_SPEC;
		assert_int_equal(aead_open(cache, &side.rx, record, n, &type, &payload, &len),
				 AEAD_UNEXPECTED);
		memcpy(record, good, n);
		record[0] = TLS_ALERT; /* TLS 1.3: in clear, so never; 1.2: a type that was not
					  sealed */
		assert_int_equal(aead_open(cache, &side.rx, record, n, &type, &payload, &len),
				 version == 0x0304 ? AEAD_UNEXPECTED : AEAD_BAD_RECORD_MAC);
		/* After all that the good one still opens, once: replay has a new sequence. */
		memcpy(record, good, n);
		assert_int_equal(aead_open(cache, &side.rx, record, n, &type, &payload, &len),
				 AEAD_OK);
		memcpy(record, good, n);
		assert_int_equal(aead_open(cache, &side.rx, record, n, &type, &payload, &len),
				 AEAD_BAD_RECORD_MAC);
		side_fini(&side, cache);
	}
	aead_cache_free(cache);
}

static void test_overflow(void **state)
{
	uint8_t *record = calloc(1, ROOM), type, *payload;
	struct aead_cache *cache;
	struct side side;
	size_t len;

	assert_int_equal(aead_cache_new(2, &cache), 0);
	for (int c = 0; c < 2 * TLS_CIPHER_COUNT; c++) {
		uint16_t version = c & 1 ? 0x0303 : 0x0304;
		size_t n;

		side_init(&side, version, c / 2, 5);
		assert_int_equal(aead_seal(cache, &side.tx, TLS_APPLICATION_DATA, record,
					   TLS_PLAINTEXT_BYTES_MAX + 1),
				 -EMSGSIZE);
		n = aead_prefix_bytes(&side.tx) + TLS_PLAINTEXT_BYTES_MAX + 1 +
		    aead_suffix_bytes(&side.tx);
		memcpy(record, "\x17\x03\x03", 3);
		record[3] = (uint8_t)((n - 5) >> 8);
		record[4] = (uint8_t)(n - 5);
		assert_int_equal(aead_open(cache, &side.rx, record, n, &type, &payload, &len),
				 AEAD_RECORD_OVERFLOW);
		record[3] = 0x41; /* more than 16384 + 256 */
		record[4] = 0x01;
		assert_int_equal(
			aead_open(cache, &side.rx, record, 5 + 0x4101, &type, &payload, &len),
			AEAD_RECORD_OVERFLOW);
		side_fini(&side, cache);
	}
	aead_cache_free(cache);
	free(record);
}

static void test_exhausted(void **state)
{
	uint8_t record[64], type, *payload;
	struct aead_cache *cache;
	struct side side;
	size_t len;

	assert_int_equal(aead_cache_new(2, &cache), 0);
	side_init(&side, 0x0304, 0, 5);
	side.keys->tx_sequence = side.keys->rx_sequence = UINT64_MAX - 1;
	assert_int_equal(aead_seal(cache, &side.tx, TLS_APPLICATION_DATA, record, 1), 0);
	assert_int_equal(aead_open(cache, &side.rx, record, 23, &type, &payload, &len), AEAD_OK);
	assert_int_equal(aead_seal(cache, &side.tx, TLS_APPLICATION_DATA, record, 1),
			 AEAD_EXHAUSTED);
	assert_int_equal(aead_open(cache, &side.rx, record, 23, &type, &payload, &len),
			 AEAD_EXHAUSTED);
	assert_true(side.keys->tx_sequence == UINT64_MAX);
	side_fini(&side, cache);
	aead_cache_free(cache);
}

/* More users than slots: each time one is taken away its owner must get a right one back, and what
 * is released must never be used by a stale owner. */
static void test_loans(void **state)
{
	struct side sides[7];
	uint8_t record[64], type, *payload;
	struct aead_cache *cache;
	size_t len;

	assert_int_equal(aead_cache_new(1, &cache), -EINVAL);
	assert_int_equal(aead_cache_new(3, &cache), 0);
	for (size_t i = 0; i < ARRAY_SIZE(sides); i++)
		side_init(&sides[i], i & 1 ? 0x0304 : 0x0303, i % TLS_CIPHER_COUNT, (uint8_t)i);
	for (size_t round = 0; round < 2000; round++) {
		struct side *side = &sides[(round * 5 + round / 7) % ARRAY_SIZE(sides)];
		size_t n = aead_prefix_bytes(&side->tx) + 6 + aead_suffix_bytes(&side->tx);
		size_t lent = 0;

		memcpy(record + aead_prefix_bytes(&side->tx), "letter", 6);
		assert_int_equal(aead_seal(cache, &side->tx, TLS_APPLICATION_DATA, record, 6), 0);
		assert_int_equal(aead_open(cache, &side->rx, record, n, &type, &payload, &len),
				 AEAD_OK);
		assert_memory_equal(payload, "letter", 6);
		for (size_t i = 0; i < ARRAY_SIZE(sides); i++)
			lent += (sides[i].tx.slot != NULL) + (sides[i].rx.slot != NULL);
		assert_in_range(lent, 2, 3);
		if (round % 11 == 0) {
			aead_release(cache, &side->tx);
			assert_null(side->tx.slot);
		}
		if (round % 13 == 0) { /* new key under the same aead */
			aead_release(cache, &side->tx);
			aead_release(cache, &side->rx);
			side->keys->tx.key[0] ^= 1;
			side->keys->rx.key[0] ^= 1;
		}
	}
	for (size_t i = 0; i + 1 < ARRAY_SIZE(sides); i++)
		side_fini(&sides[i], cache);
	/* One owner outlives the cache: it must not point into it. */
	assert_int_equal(aead_seal(cache, &sides[6].tx, TLS_APPLICATION_DATA, record, 6), 0);
	aead_cache_free(cache);
	assert_null(sides[6].tx.slot);
	tls_keys_free(sides[6].keys);
	aead_cache_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc8448),	    cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_padding),	    cmocka_unit_test(test_inner_types),
		cmocka_unit_test(test_bad_records), cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_exhausted),   cmocka_unit_test(test_loans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
