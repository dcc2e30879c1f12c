/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, strings and frames of Kafka's protocol (wire.h). Pure. */
#include "kafka/wire.h"

#include <endian.h>
#include <string.h>

#define LENGTH_BYTES	  4
#define CORRELATION_BYTES 4

void kafka_put_raw(struct kafka_writer *w, const void *bytes, size_t len)
{
	if (w->used <= w->size && len <= w->size - w->used)
		memcpy(w->bytes + w->used, bytes, len);
	w->used += len;
}

static void put_u16(struct kafka_writer *w, uint16_t value)
{
	value = htobe16(value);
	kafka_put_raw(w, &value, sizeof(value));
}

void kafka_put_u32(struct kafka_writer *w, uint32_t value)
{
	value = htobe32(value);
	kafka_put_raw(w, &value, sizeof(value));
}

void kafka_request_begin(struct kafka_writer *w, size_t *ret_start, int16_t api, int16_t version,
			 int32_t correlation)
{
	*ret_start = w->used;
	kafka_put_u32(w, 0);
	put_u16(w, (uint16_t)api);
	put_u16(w, (uint16_t)version);
	kafka_put_u32(w, (uint32_t)correlation);
	put_u16(w, UINT16_MAX); /* no client id */
}

void kafka_request_end(struct kafka_writer *w, size_t start)
{
	uint32_t len = htobe32((uint32_t)(w->used - start - LENGTH_BYTES));

	if (w->used <= w->size)
		memcpy(w->bytes + start, &len, sizeof(len));
}

void kafka_put_string(struct kafka_writer *w, const char *text)
{
	put_u16(w, (uint16_t)strlen(text));
	kafka_put_raw(w, text, strlen(text));
}

void kafka_put_bytes(struct kafka_writer *w, const void *bytes, size_t len)
{
	kafka_put_u32(w, (uint32_t)len);
	kafka_put_raw(w, bytes, len);
}

static const uint8_t *take(struct kafka_reader *r, size_t len)
{
	const uint8_t *at = r->at;

	if (r->bad || (size_t)(r->end - r->at) < len) {
		r->bad = true;
		return NULL;
	}
	r->at += len;
	return at;
}

int16_t kafka_get_i16(struct kafka_reader *r)
{
	const uint8_t *at = take(r, sizeof(uint16_t));
	uint16_t value = 0;

	if (at)
		memcpy(&value, at, sizeof(value));
	return (int16_t)be16toh(value);
}

int32_t kafka_get_i32(struct kafka_reader *r)
{
	const uint8_t *at = take(r, sizeof(uint32_t));
	uint32_t value = 0;

	if (at)
		memcpy(&value, at, sizeof(value));
	return (int32_t)be32toh(value);
}

int64_t kafka_get_i64(struct kafka_reader *r)
{
	const uint8_t *at = take(r, sizeof(uint64_t));
	uint64_t value = 0;

	if (at)
		memcpy(&value, at, sizeof(value));
	return (int64_t)be64toh(value);
}

const char *kafka_get_string(struct kafka_reader *r, size_t *ret_len)
{
	int16_t len = kafka_get_i16(r);

	*ret_len = 0;
	if (len == -1)
		return NULL;
	if (len < 0) {
		r->bad = true;
		return NULL;
	}
	*ret_len = (size_t)len;
	return (const char *)take(r, (size_t)len);
}

const uint8_t *kafka_get_bytes(struct kafka_reader *r, size_t *ret_len)
{
	int32_t len = kafka_get_i32(r);

	*ret_len = 0;
	if (len < 0) {
		r->bad = true;
		return NULL;
	}
	*ret_len = (size_t)len;
	return take(r, (size_t)len);
}

enum kafka_frame kafka_frame_open(const uint8_t *bytes, size_t len, size_t max,
				  struct kafka_reader *ret, size_t *ret_bytes)
{
	struct kafka_reader head = { .at = bytes, .end = bytes + len };
	int32_t body;

	if (len < LENGTH_BYTES)
		return KAFKA_FRAME_MORE;
	body = kafka_get_i32(&head);
	if (body < CORRELATION_BYTES)
		return KAFKA_FRAME_NO_LENGTH;
	if ((size_t)body > max)
		return KAFKA_FRAME_TOO_LARGE;
	if (len - LENGTH_BYTES < (size_t)body)
		return KAFKA_FRAME_MORE;
	*ret = (struct kafka_reader){ .at = head.at, .end = head.at + body };
	*ret_bytes = LENGTH_BYTES + (size_t)body;
	return KAFKA_FRAME_WHOLE;
}
