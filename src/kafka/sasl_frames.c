/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two requests and their answers (sasl_frames.h). Every byte of an answer must have a meaning:
 * a broker's refusal may look like success (error code 0, and the reason in auth_bytes), so what is
 * not understood to the last byte is no success. Pure.
 */
#include "kafka/sasl_frames.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "kafka/wire.h"

#define MECHANISM	    "OAUTHBEARER"
#define SASL_HANDSHAKE	    17
#define SASL_AUTHENTICATE   36
#define HANDSHAKE_NUMBER    1 /* correlation ids */
#define AUTHENTICATE_NUMBER 2

#define ERROR_UNSUPPORTED_SASL_MECHANISM 33
#define ERROR_ILLEGAL_SASL_STATE	 34
#define ERROR_UNSUPPORTED_VERSION	 35

size_t sasl_requests(const char *token, size_t len, uint8_t ret[SASL_REQUESTS_BYTES_MAX])
{
	static const char before[] = "n,,\x01"
				     "auth=Bearer ",
			  after[] = "\x01\x01";
	struct kafka_writer w = { .bytes = ret, .size = SASL_REQUESTS_BYTES_MAX };
	size_t start;

	kafka_request_begin(&w, &start, SASL_HANDSHAKE, 1, HANDSHAKE_NUMBER);
	kafka_put_string(&w, MECHANISM);
	kafka_request_end(&w, start);
	kafka_request_begin(&w, &start, SASL_AUTHENTICATE, 1, AUTHENTICATE_NUMBER);
	kafka_put_u32(&w, (uint32_t)(sizeof(before) - 1 + len + sizeof(after) - 1));
	kafka_put_raw(&w, before, sizeof(before) - 1);
	kafka_put_raw(&w, token, len);
	kafka_put_raw(&w, after, sizeof(after) - 1);
	kafka_request_end(&w, start);
	return w.used;
}

/* What somebody else has written, made harmless. */
static void tell(char ret[SASL_DETAIL_BYTES], const char *what, const void *text, size_t len)
{
	size_t used = (size_t)snprintf(ret, SASL_DETAIL_BYTES, "%s", what);

	for (size_t i = 0; i < len && used + 1 < SASL_DETAIL_BYTES; i++) {
		char c = ((const char *)text)[i];

		ret[used++] = c >= ' ' && c <= '~' ? c : '?';
	}
	ret[used] = 0;
}

static enum sasl_verdict garbage(char ret[SASL_DETAIL_BYTES], const char *what)
{
	tell(ret, what, NULL, 0);
	return SASL_GARBAGE;
}

/* An error code that says why there is no SASL to be had. */
static enum sasl_verdict no_mechanism(char ret[SASL_DETAIL_BYTES], int16_t error)
{
	switch (error) {
	case ERROR_UNSUPPORTED_SASL_MECHANISM:
		tell(ret,
		     "the broker's listener has not OAUTHBEARER among its "
		     "sasl.enabled.mechanisms",
		     NULL, 0);
		break;
	case ERROR_ILLEGAL_SASL_STATE:
		tell(ret,
		     "the broker's listener is PLAINTEXT: it must be SASL_PLAINTEXT with "
		     "OAUTHBEARER",
		     NULL, 0);
		break;
	case ERROR_UNSUPPORTED_VERSION:
		tell(ret, "the broker is too old: Kafka 1.0 or later is needed", NULL, 0);
		break;
	default:
		snprintf(ret, SASL_DETAIL_BYTES, "the broker answered the handshake with error %d",
			 error);
	}
	return SASL_NO_MECHANISM;
}

static bool is_whole(const struct kafka_reader *r)
{
	return !r->bad && r->at == r->end;
}

static enum sasl_verdict read_handshake(struct kafka_reader *r, char ret_detail[SASL_DETAIL_BYTES])
{
	int32_t number = kafka_get_i32(r);
	int16_t error = kafka_get_i16(r);
	int32_t count = kafka_get_i32(r);
	bool has_it = false;

	for (int32_t i = 0; i < count && !r->bad; i++) {
		size_t len;
		const char *name = kafka_get_string(r, &len);

		has_it = has_it ||
			 (name && len == strlen(MECHANISM) && memcmp(name, MECHANISM, len) == 0);
	}
	if (!is_whole(r) || count < 0 || number != HANDSHAKE_NUMBER)
		return garbage(ret_detail, "the upstream's first answer is not Kafka's");
	if (error)
		return no_mechanism(ret_detail, error);
	if (!has_it)
		return garbage(ret_detail, "the upstream takes OAUTHBEARER, but does not name it");
	return SASL_ACCEPTED;
}

static enum sasl_verdict read_authenticate(struct kafka_reader *r,
					   char ret_detail[SASL_DETAIL_BYTES])
{
	int32_t number = kafka_get_i32(r);
	int16_t error = kafka_get_i16(r);
	size_t message_len, auth_len;
	const char *message = kafka_get_string(r, &message_len);
	const uint8_t *auth = kafka_get_bytes(r, &auth_len);

	kafka_get_i64(r); /* for how long the broker takes it: it minds that itself */
	if (!is_whole(r) || number != AUTHENTICATE_NUMBER)
		return garbage(ret_detail, "the upstream's second answer is not Kafka's");
	if (error == ERROR_ILLEGAL_SASL_STATE)
		return no_mechanism(ret_detail, error);
	if (error)
		tell(ret_detail, "the broker says: ", message, message_len);
	else if (auth_len)
		tell(ret_detail, "the broker says: ", auth, auth_len);
	else
		return SASL_ACCEPTED;
	return SASL_REFUSED;
}

/* One answer with its length. */
static enum sasl_verdict read_answer(const uint8_t *bytes, size_t len, size_t *ret_bytes,
				     char ret_detail[SASL_DETAIL_BYTES],
				     enum sasl_verdict (*read)(struct kafka_reader *r,
							       char ret_detail[SASL_DETAIL_BYTES]))
{
	struct kafka_reader body;

	switch (kafka_frame_open(bytes, len, KAFKA_ANSWER_BYTES_MAX, &body, ret_bytes)) {
	case KAFKA_FRAME_WHOLE:
		return read(&body, ret_detail);
	case KAFKA_FRAME_MORE:
		return SASL_MORE;
	case KAFKA_FRAME_TOO_LARGE:
		return garbage(ret_detail, "the upstream's answer is too large to be Kafka's");
	case KAFKA_FRAME_NO_LENGTH:
		break;
	}
	return garbage(ret_detail, "the upstream's answer has a length that is not Kafka's");
}

enum sasl_verdict sasl_answers(const uint8_t *bytes, size_t len, size_t *ret_bytes,
			       char ret_detail[SASL_DETAIL_BYTES])
{
	size_t first, second;
	enum sasl_verdict verdict = read_answer(bytes, len, &first, ret_detail, read_handshake);

	if (verdict != SASL_ACCEPTED)
		return verdict;
	verdict = read_answer(bytes + first, len - first, &second, ret_detail, read_authenticate);
	if (verdict == SASL_ACCEPTED)
		*ret_bytes = first + second;
	return verdict;
}
