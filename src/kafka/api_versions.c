/* SPDX-License-Identifier: Apache-2.0 */
/* ApiVersions v0, asked and recognised (api_versions.h). Pure. */
#include "kafka/api_versions.h"

#include "kafka/wire.h"

#define API_VERSIONS	 18
#define NUMBER		 0x53616c79 /* correlation id: what is not Kafka does not know it */
#define ANSWER_BYTES_MAX 65536
#define APIS_MAX	 1000
#define BYTES_OF_AN_API	 6

void api_versions_request(uint8_t ret[API_VERSIONS_REQUEST_BYTES])
{
	struct kafka_writer w = { .bytes = ret, .size = API_VERSIONS_REQUEST_BYTES };
	size_t start;

	kafka_request_begin(&w, &start, API_VERSIONS, 0, NUMBER);
	kafka_request_end(&w, start);
}

bool api_versions_is_answer(const uint8_t bytes[API_VERSIONS_ANSWER_BYTES])
{
	struct kafka_reader r = { .at = bytes, .end = bytes + API_VERSIONS_ANSWER_BYTES };
	int32_t len = kafka_get_i32(&r), number = kafka_get_i32(&r);
	int16_t error = kafka_get_i16(&r);
	int32_t count = kafka_get_i32(&r);

	return number == NUMBER && error == 0 && len <= ANSWER_BYTES_MAX && count > 0 &&
	       count <= APIS_MAX && len == 4 + 2 + 4 + count * BYTES_OF_AN_API;
}
