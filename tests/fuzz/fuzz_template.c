/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates of the agent on any text: looking and rendering agree on what is good, and what comes
 * out is literal text and values, no more.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/template.h"

#define VALUE "V"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool truth)
{
	if (!truth)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct template_values values;
	struct pki_bytes bytes = { 0 };
	unsigned int uses = 0;
	struct err_text err = { "" };
	int looked, rendered;

	for (int i = 0; i < TEMPLATE_VARIABLE_COUNT; i++)
		values.items[i] = VALUE;
	looked = template_check(text, size, &uses, &err);
	rendered = template_render(text, size, &values, &bytes, &err);
	must(looked == rendered);
	if (rendered < 0) {
		must(!bytes.bytes && err.text[0]);
		return 0;
	}
	/* "{{" and "}}" and a name are longer than the value. */
	must(bytes.len <= size && bytes.bytes[bytes.len] == 0);
	must(uses || !memmem(text, size, "{{", 2));
	pki_bytes_fini(&bytes);
	return 0;
}
