/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The question that every Kafka client asks first, ApiVersions: any broker answers it, before it
 * knows who asks, and nothing else answers like one.
 */
#ifndef SALLYPORT_KAFKA_API_VERSIONS_H
#define SALLYPORT_KAFKA_API_VERSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define API_VERSIONS_REQUEST_BYTES 14
/* As much of an answer as tells. */
#define API_VERSIONS_ANSWER_BYTES 14

void api_versions_request(uint8_t ret[API_VERSIONS_REQUEST_BYTES]);
/* Whether these first bytes are a broker's answer to it. */
bool api_versions_is_answer(const uint8_t bytes[API_VERSIONS_ANSWER_BYTES]);

#endif
