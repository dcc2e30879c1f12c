/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few types of Kafka's protocol that are needed here, written and read. A reader that meets
 * something wrong, or the end, stays so and gives zeros: who reads looks at `bad` once, at the end.
 */
#ifndef SALLYPORT_KAFKA_WIRE_H
#define SALLYPORT_KAFKA_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kafka_writer {
	uint8_t *bytes;
	size_t size,
		used; /* used may pass size: then it did not fit, and nothing more is written */
};

/* Leaves room for the length and begins a request (header v1, without a client id). */
void kafka_request_begin(struct kafka_writer *w, size_t *ret_start, int16_t api, int16_t version,
			 int32_t correlation);
void kafka_request_end(struct kafka_writer *w, size_t start);
void kafka_put_string(struct kafka_writer *w, const char *text);
void kafka_put_bytes(struct kafka_writer *w, const void *bytes, size_t len); /* with its length */
void kafka_put_raw(struct kafka_writer *w, const void *bytes, size_t len);   /* without */
void kafka_put_u32(struct kafka_writer *w, uint32_t value);

struct kafka_reader {
	const uint8_t *at, *end;
	bool bad;
};

int16_t kafka_get_i16(struct kafka_reader *r);
int32_t kafka_get_i32(struct kafka_reader *r);
int64_t kafka_get_i64(struct kafka_reader *r);
/* A nullable string; NULL: it is null. Inside the reader's bytes, not ended by NUL. */
const char *kafka_get_string(struct kafka_reader *r, size_t *ret_len);
/* Bytes with their length; not null. */
const uint8_t *kafka_get_bytes(struct kafka_reader *r, size_t *ret_len);

enum kafka_frame {
	KAFKA_FRAME_WHOLE,
	KAFKA_FRAME_MORE,      /* not all of it is there */
	KAFKA_FRAME_NO_LENGTH, /* negative, or too short to be an answer */
	KAFKA_FRAME_TOO_LARGE,
};

/* One answer at the start of `bytes`: its body in `ret` (from the correlation id on), and how many
 * bytes all of it takes. Its length is judged as soon as it is there. */
enum kafka_frame kafka_frame_open(const uint8_t *bytes, size_t len, size_t max,
				  struct kafka_reader *ret, size_t *ret_bytes);

#endif
