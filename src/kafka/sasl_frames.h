/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a connection's identity is told to a Kafka broker: SaslHandshake v1 and SaslAuthenticate v1
 * with a bearer token (OAUTHBEARER, RFC 7628), and what the broker answers to them.
 */
#ifndef SALLYPORT_KAFKA_SASL_FRAMES_H
#define SALLYPORT_KAFKA_SASL_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include "limits/limits.h"

/* Both requests for any token that there may be. */
#define SASL_REQUESTS_BYTES_MAX (TOKEN_BYTES_MAX + 128)
/* Both answers, each with its length. */
#define SASL_ANSWERS_BYTES_MAX (2 * (KAFKA_ANSWER_BYTES_MAX + 4))

/* Both requests, one behind the other; returns how many bytes. `len`: at most TOKEN_BYTES_MAX. */
size_t sasl_requests(const char *token, size_t len, uint8_t ret[SASL_REQUESTS_BYTES_MAX]);

enum sasl_verdict {
	SASL_MORE,	   /* not all is there yet, and so far nothing is wrong */
	SASL_ACCEPTED,	   /* the broker knows who it is */
	SASL_REFUSED,	   /* the broker does not take the token */
	SASL_NO_MECHANISM, /* Kafka, but not a listener with OAUTHBEARER */
	SASL_GARBAGE,	   /* not what Kafka would answer; lengths that are out of bounds too */
};

#define SASL_DETAIL_BYTES 256

/* Looks at all that the broker has sent until now. `ret_bytes`: with SASL_ACCEPTED, how many of
 * them are the two answers; what follows is the client's. `ret_detail`: for people, where the
 * verdict is one against us: printable ASCII. */
enum sasl_verdict sasl_answers(const uint8_t *bytes, size_t len, size_t *ret_bytes,
			       char ret_detail[SASL_DETAIL_BYTES]);

#endif
