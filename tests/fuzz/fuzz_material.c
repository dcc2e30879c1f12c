/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file as whatever an operator may take it for: certificate, key, roots. It never crashes or
 * leaks, a fault always has words, and nothing is left in libcrypto's queue of errors.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>

#include "limits/limits.h"
#include "pki/inspect.h"
#include "tls/context.h"
#include "tls/pem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool truth)
{
	if (!truth)
		abort();
}

/* True if there are both. */
static bool load(const char *file)
{
	struct err_text err = { "" };
	STACK_OF(X509) *certificates = NULL;
	EVP_PKEY *key = NULL;
	bool both;
	int r = pem_load_certificates(file, 4, &certificates, &err);

	must(r == 0 || (r == PEM_FAULT && err.text[0]));
	must((r == 0) == (certificates != NULL));
	must(!certificates || (sk_X509_num(certificates) > 0 && sk_X509_num(certificates) <= 4));
	err.text[0] = 0;
	r = pem_load_key(file, &key, &err);
	must(r == 0 || (r == PEM_FAULT && err.text[0]));
	must((r == 0) == (key != NULL));
	must(!ERR_peek_error());
	both = certificates && key;
	sk_X509_pop_free(certificates, X509_free);
	EVP_PKEY_free(key);
	return both;
}

static void use(const char *file, bool is_server)
{
	struct tls_context_params params = {
		.is_server = is_server,
		.certificate_file = file,
		.key_file = file,
		.root_files = &file,
		.root_file_count = 1,
		.min_version = 0x0303,
		.server_name = "door.example",
	};
	struct tls_context *context = NULL;
	struct err_text err = { "" };
	int r = tls_context_new(&params, &context, &err);

	must(r >= 0 && (r == 0) == (context != NULL));
	must(r == 0 || err.text[0]);
	tls_context_unref(context);
}

static void inspect(const char *file)
{
	static struct pki_findings findings;
	struct pki_identity identity;

	memset(&findings, 0, sizeof(findings));
	if (pki_inspect_identity(file, file, true, &identity, &findings))
		must(memchr(identity.cn, 0, sizeof(identity.cn)) != NULL);
	else
		must(findings.errors > 0);
	pki_inspect_roots(file, &findings);
	must(findings.count <= PKI_FINDINGS_MAX);
	for (size_t i = 0; i < findings.count; i++)
		must(findings.items[i].text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("material", MFD_CLOEXEC);
	char file[64];

	must(fd >= 0 && fchmod(fd, 0600) == 0);
	must(write(fd, data, size) == (ssize_t)size);
	snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
	/* A context costs thousands of times what a look at the file does. */
	if (load(file)) {
		use(file, true);
		use(file, false);
	}
	inspect(file);
	must(!ERR_peek_error());
	close(fd);
	return 0;
}
