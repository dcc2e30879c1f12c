/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two questions to the record layer. A record that nobody sealed must never open, whatever its
 * header says. And whatever a peer seals inside of a TLS 1.3 record, type and padding must be
 * taken off as a naive reader would.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tls/aead.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct side {
	struct aead_cache *cache;
	struct tls_keys *keys;
	struct aead tx, rx;
};

static void side_init(struct side *side, uint8_t choice)
{
	if (aead_cache_new(2, &side->cache) < 0)
		abort();
	side->keys = tls_keys_new();
	if (!side->keys)
		abort();
	side->keys->version = choice & 1 ? 0x0303 : 0x0304;
	side->keys->cipher = (uint8_t)(choice / 2 % TLS_CIPHER_COUNT);
	memset(side->keys->rx.key, 0x42, sizeof(side->keys->rx.key));
	memset(side->keys->rx.iv, 0x24, 4);
	side->keys->tx = side->keys->rx;
	aead_init(&side->tx, side->keys, true);
	aead_init(&side->rx, side->keys, false);
}

static void side_fini(struct side *side)
{
	aead_release(side->cache, &side->tx);
	aead_release(side->cache, &side->rx);
	aead_cache_free(side->cache);
	tls_keys_free(side->keys);
}

static void open_raw(struct side *side, const uint8_t *data, size_t size)
{
	uint8_t *record = malloc(size ? size : 1), type, *payload;
	size_t len;
	int r;

	memcpy(record, data, size);
	r = aead_open(side->cache, &side->rx, record, size, &type, &payload, &len);
	if (r <= AEAD_OK || r == AEAD_EXHAUSTED || side->keys->rx_sequence)
		abort();
	free(record);
}

static void open_sealed(struct side *side, const uint8_t *inner, size_t size)
{
	size_t n = TLS_RECORD_HEADER_BYTES + size + AEAD_TAG_BYTES, len = 0, content = size;
	uint8_t *record = malloc(n), type = 0, *payload = NULL;
	bool good;
	int r;

	memcpy(record + TLS_RECORD_HEADER_BYTES, inner, size);
	if (aead_seal(side->cache, &side->tx, inner[size - 1], record, size - 1))
		abort();
	r = aead_open(side->cache, &side->rx, record, n, &type, &payload, &len);
	while (content && !inner[content - 1])
		content--;
	good = content && inner[content - 1] >= TLS_ALERT &&
	       inner[content - 1] <= TLS_APPLICATION_DATA;
	if (r != (good ? AEAD_OK : AEAD_UNEXPECTED))
		abort();
	if (good && (type != inner[content - 1] || len != content - 1 ||
		     payload != record + TLS_RECORD_HEADER_BYTES || memcmp(payload, inner, len)))
		abort();
	free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct side side;

	if (size < 2)
		return 0;
	side_init(&side, data[0] >> 1);
	if (data[0] & 1 || side.keys->version == 0x0303)
		open_raw(&side, data + 1, size - 1);
	else if (size - 1 <= TLS_PLAINTEXT_BYTES_MAX + 1)
		open_sealed(&side, data + 1, size - 1);
	side_fini(&side);
	return 0;
}
