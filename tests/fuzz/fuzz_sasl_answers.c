/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a broker's answers: nothing is read beyond them, what is taken is within them, more
 * bytes never change a verdict that has been given, and details are printable.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "kafka/sasl_frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum sasl_verdict before = SASL_MORE;
	char detail[SASL_DETAIL_BYTES] = "";
	size_t taken_before = 0;

	for (size_t len = 0; len <= size && len <= SASL_ANSWERS_BYTES_MAX; len++) {
		size_t taken = 0;
		enum sasl_verdict verdict = sasl_answers(data, len, &taken, detail);

		if (before != SASL_MORE && (verdict != before || taken != taken_before))
			abort();
		if (taken > len || (verdict == SASL_ACCEPTED) != (taken > 0))
			abort();
		before = verdict;
		taken_before = taken;
	}
	for (const char *c = detail; *c; c++)
		if (*c < ' ' || *c > '~')
			abort();
	return 0;
}
