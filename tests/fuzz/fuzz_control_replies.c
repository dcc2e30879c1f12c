/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what Vault or Consul may answer: the first says which answer it is to be. What is
 * taken is of the form that it is said to have.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/http_client.h"
#include "control/trust.h"
#include "control/vault_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_login(const char *body, size_t bytes)
{
	static struct vault_login login;
	struct err_text why;

	if (vault_reply_login(body, bytes, &login, &why) != CAUSE_NONE)
		return;
	for (const char *at = login.token; *at; at++)
		if (*at <= ' ' || (unsigned char)*at >= 0x7f)
			abort();
}

static void as_certificates(const char *body, size_t bytes)
{
	struct vault_signed reply = { 0 };
	struct err_text why;
	char *pem = NULL;

	if (vault_reply_signed(body, bytes, &reply, &why) == CAUSE_NONE) {
		if (!reply.certificate || !reply.chain)
			abort();
		vault_signed_fini(&reply);
	}
	if (vault_reply_ca(body, bytes, &pem, &why) == CAUSE_NONE)
		free(pem);
}

static void as_issuers(const char *body, size_t bytes)
{
	struct issuers issuers;
	struct err_text why;

	if (issuers_parse(body, bytes, &issuers, &why) < 0)
		return;
	if (!issuers.count || issuers.count > ISSUERS_MAX || !issuers_equal(&issuers, &issuers))
		abort();
	for (size_t i = 0; i < issuers.count; i++)
		if (!issuers.paths[i][0] || issuers.paths[i][0] == '/' ||
		    issuers.paths[i][0] == '.' || strstr(issuers.paths[i], "/.") ||
		    strpbrk(issuers.paths[i], "?#%\\ "))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char secret[VAULT_TOKEN_BYTES_MAX + 1];
	const char *body = (const char *)data + 1;
	struct err_text why;
	char text[64];

	if (!size)
		return 0;
	size--;
	switch (data[0] % 6) {
	case 0:
		as_login(body, size);
		break;
	case 1:
		as_certificates(body, size);
		break;
	case 2:
		as_issuers(body, size);
		break;
	case 3:
		(void)vault_reply_secret_id(body, size, secret, &why);
		break;
	case 4:
		(void)vault_reply_cause(503, body, size, "sign", &why);
		break;
	case 5:
		if (size < sizeof(text)) {
			memcpy(text, body, size);
			text[size] = 0;
			(void)http_retry_after_ms(text, 1800000000);
		}
		break;
	}
	return 0;
}
