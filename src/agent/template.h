/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text templates of an agent: everything is literal but `{{ variable }}`. `{{-` and `-}}` take the
 * white space before and after them away.
 */
#ifndef SALLYPORT_AGENT_TEMPLATE_H
#define SALLYPORT_AGENT_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "pki/pkcs12.h"

#define TEMPLATE_BYTES_MAX (256 * 1024)

enum template_variable {
	TEMPLATE_CERTIFICATE,
	TEMPLATE_CHAIN,
	TEMPLATE_PRIVATE_KEY,
	TEMPLATE_ROOTS,
	TEMPLATE_STORE_PASSWORD,
	TEMPLATE_NAME,
	TEMPLATE_COMMON_NAME,
	TEMPLATE_SERIAL,
	TEMPLATE_ISSUER,
	TEMPLATE_NOT_BEFORE,
	TEMPLATE_NOT_AFTER,
	TEMPLATE_DIRECTORY,
	TEMPLATE_VARIABLE_COUNT
};

struct template_values {
	const char *items[TEMPLATE_VARIABLE_COUNT]; /* NULL: empty */
};

/* What is wrong with a template: 0, or -EINVAL with `err`, which begins with LINE:COLUMN.
 * *ret_uses: a bit a variable that is in it. */
int template_check(const char *text, size_t len, unsigned int *ret_uses, struct err_text *err);
/* Whether what comes of such a template has to be kept secret. */
bool template_is_secret(unsigned int uses);
/* 0, -EINVAL as above, or -ENOMEM. */
int template_render(const char *text, size_t len, const struct template_values *values,
		    struct pki_bytes *ret, struct err_text *err);

#endif
